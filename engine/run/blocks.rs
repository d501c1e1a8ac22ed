//! The quiet part: blocks of launches under one setting until the numbers are good enough.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Limits;
use super::alone::Alone;
use super::child::{Launch as ChildLaunch, LaunchError};
use super::execute::{Conditions, Progressed, RunError};
use super::placing::runner;
use super::session::{Measured, Session};
use super::steps::describe;
use crate::backend::Runner;
use crate::base::Digest;
use crate::measure::compare::{Comparison, speedup};
use crate::measure::design::{orders, padding};
use crate::measure::stop::{Decision, Reason, Rule, decide, working_level};
use crate::measure::{metric, summary};
use crate::plan::{Output, Plan, Step as PlanStep};
use crate::record::{Failure, Launch, Outcome, Step, StepState, StopReason, Verdict};
use crate::spec::{Bench as BenchSpec, Correction, Spec};
use crate::stage::{Artifact, Bench, Done, Job, Setting, Stage, TensorBench};

pub struct Blocks<'a> {
    pub spec: &'a Spec,
    pub bench: &'a BenchSpec,
    pub stage: &'a Bench,
    pub plan: &'a Plan,
    pub step: &'a PlanStep,
}

/// What the launches of a setting are given besides their artifacts.
pub(super) struct Given {
    /// Folder with the tokens of the prompts.
    tokens: Option<PathBuf>,
    /// Library and digest of the runtime, for each variant that needs one.
    runtimes: BTreeMap<String, (PathBuf, Digest)>,
    /// What runs each variant.
    runners: BTreeMap<String, Runner>,
}

impl Given {
    pub fn of(blocks: &Blocks<'_>, conditions: &Conditions<'_>, state: &Progressed) -> Self {
        let (plan, outputs, store) = (blocks.plan, &state.outputs, conditions.store);
        let runs = |name: &String| (name.clone(), runner(plan, outputs, store, name));
        Self {
            tokens: tokens_folder(blocks, state),
            runtimes: runtimes(blocks, state),
            runners: plan.variants.keys().map(runs).collect(),
        }
    }
}

/// A variant is given up under a setting after this many failed launches in a row.
const PATIENCE: usize = 2;

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
    for known in session.launches.iter().filter(|known| known.setting == *setting) {
        let current = variants.iter().find(|(name, _)| *name == known.variant);
        let runtime = state.runtime(blocks.plan, &known.variant).map(|(_, digest)| digest);
        if current.is_some_and(|(_, artifact)| {
            artifact.digest != known.artifact || runtime != known.runtime
        }) {
            return Err(RunError::Changed { variant: known.variant.clone() });
        }
    }
    if session.stops.iter().any(|(stopped, _)| stopped == setting) {
        return Ok(());
    }
    let begin = Instant::now();
    let given = Given::of(blocks, conditions, state);
    if blocks.stage.data.is_some() && blocks.stage.inputs.is_none() && given.tokens.is_none() {
        let why = Some("the prompts could not be tokenized".into());
        session.record_step(ended(blocks, begin, why))?;
        return session.record_stop(setting.clone(), StopReason::NothingLeft).map_err(Into::into);
    }
    let label = format!("bench {setting}");
    let _alone = Alone::wait(conditions)?;
    warm(blocks, session, conditions, &variants, &given)?;
    let reason = repeat(blocks, session, conditions, &variants, &given, Instant::now())?;
    session.record_step(ended(blocks, begin, None))?;
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
    session: &Session,
    conditions: &Conditions<'_>,
    variants: &[(String, Artifact)],
    given: &Given,
) -> Result<(), RunError> {
    for (name, artifact) in variants {
        if !given.runners[name].placement.keeps_engines() {
            continue;
        }
        let at = At { block: 0, position: 0, seed: blocks.bench.design.seed };
        let launch = launch(blocks, name, artifact, given, at, session, conditions)?;
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
    given: &Given,
    begin: Instant,
) -> Result<StopReason, RunError> {
    let setting = &blocks.stage.setting;
    let design = &blocks.bench.design;
    let rule = Rule {
        min_blocks: design.blocks.min,
        max_blocks: design.blocks.max,
        half_width: design.stop.half_width.0,
        max_time_ns: design.max_time.0,
    };
    let first = of(session, setting).map(|(_, launch)| launch.block + 1).max().unwrap_or(0);
    let orders = orders(variants.len(), (first + rule.max_blocks) as usize, design.seed);
    // Time already spent on this setting in earlier stretches.
    let before: u64 = of(session, setting).map(|(_, launch)| launch.wall).sum();
    let most = u64::from(rule.max_blocks) * variants.len() as u64;
    let done = u64::from(complete(session, setting, variants)) * variants.len() as u64;
    let bar = conditions.progress.launches(&format!("bench {setting}"), most, done);
    let mut block = first;
    let reason = loop {
        if variants.iter().all(|(name, _)| given_up(session, setting, name)) {
            break StopReason::NothingLeft;
        }
        if complete(session, setting, variants) >= rule.max_blocks {
            break StopReason::MaxBlocks;
        }
        for (position, &index) in orders[block as usize].iter().enumerate() {
            let (name, artifact) = &variants[index];
            if given_up(session, setting, name) {
                continue;
            }
            let at = At { block: block as usize, position, seed: design.seed };
            let launch = launch(blocks, name, artifact, given, at, session, conditions)?;
            if let Outcome::Failed(failure) = &launch.outcome {
                let text = describe(failure);
                conditions.progress.line(&format!("✗ {name} under {setting}  {text}"));
            }
            let (variant, artifact) = (name.clone(), artifact.digest);
            let runtime = given.runtimes.get(name).map(|(_, digest)| *digest);
            let setting = setting.clone();
            session.record_launch(Measured { setting, variant, artifact, runtime, launch })?;
            bar.inc(1);
        }
        block += 1;
        let spent = before + u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let done = complete(session, setting, variants);
        let comparisons = compare(blocks, session, variants);
        bar.set_message(widest(&comparisons));
        tracing::debug!(%setting, block, ?comparisons, "block ended");
        let enough = done >= rule.min_blocks || spent >= rule.max_time_ns;
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

/// Blocks in which every variant that has not been given up was launched.
fn complete(session: &Session, setting: &Setting, variants: &[(String, Artifact)]) -> u32 {
    let mut seen: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
    for (name, launch) in of(session, setting) {
        seen.entry(launch.block).or_default().insert(name);
    }
    let alive: Vec<&str> = variants
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !given_up(session, setting, name))
        .collect();
    seen.values().filter(|names| alive.iter().all(|name| names.contains(name))).count() as u32
}

/// Variants with an artifact and without a failure, in the order of the spec.
pub(super) fn able(blocks: &Blocks<'_>, state: &Progressed) -> Vec<(String, Artifact)> {
    let able = blocks.plan.variants.iter().filter_map(|(name, variant)| {
        let sound = state.variants[name].is_able();
        let step = variant.artifact(blocks.stage.setting.part.as_deref());
        let model = state.outputs[step].as_ref().and_then(Output::model)?;
        sound.then(|| (name.clone(), model.artifact.clone()))
    });
    able.collect()
}

fn runtimes(blocks: &Blocks<'_>, state: &Progressed) -> BTreeMap<String, (PathBuf, Digest)> {
    let names = blocks.plan.variants.keys();
    names.filter_map(|name| Some((name.clone(), state.runtime(blocks.plan, name)?))).collect()
}

fn tokens_folder(blocks: &Blocks<'_>, state: &Progressed) -> Option<PathBuf> {
    let data = blocks.stage.data.as_ref()?;
    blocks.plan.steps.iter().zip(&state.outputs).find_map(|(step, output)| {
        match (&step.stage, output) {
            (Stage::LoadTokens(load), Some(Output::Data { folder, .. })) if load.data == *data => {
                Some(folder.clone())
            }
            _ => None,
        }
    })
}

fn of<'a>(
    session: &'a Session,
    setting: &'a Setting,
) -> impl Iterator<Item = (&'a str, &'a Launch)> {
    session
        .launches
        .iter()
        .filter(move |known| known.setting == *setting)
        .map(|known| (known.variant.as_str(), &known.launch))
}

/// True when the last launches of a variant have all failed.
fn given_up(session: &Session, setting: &Setting, variant: &str) -> bool {
    let launches: Vec<_> =
        of(session, setting).filter(|(name, _)| *name == variant).map(|(_, l)| l).collect();
    let failed = |launch: &&Launch| matches!(launch.outcome, Outcome::Failed(_));
    launches.iter().rev().take_while(|launch| failed(launch)).count() >= PATIENCE
}

/// Which launch it is: seeds its inputs, and its padding.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub block: usize,
    pub position: usize,
    pub seed: u64,
}

fn job(blocks: &Blocks<'_>, name: &str, artifact: &Artifact, given: &Given, at: At) -> Job {
    let setting = &blocks.stage.setting;
    // Every variant of a block sees the same prompts; every block sees others.
    let text = format!("{setting}/{}/{}", at.block, at.seed);
    let seed = u64::from_str_radix(&Digest::of_bytes(text.as_bytes()).hex()[..16], 16);
    let seed = seed.expect("sixteen hex digits make a number");
    let (artifact, setting, rules) = (artifact.clone(), setting.clone(), blocks.stage.rules);
    let backend = given.runners[name].clone();
    let runtime = given.runtimes.get(name).map(|(library, _)| library.clone());
    if let Some(inputs) = blocks.stage.inputs.clone() {
        let bench = TensorBench { artifact, backend, runtime, inputs, setting, rules, seed };
        return Job::BenchTensors(bench);
    }
    let tokens = given.tokens.clone();
    Job::Bench { artifact, backend, tokens, runtime, setting, rules, seed }
}

/// One launch in a process of its own. How it ends is its outcome, not an error.
pub(super) fn launch(
    blocks: &Blocks<'_>,
    name: &str,
    artifact: &Artifact,
    given: &Given,
    at: At,
    session: &Session,
    conditions: &Conditions<'_>,
) -> Result<Launch, RunError> {
    let job = job(blocks, name, artifact, given, at);
    let scratch = conditions.store.begin()?;
    let limits = &blocks.bench.limits;
    let time = Duration::from_nanos(limits.time.0);
    let started = Duration::from_secs_f64(session.seconds) + conditions.begin.elapsed();
    let child = ChildLaunch {
        job: &job,
        scratch: scratch.path(),
        limits: Limits::within(time, limits.memory.map(|m| m.0)),
        threads: Some(blocks.stage.setting.threads),
        padding: padding(at.block, at.position, at.seed),
    };
    let failed = |detail: String| {
        Outcome::Failed(Failure { verdict: Verdict::Error, detail, log_tail: String::new() })
    };
    let (pid, wall, outcome) = match conditions.launcher.launch(&child, &|_| {}) {
        Err(LaunchError::Interrupted) => return Err(RunError::Interrupted),
        // A machine that cannot start a process for a moment does not end hours of measuring.
        Err(start @ LaunchError::Start { .. }) => (None, Duration::ZERO, failed(start.to_string())),
        Ok(ended) => {
            let outcome = match ended.result {
                Ok(_) if !artifact.is_unchanged() => {
                    failed("the model's files changed while they were measured".into())
                }
                Ok(Done::Benched { observed, .. }) => Outcome::Measured(observed),
                Ok(other) => failed(format!("gave something else: {other:?}")),
                Err(failure) => Outcome::Failed(failure),
            };
            (Some(ended.pid), ended.wall, outcome)
        }
    };
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Ok(Launch {
        block: at.block as u32,
        position: at.position as u32,
        pid,
        started: nanos(started),
        wall: nanos(wall),
        outcome,
    })
}

/// What decides when to stop: the speed-up of every variant over the baseline from the blocks
/// that have both, or the lone variant's own value. Empty when no comparison can come any more.
fn compare(
    blocks: &Blocks<'_>,
    session: &Session,
    variants: &[(String, Artifact)],
) -> Vec<Option<Comparison>> {
    let id = metric_id(blocks.bench.deciding(blocks.spec.model.task));
    let Some(metric) = metric(&id) else { return Vec::new() };
    let setting = &blocks.stage.setting;
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
    let alive = |name: &str| !given_up(session, setting, name);
    let baseline = &blocks.plan.baseline;
    let others: Vec<&String> =
        variants.iter().map(|(name, _)| name).filter(|name| *name != baseline).collect();
    let level = working_level(blocks.spec.compare.confidence.0);
    if let [(name, _)] = variants
        && blocks.stage.variants.len() == 1
        && alive(name)
    {
        let own: Vec<(f64, f64)> = values(name).into_iter().map(|(_, v)| (1.0, v)).collect();
        return vec![speedup(&own, metric.better, level)];
    }
    if !alive(baseline) || !variants.iter().any(|(name, _)| name == baseline) {
        return Vec::new();
    }
    // The report widens its intervals for the number of comparisons, so the target must be met
    // by the widest of them.
    let family = match blocks.spec.compare.correction {
        Correction::Holm => others.len() * blocks.plan.settings.len(),
        Correction::None => 1,
    };
    let level = 1.0 - (1.0 - level) / family.max(1) as f64;
    let base = values(baseline);
    others
        .into_iter()
        .filter(|name| alive(name))
        .map(|name| {
            let own = values(name);
            let pairs: Vec<(f64, f64)> = base
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
