//! One shared step: looked up, or made by a child and sealed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Limits;
use super::child::Launch;
use super::execute::{Conditions, RunError};
use crate::base::text::inert;
use crate::plan::{Output, Plan, StepIndex, output_of, read_model, recipe, slot};
use crate::record::{Failure, Step, StepState};
use crate::stage::{Done, Job, Source, Stage};
use crate::store::{Lookup, Recipe};

/// Longest time of a step that is not measured.
const DEADLINE: Duration = Duration::from_secs(4 * 3600);

/// What became of a step.
pub struct StepEnd {
    pub step: Step,
    pub output: Option<Output>,
}

/// Carries out step `index`, whose needs all have outputs.
pub fn perform(
    plan: &Plan,
    index: StepIndex,
    outputs: &[Option<Output>],
    conditions: &Conditions<'_>,
) -> Result<StepEnd, RunError> {
    let begin = Instant::now();
    let step = &plan.steps[index];
    let label = step.stage.label();
    let bar = conditions.progress.step(&label);
    let share = |share: f64| bar.set_position((share * 1000.0) as u64);
    let made = make(plan, index, outputs, conditions, &share)?;
    let (mark, output) = match made.state {
        StepState::Hit => ("=", made.output),
        StepState::Done => ("✓", made.output),
        StepState::Failed | StepState::Skipped => ("✗", None),
    };
    let shown = made.detail.clone().unwrap_or_default();
    conditions.progress.finish(&bar, mark, &label, &shown, begin.elapsed());
    let record = Step {
        id: step.id.clone(),
        label,
        kind: step.stage.kind().to_owned(),
        needs: step.needs.iter().map(|&need| plan.steps[need].id.clone()).collect(),
        key: made.key,
        state: made.state,
        detail: made.detail,
        seconds: begin.elapsed().as_secs_f64(),
        peak_memory: made.peak_memory,
    };
    Ok(StepEnd { step: record, output })
}

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

fn make(
    plan: &Plan,
    index: StepIndex,
    outputs: &[Option<Output>],
    conditions: &Conditions<'_>,
    share: &dyn Fn(f64),
) -> Result<Made, RunError> {
    let step = &plan.steps[index];
    let Some(recipe) = recipe(plan, index, outputs)? else {
        return outside(&step.stage, conditions, share);
    };
    let slot = slot(conditions.spec_name, &step.id);
    let why = match conditions.store.lookup(&slot, &recipe)? {
        Lookup::Hit(stored) if !conditions.fresh => {
            if let Some(output) = output_of(&step.stage, &stored) {
                let (state, key) = (StepState::Hit, Some(recipe.key()));
                return Ok(Made {
                    state,
                    output: Some(output),
                    detail: None,
                    key,
                    peak_memory: None,
                });
            }
            "the stored result cannot be read".to_owned()
        }
        Lookup::Hit(_) => "made again on request".to_owned(),
        Lookup::Miss(reason) => reason.to_string(),
    };
    build(plan, index, outputs, conditions, share, &recipe, &slot, why)
}

#[expect(clippy::too_many_arguments, reason = "one call site; a struct would only rename them")]
fn build(
    plan: &Plan,
    index: StepIndex,
    outputs: &[Option<Output>],
    conditions: &Conditions<'_>,
    share: &dyn Fn(f64),
    recipe: &Recipe,
    slot: &str,
    why: String,
) -> Result<Made, RunError> {
    let stage = &plan.steps[index].stage;
    let workspace = conditions.store.begin()?;
    let job = job(plan, index, outputs, workspace.path().to_owned());
    let (done, peak_memory) = match run(&job, conditions, share)? {
        Ok(done) => done,
        Err(failure) => return Ok(Made::failed(describe(&failure))),
    };
    let (kind, notes) = match done {
        Done::Artifact { kind, notes } => (kind.name().to_owned(), serde_json::json!(notes)),
        Done::Tokenized { documents, tokens } => (
            "tokens".to_owned(),
            serde_json::json!([format!("{documents} documents, {tokens} tokens")]),
        ),
        Done::Judged(judged) => {
            let value = serde_json::to_value(&judged).expect("scores always serialize");
            workspace.write_json("judged.json", &value)?;
            ("observation".to_owned(), serde_json::json!([]))
        }
        other => return Ok(Made::failed(format!("the job gave something else: {other:?}"))),
    };
    let stored = conditions.store.seal(workspace, recipe, slot, &kind, notes)?;
    let Some(output) = output_of(stage, &stored) else {
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
fn outside(
    stage: &Stage,
    conditions: &Conditions<'_>,
    share: &dyn Fn(f64),
) -> Result<Made, RunError> {
    let Stage::LoadModel(load) = stage else {
        return Ok(Made::read(Output::Measured));
    };
    let path = match (&load.source, load.job(PathBuf::new())) {
        (Source::File(path), _) => path.into(),
        (_, None) => return Ok(Made::failed("the source has no way to be read".into())),
        (_, Some(job)) => match run(&job, conditions, share)? {
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

fn job(plan: &Plan, index: StepIndex, outputs: &[Option<Output>], out: std::path::PathBuf) -> Job {
    let step = &plan.steps[index];
    let model = |n: usize| {
        outputs[step.needs[n]].as_ref().and_then(Output::model).expect("its recipe needed it too")
    };
    match &step.stage {
        Stage::LoadModel(load) => load.job(out).expect("a recipe means that there is a job"),
        Stage::LoadTokens(tokens) => tokens.job(&model(0).artifact, out),
        Stage::Optimize(optimize) => optimize.job(&model(0).artifact, out),
        Stage::Judge(judge) => {
            let variant = model(0);
            let windows = judge.windows(Some(variant.facts.context_length));
            let Some(Output::Tokens { folder, .. }) = &outputs[step.needs[2]] else {
                unreachable!("a judge step needs tokens, and its recipe found them");
            };
            judge.job(windows, &variant.artifact, &model(1).artifact, folder.clone())
        }
        Stage::Bench(_) => unreachable!("bench steps have no recipe"),
    }
}

type JobEnd = Result<(Done, Option<u64>), Failure>;

fn run(job: &Job, conditions: &Conditions<'_>, share: &dyn Fn(f64)) -> Result<JobEnd, RunError> {
    let scratch = conditions.store.begin()?;
    let launch = Launch {
        job,
        scratch: scratch.path(),
        limits: Limits::within(DEADLINE, None),
        threads: None,
        padding: 0,
    };
    let ended = conditions.launcher.launch(&launch, share)?;
    Ok(ended.result.map(|done| (done, ended.peak_memory)))
}

/// A failure in one line.
pub fn describe(failure: &Failure) -> String {
    match failure.verdict {
        crate::record::Verdict::Error => inert(&failure.detail),
        verdict => format!("{}: {}", verdict.label(), inert(&failure.detail)),
    }
}
