//! The quiet part: blocks of launches under one setting until the numbers are good enough.

mod arms;
mod launching;
mod looking;
mod piloting;
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
use crate::stage::{Artifact, Bench, Stage};
pub(super) use arms::{AGAIN, launches_again, shows_noise};
use arms::{Arm, arms};
use launching::valid;
pub(super) use launching::{At, Given, able, gpus, launch};
use looking::{family, reason_of, widest, words};
use piloting::{settle, settled, told};
use tally::{complete, given_up, of};

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
    // Blocks that are left out are made again.
    let again = most_left_out(blocks.bench.guard.max_invalid.0, rule.max_blocks);
    let orders = orders(arms.len(), (first + rule.max_blocks + again) as usize, design.seed);
    // Time already spent on this setting in earlier stretches.
    let before: u64 = of(session, setting).map(|(_, launch)| launch.wall).sum();
    let most = u64::from(rule.max_blocks) * arms.len() as u64;
    let done = u64::from(complete(session, setting, variants)) * arms.len() as u64;
    let bar = conditions.progress.launches(&format!("bench {setting}"), most, done);
    let mut block = first;
    let reason = loop {
        if variants.iter().all(|(name, _)| given_up(session, setting, name)) {
            break StopReason::NothingLeft;
        }
        if complete(session, setting, variants) >= rule.max_blocks {
            break StopReason::MaxBlocks;
        }
        if rule.max_time_ns == 0 {
            break StopReason::Budget;
        }
        let stage = settled(blocks.stage, session.of(setting).repetition.as_ref());
        let blocks = &Blocks { stage: &stage, ..*blocks };
        for (position, &index) in orders[block as usize].iter().enumerate() {
            let Arm { recorded, variant: name, artifact } = &arms[index];
            if given_up(session, setting, recorded) {
                continue;
            }
            let at = At { block: block as usize, position, seed: design.seed };
            let launch =
                valid(launch(blocks, name, artifact, given, at, given.guard(), conditions)?);
            if let Outcome::Failed(failure) = &launch.outcome {
                let text = describe(failure);
                conditions.progress.line(&format!("✗ {recorded} under {setting}  {text}"));
            }
            let (variant, artifact) = (recorded.clone(), artifact.digest);
            let runtime = given.runtime(name);
            let setting = setting.clone();
            session.record_launch(Measured { setting, variant, artifact, runtime, launch })?;
            bar.inc(1);
        }
        examine(given.guard(), session, setting, block, rule.min_blocks, conditions.progress)?;
        block += 1;
        if let Some(found) = settle(blocks, session, variants) {
            conditions.progress.line(&format!("  {setting}: {}", told(&found)));
            session.record_repetition(setting.clone(), found)?;
        }
        let spent = before + u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
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
