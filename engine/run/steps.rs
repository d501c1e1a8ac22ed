//! One shared step: looked up, or made by a child and sealed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Limits;
use super::child::Launch;
use super::execute::{Conditions, RunError};
use super::placing::runner;
use super::runtime::{Provided, Provider};
use crate::base::text::inert;
use crate::plan::{
    JUDGED_FILE, Output, Plan, Step as PlanStep, StepIndex, output_of, read_model, recipe, slot,
};
use crate::record::{Failure, Step, StepState, Verdict};
use crate::stage::{Done, Job, JudgeOn, LoadRuntime, OpenDevice, Source, Stage, hub};
use crate::store::{Lookup, Recipe};

/// Longest time of a step that is not measured.
pub(super) const DEADLINE: Duration = Duration::from_secs(4 * 3600);

/// What became of a step.
pub struct StepEnd {
    pub step: Step,
    pub output: Option<Output>,
}

/// A step about to be carried out; everything it needs has an output.
pub struct Task<'a> {
    pub plan: &'a Plan,
    pub index: StepIndex,
    pub outputs: &'a [Option<Output>],
    pub conditions: &'a Conditions<'a>,
    /// Threads its process may use: steps that run side by side share the machine.
    pub threads: u32,
}

impl Task<'_> {
    /// Looks the step up, or makes and seals its result.
    pub fn perform(&self) -> Result<StepEnd, RunError> {
        let begin = Instant::now();
        let step = &self.plan.steps[self.index];
        let label = step.stage.label();
        let progress = self.conditions.progress;
        let bar = progress.step(&label);
        let made = self.make(&|share: f64| bar.set_position((share * 1000.0) as u64))?;
        let output = match made.state {
            StepState::Hit | StepState::Done => made.output,
            StepState::Failed | StepState::Skipped => None,
        };
        let shown = made.detail.clone().unwrap_or_default();
        progress.finish(&bar, mark(made.state), &label, &shown, begin.elapsed());
        let ended = ended(self.plan, step, made.state, made.detail, begin.elapsed());
        let record = Step { key: made.key, peak_memory: made.peak_memory, ..ended };
        Ok(StepEnd { step: record, output })
    }

    fn make(&self, share: &dyn Fn(f64)) -> Result<Made, RunError> {
        let step = &self.plan.steps[self.index];
        if let Stage::LoadRuntime(load) = &step.stage {
            return self.runtime(load, &step.id, share);
        }
        if let Stage::OpenDevice(device) = &step.stage {
            return self.device(device, share);
        }
        let Some(recipe) = recipe(self.plan, self.index, self.outputs)? else {
            return self.outside(&step.stage, share);
        };
        let slot = slot(self.conditions.spec_name, &step.id);
        let why = match self.conditions.store.lookup(&slot, &recipe)? {
            Lookup::Hit(stored) if !self.conditions.fresh => {
                if let Some(output) = output_of(&step.stage, &stored) {
                    return Ok(Made {
                        state: StepState::Hit,
                        output: Some(output),
                        detail: None,
                        key: Some(recipe.key()),
                        peak_memory: None,
                    });
                }
                "the stored result cannot be read".to_owned()
            }
            Lookup::Hit(_) => "made again on request".to_owned(),
            Lookup::Miss(reason) => reason.to_string(),
        };
        tracing::info!(step = step.id, key = %recipe.key(), reason = why, "step runs");
        self.build(share, &recipe, &slot, why)
    }

    fn runtime(&self, load: &LoadRuntime, id: &str, share: &dyn Fn(f64)) -> Result<Made, RunError> {
        let Conditions { store, launcher, spec_name, .. } = *self.conditions;
        let slot = slot(spec_name, id);
        let provider = Provider { store, launcher, slot: &slot };
        Ok(match provider.provide(load, share)? {
            Provided::Ready { output, key, hit, why } => Made {
                state: if hit { StepState::Hit } else { StepState::Done },
                output: Some(output),
                detail: why,
                key: Some(key),
                peak_memory: None,
            },
            Provided::Missing(why) => Made { state: StepState::Skipped, ..Made::failed(why) },
            Provided::Broken(why) => Made::failed(why),
        })
    }

    /// A device that cannot be used is no fault of the spec; one whose driver ends the process is
    /// a failure.
    fn device(&self, device: &OpenDevice, share: &dyn Fn(f64)) -> Result<Made, RunError> {
        let skipped = |why: String| {
            let why = format!("`{}`: {why}", device.runner.placement.device);
            Made { state: StepState::Skipped, ..Made::failed(why) }
        };
        if let Some(why) = device.missing() {
            return Ok(skipped(why));
        }
        Ok(match self.run(&device.job(self.library()), share)? {
            Ok(_) => Made {
                detail: Some("a session opens there".to_owned()),
                ..Made::read(Output::Device { digest: device.digest() })
            },
            Err(failure) if failure.verdict == Verdict::Error => skipped(describe(&failure)),
            Err(failure) => Made::failed(describe(&failure)),
        })
    }

    /// The runtime's library among what the step needs.
    fn library(&self) -> Option<PathBuf> {
        let mut needs = self.plan.steps[self.index].needs.iter();
        needs.find_map(|&need| match &self.outputs[need] {
            Some(Output::Runtime { library, .. }) => Some(library.clone()),
            _ => None,
        })
    }

    /// The folder of the data set among what the step needs.
    fn data(&self) -> Option<PathBuf> {
        let mut needs = self.plan.steps[self.index].needs.iter();
        needs.find_map(|&need| match &self.outputs[need] {
            Some(Output::Data { folder, .. }) => Some(folder.clone()),
            _ => None,
        })
    }

    fn build(
        &self,
        share: &dyn Fn(f64),
        recipe: &Recipe,
        slot: &str,
        why: String,
    ) -> Result<Made, RunError> {
        let store = self.conditions.store;
        let workspace = store.begin()?;
        let (done, peak_memory) = match self.run(&self.job(workspace.path().to_owned()), share)? {
            Ok(done) => done,
            Err(failure) => return Ok(Made::failed(describe(&failure))),
        };
        let (kind, notes) = match done {
            Done::Artifact { kind, notes } => (kind.name(), json!(notes)),
            Done::Tokenized { documents, tokens } => {
                ("tokens", json!([format!("{documents} documents, {tokens} tokens")]))
            }
            Done::ItemsRead { items } => ("items", json!([format!("{items} items")])),
            Done::Judged { judged, notes } => {
                let value = serde_json::to_value(&judged).expect("scores always serialize");
                workspace.write_json(JUDGED_FILE, &value)?;
                ("observation", json!(notes))
            }
            other => return Ok(Made::failed(format!("the job gave something else: {other:?}"))),
        };
        let inputs = self.plan.steps[self.index].needs.iter();
        let models = inputs.filter_map(|&need| self.outputs[need].as_ref()?.model());
        if let Some(changed) = models.into_iter().find(|model| !model.artifact.is_unchanged()) {
            let path = changed.artifact.path.display();
            return Ok(Made::failed(format!("`{path}` changed while it was used")));
        }
        let stored = store.seal(workspace, recipe, slot, kind, notes)?;
        let Some(output) = output_of(&self.plan.steps[self.index].stage, &stored) else {
            return Ok(Made::failed("the result cannot be read back".to_owned()));
        };
        Ok(Made {
            state: StepState::Done,
            output: Some(output),
            detail: Some(why),
            key: Some(recipe.key()),
            peak_memory,
        })
    }

    /// A model that is only read, or fetched into a cache that is not ours.
    fn outside(&self, stage: &Stage, share: &dyn Fn(f64)) -> Result<Made, RunError> {
        let Stage::LoadModel(load) = stage else {
            return Ok(Made::read(Output::Measured));
        };
        let fetched = match &load.source {
            Source::Hub { repository, revision } => {
                let revision = revision.as_deref().unwrap_or("main");
                let whole = hub::is_complete(repository, revision);
                hub::cached(repository, revision).filter(|_| whole)
            }
            _ => None,
        };
        let path = match (fetched, &load.source, load.job(PathBuf::new())) {
            (Some(folder), ..) => folder,
            (None, Source::File(path), _) => path.into(),
            (.., None) => return Ok(Made::failed("the source has no way to be read".into())),
            (.., Some(job)) => match self.run(&job, share)? {
                Ok((Done::Fetched { path }, _)) => path,
                Ok((other, _)) => return Ok(Made::failed(format!("unexpected {other:?}"))),
                Err(failure) => return Ok(Made::failed(describe(&failure))),
            },
        };
        Ok(match read_model(&path) {
            Ok(output) => Made::read(output),
            Err(error) => {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                Made::failed(format!("{error}{hint}"))
            }
        })
    }

    fn job(&self, out: PathBuf) -> Job {
        let step = &self.plan.steps[self.index];
        let model = |n: usize| {
            let output = self.outputs[step.needs[n]].as_ref();
            output.and_then(Output::model).expect("its recipe needed it too")
        };
        let runtime = self.library();
        match &step.stage {
            Stage::LoadModel(load) => load.job(out).expect("a recipe means that there is a job"),
            Stage::LoadTokens(tokens) => tokens.job(&model(0).artifact, out),
            Stage::LoadItems(items) => {
                let asked = !step.needs.is_empty();
                items.job(asked.then(|| model(0).artifact.clone()), out)
            }
            Stage::Optimize(optimize) => {
                optimize.job(&model(0).artifact, self.data(), runtime, out)
            }
            Stage::Judge(judge) => {
                let variant = model(0);
                let context = variant.facts.context_length;
                let store = self.conditions.store;
                let runs = |name: &str| runner(self.plan, self.outputs, store, name);
                let own = (&variant.artifact, runs(&judge.variant));
                let other = (&model(1).artifact, runs(&judge.reference));
                let both = matches!(judge.on, JudgeOn::Matching { .. });
                let others = both.then(|| (&model(2).artifact, &model(3).artifact));
                judge.job(context, own, other, others, self.data(), runtime)
            }
            Stage::LoadRuntime(_) | Stage::OpenDevice(_) => {
                unreachable!("runtimes and devices are provided, see `make`")
            }
            Stage::Bench(_)
            | Stage::Search(_)
            | Stage::RateSearch(_)
            | Stage::Roofline(_)
            | Stage::Profile(_)
            | Stage::Soak(_) => {
                unreachable!("quiet steps are not carried out here")
            }
        }
    }

    fn run(&self, job: &Job, share: &dyn Fn(f64)) -> Result<JobEnd, RunError> {
        let scratch = self.conditions.store.begin()?;
        let launch = Launch {
            job,
            scratch: scratch.path(),
            limits: Limits::within(DEADLINE, None),
            threads: Some(self.threads),
            padding: 0,
        };
        let ended = self.conditions.launcher.launch(&launch, share)?;
        Ok(ended.result.map(|done| (done, ended.peak_memory)))
    }
}

/// What a job gave, and the highest memory of its process in bytes.
type JobEnd = Result<(Done, Option<u64>), Failure>;

struct Made {
    state: StepState,
    output: Option<Output>,
    detail: Option<String>,
    key: Option<crate::base::Digest>,
    peak_memory: Option<u64>,
}

impl Made {
    fn failed(detail: String) -> Self {
        let (state, output, key) = (StepState::Failed, None, None);
        Self { state, output, detail: Some(detail), key, peak_memory: None }
    }

    fn read(output: Output) -> Self {
        let (state, key) = (StepState::Done, output.digest());
        Self { state, output: Some(output), detail: None, key, peak_memory: None }
    }
}

/// What is written down of a step that has ended and left nothing in the store.
pub(super) fn ended(
    plan: &Plan,
    step: &PlanStep,
    state: StepState,
    detail: Option<String>,
    took: Duration,
) -> Step {
    Step {
        id: step.id.clone(),
        label: step.stage.label(),
        kind: step.stage.kind().to_owned(),
        needs: step.needs.iter().map(|&need| plan.steps[need].id.clone()).collect(),
        key: None,
        state,
        detail,
        seconds: took.as_secs_f64(),
        peak_memory: None,
    }
}

/// Begins the line of a step that has ended.
pub(super) fn mark(state: StepState) -> &'static str {
    match state {
        StepState::Hit => "=",
        StepState::Done => "✓",
        StepState::Failed => "✗",
        StepState::Skipped => "–",
    }
}

/// A failure in one line.
pub fn describe(failure: &Failure) -> String {
    match failure.verdict {
        Verdict::Error => inert(&failure.detail),
        verdict => format!("{}: {}", verdict.label(), inert(&failure.detail)),
    }
}
