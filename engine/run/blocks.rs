//! The quiet part: blocks of launches under one setting until the numbers are good enough.

mod arms;
mod launching;
mod looking;
mod piloting;
mod rounds;
mod tally;

use std::time::Instant;

use super::alone::Alone;
use super::execute::{Conditions, Progressed, RunError};
use super::guard::examine;
use super::session::{Measured, Session};
use super::steps::{describe, ended};
use crate::machine::watch::most_left_out;
use crate::measure::design::orders;
use crate::measure::stop::{Decision, Rule, decide};
use crate::plan::{Plan, Step as PlanStep};
use crate::record::{Outcome, Step, StepState, StopReason};
use crate::spec::{Bench as BenchSpec, Spec};
use crate::stage::{Artifact, Bench, Setting, Stage};
pub(super) use arms::{AGAIN, launches_again, shows_noise};
use arms::{Arm, arms};
use launching::valid;
pub(super) use launching::{At, Given, able, gpus, launch};
use looking::{family, reason_of, widest, words};
use piloting::{settle, settled, told};
use rounds::{Making, Round};
use tally::{bursts, complete, given_up, of};

pub struct Blocks<'a> {
    pub spec: &'a Spec,
    pub bench: &'a BenchSpec,
    pub stage: &'a Bench,
    pub plan: &'a Plan,
    pub step: &'a PlanStep,
}

/// Measures one setting, going on after the blocks that `session` already has.
///
/// A block that an interruption has torn apart stays in the record but is never filled up later:
/// its halves would not have met the same machine. Another block takes its place.
pub fn measure(
    blocks: &Blocks<'_>,
    session: &mut Session,
    conditions: &Conditions<'_>,
    state: &Progressed,
) -> Result<(), RunError> {
    let setting = &blocks.stage.setting;
    let variants = able(blocks, state);
    for known in session.of(setting).launches() {
        let name = if known.variant == AGAIN { &blocks.plan.baseline } else { &known.variant };
        let current = variants.iter().find(|(able, _)| able == name);
        let runtime = state.runtime(blocks.plan, name).map(|(_, digest)| digest);
        if current.is_some_and(|(_, artifact)| {
            artifact.digest != known.artifact || runtime != known.runtime
        }) {
            return Err(RunError::Changed { variant: name.clone() });
        }
    }
    if session.of(setting).stop.is_some() {
        return Ok(());
    }
    let begin = Instant::now();
    let given = Given::of(blocks, conditions, state);
    if blocks.stage.data.is_some() && blocks.stage.inputs.is_none() && given.has_no_tokens() {
        let why = Some("the prompts could not be tokenized".into());
        session.record_step(closed(blocks, begin, why))?;
        return session.record_stop(setting.clone(), StopReason::NothingLeft).map_err(Into::into);
    }
    let label = format!("bench {setting}");
    let _alone = Alone::wait(conditions)?;
    warm(blocks, conditions, &variants, &given)?;
    let reason = repeat(blocks, session, conditions, &variants, &given, Instant::now())?;
    session.record_step(closed(blocks, begin, None))?;
    session.record_stop(setting.clone(), reason)?;
    let launches = of(session, setting).count();
    let detail = format!("{launches} launches, stopped: {}", words(reason));
    conditions
        .progress
        .line(&format!("✓ {label}  {detail}  {:.1} s", begin.elapsed().as_secs_f64()));
    Ok(())
}

/// Launches what keeps engines once for this setting without counting it, so that engines are
/// built outside of what is measured.
fn warm(
    blocks: &Blocks<'_>,
    conditions: &Conditions<'_>,
    variants: &[(String, Artifact)],
    given: &Given<'_>,
) -> Result<(), RunError> {
    for (name, artifact) in variants {
        if !given.keeps_engines(name) {
            continue;
        }
        let at = At { block: 0, position: 0, seed: blocks.bench.design.seed };
        let launch = launch(blocks, name, artifact, given, at, None, conditions)?;
        if let Outcome::Failed(failure) = &launch.outcome {
            let text = describe(failure);
            conditions.progress.line(&format!("✗ {name} could not build its engines  {text}"));
        }
    }
    Ok(())
}

/// Launches block after block until a reason to stop comes up.
fn repeat(
    blocks: &Blocks<'_>,
    session: &mut Session,
    conditions: &Conditions<'_>,
    variants: &[(String, Artifact)],
    given: &Given<'_>,
    begin: Instant,
) -> Result<StopReason, RunError> {
    let setting = &blocks.stage.setting;
    let design = &blocks.bench.design;
    let rule = Rule {
        min_blocks: design.blocks.min,
        max_blocks: design.blocks.max,
        half_width: design.stop.half_width.0,
        max_time_ns: allowed(blocks, session),
    };
    let arms = arms(blocks, variants);
    let first = of(session, setting).map(|(_, launch)| launch.block + 1).max().unwrap_or(0);
    let planned = rule.max_blocks.saturating_mul(bursts(design, session.of(setting)));
    // Blocks that are left out are made again.
    let again = most_left_out(blocks.bench.guard.max_invalid.0, planned);
    let orders = orders(arms.len(), (first + planned + again) as usize, design.seed);
    // Time already spent on this setting in earlier stretches.
    let before: u64 = of(session, setting).map(|(_, launch)| launch.wall).sum();
    let launches = |blocks: u32, session: &Session| {
        u64::from(blocks.saturating_mul(bursts(design, session.of(setting)))) * arms.len() as u64
    };
    let most = launches(rule.max_blocks, session);
    let done = launches(complete(session, setting, variants), session);
    let bar = conditions.progress.launches(&format!("bench {setting}"), most, done);
    let mut block = first;
    let least =
        |session: &Session| rule.min_blocks.saturating_mul(bursts(design, session.of(setting)));
    // An interruption may have come before its last block was looked at.
    if let Some(last) = first.checked_sub(1) {
        examine(given.guard(), session, setting, last, least(session), conditions.progress)?;
    }
    let mut round: Option<Round<'_>> = None;
    let reason = loop {
        // A round is one block to the rule, which is not asked before it is over.
        if round.is_none()
            && let Some(reason) = over(&rule, session, setting, variants)
        {
            break reason;
        }
        let stage = settled(blocks.stage, session.of(setting).repetition.as_ref());
        let blocks = &Blocks { stage: &stage, ..*blocks };
        let order = &orders[block as usize];
        let making = Making { blocks, conditions, given, arms: &arms };
        if round.is_none() {
            round = match making.round(session, order, block as usize)? {
                Some(round) => Some(round),
                None if bursts(design, session.of(setting)) > 1 => break StopReason::Crowded,
                None => None,
            };
            bar.set_length(launches(rule.max_blocks, session));
        }
        making.block(session, round.as_mut(), order, block as usize, &|| bar.inc(1))?;
        examine(given.guard(), session, setting, block, least(session), conditions.progress)?;
        block += 1;
        if let Some(found) = settle(blocks, session, variants) {
            conditions.progress.line(&format!("  {setting}: {}", told(&found)));
            session.record_repetition(setting.clone(), found)?;
        }
        let spent = before + u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if round.as_ref().is_some_and(|round| !round.is_over()) && spent < rule.max_time_ns {
            continue;
        }
        // Its processes end before others begin.
        round = None;
        let done = complete(session, setting, variants);
        let family = family(blocks, session, variants);
        let comparisons = family.as_ref().map_or_else(Vec::new, |family| family.compare(blocks));
        bar.set_message(widest(&comparisons));
        tracing::debug!(%setting, block, ?comparisons, "block ended");
        let enough = done >= rule.min_blocks || spent >= rule.max_time_ns;
        let early = design.stop.early_decision && variants.len() > 1;
        if early && family.is_some_and(|family| family.is_decided(blocks)) {
            break StopReason::Decision;
        }
        if comparisons.is_empty() && enough {
            break StopReason::NothingLeft;
        }
        if !comparisons.is_empty()
            && let Decision::Stop(why) = decide(&rule, done, spent, &comparisons)
        {
            break reason_of(why);
        }
    };
    conditions.progress.clear(&bar);
    Ok(reason)
}

/// Why no other block is begun, if so.
fn over(
    rule: &Rule,
    session: &Session,
    setting: &Setting,
    variants: &[(String, Artifact)],
) -> Option<StopReason> {
    if variants.iter().all(|(name, _)| given_up(session, setting, name)) {
        return Some(StopReason::NothingLeft);
    }
    if complete(session, setting, variants) >= rule.max_blocks {
        return Some(StopReason::MaxBlocks);
    }
    (rule.max_time_ns == 0).then_some(StopReason::Budget)
}

impl<'g> Making<'_, 'g> {
    /// The processes of a round that begins with `block`, where the spec keeps them and they fit
    /// beside each other. Whether they fit is settled before the first launch of the setting: one
    /// of which processes have stayed is never mixed with fresh ones, and has none any more.
    fn round(
        &self,
        session: &mut Session,
        order: &[usize],
        block: usize,
    ) -> Result<Option<Round<'g>>, RunError> {
        let setting = &self.blocks.stage.setting;
        if bursts(&self.blocks.bench.design, session.of(setting)) == 1 {
            return Ok(None);
        }
        match Round::begin(self, session, order, block)? {
            Ok(round) => Ok(Some(round)),
            Err(why) if of(session, setting).any(|(_, launch)| launch.residence.is_some()) => {
                self.conditions.progress.line(&format!("  {setting}: no other round: {why}"));
                Ok(None)
            }
            Err(why) => {
                let line = format!("  {setting}: residency: keep → fresh: {why}");
                self.conditions.progress.line(&line);
                session.record_not_kept(setting.clone(), why)?;
                Ok(None)
            }
        }
    }

    /// One launch of every arm that has not been given up: a burst where there is a round. `count` is
    /// called after each.
    fn block(
        &self,
        session: &mut Session,
        mut round: Option<&mut Round<'_>>,
        order: &[usize],
        block: usize,
        count: &dyn Fn(),
    ) -> Result<(), RunError> {
        let Self { blocks, conditions, given, arms } = *self;
        let setting = &blocks.stage.setting;
        for (position, &index) in order.iter().enumerate() {
            let Arm { recorded, variant: name, artifact } = &arms[index];
            if given_up(session, setting, recorded) {
                continue;
            }
            let at = At { block, position, seed: blocks.bench.design.seed };
            let launch = match &mut round {
                Some(round) => round.launch(self, index, at)?,
                None => launch(blocks, name, artifact, given, at, given.guard(), conditions)?,
            };
            let launch = valid(launch);
            if let Outcome::Failed(failure) = &launch.outcome {
                let text = describe(failure);
                conditions.progress.line(&format!("✗ {recorded} under {setting}  {text}"));
            }
            let (variant, artifact) = (recorded.clone(), artifact.digest);
            let runtime = given.runtime(name);
            let setting = setting.clone();
            session.record_launch(Measured { setting, variant, artifact, runtime, launch })?;
            count();
        }
        if let Some(round) = round {
            round.end_block();
        }
        Ok(())
    }
}

/// Nanoseconds that a setting may take: `max_time`, and no more than its even share of what is left
/// of `budget`.
fn allowed(blocks: &Blocks<'_>, session: &Session) -> u64 {
    let design = &blocks.bench.design;
    let Some(budget) = design.budget else { return design.max_time.0 };
    let own = &blocks.stage.setting;
    let spent = session.spent_beside(own);
    let left = blocks.plan.steps.iter().filter(|step| match &step.stage {
        Stage::Bench(bench) => session.of(&bench.setting).stop.is_none(),
        _ => false,
    });
    let share = budget.0.saturating_sub(spent) / left.count().max(1) as u64;
    design.max_time.0.min(share)
}

fn closed(blocks: &Blocks<'_>, begin: Instant, failed: Option<String>) -> Step {
    let state = if failed.is_some() { StepState::Failed } else { StepState::Done };
    ended(blocks.plan, blocks.step, state, failed, begin.elapsed())
}
