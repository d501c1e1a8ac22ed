//! From a step and what it needs to the recipe that the store knows it by.

use std::path::PathBuf;

use super::{Plan, StepIndex};
use crate::base::Digest;
use crate::model::ModelFacts;
use crate::stage::{Artifact, Stage};
use crate::store::{Input, Recipe};
use crate::task::Judged;

/// What a step has left behind.
#[derive(Debug, Clone)]
pub enum Output {
    Model(Box<ModelOutput>),
    /// A data set: its tokens or its items.
    Data {
        folder: PathBuf,
        digest: Digest,
    },
    Runtime {
        library: PathBuf,
        /// Of the library file itself, wherever it came from.
        digest: Digest,
        /// `None` where nobody has opened it yet.
        version: Option<String>,
    },
    /// A device on which sessions open.
    Device {
        /// Of what is known about it.
        digest: Digest,
    },
    Judged {
        judged: Vec<Judged>,
        /// What became of the data.
        notes: Vec<String>,
    },
    /// Measurements live in the run's journal.
    Measured,
}

/// A model on disk with what is known about it.
#[derive(Debug, Clone)]
pub struct ModelOutput {
    pub artifact: Artifact,
    pub facts: ModelFacts,
    /// Remarks of the step that made it.
    pub notes: Vec<String>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("step `{0}` left nothing that could be used")]
pub struct ResolveError(pub String);

impl Output {
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Model(model) => Some(model.artifact.digest),
            Self::Data { digest, .. } | Self::Runtime { digest, .. } | Self::Device { digest } => {
                Some(*digest)
            }
            Self::Judged { .. } | Self::Measured => None,
        }
    }

    pub fn model(&self) -> Option<&ModelOutput> {
        match self {
            Self::Model(model) => Some(model),
            _ => None,
        }
    }
}

/// The recipe of step `index`, given the outputs of earlier steps. `Ok(None)` for a step whose
/// result is not kept in the store: files that are only read, and measurements.
pub fn recipe(
    plan: &Plan,
    index: StepIndex,
    outputs: &[Option<Output>],
) -> Result<Option<Recipe>, ResolveError> {
    let step = &plan.steps[index];
    let mut inputs = Vec::new();
    for &need in &step.needs {
        let id = &plan.steps[need].id;
        let digest = outputs[need].as_ref().and_then(Output::digest);
        let digest = digest.ok_or_else(|| ResolveError(id.clone()))?;
        inputs.push(Input { step: id.clone(), digest });
    }
    Ok(match &step.stage {
        Stage::LoadModel(load) => load.recipe(),
        Stage::LoadRuntime(runtime) => runtime.recipe(),
        Stage::LoadTokens(tokens) => Some(tokens.recipe(&inputs[0])),
        Stage::LoadItems(items) => Some(items.recipe(inputs.pop())),
        Stage::Optimize(optimize) => Some(optimize.recipe(inputs)),
        Stage::Judge(judge) => {
            let context = outputs[step.needs[0]].as_ref().and_then(Output::model);
            let context = context.and_then(|model| model.facts.context_length);
            Some(judge.recipe(context, inputs))
        }
        Stage::OpenDevice(_)
        | Stage::Bench(_)
        | Stage::Search(_)
        | Stage::RateSearch(_)
        | Stage::Roofline(_)
        | Stage::Profile(_)
        | Stage::Soak(_) => None,
    })
}
