//! The quiet part: blocks of launches under one setting until the numbers are good enough.

use std::time::{Duration, Instant};

use super::Limits;
use super::child::Launch as ChildLaunch;
use super::execute::{Conditions, Progressed, RunError};
use super::session::Session;
use super::steps::describe;
use crate::base::Digest;
use crate::measure::compare::{Comparison, speedup};
use crate::measure::design::{orders, padding};
use crate::measure::stop::{Decision, Reason, Rule, decide, working_level};
use crate::measure::{metric, summary};
use crate::plan::{Output, Plan, Step as PlanStep};
use crate::record::{Failure, Launch, Outcome, Step, StepState, StopReason, Verdict};
use crate::spec::{Bench as BenchSpec, Spec};
use crate::stage::{Artifact, Bench, Done, Job, Setting, Stage};

pub struct Blocks<'a> {
    pub spec: &'a Spec,
    pub bench: &'a BenchSpec,
    pub stage: &'a Bench,
    pub plan: &'a Plan,
    pub step: &'a PlanStep,
}

/// A variant is given up under a setting after this many failed launches in a row.
const PATIENCE: usize = 2;

/// Measures one setting, going on after the launches that `session` already has.
pub fn measure(
    blocks: &Blocks<'_>,
    session: &mut Session,
    conditions: &Conditions<'_>,
    state: &mut Progressed,
) -> Result<(), RunError> {
    let setting = blocks.stage.setting;
    if session.stops.iter().any(|(stopped, _)| *stopped == setting) {
        return Ok(());
    }
    let begin = Instant::now();
    let variants = able(blocks, state);
    let tokens = tokens_folder(blocks, state);
    if blocks.stage.data.is_some() && tokens.is_none() {
        session.record_step(ended(
            blocks,
            begin,
            Some("the prompts could not be tokenized".into()),
        ))?;
        return session.record_stop(setting, StopReason::NothingLeft).map_err(Into::into);
    }
    let design = &blocks.bench.design;
    let rule = Rule {
        min_blocks: design.blocks.min,
        max_blocks: design.blocks.max,
        half_width: design.stop.half_width.0,
        max_time_ns: design.max_time.0,
    };
    let done = session.launches.iter().filter(|(s, ..)| *s == setting).count();
    let most = u64::from(rule.max_blocks) * variants.len() as u64;
    let label = format!("bench {setting}");
    let bar = conditions.progress.launches(&label, most, done as u64);
    let orders = orders(variants.len(), rule.max_blocks as usize, design.seed);
    // Time already spent on this setting in earlier stretches.
    let before: u64 = of(session, setting).map(|(_, launch)| launch.wall).sum();
    let mut reason = StopReason::NothingLeft;
    if !variants.is_empty() {
        reason = StopReason::MaxBlocks;
        for (block, order) in orders.iter().enumerate() {
            for (position, &index) in order.iter().enumerate() {
                let (name, artifact) = &variants[index];
                let known = of(session, setting)
                    .any(|(v, launch)| v == name && launch.block as usize == block);
                if known || given_up(session, setting, name) {
                    continue;
                }
                let place = At { block, position, seed: design.seed };
                let job = job(blocks, name, artifact, tokens.clone(), place);
                let (launch, prompts) = launch(&job, blocks, place, conditions)?;
                if let Outcome::Failed(failure) = &launch.outcome {
                    let text = describe(failure);
                    conditions.progress.line(&format!("✗ {name} under {setting}  {text}"));
                }
                state.prompts = state.prompts.or(prompts);
                session.record_launch(setting, name, launch)?;
                bar.inc(1);
            }
            if variants.iter().all(|(name, _)| given_up(session, setting, name)) {
                reason = StopReason::NothingLeft;
                break;
            }
            let spent = before + u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let comparisons = compare(blocks, session);
            bar.set_message(widest(&comparisons));
            tracing::debug!(%setting, block, ?comparisons, "block ended");
            match decide(&rule, block as u32 + 1, spent, &comparisons) {
                Decision::Continue => {}
                Decision::Stop(why) => {
                    reason = reason_of(why);
                    break;
                }
            }
        }
    }
    session.record_stop(setting, reason)?;
    session.record_step(ended(blocks, begin, None))?;
    let launches = of(session, setting).count();
    let detail = format!("{launches} launches, stopped: {}", words(reason));
    conditions.progress.finish(&bar, "✓", &label, &detail, begin.elapsed());
    Ok(())
}

/// Variants with an artifact and without a failure, in the order of the spec.
fn able(blocks: &Blocks<'_>, state: &Progressed) -> Vec<(String, Artifact)> {
    let able = blocks.plan.variants.iter().filter_map(|(name, variant)| {
        let sound = state.variants[name].failed.is_none();
        let model = state.outputs[variant.artifact].as_ref().and_then(Output::model)?;
        sound.then(|| (name.clone(), model.artifact.clone()))
    });
    able.collect()
}

fn tokens_folder(blocks: &Blocks<'_>, state: &Progressed) -> Option<std::path::PathBuf> {
    let data = blocks.stage.data.as_ref()?;
    blocks.plan.steps.iter().zip(&state.outputs).find_map(|(step, output)| {
        match (&step.stage, output) {
            (Stage::LoadTokens(load), Some(Output::Tokens { folder, .. }))
                if load.data == *data =>
            {
                Some(folder.clone())
            }
            _ => None,
        }
    })
}

fn of(session: &Session, setting: Setting) -> impl Iterator<Item = (&str, &Launch)> {
    session
        .launches
        .iter()
        .filter(move |(known, ..)| *known == setting)
        .map(|(_, name, launch)| (name.as_str(), launch))
}

/// True when the last launches of a variant have all failed.
fn given_up(session: &Session, setting: Setting, variant: &str) -> bool {
    let launches: Vec<_> =
        of(session, setting).filter(|(name, _)| *name == variant).map(|(_, l)| l).collect();
    let failed = |launch: &&Launch| matches!(launch.outcome, Outcome::Failed(_));
    launches.iter().rev().take_while(|launch| failed(launch)).count() >= PATIENCE
}

#[derive(Clone, Copy)]
struct At {
    block: usize,
    position: usize,
    seed: u64,
}

fn job(
    blocks: &Blocks<'_>,
    name: &str,
    artifact: &Artifact,
    tokens: Option<std::path::PathBuf>,
    at: At,
) -> Job {
    let setting = blocks.stage.setting;
    // Every variant of a block sees the same prompts; every block sees others.
    let text = format!("{setting}/{}/{}", at.block, at.seed);
    let seed = u64::from_str_radix(&Digest::of_bytes(text.as_bytes()).hex()[..16], 16);
    Job::Bench {
        artifact: artifact.clone(),
        backend: blocks.plan.variants[name].backend.clone(),
        tokens,
        setting,
        rules: blocks.stage.rules,
        seed: seed.expect("sixteen hex digits make a number"),
    }
}

fn launch(
    job: &Job,
    blocks: &Blocks<'_>,
    at: At,
    conditions: &Conditions<'_>,
) -> Result<(Launch, Option<crate::task::PromptSource>), RunError> {
    let scratch = conditions.store.begin()?;
    let limits = &blocks.bench.limits;
    let time = Duration::from_nanos(limits.time.0);
    let started = u64::try_from(conditions.begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let child = ChildLaunch {
        job,
        scratch: scratch.path(),
        limits: Limits::within(time, limits.memory.map(|m| m.0)),
        threads: Some(blocks.stage.setting.threads),
        padding: padding(at.block, at.position, at.seed),
    };
    let ended = conditions.launcher.launch(&child, &|_| {})?;
    let mut prompts = None;
    let outcome = match ended.result {
        Ok(Done::Benched { observed, prompts: source }) => {
            prompts = Some(source);
            Outcome::Measured(observed)
        }
        Ok(other) => Outcome::Failed(Failure {
            verdict: Verdict::NoResult,
            detail: format!("gave something else: {other:?}"),
            log_tail: String::new(),
        }),
        Err(failure) => Outcome::Failed(failure),
    };
    let launch = Launch {
        block: at.block as u32,
        position: at.position as u32,
        pid: Some(ended.pid),
        started,
        wall: u64::try_from(ended.wall.as_nanos()).unwrap_or(u64::MAX),
        outcome,
    };
    Ok((launch, prompts))
}

/// Speed-up of every variant over the baseline, from the blocks that have both.
fn compare(blocks: &Blocks<'_>, session: &Session) -> Vec<Option<Comparison>> {
    let id = metric_id(blocks.bench.design.stop.metric);
    let Some(metric) = metric(&id) else { return Vec::new() };
    let setting = blocks.stage.setting;
    let values = |variant: &str| -> Vec<(u32, f64)> {
        of(session, setting)
            .filter(|(name, _)| *name == variant)
            .filter_map(|(_, launch)| match &launch.outcome {
                Outcome::Measured(observed) => {
                    Some((launch.block, summary::block_value(observed, &id)?))
                }
                _ => None,
            })
            .collect()
    };
    let baseline = values(&blocks.plan.baseline);
    let level = working_level(blocks.spec.compare.confidence.0);
    blocks
        .stage
        .variants
        .iter()
        .filter(|name| **name != blocks.plan.baseline && !given_up(session, setting, name))
        .map(|name| {
            let own = values(name);
            let pairs: Vec<(f64, f64)> = baseline
                .iter()
                .filter_map(|(block, base)| Some((*base, own.iter().find(|(b, _)| b == block)?.1)))
                .collect();
            speedup(&pairs, metric.better, level)
        })
        .collect()
}

/// The id under which a metric of the spec is stored.
fn metric_id(name: crate::spec::MetricName) -> String {
    let value = serde_json::to_value(name).expect("a unit variant serializes to its name");
    value.as_str().unwrap_or_default().to_owned()
}

fn widest(comparisons: &[Option<Comparison>]) -> String {
    let widths =
        comparisons.iter().flatten().map(|c| (c.estimate.high / c.estimate.low).sqrt() - 1.0);
    match widths.fold(None, |most: Option<f64>, w| Some(most.map_or(w, |m| m.max(w)))) {
        Some(width) => format!("± {:.1} %", width * 100.0),
        None => String::new(),
    }
}

fn reason_of(reason: Reason) -> StopReason {
    match reason {
        Reason::Target => StopReason::Target,
        Reason::MaxBlocks => StopReason::MaxBlocks,
        Reason::Budget => StopReason::Budget,
        Reason::Unreachable => StopReason::Unreachable,
    }
}

fn words(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Target => "intervals are narrow enough",
        StopReason::MaxBlocks => "largest number of blocks",
        StopReason::Budget => "time allowed is used up",
        StopReason::Unreachable => "target out of reach",
        StopReason::NothingLeft => "nothing left to measure",
        StopReason::Interrupted => "interrupted",
    }
}

fn ended(blocks: &Blocks<'_>, begin: Instant, failed: Option<String>) -> Step {
    Step {
        id: blocks.step.id.clone(),
        label: blocks.step.stage.label(),
        kind: "bench".into(),
        needs: blocks.step.needs.iter().map(|&n| blocks.plan.steps[n].id.clone()).collect(),
        key: None,
        state: if failed.is_some() { StepState::Failed } else { StepState::Done },
        detail: failed,
        seconds: begin.elapsed().as_secs_f64(),
        peak_memory: None,
    }
}
