//! The last quiet part: peak rates and profiles, after everything is timed.
//!
//! Whatever goes wrong here is said in the step and in the profile; it never fails the run, whose
//! timings stand without it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Limits;
use super::alone::Alone;
use super::child::{Ended, Launch, LaunchError};
use super::execute::{Conditions, Progressed, RunError};
use super::placing::runner;
use super::session::Session;
use super::steps::{describe, ended, mark};
use crate::base::Digest;
use crate::base::files::{create_folder, read_bounded, replace_file};
use crate::machine::PeakRates;
use crate::plan::{Output, Plan, Step as PlanStep, slot};
use crate::record::{Profile, StepState};
use crate::spec::Bench as BenchSpec;
use crate::stage::{Done, Job, PEAKS_FILE, ProfileStage, Roofline, Stage, trace_file};
use crate::store::{Lookup, Workspace};

pub(super) struct Profiles<'a> {
    pub bench: &'a BenchSpec,
    pub plan: &'a Plan,
    pub conditions: &'a Conditions<'a>,
    pub state: &'a Progressed,
}

/// Largest trace that is put beside the report, in bytes.
const LONGEST_TRACE: u64 = 64 << 20;

type Peaks = Result<PeakRates, String>;

impl Profiles<'_> {
    /// Carries out every `profile` step of the plan that an earlier stretch has not.
    pub fn carry_out(&self, session: &mut Session) -> Result<(), RunError> {
        let mut peaks: BTreeMap<u32, Peaks> = BTreeMap::new();
        for step in &self.plan.steps {
            match &step.stage {
                Stage::Roofline(roofline) => {
                    let found = self.peaks(step, *roofline, session)?;
                    peaks.insert(roofline.threads, found);
                }
                Stage::Profile(stage) => {
                    let axes = stage.setting.axes();
                    let is_known = |known: &Profile| {
                        (known.variant.as_str(), &known.axes) == (&stage.variant, &axes)
                    };
                    if !session.profiles.iter().any(is_known) {
                        self.profile(step, stage, peaks.get(&stage.setting.threads), session)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The machine's peak rates: from the store, where this machine and build have measured them.
    fn peaks(
        &self,
        step: &PlanStep,
        roofline: Roofline,
        session: &mut Session,
    ) -> Result<Peaks, RunError> {
        let begin = Instant::now();
        let store = self.conditions.store;
        let recipe = roofline.recipe(self.conditions.fingerprint.digest);
        let slot = slot(self.conditions.spec_name, &step.id);
        let why = match store.lookup(&slot, &recipe)? {
            Lookup::Hit(stored) if !self.conditions.fresh => {
                let kept = stored.read_json(PEAKS_FILE).ok();
                if let Some(peaks) = kept.and_then(|value| serde_json::from_value(value).ok()) {
                    self.end(step, begin, StepState::Hit, None, session)?;
                    return Ok(Ok(peaks));
                }
                "the stored result cannot be read".to_owned()
            }
            Lookup::Hit(_) => "measured again on request".to_owned(),
            Lookup::Miss(reason) => reason.to_string(),
        };
        let workspace = store.begin()?;
        let job = Job::Roofline { threads: roofline.threads };
        let ended = self.launch(&job, &store.begin()?, roofline.threads)?;
        let peaks = match ended.map(|ended| ended.result) {
            Ok(Ok(Done::Peaks(peaks))) => peaks,
            Ok(Ok(_)) => return self.without(step, begin, "the job gave something else", session),
            Ok(Err(failure)) => return self.without(step, begin, &describe(&failure), session),
            Err(why) => return self.without(step, begin, &why, session),
        };
        if peaks.disturbed() {
            // Whoever asks next may find the machine at rest.
            let why = "not kept: the machine was busy, so that they are lower bounds".to_owned();
            self.end(step, begin, StepState::Done, Some(why), session)?;
            return Ok(Ok(peaks));
        }
        let value = serde_json::to_value(&peaks).expect("plain data serializes");
        workspace.write_json(PEAKS_FILE, &value)?;
        store.seal(workspace, &recipe, &slot, "observation", json!([]))?;
        self.end(step, begin, StepState::Done, Some(why), session)?;
        Ok(Ok(peaks))
    }

    fn without(
        &self,
        step: &PlanStep,
        begin: Instant,
        why: &str,
        session: &mut Session,
    ) -> Result<Peaks, RunError> {
        self.end(step, begin, StepState::Skipped, Some(format!("unmeasured: {why}")), session)?;
        Ok(Err(why.to_owned()))
    }

    fn profile(
        &self,
        step: &PlanStep,
        stage: &ProfileStage,
        peaks: Option<&Peaks>,
        session: &mut Session,
    ) -> Result<(), RunError> {
        let begin = Instant::now();
        let mut profile = Profile {
            variant: stage.variant.clone(),
            backend: stage.backend.to_string(),
            axes: stage.setting.axes(),
            artifact: None,
            unprofiled: None,
            phases: Vec::new(),
            peak_memory: None,
            peaks: peaks.and_then(|peaks| peaks.clone().ok()),
            unmeasured_peaks: peaks.and_then(|peaks| peaks.clone().err()),
            trace: None,
        };
        let found = self.operators(step, stage, &mut profile, session)?;
        let (state, detail) = match found {
            Ok(()) => (StepState::Done, None),
            Err(why) => {
                profile.unprofiled = Some(why.clone());
                (StepState::Skipped, Some(format!("unprofiled: {why}")))
            }
        };
        session.record_profile(profile)?;
        self.end(step, begin, state, detail, session)
    }

    /// Fills `profile` in; the inner error says why it stays empty.
    fn operators(
        &self,
        step: &PlanStep,
        stage: &ProfileStage,
        profile: &mut Profile,
        session: &Session,
    ) -> Result<Result<(), String>, RunError> {
        if !stage.ops {
            return Ok(Err("operators were not asked for".into()));
        }
        if let Some(why) = self.state.variants[&stage.variant].stands_against() {
            return Ok(Err(why));
        }
        let outputs = &self.state.outputs;
        let Some(model) = outputs[step.needs[0]].as_ref().and_then(Output::model) else {
            return Ok(Err("there is no artifact".into()));
        };
        let tokens = step.needs.iter().find_map(|&need| match &outputs[need] {
            Some(Output::Data { folder, .. }) => Some(folder.clone()),
            _ => None,
        });
        if tokens.is_none() && stage.data.is_some() && stage.inputs.is_none() {
            return Ok(Err("the prompts could not be tokenized".into()));
        }
        let runtime = self.state.runtime(self.plan, &stage.variant);
        let id = stage.setting.id();
        let text = format!("profile/{id}/{}", self.bench.design.seed);
        let scratch = self.conditions.store.begin()?;
        let out = scratch.path().join("out");
        create_folder(&out, 0o700).map_err(crate::store::StoreError::from)?;
        let job = Job::Profile {
            artifact: model.artifact.clone(),
            backend: runner(self.plan, outputs, self.conditions.store, &stage.variant),
            tokens,
            inputs: stage.inputs.clone(),
            runtime: runtime.map(|(library, _)| library),
            setting: stage.setting.clone(),
            seed: Digest::of_bytes(text.as_bytes()).seed(),
            out: out.clone(),
        };
        let ended = match self.launch(&job, &scratch, stage.setting.threads)? {
            Ok(ended) => ended,
            Err(why) => return Ok(Err(why)),
        };
        match ended.result {
            Ok(_) if !model.artifact.is_unchanged() => {
                Ok(Err("the model's files changed while they were profiled".into()))
            }
            Ok(Done::Profiled { phases, peak_memory }) => {
                profile.artifact = Some(model.artifact.digest);
                profile.phases = phases;
                profile.peak_memory = peak_memory;
                let name = format!("trace-{}-{id}.json", stage.variant);
                let kept = read_bounded(&trace_file(&out), LONGEST_TRACE).and_then(|bytes| {
                    let folder = session.begun.folder();
                    create_folder(&folder, 0o755)?;
                    replace_file(&folder.join(&name), &bytes)
                });
                // A profile without its trace is still one.
                profile.trace = kept.is_ok().then_some(name);
                Ok(Ok(()))
            }
            Ok(_) => Ok(Err("the job gave something else".into())),
            Err(failure) => Ok(Err(describe(&failure))),
        }
    }

    /// Runs `job` while nothing else is measured. The inner error says why it could not start.
    fn launch(
        &self,
        job: &Job,
        scratch: &Workspace,
        threads: u32,
    ) -> Result<Result<Ended, String>, RunError> {
        let _alone = Alone::wait(self.conditions)?;
        let limits = &self.bench.limits;
        let launch = Launch {
            job,
            scratch: scratch.path(),
            limits: Limits::within(
                Duration::from_nanos(limits.time.0),
                limits.memory.map(|memory| memory.0),
            ),
            threads: Some(threads),
            padding: 0,
        };
        match self.conditions.launcher.launch(&launch, &|_| {}) {
            Ok(ended) => Ok(Ok(ended)),
            Err(LaunchError::Interrupted) => Err(RunError::Interrupted),
            Err(start @ LaunchError::Start { .. }) => Ok(Err(start.to_string())),
        }
    }

    fn end(
        &self,
        step: &PlanStep,
        begin: Instant,
        state: StepState,
        detail: Option<String>,
        session: &mut Session,
    ) -> Result<(), RunError> {
        let (label, seconds) = (step.stage.label(), begin.elapsed().as_secs_f64());
        let (mark, shown) = (mark(state), detail.clone().unwrap_or_default());
        self.conditions.progress.line(&format!("{mark} {label}  {shown}  {seconds:.1} s"));
        session.record_step(ended(self.plan, step, state, detail, begin.elapsed()))?;
        Ok(())
    }
}
