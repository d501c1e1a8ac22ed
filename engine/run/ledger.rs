//! From the state of a run to its record.

use indexmap::IndexMap;

use super::blocks::{Blocks, able, launches_again, shows_noise};
use super::execute::{Conditions, Progressed, VariantState};
use super::searches::SEARCHED_METRIC;
use super::session::{Session, now_text};
use crate::base::Digest;
use crate::base::text::inert;
use crate::plan::{Output, Plan, VariantPlan};
use crate::record::{
    ArtifactFacts, Cell, Conduct, Device, Guard, Model, Quality, RateSearch, Record, Run, Runtime,
    Search, SearchEnd, StopReason, VERSION, Variant,
};
use crate::spec::{Spec, Task};
use crate::stage::{Bench, Judge, JudgeOn, OpenDevice, Stage};
use crate::task::{Against, TensorInputs, requests};

/// What stands in the place of a reference variant where outputs were recorded; no variant can be
/// called so.
const EXPECTED: &str = "recorded outputs";

/// Everything that happened, as one record.
pub fn assemble(
    spec: &Spec,
    plan: &Plan,
    session: &Session,
    conditions: &Conditions<'_>,
    state: &Progressed,
    interrupted: bool,
    seconds: f64,
) -> Record {
    let begun = &session.begun;
    let mut notes = state.notes.clone();
    notes.extend(synthetic(plan));
    if !conditions.fingerprint.engine.optimized {
        notes.push(
            "the engine was built without optimization: timings are not representative".into(),
        );
    }
    Record {
        version: VERSION,
        run: Run {
            id: begun.id.clone(),
            name: spec.name.clone(),
            why: spec.why.clone(),
            title: spec.report.title.clone(),
            spec_file: begun.spec_file.clone(),
            started: begun.started.clone(),
            finished: now_text(),
            seconds: session.seconds + seconds,
            engine: begun.engine.clone(),
            seed: spec.bench.as_ref().map_or(0, |bench| bench.design.seed),
            interrupted,
            resumed: session.resumed,
        },
        spec: begun.resolved.clone(),
        machine: serde_json::to_value(conditions.fingerprint).expect("plain data serializes"),
        model: model(spec, state),
        runtimes: runtimes(plan, state),
        variants: plan
            .variants
            .keys()
            .map(|name| (name.clone(), variant(name, plan, state)))
            .collect(),
        steps: steps(plan, session),
        quality: quality(spec, plan, session, state),
        cells: cells(plan, session, interrupted),
        conduct: conduct(spec, plan, session, state),
        profiles: session.profiles.clone(),
        soaks: session.soaks.clone(),
        searches: searches(spec, plan, session, state, interrupted),
        guard: guard(spec, state),
        references: plan.references.clone(),
        idle: session.idle.clone(),
        rates: rates(spec, plan, session, state, interrupted),
        notes,
    }
}

/// Steps in the order of the plan, whatever order they ended in.
fn steps(plan: &Plan, session: &Session) -> Vec<crate::record::Step> {
    plan.steps.iter().filter_map(|step| session.steps.get(&step.id).cloned()).collect()
}

fn model(spec: &Spec, state: &Progressed) -> Model {
    let found = state.outputs.first().and_then(Option::as_ref).and_then(Output::model);
    Model {
        source: spec.model.source.clone(),
        task: spec.model.task.map_or_else(String::new, |task| task.id().to_owned()),
        digest: found.map(|m| m.artifact.digest),
        architecture: found.map(|m| m.facts.architecture.clone()),
        parameters: found.map(|m| m.facts.parameters),
        dtype: found.map(|m| m.facts.dtype.clone()),
        context_length: found.and_then(|m| m.facts.context_length),
        cache_per_token: found.and_then(|m| m.facts.cache_per_token),
        random_weights: spec.model.source.starts_with("random://")
            || found.is_some_and(|m| m.facts.random_weights),
    }
}

/// The libraries that were loaded at run time.
fn runtimes(plan: &Plan, state: &Progressed) -> Vec<Runtime> {
    let known = plan.steps.iter().zip(&state.outputs).filter_map(|(step, output)| {
        match (&step.stage, output) {
            (Stage::LoadRuntime(load), Some(Output::Runtime { digest, version, .. })) => {
                Some(Runtime {
                    name: load.name().to_owned(),
                    version: version.clone(),
                    digest: *digest,
                    origin: load.origin(),
                })
            }
            _ => None,
        }
    });
    known.collect()
}

fn variant(name: &str, plan: &Plan, state: &Progressed) -> Variant {
    let planned = &plan.variants[name];
    let known = &state.variants[name];
    Variant {
        backend: planned.runner.backend.clone(),
        device: device(planned, known, plan),
        recipe: planned.recipe.clone(),
        artifact: artifact(planned, state),
        checks: known.checks.clone(),
        failed: known.failed.clone(),
        skipped: known.skipped.clone(),
    }
}

/// What a variant runs. Several artifacts, one for each part of a model, count as one.
fn artifact(planned: &VariantPlan, state: &Progressed) -> Option<ArtifactFacts> {
    let mut parts: Vec<_> = planned.artifacts().collect();
    parts.dedup_by_key(|(_, step)| *step);
    let found: Option<Vec<_>> = parts
        .iter()
        .map(|(part, step)| Some((*part, state.outputs[*step].as_ref()?.model()?)))
        .collect();
    let found = found?;
    let (_, first) = found.first()?;
    let mut facts = ArtifactFacts {
        digest: first.artifact.digest,
        kind: first.artifact.kind.name().to_owned(),
        bytes: first.artifact.bytes,
        parameters: first.facts.parameters,
        weight_bytes: first.facts.weight_bytes.clone(),
        notes: first.notes.clone(),
    };
    if found.len() > 1 {
        let digests: Vec<String> = found.iter().map(|(_, m)| m.artifact.digest.hex()).collect();
        facts.digest = Digest::of_json(&serde_json::json!(digests));
        facts.bytes = found.iter().map(|(_, m)| m.artifact.bytes).sum();
        facts.parameters = found.iter().map(|(_, m)| m.facts.parameters).sum();
        facts.weight_bytes.clear();
        for (dtype, bytes) in found.iter().flat_map(|(_, m)| &m.facts.weight_bytes) {
            *facts.weight_bytes.entry(dtype.clone()).or_default() += bytes;
        }
        let notes = found.iter().flat_map(|(part, m)| {
            let part = part.unwrap_or_default();
            m.notes.iter().map(move |note| format!("{part}: {note}"))
        });
        facts.notes = notes.collect();
    }
    Some(facts)
}

/// Where a variant runs; `None` for the CPU of which nobody asked more.
fn device(planned: &VariantPlan, known: &VariantState, plan: &Plan) -> Option<Device> {
    let placement = &planned.runner.placement;
    let nodes: IndexMap<String, u64> = match &known.placed {
        Some(parts) => {
            let mut nodes = IndexMap::new();
            for assigned in parts.iter().flat_map(|placed| placed.iter().flatten()) {
                *nodes.entry(assigned.provider.clone()).or_default() += assigned.nodes;
            }
            nodes
        }
        None => IndexMap::new(),
    };
    if placement.device.is_cpu() && nodes.is_empty() {
        return None;
    }
    let open = planned.device.and_then(|step| match &plan.steps[step].stage {
        Stage::OpenDevice(open) => Some(open),
        _ => None,
    });
    Some(Device {
        device: placement.device.to_string(),
        name: open.and_then(OpenDevice::name),
        driver: open.and_then(OpenDevice::driver),
        tensorrt: placement
            .tensorrt
            .map(|options| serde_json::to_value(options).expect("plain data serializes")),
        fallback: placement.fallback,
        nodes,
    })
}

/// One entry per variant and metric, in the order of variants; missing ones say why.
fn quality(spec: &Spec, plan: &Plan, session: &Session, state: &Progressed) -> Vec<Quality> {
    let mut out = unmeasured(spec, plan);
    for (step, output) in plan.steps.iter().zip(&state.outputs) {
        let Stage::Judge(judge) = &step.stage else { continue };
        let planned = &plan.variants[&judge.variant];
        let artifact = artifact(planned, state).map(|facts| facts.digest);
        let ended = session.steps.get(&step.id);
        for (at, request) in judge.metrics.iter().enumerate() {
            let judged = match output {
                Some(Output::Judged { judged, .. }) => {
                    judged.get(at).filter(|j| j.metric == request.metric)
                }
                _ => None,
            };
            let why = || {
                let detail = ended.and_then(|step| step.detail.clone());
                detail.unwrap_or_else(|| "the run was stopped before".into())
            };
            out.push(Quality {
                variant: judge.variant.clone(),
                reference: match request.against {
                    Against::Reference => judge.reference.clone(),
                    Against::Expected => EXPECTED.to_owned(),
                },
                metric: request.metric.clone(),
                data: judge.data.clone(),
                part: judge.part.clone(),
                artifact,
                documents: judged.map(|j| j.documents.clone()).unwrap_or_default(),
                unmeasured: if judged.is_some() { None } else { Some(why()) },
            });
        }
    }
    out
}

/// What the spec asks for where nothing can be judged, with the reason.
fn unmeasured(spec: &Spec, plan: &Plan) -> Vec<Quality> {
    let (Some(quality), Some(why)) = (&spec.quality, &plan.unmeasured) else { return Vec::new() };
    let mut out = Vec::new();
    for variant in plan.variants.keys() {
        for metric in &quality.metrics {
            let data = metric.0.params["data"].as_str().unwrap_or("synthetic");
            let asked = requests(metric, spec.model.task.map_or("", Task::id));
            out.extend(asked.into_iter().map(|request| Quality {
                variant: variant.clone(),
                reference: plan.reference.clone().unwrap_or_default(),
                metric: request.metric,
                data: data.to_owned(),
                part: None,
                artifact: None,
                documents: Vec::new(),
                unmeasured: Some(why.clone()),
            }));
        }
    }
    out
}

/// How the machine was watched, where something was measured and the spec wants it.
fn guard(spec: &Spec, state: &Progressed) -> Option<Guard> {
    let max_invalid = spec.bench.as_ref()?.guard.max_invalid.0;
    Some(Guard { unmeasured: state.guard.as_ref()?.unmeasured(), max_invalid })
}

fn cells(plan: &Plan, session: &Session, interrupted: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for step in &plan.steps {
        let Stage::Bench(bench) = &step.stage else { continue };
        let setting = &bench.setting;
        let log = session.of(setting);
        let stop = log.stop.or(interrupted.then_some(StopReason::Interrupted));
        for variant in &bench.variants {
            let own = log.launches().filter(|known| known.variant == *variant);
            let mut launches: Vec<_> = own.map(|known| known.launch.clone()).collect();
            launches.sort_by_key(|launch| (launch.block, launch.position));
            cells.push(Cell {
                variant: variant.clone(),
                scenario: setting.load.id().into(),
                axes: setting.axes(),
                launches,
                stop,
                disturbed: log.disturbed.values().cloned().collect(),
                slo: bench.slo,
            });
        }
    }
    cells
}

/// One entry per setting of the plan, in the order of cells.
fn conduct(spec: &Spec, plan: &Plan, session: &Session, state: &Progressed) -> Vec<Conduct> {
    let Some(bench) = &spec.bench else { return Vec::new() };
    let of = |step: &crate::plan::Step| {
        let Stage::Bench(stage) = &step.stage else { return None };
        let blocks = Blocks { spec, bench, stage, plan, step };
        let again = launches_again(session, &stage.setting);
        let able = able(&blocks, state);
        let not_again = match shows_noise(&blocks, able.len()) {
            Err(why) => Some(why),
            Ok(()) if !again.is_empty() => None,
            Ok(()) if able.iter().any(|(name, _)| *name == plan.baseline) => {
                Some("the run was stopped before".into())
            }
            Ok(()) => Some("the baseline cannot be run".into()),
        };
        Some(Conduct {
            scenario: stage.setting.load.id().into(),
            axes: stage.setting.axes(),
            repetition: session.of(&stage.setting).repetition,
            baseline: plan.baseline.clone(),
            again,
            not_again,
            not_kept: session.of(&stage.setting).not_kept.clone(),
        })
    };
    plan.steps.iter().filter_map(of).collect()
}

/// One entry per variant and search of the plan.
fn searches(
    spec: &Spec,
    plan: &Plan,
    session: &Session,
    state: &Progressed,
    interrupted: bool,
) -> Vec<Search> {
    let mut out = Vec::new();
    for step in &plan.steps {
        let Stage::Search(search) = &step.stage else { continue };
        let setting = &search.bench.setting;
        for variant in &search.bench.variants {
            let log = &session.of(setting).batches;
            let probes: Vec<_> = log.probes(variant).map(|known| known.probe.clone()).collect();
            let why = unsearched(&state.variants[variant], interrupted);
            let mut axes = setting.axes();
            axes.shift_remove("batch");
            out.push(Search {
                variant: variant.clone(),
                axes,
                metric: SEARCHED_METRIC.to_owned(),
                bound: search.bound,
                max: search.max,
                confidence: spec.compare.confidence.0,
                unsearched: probes.is_empty().then_some(why),
                end: match log.ends.get(variant).copied() {
                    None if interrupted && !probes.is_empty() => Some(SearchEnd::Interrupted),
                    ended => ended,
                },
                probes,
            });
        }
    }
    out
}

/// One entry per variant and search for a rate of the plan.
fn rates(
    spec: &Spec,
    plan: &Plan,
    session: &Session,
    state: &Progressed,
    interrupted: bool,
) -> Vec<RateSearch> {
    let mut out = Vec::new();
    for step in &plan.steps {
        let Stage::RateSearch(search) = &step.stage else { continue };
        let setting = &search.bench.setting;
        for variant in &search.bench.variants {
            let log = &session.of(setting).rates;
            let probes: Vec<_> = log.probes(variant).map(|known| known.probe.clone()).collect();
            let why = unsearched(&state.variants[variant], interrupted);
            out.push(RateSearch {
                variant: variant.clone(),
                axes: setting.axes(),
                slo: search.slo,
                requests: search.requests,
                confidence: spec.compare.confidence.0,
                unsearched: probes.is_empty().then_some(why),
                end: match log.ends.get(variant).copied() {
                    None if interrupted && !probes.is_empty() => Some(SearchEnd::Interrupted),
                    ended => ended,
                },
                probes,
            });
        }
    }
    out
}

/// Why a variant was not searched with.
fn unsearched(known: &VariantState, interrupted: bool) -> String {
    let other = if interrupted { "the run was stopped before" } else { "there is no artifact" };
    known.stands_against().unwrap_or_else(|| other.to_owned())
}

/// What inputs were made of where none were given.
fn synthetic(plan: &Plan) -> Vec<String> {
    let made = |inputs: &TensorInputs| -> Vec<String> {
        let of = |port: &crate::task::InputPort| {
            format!("input `{}` is seeded synthetic: {}", inert(&port.name), port.fill.words())
        };
        match inputs.origin.is_synthetic() {
            false => Vec::new(),
            true => inputs.inputs.iter().map(of).collect(),
        }
    };
    let mut notes: Vec<String> = Vec::new();
    for step in &plan.steps {
        let new = match &step.stage {
            Stage::Bench(Bench { inputs: Some(inputs), .. })
            | Stage::Judge(Judge { on: JudgeOn::Items { inputs, .. }, .. }) => made(inputs),
            Stage::Bench(bench) if bench.data.is_none() => {
                vec!["prompts are seeded synthetic tokens, not text".into()]
            }
            _ => Vec::new(),
        };
        for note in new {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}
