//! The quiet part that keeps every variant at work for a long time, after everything is timed.
//!
//! Whatever goes wrong is said in the soak itself; it never fails the run, whose timings stand
//! without it. A soak that an interruption cut short is made again from its beginning.

use std::time::{Duration, Instant};

use super::Limits;
use super::alone::Alone;
use super::child::{Launch, LaunchError};
use super::execute::{Conditions, Progressed, RunError};
use super::guard::Guard;
use super::placing::runner;
use super::session::Session;
use super::steps::{describe, ended, mark};
use crate::base::{Digest, Nanos};
use crate::measure::rate::found;
use crate::plan::{Output, Plan, Step as PlanStep};
use crate::record::{Failure, Schedule, Soak, StepState, Verdict, probed};
use crate::scenario::Positive;
use crate::spec::{Bench as BenchSpec, Soak as SoakSpec, Spec};
use crate::stage::{Done, Job, Pace, SoakJob, SoakStage, Stage};

pub(super) struct Soaks<'a> {
    pub spec: &'a Spec,
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
            schedule: None,
            unmeasured: None,
            failure: None,
            conditions: None,
            readings: Vec::new(),
        };
        match self.schedule(step, stage, session).and_then(|schedule| {
            soak.schedule = schedule;
            self.job(step, stage, soak.schedule.as_ref())
        }) {
            Err(why) => soak.unmeasured = Some(why),
            Ok(job) => self.work(&job, stage, &mut soak)?,
        }
        let saturated = soak.schedule.as_ref().and_then(|schedule| schedule.saturated);
        let (state, detail) = match (&soak.unmeasured, &soak.failure, saturated) {
            (Some(why), ..) => (StepState::Skipped, format!("skipped: {why}")),
            (None, Some(failure), _) => (StepState::Failed, describe(failure)),
            (None, None, Some(waiting)) => {
                (StepState::Done, format!("saturated, {waiting} waited at the end"))
            }
            (None, None, None) => (StepState::Done, format!("{} readings", soak.readings.len())),
        };
        session.record_soak(soak)?;
        let (label, seconds) = (step.stage.label(), begin.elapsed().as_secs_f64());
        let mark = mark(state);
        self.conditions.progress.line(&format!("{mark} {label}  {detail}  {seconds:.1} s"));
        let detail = (state != StepState::Done).then_some(detail);
        session.record_step(ended(self.plan, step, state, detail, begin.elapsed()))?;
        Ok(())
    }

    /// At what rate requests arrive, `None` one after the other; or why that is not known.
    fn schedule(
        &self,
        step: &PlanStep,
        stage: &SoakStage,
        session: &Session,
    ) -> Result<Option<Schedule>, String> {
        self.able(stage)?;
        let search = step.needs.iter().find_map(|&need| match &self.plan.steps[need].stage {
            Stage::RateSearch(search) => Some(search),
            _ => None,
        });
        let largest = search.and_then(|search| {
            let log = session.of(&search.bench.setting);
            let probes = log.rates.probes(&stage.variant).map(|known| &known.probe);
            let confidence = self.spec.compare.confidence.0;
            found(&probed(probes, &search.slo, confidence).0).pass
        });
        schedule(stage.pace, Nanos(stage.duration), largest)
    }

    fn able(&self, stage: &SoakStage) -> Result<(), String> {
        if let Some(why) = self.state.variants[&stage.variant].stands_against() {
            return Err(why);
        }
        Ok(())
    }

    /// The work, or why there is none.
    fn job(
        &self,
        step: &PlanStep,
        stage: &SoakStage,
        schedule: Option<&Schedule>,
    ) -> Result<Job, String> {
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
        let arriving = match (schedule.and_then(|s| Positive::new(s.rate)), stage.pace) {
            (Some(rate), Pace::Rate(_, law) | Pace::Share(_, law)) => Some((rate, law)),
            _ => None,
        };
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
            arriving,
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
        let guard = self.state.guard.as_ref();
        let work = || self.conditions.launcher.launch(&launch, &|_| {});
        let (ended, conditions) = Guard::around(guard, &stage.setting, 0, work);
        soak.conditions = conditions;
        match ended {
            Err(LaunchError::Interrupted) => return Err(RunError::Interrupted),
            Err(start @ LaunchError::Start { .. }) => soak.unmeasured = Some(start.to_string()),
            Ok(ended) => match ended.result {
                Ok(_) if !described.artifact.is_unchanged() => {
                    soak.failure = Some(failed("the model's files changed meanwhile"));
                }
                Ok(Done::Soaked { readings, schedule }) => {
                    soak.artifact = Some(described.artifact.digest);
                    soak.readings = readings;
                    if let (Some(known), Some((planned, saturated))) =
                        (&mut soak.schedule, schedule)
                    {
                        (known.planned, known.saturated) = (planned, saturated);
                    }
                }
                Ok(_) => soak.failure = Some(failed("the job gave something else")),
                Err(failure) => soak.failure = Some(failure),
            },
        }
        Ok(())
    }
}

/// The schedule of a soak; `largest` is the rate that the search before has found to keep its
/// bounds.
fn schedule(pace: Pace, duration: Nanos, largest: Option<f64>) -> Result<Option<Schedule>, String> {
    let (rate, largest) = match (pace, largest) {
        (Pace::Closed, _) => return Ok(None),
        (Pace::Rate(rate, _), _) => (rate.get(), None),
        (Pace::Share(share, _), Some(largest)) => (share.get() * largest, Some(largest)),
        (Pace::Share(..), None) => {
            return Err("the search found no rate that keeps its bounds".to_owned());
        }
    };
    match (SoakSpec { duration, ..SoakSpec::default() }).unfit(rate) {
        Some(why) => Err(why),
        None => Ok(Some(Schedule { rate, largest, planned: 0, saturated: None })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Arrivals;

    #[test]
    fn a_share_is_one_of_the_largest_rate_and_of_nothing_it_is_none() {
        let above = |number| Positive::new(number).expect("above 0");
        let share = Pace::Share(above(0.8), Arrivals::Poisson);
        let of = |pace, seconds, largest| schedule(pace, Nanos::seconds(seconds), largest);
        let found = of(share, 600, Some(30.0)).expect("a rate").expect("a schedule");
        assert_eq!((found.rate, found.largest), (24.0, Some(30.0)));
        assert!(of(share, 600, None).unwrap_err().contains("found no rate"));
        let few = of(share, 600, Some(0.1)).unwrap_err();
        assert_eq!(
            few,
            "0.080 requests per second for 10m are 48, and fewer than 100 tell nothing"
        );
        assert!(of(share, 3600, Some(9e4)).unwrap_err().contains("more than the 2000000"));
        let fixed = of(Pace::Rate(above(5.0), Arrivals::Poisson), 60, Some(30.0)).unwrap();
        assert_eq!(fixed.map(|found| (found.rate, found.largest)), Some((5.0, None)));
        assert_eq!(of(Pace::Closed, 60, Some(30.0)), Ok(None));
    }
}
