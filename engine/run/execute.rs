//! A whole run: shared steps in waves, post-conditions, judging, then the quiet steps.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use rayon::prelude::*;

use super::blocks::{Blocks, gpus, measure};
use super::child::{LaunchError, Launcher};
use super::guard::Guard;
use super::idle::idle_power;
use super::ledger::assemble;
use super::placing::look;
use super::profiles::Profiles;
use super::progress::Progress;
use super::rates::Rates;
use super::searches::Searches;
use super::session::{Session, SessionError};
use super::soaks::Soaks;
use super::steps::{Task, ended};
use crate::base::Digest;
use crate::base::text::inert;
use crate::machine::{Fingerprint, total_memory};
use crate::plan::{Output, Plan, ResolveError, StepIndex};
use crate::record::{Check, Record, Step, StepState};
use crate::spec::{Bench, Expect, Spec};
use crate::stage::{Lane, Placed, Stage, check};
use crate::store::{Store, StoreError};
use crate::task::{Origin, PictureFile, Pictures};

/// Everything a run uses besides its plan.
pub struct Conditions<'a> {
    pub store: &'a Store,
    pub launcher: &'a Launcher,
    pub progress: &'a Progress,
    /// Names the slots under which the store remembers recipes.
    pub spec_name: &'a str,
    /// Make every step again although the store has it.
    pub fresh: bool,
    pub fingerprint: &'a Fingerprint,
    /// When this stretch of running began.
    pub begin: Instant,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Launch(LaunchError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(
        "artifact or runtime of `{variant}` are not those this run began to measure; start a new run"
    )]
    Changed { variant: String },
    #[error("cannot start worker threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Not a failure: what is finished is kept, and the run can go on later.
    #[error("the run was asked to stop")]
    Interrupted,
}

impl From<LaunchError> for RunError {
    fn from(error: LaunchError) -> Self {
        match error {
            LaunchError::Interrupted => Self::Interrupted,
            start @ LaunchError::Start { .. } => Self::Launch(start),
        }
    }
}

/// What is known about each variant as the run goes on.
#[derive(Debug, Default)]
pub(super) struct VariantState {
    pub checks: Vec<Check>,
    pub failed: Option<String>,
    /// Why it cannot be run on this machine, through no fault of its own.
    pub skipped: Option<String>,
    /// Where the nodes of each of its parts run, once somebody has looked.
    pub placed: Option<Vec<Placed>>,
}

impl VariantState {
    /// Nothing stands against running it.
    pub fn is_able(&self) -> bool {
        self.failed.is_none() && self.skipped.is_none()
    }

    /// What stands against it, for whoever wants to run it.
    pub fn stands_against(&self) -> Option<String> {
        let failed = self.failed.as_ref().map(|why| format!("the variant failed: {why}"));
        failed.or(self.skipped.as_ref().map(|why| format!("the variant was skipped: {why}")))
    }
}

/// State of a run that the record is assembled from.
pub(super) struct Progressed {
    pub outputs: Vec<Option<Output>>,
    pub variants: IndexMap<String, VariantState>,
    pub notes: Vec<String>,
    /// Watches the machine while something is measured, where the spec wants it.
    pub guard: Option<Guard>,
    /// What earlier stretches of the run took.
    pub before: Duration,
}

impl Progressed {
    /// Launches look at sizes and times of pictures only; at the end every byte is compared.
    fn look_again(&mut self, plan: &Plan) {
        let mut seen: Vec<&PictureFile> = Vec::new();
        for step in &plan.steps {
            let Stage::Bench(bench) = &step.stage else { continue };
            let Some(Origin::Pictures(file)) = bench.inputs.as_ref().map(|i| &i.origin) else {
                continue;
            };
            if seen.contains(&file) {
                continue;
            }
            seen.push(file);
            if !Pictures::are_same(file) {
                let data = bench.data.as_deref().unwrap_or_default();
                self.notes.push(format!(
                    "data set `{data}` changed while it was measured with: nobody knows which launches saw which pictures"
                ));
            }
        }
    }

    /// Notes what became of the data of a judgement, once for all variants.
    fn tell(&mut self, plan: &Plan, index: StepIndex, output: Option<&Output>) {
        let (Stage::Judge(judge), Some(Output::Judged { notes, .. })) =
            (&plan.steps[index].stage, output)
        else {
            return;
        };
        for note in notes {
            let note = format!("data set `{}`: {}", judge.data, inert(note));
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// Library and digest of the runtime that `variant` runs on, if it needs one.
    pub fn runtime(&self, plan: &Plan, variant: &str) -> Option<(PathBuf, Digest)> {
        let step = plan.runtime().filter(|_| plan.variants[variant].needs_runtime())?;
        match &self.outputs[step] {
            Some(Output::Runtime { library, digest, .. }) => Some((library.clone(), *digest)),
            _ => None,
        }
    }
}

/// Carries out `plan` and returns the record of everything that happened, earlier stretches of a
/// resumed run included. An interrupted run gives a record too. The caller closes the session once
/// the record is safe: until then the run can be resumed.
pub fn execute(
    spec: &Spec,
    plan: &Plan,
    session: &mut Session,
    conditions: &Conditions<'_>,
) -> Result<Record, RunError> {
    let guard = |bench: &Bench| {
        let runners = plan.variants.values().map(|variant| &variant.runner);
        Guard::open(&bench.guard, &gpus(runners))
    };
    let mut state = Progressed {
        outputs: plan.steps.iter().map(|_| None).collect(),
        variants: plan.variants.keys().map(|n| (n.clone(), VariantState::default())).collect(),
        notes: plan.notes.clone(),
        guard: spec.bench.as_ref().and_then(guard),
        before: Duration::from_secs_f64(session.seconds),
    };
    if session.dropped > 0 {
        let dropped = session.dropped;
        state.notes.push(format!("{dropped} damaged journal lines were left out on resuming"));
    }
    let outcome = stages(spec, plan, session, conditions, &mut state);
    let interrupted = match outcome {
        Ok(()) => false,
        Err(RunError::Interrupted) => true,
        Err(other) => return Err(other),
    };
    let seconds = conditions.begin.elapsed().as_secs_f64();
    Ok(assemble(spec, plan, session, conditions, &state, interrupted, seconds))
}

fn stages(
    spec: &Spec,
    plan: &Plan,
    session: &mut Session,
    conditions: &Conditions<'_>,
    state: &mut Progressed,
) -> Result<(), RunError> {
    let is_judge = |index: &StepIndex| matches!(plan.steps[*index].stage, Stage::Judge(_));
    let shared: Vec<StepIndex> =
        (0..plan.steps.len()).filter(|&i| plan.steps[i].stage.lane() == Lane::Shared).collect();
    let (judging, making): (Vec<_>, Vec<_>) = shared.into_iter().partition(is_judge);
    // What cannot be run here needs nothing made: devices are tried before the rest.
    let is_tried = |index: &StepIndex| {
        matches!(plan.steps[*index].stage, Stage::LoadRuntime(_) | Stage::OpenDevice(_))
    };
    let tries = plan.variants.values().any(|variant| variant.device.is_some());
    let (trying, making): (Vec<_>, Vec<_>) =
        making.into_iter().partition(|index| tries && is_tried(index));
    waves(plan, &trying, session, conditions, state)?;
    let (idle, making): (Vec<_>, Vec<_>) =
        making.into_iter().partition(|&index| is_idle(plan, index, state));
    for index in idle {
        session.record_step(skipped(plan, index, "its variant was skipped"))?;
    }
    waves(plan, &making, session, conditions, state)?;
    look(spec, plan, conditions, state)?;
    examine(spec, plan, conditions, state);
    let (judging, barred): (Vec<_>, Vec<_>) = judging.into_iter().partition(|&index| {
        let Stage::Judge(judge) = &plan.steps[index].stage else { return false };
        state.variants[&judge.variant].is_able()
    });
    for index in barred {
        let Stage::Judge(judge) = &plan.steps[index].stage else { continue };
        let why = match &state.variants[&judge.variant].failed {
            Some(_) => "its variant failed before",
            None => "its variant was skipped",
        };
        session.record_step(skipped(plan, index, why))?;
    }
    waves(plan, &judging, session, conditions, state)?;
    let Some(bench) = &spec.bench else { return Ok(()) };
    idle_power(bench, spec.model.task, session, conditions)?;
    for step in &plan.steps {
        if let Stage::Bench(stage) = &step.stage {
            let blocks = Blocks { spec, bench, stage, plan, step };
            measure(&blocks, session, conditions, state)?;
        }
    }
    Searches { spec, bench, plan, conditions, state }.carry_out(session)?;
    Rates { spec, bench, plan, conditions, state }.carry_out(session)?;
    Soaks { spec, bench, plan, conditions, state }.carry_out(session)?;
    Profiles { bench, plan, conditions, state }.carry_out(session)?;
    state.look_again(plan);
    Ok(())
}

/// Runs `steps` wave by wave: whatever has all it needs runs at the same time.
fn waves(
    plan: &Plan,
    steps: &[StepIndex],
    session: &mut Session,
    conditions: &Conditions<'_>,
    state: &mut Progressed,
) -> Result<(), RunError> {
    let mut left = steps.to_vec();
    while !left.is_empty() {
        // Anew for each wave: only what is on disk by now tells how large the models are.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(at_once(state)).build()?;
        let ready: Vec<StepIndex> = left
            .iter()
            .copied()
            .filter(|&i| plan.steps[i].needs.iter().all(|&need| state.outputs[need].is_some()))
            .collect();
        if ready.is_empty() {
            break;
        }
        let outputs = &state.outputs;
        let beside = pool.current_num_threads().min(ready.len()).max(1);
        let threads = (cores() / beside).max(1) as u32;
        let ends: Vec<_> = pool.install(|| {
            let perform = |&index: &StepIndex| {
                let task = Task { plan, index, outputs, conditions, threads };
                (index, task.perform())
            };
            ready.par_iter().map(perform).collect()
        });
        let mut broken = None;
        for (index, end) in ends {
            match end {
                Ok(end) => {
                    hold_back_dependants(plan, index, &end.step, state);
                    session.record_step(end.step)?;
                    state.tell(plan, index, end.output.as_ref());
                    state.outputs[index] = end.output;
                }
                Err(error) => broken = Some(error),
            }
        }
        if let Some(error) = broken {
            return Err(error);
        }
        left.retain(|index| !ready.contains(index));
    }
    for index in left {
        let why = why_left(plan, index, session);
        session.record_step(skipped(plan, index, why))?;
    }
    Ok(())
}

/// Whether step `index` changes a model for nobody but variants that are skipped.
fn is_idle(plan: &Plan, index: StepIndex, state: &Progressed) -> bool {
    let reached = plan.dependants(index);
    let mut users = plan.variants.iter().filter(|(_, variant)| variant.rests_on(&reached));
    matches!(plan.steps[index].stage, Stage::Optimize(_))
        && users.all(|(name, _)| state.variants[name].skipped.is_some())
}

/// Steps that may run beside each other without filling memory: a judge holds two models, each of
/// which its backend may keep in two layouts.
fn at_once(state: &Progressed) -> usize {
    let largest = state
        .outputs
        .iter()
        .flatten()
        .filter_map(|output| Some(output.model()?.artifact.bytes))
        .max()
        .unwrap_or(1 << 20);
    let memory = total_memory().unwrap_or(4 << 30);
    let fitting = usize::try_from(memory / largest.saturating_mul(5).max(1)).unwrap_or(1);
    fitting.clamp(1, cores())
}

/// Hardware threads this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Marks every variant that cannot be run because step `index` left nothing: those whose artifact
/// descends from it, and those that run on the runtime or device it should have provided.
fn hold_back_dependants(plan: &Plan, index: StepIndex, end: &Step, state: &mut Progressed) {
    let detail = || end.detail.clone().unwrap_or_default();
    let is_runtime = matches!(plan.steps[index].stage, Stage::LoadRuntime(_));
    let reached = plan.dependants(index);
    for (name, variant) in &plan.variants {
        let runs_on = variant.device == Some(index) || (is_runtime && variant.needs_runtime());
        if !variant.rests_on(&reached) && !runs_on {
            continue;
        }
        let variant = &mut state.variants[name];
        match end.state {
            StepState::Failed => variant.failed = Some(format!("`{}`: {}", end.id, detail())),
            StepState::Skipped => variant.skipped = Some(detail()),
            StepState::Hit | StepState::Done => {}
        }
    }
}

/// Why a step was never ready: what it needs failed, or could not be had here.
fn why_left(plan: &Plan, index: StepIndex, session: &Session) -> &'static str {
    let state_of = |need: &StepIndex| {
        let id = &plan.steps[*need].id;
        session.steps.get(id).map(|step| step.state)
    };
    let states: Vec<StepState> = plan.steps[index].needs.iter().filter_map(state_of).collect();
    match states.contains(&StepState::Skipped) && !states.contains(&StepState::Failed) {
        true => "a step it needs was skipped",
        false => "a step it needs failed",
    }
}

/// Checks `expect:` of every variant that has an artifact.
fn examine(spec: &Spec, plan: &Plan, conditions: &Conditions<'_>, state: &mut Progressed) {
    let size_of = |name: &str| {
        let mut steps: Vec<_> = plan.variants.get(name)?.parts.values().copied().collect();
        steps.dedup();
        let bytes = |step: StepIndex| Some(state.outputs[step].as_ref()?.model()?.artifact.bytes);
        steps.into_iter().try_fold(0, |sum, step| Some(sum + bytes(step)?))
    };
    let (mut found, mut unchecked) = (Vec::new(), Vec::new());
    for (name, variant) in &plan.variants {
        let expect = match &spec.variants[name].expect {
            Some(expect) => expect,
            None if variant.device.is_some() => &Expect::default(),
            None => continue,
        };
        let known = &state.variants[name];
        // Nothing is expected of what cannot be run here.
        if known.skipped.is_some() {
            continue;
        }
        let models: Option<Vec<_>> = variant
            .artifacts()
            .map(|(part, step)| Some((part, state.outputs[step].as_ref()?.model()?)))
            .collect();
        let Some(models) = models else { continue };
        if let Some(size) = &expect.size_vs
            && size_of(&size.variant).is_none()
        {
            let other = &size.variant;
            let note = format!("`{name}`: size not checked, because `{other}` has no artifact");
            unchecked.push(note);
        }
        let runner = &variant.runner;
        let mut checks = Vec::new();
        for (at, (part, model)) in models.into_iter().enumerate() {
            let placed = known.placed.as_ref().and_then(|placed| placed.get(at));
            let size = size_of(name).filter(|_| at == 0);
            let (facts, artifact) = (&model.facts, &model.artifact);
            let own = check(expect, facts, artifact, size, runner, placed, &size_of);
            checks.extend(own.into_iter().map(|check| match part {
                Some(part) => Check { what: format!("{part}: {}", check.what), ..check },
                None => check,
            }));
        }
        found.push((name, checks));
    }
    state.notes.append(&mut unchecked);
    for (name, checks) in found {
        let failed: Vec<String> = checks
            .iter()
            .filter(|check| !check.passed)
            .map(|c| format!("{}: expected {}, found {}", c.what, c.expected, c.found))
            .collect();
        let variant = &mut state.variants[name];
        variant.checks = checks;
        if !failed.is_empty() {
            let why = format!("`expect` does not hold: {}", failed.join("; "));
            conditions.progress.line(&format!("✗ {name}  {why}"));
            variant.failed.get_or_insert(why);
        }
    }
}

fn skipped(plan: &Plan, index: StepIndex, why: &str) -> Step {
    let why = Some(why.to_owned());
    ended(plan, &plan.steps[index], StepState::Skipped, why, Duration::ZERO)
}
