//! Where variants run: what they keep between launches, and whether all of their nodes run there.

use super::Limits;
use super::child::Launch;
use super::describe;
use super::execute::{Conditions, Progressed, RunError};
use super::steps::DEADLINE;
use crate::backend::{Placement, Runner};
use crate::base::Digest;
use crate::plan::{Output, Plan};
use crate::spec::{ProviderFallback, Spec};
use crate::stage::{Done, Job, Placed};
use crate::store::Store;

/// What runs `variant`, with the folder for the engines that it keeps: one for every artifact,
/// runtime, device with its driver, and set of options. An engine is never of use elsewhere.
pub fn runner(plan: &Plan, outputs: &[Option<Output>], store: &Store, variant: &str) -> Runner {
    let planned = &plan.variants[variant];
    let mut runner = planned.runner.clone();
    if runner.placement.keeps_engines() {
        let digest = |step: Option<usize>| {
            step.and_then(|step| outputs[step].as_ref()).and_then(Output::digest)
        };
        let artifacts: Vec<_> = planned.artifacts().map(|(_, step)| digest(Some(step))).collect();
        let parts = (artifacts, digest(plan.runtime()), digest(planned.device));
        let text = format!("{parts:?} {:?}", runner.placement.tensorrt);
        let folder = Digest::of_bytes(text.as_bytes()).hex();
        runner.placement.engines = Some(store.root().join("engines").join(folder));
    }
    runner
}

/// Opens every variant that runs on a device, and every one that promises not to fall back, and
/// remembers where its nodes run.
pub(super) fn look(
    spec: &Spec,
    plan: &Plan,
    conditions: &Conditions<'_>,
    state: &mut Progressed,
) -> Result<(), RunError> {
    for (name, variant) in &plan.variants {
        let expect = spec.variants[name].expect.as_ref();
        let promised = expect.and_then(|e| e.provider_fallback) == Some(ProviderFallback::None);
        // A backend without a runtime has one provider and nothing to ask.
        let asked = variant.device.is_some() || (promised && variant.needs_runtime());
        if !asked || !state.variants[name].is_able() {
            continue;
        }
        let models: Option<Vec<_>> = variant
            .artifacts()
            .map(|(_, step)| state.outputs[step].as_ref()?.model().map(|m| m.artifact.clone()))
            .collect();
        let Some(artifacts) = models else { continue };
        let mut backend = runner(plan, &state.outputs, conditions.store, name);
        // Nodes elsewhere are named by the check, which is more than an error of opening tells.
        backend.placement = Placement { fallback: true, ..backend.placement };
        let runtime = state.runtime(plan, name).map(|(library, _)| library);
        let mut placed = Vec::with_capacity(artifacts.len());
        for artifact in artifacts {
            let (backend, runtime) = (backend.clone(), runtime.clone());
            placed.push(place(&Job::Place { artifact, backend, runtime }, conditions)?);
        }
        state.variants[name].placed = Some(placed);
    }
    Ok(())
}

fn place(job: &Job, conditions: &Conditions<'_>) -> Result<Placed, RunError> {
    let scratch = conditions.store.begin()?;
    let limits = Limits::within(DEADLINE, None);
    let launch = Launch { job, scratch: scratch.path(), limits, threads: None, padding: 0 };
    Ok(match conditions.launcher.launch(&launch, &|_| {})?.result {
        Ok(Done::Placed(assigned)) => Ok(assigned),
        Ok(other) => Err(format!("unexpected {other:?}")),
        Err(failure) => Err(describe(&failure)),
    })
}
