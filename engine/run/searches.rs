//! The part of the quiet work that searches for the largest batch of every variant.
//!
//! Variants take turns, one probe each, so that a machine that changes its pace meets them alike.
//! A probe is launched as blocks are: fresh processes, one at a time. Which size comes next and
//! what its requests say is for `measure::search`; here it is only carried out and written down.

use std::time::Instant;

use super::alone::Alone;
use super::blocks::{At, Blocks, Given, able, launch};
use super::execute::{Conditions, Progressed, RunError};
use super::guard::examine_probe;
use super::session::{Probed, Session};
use super::steps::{describe, ended, mark};
use crate::base::Nanos;
use crate::measure::quantile::{median, quantile};
use crate::measure::search::{Answer, LOOKS, found, looks, most_probes, next};
use crate::plan::{Plan, Step as PlanStep};
use crate::record::{Outcome, Probe, SearchEnd, StepState};
use crate::scenario::StreamRules;
use crate::spec::{Bench as BenchSpec, Spec};
use crate::stage::{Artifact, Bench, Search, Stage};

/// The metric whose quantile is bounded.
pub(super) const SEARCHED_METRIC: &str = "latency";

pub(super) struct Searches<'a> {
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
    search: &'a Search,
    step: &'a PlanStep,
    given: &'a Given<'a>,
}

impl Searches<'_> {
    /// Carries out every search of the plan, going on after the probes that `session` already has.
    pub fn carry_out(&self, session: &mut Session) -> Result<(), RunError> {
        for step in &self.plan.steps {
            if let Stage::Search(search) = &step.stage {
                self.search(step, search, session)?;
            }
        }
        Ok(())
    }

    fn search(
        &self,
        step: &PlanStep,
        search: &Search,
        session: &mut Session,
    ) -> Result<(), RunError> {
        let begin = Instant::now();
        let blocks = self.blocks(&search.bench, step);
        let variants = able(&blocks, self.state);
        self.check_unchanged(search, &variants, session)?;
        let setting = &search.bench.setting;
        let is_open =
            |session: &Session, name: &str| !session.of(setting).batches.ends.contains_key(name);
        if !variants.is_empty() && !variants.iter().any(|(name, _)| is_open(session, name)) {
            return Ok(());
        }
        if variants.is_empty() {
            let why = "no variant can be run".to_owned();
            return self.end(step, begin, StepState::Skipped, why, session);
        }
        let _alone = Alone::wait(self.conditions)?;
        let given = Given::of(&blocks, self.conditions, self.state);
        let most = most_probes(search.max) * variants.len();
        let made = |session: &Session| -> usize {
            let log = &session.of(setting).batches;
            variants.iter().map(|(name, _)| log.probes(name).count()).sum()
        };
        let done = made(session) as u64;
        let label = search.label();
        let bar = self.conditions.progress.launches(&label, most as u64, done);
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
        search: &Search,
        variants: &[(String, Artifact)],
        session: &Session,
    ) -> Result<(), RunError> {
        for (name, artifact) in variants {
            let runtime = self.state.runtime(self.plan, name).map(|(_, digest)| digest);
            let mut known = session.of(&search.bench.setting).batches.probes(name);
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
        let known: Vec<&Probe> =
            session.of(setting).batches.probes(name).map(|known| &known.probe).collect();
        let confidence = self.spec.compare.confidence.0;
        let answer = |probe: &Probe| probe.answer(SEARCHED_METRIC, search.bound, confidence);
        let seen: Vec<(u32, Answer)> =
            known.iter().map(|probe| (probe.batch, answer(probe))).collect();
        let spent: u64 = known.iter().map(|probe| probe.wall()).sum();
        let launches: usize = known.iter().map(|probe| probe.launches.len()).sum();
        let number = known.len() as u32;
        let left = self.bench.design.max_time.0.saturating_sub(spent);
        let batch = match next(search.max, &seen) {
            Some(batch) if left > 0 => batch,
            over => {
                let end = if over.is_some() { SearchEnd::Budget } else { SearchEnd::Complete };
                let told = match found(search.max, &seen).batch {
                    Some(batch) => format!("batch {batch}"),
                    None => "no batch".to_owned(),
                };
                let time = if over.is_some() { ", as far as the time allowed" } else { "" };
                self.conditions.progress.line(&format!("  {name}: {told}{time}"));
                return Ok(session.record_searched(setting.clone(), name.to_owned(), end)?);
            }
        };
        let begin = Instant::now();
        let probe = self.probe(subject, batch, launches, left, session)?;
        let told = told(&probe, search, answer(&probe));
        let seconds = begin.elapsed().as_secs_f64();
        self.conditions.progress.line(&format!("  {name}, batch {batch}: {told}  {seconds:.1} s"));
        let runtime = self.state.runtime(self.plan, name).map(|(_, digest)| digest);
        Ok(session.record_probe(Probed {
            setting: setting.clone(),
            variant: name.to_owned(),
            number,
            artifact: artifact.digest,
            runtime,
            probe,
        })?)
    }

    /// Launches of one batch until a look at their latencies decides. `launched` counts those of
    /// the search before, `left` is what its time allows in nanoseconds.
    fn probe(
        &self,
        subject: &Subject<'_>,
        batch: u32,
        launched: usize,
        left: u64,
        session: &Session,
    ) -> Result<Probe, RunError> {
        let search = subject.search;
        let confidence = self.spec.compare.confidence.0;
        let mut probe =
            Probe { batch, launches: Vec::new(), disturbed: Vec::new(), cut_short: None };
        let looks = looks(search.bound, confidence);
        let mut look = 0;
        while look < LOOKS {
            let known = probe.values(SEARCHED_METRIC).len();
            let missing = looks[look].saturating_sub(known) as u32;
            if let Some(pace) = median(&probe.all_values(SEARCHED_METRIC)) {
                let left = Nanos(left.saturating_sub(probe.wall()));
                probe.cut_short = too_long(pace, missing, self.bench.limits.time, left);
                if probe.cut_short.is_some() {
                    break;
                }
            }
            let warmup = search.bench.rules.warmup;
            let rules =
                StreamRules { warmup, detect: None, min: missing, max: missing, min_time: 0 };
            let stage = Bench { setting: search.setting(batch), rules, ..search.bench.clone() };
            let blocks = self.blocks(&stage, subject.step);
            let block = launched + probe.launches.len();
            let at = At { block, position: 0, seed: self.bench.design.seed };
            let (name, artifact, given) = (subject.name, subject.artifact, subject.given);
            let guard = given.guard();
            let launch = launch(&blocks, name, artifact, given, at, guard, self.conditions)?;
            let log = &session.of(&search.bench.setting).batches;
            let found = examine_probe(
                (name, &launch),
                probe.counted(),
                log.all().flat_map(|known| known.probe.counted()).chain(probe.counted()),
                probe.disturbed.len(),
                self.conditions.progress,
            );
            let again = found.as_ref().is_some_and(|found| found.left_out);
            let failed = matches!(launch.outcome, Outcome::Failed(_));
            probe.launches.push(launch);
            probe.disturbed.extend(found);
            match probe.answer(SEARCHED_METRIC, search.bound, confidence) {
                // Once is tried again, and so is what something outside disturbed.
                Answer::Undecided if failed || again => {}
                Answer::Undecided => look += 1,
                Answer::Keeps | Answer::Breaks | Answer::Failed => break,
            }
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

/// Why `requests` more of `pace` seconds each are not made, if so: a launch must end within `launch`,
/// and the search has `left`.
fn too_long(pace: f64, requests: u32, launch: Nanos, left: Nanos) -> Option<String> {
    let needed = pace * f64::from(requests);
    let limits = [
        (launch, "that a launch may take (`bench.limits.time`)"),
        (left, "that are left to the search (`bench.design.max_time`)"),
    ];
    let (limit, words) = limits.into_iter().find(|(limit, _)| needed > limit.as_secs())?;
    let pace = Nanos((pace * 1e9) as u64);
    Some(format!("{requests} more requests of {pace} each take longer than the {limit} {words}"))
}

/// A probe for whoever waits.
fn told(probe: &Probe, search: &Search, answer: Answer) -> String {
    if let Some(failure) = probe.failure() {
        return describe(failure);
    }
    let values = probe.values(SEARCHED_METRIC);
    let q = search.bound.quantile;
    let point = quantile(&values, q, 0.95).map_or(f64::NAN, |found| found.point);
    let word = match answer {
        Answer::Keeps => "keeps the bound",
        Answer::Breaks => "breaks the bound",
        Answer::Undecided => "undecided",
        Answer::Failed => "failed",
    };
    let requests = values.len();
    format!("p{:.0} {:.3} ms from {requests} requests, {word}", q * 100.0, point * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_would_outlast_a_limit_are_not_made() {
        let told = |pace, launch, left| {
            too_long(pace, 493, Nanos::seconds(launch), Nanos::seconds(left)).unwrap_or_default()
        };
        assert_eq!(told(0.05, 600, 600), "");
        assert!(told(2.0, 600, 6000).contains(
            "493 more requests of 2s each take longer than the 10m that a launch may take"
        ));
        assert!(told(0.05, 600, 20).contains("than the 20s that are left to the search"));
    }
}
