//! The part of the quiet work that searches for the largest rate of every variant.
//!
//! Variants take turns, one probe each, as in the search for the largest batch. First one stream
//! tells how long a request takes, and with it where to begin; which rate comes next and what its
//! requests say is for `measure::rate` and `measure::slo`.

use std::time::Instant;

use super::alone::Alone;
use super::blocks::{At, Blocks, Given, able, launch};
use super::execute::{Conditions, Progressed, RunError};
use super::guard::{MOST_AGAIN, examine_probe};
use super::session::{Probed, Session};
use super::steps::{ended, mark};
use crate::base::Nanos;
use crate::measure::rate::{MOST_PROBES, found, next, times};
use crate::measure::search::Answer;
use crate::plan::{Plan, Step as PlanStep};
use crate::record::{LAUNCHES, RateProbe, SearchEnd, StepState, probed};
use crate::scenario::Positive;
use crate::spec::{Bench as BenchSpec, Spec};
use crate::stage::{Artifact, Bench, RateSearch, Stage};

pub(super) struct Rates<'a> {
    pub spec: &'a Spec,
    pub bench: &'a BenchSpec,
    pub plan: &'a Plan,
    pub conditions: &'a Conditions<'a>,
    pub state: &'a Progressed,
}

/// One variant in one search.
struct Subject<'a> {
    name: &'a str,
    artifact: &'a Artifact,
    search: &'a RateSearch,
    step: &'a PlanStep,
    given: &'a Given<'a>,
}

impl Rates<'_> {
    /// Carries out every search of the plan, going on after the probes that `session` already has.
    pub fn carry_out(&self, session: &mut Session) -> Result<(), RunError> {
        for step in &self.plan.steps {
            if let Stage::RateSearch(search) = &step.stage {
                self.search(step, search, session)?;
            }
        }
        Ok(())
    }

    fn search(
        &self,
        step: &PlanStep,
        search: &RateSearch,
        session: &mut Session,
    ) -> Result<(), RunError> {
        let begin = Instant::now();
        let blocks = self.blocks(&search.bench, step);
        let variants = able(&blocks, self.state);
        self.check_unchanged(search, &variants, session)?;
        let setting = &search.bench.setting;
        let is_open =
            |session: &Session, name: &str| !session.of(setting).rates.ends.contains_key(name);
        if !variants.is_empty() && !variants.iter().any(|(name, _)| is_open(session, name)) {
            return Ok(());
        }
        if variants.is_empty() {
            let why = "no variant can be run".to_owned();
            return self.end(step, begin, StepState::Skipped, why, session);
        }
        let _alone = Alone::wait(self.conditions)?;
        let given = Given::of(&blocks, self.conditions, self.state);
        let made = |session: &Session| -> usize {
            let log = &session.of(setting).rates;
            variants.iter().map(|(name, _)| log.probes(name).count()).sum()
        };
        let most = (MOST_PROBES + 1) * variants.len();
        let done = made(session) as u64;
        let bar = self.conditions.progress.launches(&search.label(), most as u64, done);
        while variants.iter().any(|(name, _)| is_open(session, name)) {
            for (name, artifact) in &variants {
                if is_open(session, name) {
                    let subject = Subject { name, artifact, search, step, given: &given };
                    self.advance(&subject, session)?;
                    bar.inc(1);
                }
            }
        }
        self.conditions.progress.clear(&bar);
        let s = if variants.len() == 1 { "" } else { "s" };
        let detail = format!("{} probes of {} variant{s}", made(session), variants.len());
        self.end(step, begin, StepState::Done, detail, session)
    }

    fn blocks<'b>(&'b self, stage: &'b Bench, step: &'b PlanStep) -> Blocks<'b> {
        Blocks { spec: self.spec, bench: self.bench, stage, plan: self.plan, step }
    }

    /// Probes of different artifacts or runtimes are never mixed in one search.
    fn check_unchanged(
        &self,
        search: &RateSearch,
        variants: &[(String, Artifact)],
        session: &Session,
    ) -> Result<(), RunError> {
        for (name, artifact) in variants {
            let runtime = self.state.runtime(self.plan, name).map(|(_, digest)| digest);
            let mut known = session.of(&search.bench.setting).rates.probes(name);
            if known.any(|p| p.artifact != artifact.digest || p.runtime != runtime) {
                return Err(RunError::Changed { variant: name.clone() });
            }
        }
        Ok(())
    }

    /// The next probe of one variant, or the end of its search.
    fn advance(&self, subject: &Subject<'_>, session: &mut Session) -> Result<(), RunError> {
        let Subject { name, artifact, search, .. } = *subject;
        let setting = &search.bench.setting;
        let known: Vec<&RateProbe> =
            session.of(setting).rates.probes(name).map(|known| &known.probe).collect();
        let confidence = self.spec.compare.confidence.0;
        let (seen, start) = probed(known.iter().copied(), &search.slo, confidence);
        let spent: u64 = known.iter().map(|probe| probe.wall()).sum();
        let launched: usize = known.iter().map(|p| p.launches.len()).sum();
        let left = self.bench.design.max_time.0.saturating_sub(spent);
        // `Some(None)` is one stream: nothing is known yet.
        let wanted = match (start, known.is_empty()) {
            (Some(start), _) => next(start, &seen).and_then(Positive::new).map(Some),
            (None, true) => Some(None),
            (None, false) => None,
        };
        // What was too long for a limit is longer at every rate that is left to try.
        let cut = known.last().is_some_and(|p| p.cut_short.is_some() && p.launches.is_empty());
        let Some(rate) = wanted.filter(|_| left > 0 && !cut) else {
            let end = if wanted.is_some() { SearchEnd::Budget } else { SearchEnd::Complete };
            let result = found(&seen);
            let told = match (result.pass, result.fail) {
                (Some(pass), Some(fail)) => format!("from {pass:.3} to {fail:.3} per second"),
                (Some(pass), None) => format!("at least {pass:.3} per second"),
                (None, _) => "no rate".to_owned(),
            };
            let time = if wanted.is_some() { ", as far as the time allowed" } else { "" };
            self.conditions.progress.line(&format!("  {name}: {told}{time}"));
            return Ok(session.record_rated(setting.clone(), name.to_owned(), end)?);
        };
        let begin = Instant::now();
        // Rates are compared on common schedules; confirmations of one rate see fresh ones.
        let repeats = rate.map_or(0, |rate| times(&seen, rate.get()));
        let probe = self.probe(subject, rate, (repeats, launched), left, session)?;
        let told = told(&probe, search, confidence);
        let seconds = begin.elapsed().as_secs_f64();
        self.conditions.progress.line(&format!("  {name}, {told}  {seconds:.1} s"));
        let runtime = self.state.runtime(self.plan, name).map(|(_, digest)| digest);
        Ok(session.record_rate_probe(Probed {
            setting: setting.clone(),
            variant: name.to_owned(),
            number: known.len() as u32,
            artifact: artifact.digest,
            runtime,
            probe,
        })?)
    }

    /// Launches at one rate until a look at their requests decides; `repeats` probes of that rate
    /// and `launched` launches came before.
    fn probe(
        &self,
        subject: &Subject<'_>,
        rate: Option<Positive>,
        (repeats, launched): (usize, usize),
        left: u64,
        session: &Session,
    ) -> Result<RateProbe, RunError> {
        let search = subject.search;
        let confidence = self.spec.compare.confidence.0;
        let mut probe = RateProbe {
            rate: rate.map(Positive::get),
            launches: Vec::new(),
            disturbed: Vec::new(),
            cut_short: None,
        };
        while probe.goes_on(&search.slo, confidence) {
            let number = probe.launches.len();
            let left = Nanos(left.saturating_sub(probe.wall()));
            probe.cut_short =
                rate.and_then(|rate| too_long(rate, search.requests, self.bench.limits.time, left));
            if probe.cut_short.is_some() {
                break;
            }
            let stage = Bench { setting: search.setting(rate), ..search.bench.clone() };
            let blocks = self.blocks(&stage, subject.step);
            // Blocks seed arrivals, prompts and padding: those of a repeated probe are others.
            let block = repeats * (LAUNCHES[1] + 1 + MOST_AGAIN) + number;
            let at = At { block, position: launched + number, seed: self.bench.design.seed };
            let (name, artifact, given) = (subject.name, subject.artifact, subject.given);
            let guard = given.guard();
            let launch = launch(&blocks, name, artifact, given, at, guard, self.conditions)?;
            let log = &session.of(&search.bench.setting).rates;
            let found = examine_probe(
                (name, &launch),
                probe.counted(),
                log.all().flat_map(|known| known.probe.counted()).chain(probe.counted()),
                probe.disturbed.len(),
                self.conditions.progress,
            );
            probe.launches.push(launch);
            probe.disturbed.extend(found);
        }
        Ok(probe)
    }

    fn end(
        &self,
        step: &PlanStep,
        begin: Instant,
        state: StepState,
        detail: String,
        session: &mut Session,
    ) -> Result<(), RunError> {
        let (label, seconds) = (step.stage.label(), begin.elapsed().as_secs_f64());
        let mark = mark(state);
        self.conditions.progress.line(&format!("{mark} {label}  {detail}  {seconds:.1} s"));
        let detail = (state == StepState::Skipped).then_some(detail);
        session.record_step(ended(self.plan, step, state, detail, begin.elapsed()))?;
        Ok(())
    }
}

/// Why no launch of `requests` at `rate` is made, if so: it must end within `launch`, and the search
/// has `left`. A tenth of the requests comes before those that count.
fn too_long(rate: Positive, requests: u32, launch: Nanos, left: Nanos) -> Option<String> {
    let needed = f64::from(requests) * 1.1 / rate.get();
    let limits = [
        (launch, "that a launch may take (`bench.limits.time`)"),
        (left, "that are left to the search (`bench.design.max_time`)"),
    ];
    let (limit, words) = limits.into_iter().find(|(limit, _)| needed > limit.as_secs())?;
    let rate = rate.get();
    Some(format!(
        "{requests} requests at {rate:.3} per second take longer than the {limit} {words}"
    ))
}

/// A probe for whoever waits.
fn told(probe: &RateProbe, search: &RateSearch, confidence: f64) -> String {
    let Some(seen) = probe.probed(&search.slo, confidence) else {
        return match probe.failure() {
            Some(why) => format!("one stream: {why}"),
            None => "one stream".to_owned(),
        };
    };
    let word = match seen.answer {
        Answer::Keeps => "keeps the bounds",
        Answer::Breaks => "breaks the bounds",
        Answer::Undecided => "undecided",
        Answer::Failed => "failed",
    };
    let detail = match (probe.failure(), probe.saturated()) {
        (Some(why), _) => why,
        (None, Some(waiting)) => format!("saturated, {waiting} waited"),
        (None, None) if seen.requests == 0.0 => "nothing counted".to_owned(),
        (None, None) => {
            format!("{:.2} % of {} requests over", seen.over * 100.0, seen.requests)
        }
    };
    format!("{:.3} per second: {word}, {detail}", seen.rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_that_would_outlast_a_limit_are_not_made() {
        let rate = Positive::new(2.0).expect("above 0");
        let told = |launch, left| {
            too_long(rate, 1000, Nanos::seconds(launch), Nanos::seconds(left)).unwrap_or_default()
        };
        assert_eq!(told(600, 600), "");
        assert!(told(500, 6000).contains("1000 requests at 2.000 per second take longer than"));
        assert!(told(600, 20).contains("than the 20s that are left to the search"));
    }
}
