//! Plans: what a spec means as steps, before anything runs.
//!
//! Variants times matrix become a list of steps whose needs point backwards only. Equal work
//! appears once, however many variants share it. The same plan is shown by `engine plan` and
//! carried out by `engine run`; what a step finds in the store is asked through one function, so
//! the two cannot disagree. Deliberately absent: processes and progress (run).

mod benches;
mod devices;
mod expand;
mod graph;
mod judges;
mod preview;
mod references;
mod resolve;
mod show;
mod sources;
mod task;
mod tensors;
mod variants;

use indexmap::IndexMap;
use serde_json::{Value, json};

pub use expand::{Surroundings, expand};
pub use preview::{
    JUDGED_FILE, Preview, State, output_of, preview, read_library, read_model, slot,
};
pub use resolve::{ModelOutput, Output, ResolveError, recipe};
pub use show::{Format, show};
pub use task::settle;

use crate::backend::{self, Runner};
use crate::base::Digest;
use crate::record::Reference;
use crate::stage::{Setting, Stage};
use crate::task::Origin;

/// Index of a step in its plan.
pub type StepIndex = usize;

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Every step's needs have lower indexes than the step.
    pub steps: Vec<Step>,
    /// In the order of the spec.
    pub variants: IndexMap<String, VariantPlan>,
    /// The variant that the others are compared with.
    pub baseline: String,
    /// The variant whose answers count as right.
    pub reference: Option<String>,
    /// Settings of the matrix, one bench step each.
    pub settings: Vec<Setting>,
    /// Why quality cannot be judged, where the spec asks for it.
    pub unmeasured: Option<String>,
    /// Stored runs that gates compare with.
    pub references: Vec<Reference>,
    /// What readers of results have to know, such as pictures that are left out.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Stable name within the spec, such as `q8/quantize`.
    pub id: String,
    pub stage: Stage,
    pub needs: Vec<StepIndex>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct VariantPlan {
    pub runner: Runner,
    /// The step that opens its device, where that is not the CPU.
    pub device: Option<StepIndex>,
    /// The step whose output the variant runs, for every part of the model; a model of one part has
    /// one without a name.
    pub parts: IndexMap<String, StepIndex>,
    /// Labels of its stages from the source on.
    pub recipe: Vec<String>,
}

impl VariantPlan {
    /// The step whose output is run for `part`; the first part's where it has no such part.
    pub fn artifact(&self, part: Option<&str>) -> StepIndex {
        let found =
            part.and_then(|part| self.parts.get(part)).or_else(|| self.parts.values().next());
        *found.expect("a variant has a part")
    }

    /// The names of its parts with the steps; of a model of one part `None`.
    pub fn artifacts(&self) -> impl Iterator<Item = (Option<&str>, StepIndex)> {
        self.parts.iter().map(|(part, step)| (Some(part.as_str()).filter(|p| !p.is_empty()), *step))
    }

    /// Whether step `reached` is among those that it runs on.
    pub fn rests_on(&self, reached: &[bool]) -> bool {
        self.parts.values().any(|&step| reached[step])
    }

    /// Whether what runs the variant needs the library of a runtime.
    pub fn needs_runtime(&self) -> bool {
        backend::of(&self.runner).is_some_and(|backend| backend.runtime().is_some())
    }
}

impl Plan {
    /// Number of cells: variants times settings.
    pub fn cells(&self) -> usize {
        self.variants.len() * self.settings.len()
    }

    /// Digest of everything that data sets decide: what is calibrated on, judged and measured.
    pub fn data(&self) -> Digest {
        let facts = self.steps.iter().map(|step| match &step.stage {
            Stage::LoadTokens(tokens) => json!(tokens.digest),
            Stage::LoadItems(items) => items.inputs.origin.facts(),
            Stage::Bench(bench) => json!(bench.inputs.as_ref().map(|i| i.origin.facts())),
            Stage::Judge(judge) => judge.on.origin().map_or(Value::Null, Origin::facts),
            _ => Value::Null,
        });
        Digest::of_json(&facts.collect())
    }

    /// The step that provides the library of the runtime, where something needs one.
    pub fn runtime(&self) -> Option<StepIndex> {
        self.steps.iter().position(|step| matches!(step.stage, Stage::LoadRuntime(_)))
    }

    /// Steps that cannot be carried out without what step `from` leaves, itself included.
    pub fn dependants(&self, from: StepIndex) -> Vec<bool> {
        let mut reached = vec![false; self.steps.len()];
        for (index, step) in self.steps.iter().enumerate() {
            reached[index] = index == from || step.needs.iter().any(|&need| reached[need]);
        }
        reached
    }

    /// The step named `id`.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }
}
