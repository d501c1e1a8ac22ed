//! `load` of recorded tensors, texts or pictures: files of any kind become items, which passes
//! calibrate on.
//!
//! Passes know nothing of recordings and of what tells a batch from an item: the split is made
//! here, once, as judging makes it.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::job::{Done, JobError};
use super::{Artifact, Job};
use crate::data::ItemFile;
use crate::model::Kind;
use crate::store::{Input, Recipe};
use crate::task::{Beside, TensorInputs};

#[derive(Debug, Clone, PartialEq)]
pub struct LoadItems {
    /// Name of the data set in the spec.
    pub data: String,
    /// Inputs of the graph of the spec, or of one of its parts.
    pub inputs: TensorInputs,
}

impl LoadItems {
    /// `model` is what lies with it, where that decides the items.
    pub fn recipe(&self, model: Option<Input>) -> Recipe {
        Recipe {
            facts: json!({
                "stage": "read items",
                "inputs": self.inputs.inputs,
                "recorded": self.inputs.origin.facts(),
            }),
            inputs: model.into_iter().collect(),
            epoch: 1,
            versions: self.inputs.origin.versions(),
        }
    }

    pub fn job(&self, model: Option<Artifact>, out: PathBuf) -> Job {
        Job::ReadItems { inputs: self.inputs.clone(), model, out }
    }
}

/// Writes the items of `inputs` into the folder `out`.
pub(super) fn read(
    inputs: &TensorInputs,
    model: Option<&Artifact>,
    out: &Path,
) -> Result<Done, JobError> {
    let beside = match model {
        Some(model) => Beside { kind: model.kind, path: &model.path },
        // What was recorded asks nobody.
        None => Beside { kind: Kind::Onnx, path: Path::new("") },
    };
    let items = inputs.items(beside, 0, 0)?;
    ItemFile::write(out, items.iter().map(|item| item.inputs.as_slice()))?;
    Ok(Done::ItemsRead { items: items.len() })
}
