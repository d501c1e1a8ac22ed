//! One launch of a variant: what it is given, the job it gets, and the process that does it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Blocks;
use crate::backend::{Device, Runner};
use crate::base::Digest;
use crate::measure::design::padding;
use crate::measure::load;
use crate::plan::Output;
use crate::record::{Failure, Launch, Outcome, Verdict};
use crate::run::Limits;
use crate::run::child::{Ended, Launch as ChildLaunch, LaunchError};
use crate::run::execute::{Conditions, Progressed, RunError};
use crate::run::guard::Guard;
use crate::run::placing::runner;
use crate::stage::{Artifact, Done, Job, Setting, Stage, TensorBench};

/// What the launches of a setting are given besides their artifacts.
pub struct Given<'a> {
    /// Folder with the tokens of the prompts.
    tokens: Option<PathBuf>,
    /// Library and digest of the runtime, for each variant that needs one.
    runtimes: BTreeMap<String, (PathBuf, Digest)>,
    /// What runs each variant.
    runners: BTreeMap<String, Runner>,
    /// Watches the machine meanwhile, where the spec wants it.
    guard: Option<&'a Guard>,
    /// What earlier stretches of the run took.
    before: Duration,
}

impl<'a> Given<'a> {
    pub fn of(blocks: &Blocks<'_>, conditions: &Conditions<'_>, state: &'a Progressed) -> Self {
        let (plan, outputs, store) = (blocks.plan, &state.outputs, conditions.store);
        let runs = |name: &String| (name.clone(), runner(plan, outputs, store, name));
        let runners: BTreeMap<String, Runner> = plan.variants.keys().map(runs).collect();
        Self {
            tokens: tokens_folder(blocks, state),
            runtimes: runtimes(blocks, state),
            guard: state.guard.as_ref(),
            before: state.before,
            runners,
        }
    }

    /// What watches the machine, if anything does.
    pub fn guard(&self) -> Option<&'a Guard> {
        self.guard
    }

    /// True when prompts are to be read and none could be tokenized.
    pub fn has_no_tokens(&self) -> bool {
        self.tokens.is_none()
    }

    /// Time since the run began, interruptions left out.
    pub fn since(&self, conditions: &Conditions<'_>) -> Duration {
        self.before + conditions.begin.elapsed()
    }

    /// Digest of the library that `name` runs on, if it needs one.
    pub fn runtime(&self, name: &str) -> Option<Digest> {
        self.runtimes.get(name).map(|(_, digest)| *digest)
    }

    /// Whether what runs `name` keeps engines that it builds at its first launch.
    pub fn keeps_engines(&self, name: &str) -> bool {
        self.runners[name].placement.keeps_engines()
    }
}

/// Numbers of the GPUs that something runs on.
pub fn gpus<'a>(runners: impl Iterator<Item = &'a Runner>) -> Vec<u32> {
    let numbers = runners.filter_map(|runner| match runner.placement.device {
        Device::Cuda(number) => Some(number),
        Device::Cpu | Device::Mock(_) => None,
    });
    numbers.collect::<BTreeSet<u32>>().into_iter().collect()
}

/// Variants with an artifact and without a failure, in the order of the spec.
pub fn able(blocks: &Blocks<'_>, state: &Progressed) -> Vec<(String, Artifact)> {
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

/// Which launch it is: seeds its inputs, and its padding.
#[derive(Clone, Copy)]
pub struct At {
    pub block: usize,
    pub position: usize,
    pub seed: u64,
}

/// Seeds the inputs of a launch: every variant of a block sees the same, every block others.
pub fn inputs(setting: &Setting, at: At) -> u64 {
    let text = format!("{setting}/{}/{}", at.block, at.seed);
    Digest::of_bytes(text.as_bytes()).seed()
}

pub fn job(blocks: &Blocks<'_>, name: &str, artifact: &Artifact, given: &Given<'_>, at: At) -> Job {
    let setting = &blocks.stage.setting;
    let seed = inputs(setting, at);
    // Neither the setting nor the variant: all of them meet the same bursts.
    let arrivals = at.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(at.block as u64);
    let (artifact, setting, rules) = (artifact.clone(), setting.clone(), blocks.stage.rules);
    let backend = given.runners[name].clone();
    let runtime = given.runtimes.get(name).map(|(library, _)| library.clone());
    if let Some(inputs) = blocks.stage.inputs.clone() {
        let bench =
            TensorBench { artifact, backend, runtime, inputs, setting, rules, seed, arrivals };
        return Job::BenchTensors(bench);
    }
    let tokens = given.tokens.clone();
    Job::Bench { artifact, backend, tokens, runtime, setting, rules, seed, arrivals }
}

/// A launch under load whose rules were broken gives no number.
pub fn valid(launch: Launch) -> Launch {
    let Outcome::Measured(observed) = &launch.outcome else { return launch };
    match load::check(observed) {
        Ok(()) => launch,
        Err(why) => {
            let (verdict, detail) = (Verdict::Invalid, why.to_string());
            let failure = Failure { verdict, detail, log_tail: String::new() };
            Launch { outcome: Outcome::Failed(failure), ..launch }
        }
    }
}

/// One launch in a process of its own, watched by `guard`. How it ends is its outcome, not an error.
pub fn launch(
    blocks: &Blocks<'_>,
    name: &str,
    artifact: &Artifact,
    given: &Given<'_>,
    at: At,
    guard: Option<&Guard>,
    conditions: &Conditions<'_>,
) -> Result<Launch, RunError> {
    let job = job(blocks, name, artifact, given, at);
    let scratch = conditions.store.begin()?;
    let child = child(blocks, &job, scratch.path(), at);
    let started = given.since(conditions);
    let work = || conditions.launcher.launch(&child, &|_| {});
    let (ended, readings) = Guard::around(guard, &blocks.stage.setting, at.block, work);
    let launch = recorded(ended, artifact, at, started)?;
    Ok(Launch { conditions: readings, ..launch })
}

/// The process of a launch.
pub fn child<'a>(blocks: &Blocks<'_>, job: &'a Job, scratch: &'a Path, at: At) -> ChildLaunch<'a> {
    let limits = &blocks.bench.limits;
    let time = Duration::from_nanos(limits.time.0);
    ChildLaunch {
        job,
        scratch,
        limits: Limits::within(time, limits.memory.map(|m| m.0)),
        threads: Some(blocks.stage.setting.threads),
        padding: padding(at.block, at.position, at.seed),
    }
}

/// What is kept of a launch that began `started` after the run did.
pub fn recorded(
    ended: Result<Ended, LaunchError>,
    artifact: &Artifact,
    at: At,
    started: Duration,
) -> Result<Launch, RunError> {
    let failed = |detail: String| {
        Outcome::Failed(Failure { verdict: Verdict::Error, detail, log_tail: String::new() })
    };
    let (pid, wall, outcome) = match ended {
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
    Ok(Launch {
        block: at.block as u32,
        position: at.position as u32,
        pid,
        started: nanos(started),
        wall: nanos(wall),
        outcome,
        conditions: None,
        residence: None,
        settling: None,
    })
}

pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
