//! The quiet part that keeps every variant at work for a long time, after everything is timed.
//!
//! Whatever goes wrong is said in the soak itself; it never fails the run, whose timings stand
//! without it. A soak that an interruption cut short is made again from its beginning.

use std::time::{Duration, Instant};

use super::Limits;
use super::alone::Alone;
use super::child::{Launch, LaunchError};
use super::execute::{Conditions, Progressed, RunError};
use super::placing::runner;
use super::session::Session;
use super::steps::{describe, ended, mark};
use crate::base::Digest;
use crate::plan::{Output, Plan, Step as PlanStep};
use crate::record::{Failure, Soak, StepState, Verdict};
use crate::spec::Bench as BenchSpec;
use crate::stage::{Done, Job, SoakJob, SoakStage, Stage};

pub(super) struct Soaks<'a> {
    pub bench: &'a BenchSpec,
    pub plan: &'a Plan,
    pub conditions: &'a Conditions<'a>,
    pub state: &'a Progressed,
}

impl Soaks<'_> {
    /// Carries out every soak of the plan that an earlier stretch has not.
    pub fn carry_out(&self, session: &mut Session) -> Result<(), RunError> {
        for step in &self.plan.steps {
            let Stage::Soak(stage) = &step.stage else { continue };
            let axes = stage.setting.axes();
            let is_known =
                |known: &Soak| (known.variant.as_str(), &known.axes) == (&stage.variant, &axes);
            if !session.soaks.iter().any(is_known) {
                self.soak(step, stage, session)?;
            }
        }
        Ok(())
    }

    fn soak(
        &self,
        step: &PlanStep,
        stage: &SoakStage,
        session: &mut Session,
    ) -> Result<(), RunError> {
        let begin = Instant::now();
        let mut soak = Soak {
            variant: stage.variant.clone(),
            axes: stage.setting.axes(),
            artifact: None,
            duration: stage.duration,
            unmeasured: None,
            failure: None,
            readings: Vec::new(),
        };
        match self.job(step, stage) {
            Err(why) => soak.unmeasured = Some(why),
            Ok(job) => self.work(&job, stage, &mut soak)?,
        }
        let (state, detail) = match (&soak.unmeasured, &soak.failure) {
            (Some(why), _) => (StepState::Skipped, format!("unmeasured: {why}")),
            (None, Some(failure)) => (StepState::Failed, describe(failure)),
            (None, None) => (StepState::Done, format!("{} readings", soak.readings.len())),
        };
        session.record_soak(soak)?;
        let (label, seconds) = (step.stage.label(), begin.elapsed().as_secs_f64());
        let mark = mark(state);
        self.conditions.progress.line(&format!("{mark} {label}  {detail}  {seconds:.1} s"));
        let detail = (state != StepState::Done).then_some(detail);
        session.record_step(ended(self.plan, step, state, detail, begin.elapsed()))?;
        Ok(())
    }

    /// The work, or why there is none.
    fn job(&self, step: &PlanStep, stage: &SoakStage) -> Result<Job, String> {
        if let Some(why) = self.state.variants[&stage.variant].stands_against() {
            return Err(why);
        }
        let outputs = &self.state.outputs;
        let model = outputs[step.needs[0]].as_ref().and_then(Output::model);
        let artifact = model.ok_or("there is no artifact")?.artifact.clone();
        let tokens = step.needs.iter().find_map(|&need| match &outputs[need] {
            Some(Output::Data { folder, .. }) => Some(folder.clone()),
            _ => None,
        });
        if tokens.is_none() && stage.data.is_some() && stage.inputs.is_none() {
            return Err("the prompts could not be tokenized".into());
        }
        let text = format!("soak/{}/{}", stage.setting.id(), self.bench.design.seed);
        Ok(Job::Soak(Box::new(SoakJob {
            artifact,
            backend: runner(self.plan, outputs, self.conditions.store, &stage.variant),
            tokens,
            inputs: stage.inputs.clone(),
            runtime: self.state.runtime(self.plan, &stage.variant).map(|(library, _)| library),
            setting: stage.setting.clone(),
            seed: Digest::of_bytes(text.as_bytes()).seed(),
            duration: stage.duration,
        })))
    }

    /// Runs the job while nothing else is measured, and fills `soak` in.
    fn work(&self, job: &Job, stage: &SoakStage, soak: &mut Soak) -> Result<(), RunError> {
        let Job::Soak(described) = job else { return Ok(()) };
        let _alone = Alone::wait(self.conditions)?;
        let scratch = self.conditions.store.begin()?;
        let limits = &self.bench.limits;
        // The limit of a launch is for what comes before and after the time that was asked for.
        let time = Duration::from_nanos(stage.duration.saturating_add(limits.time.0));
        let launch = Launch {
            job,
            scratch: scratch.path(),
            limits: Limits::within(time, limits.memory.map(|memory| memory.0)),
            threads: Some(stage.setting.threads),
            padding: 0,
        };
        let failed = |detail: &str| Failure {
            verdict: Verdict::Error,
            detail: detail.to_owned(),
            log_tail: String::new(),
        };
        match self.conditions.launcher.launch(&launch, &|_| {}) {
            Err(LaunchError::Interrupted) => return Err(RunError::Interrupted),
            Err(start @ LaunchError::Start { .. }) => soak.unmeasured = Some(start.to_string()),
            Ok(ended) => match ended.result {
                Ok(_) if !described.artifact.is_unchanged() => {
                    soak.failure = Some(failed("the model's files changed meanwhile"));
                }
                Ok(Done::Soaked(readings)) => {
                    soak.artifact = Some(described.artifact.digest);
                    soak.readings = readings;
                }
                Ok(_) => soak.failure = Some(failed("the job gave something else")),
                Err(failure) => soak.failure = Some(failure),
            },
        }
        Ok(())
    }
}
