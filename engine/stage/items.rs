//! `load` of recorded tensors: files of any kind become items, which passes calibrate on.
//!
//! Passes know nothing of recordings and of what tells a batch from an item: the split is made
//! here, once, as judging makes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Job;
use super::job::{Done, JobError};
use crate::data::ItemFile;
use crate::store::Recipe;
use crate::task::{RecordedFile, TensorInputs};

#[derive(Debug, Clone, PartialEq)]
pub struct LoadItems {
    /// Name of the data set in the spec.
    pub data: String,
    /// Recorded inputs of the graph of the spec.
    pub inputs: TensorInputs,
}

impl LoadItems {
    pub fn recipe(&self) -> Recipe {
        Recipe {
            facts: json!({
                "stage": "read items",
                "inputs": self.inputs.inputs,
                "recorded": self.inputs.recorded.as_ref().map(RecordedFile::facts),
            }),
            inputs: Vec::new(),
            epoch: 1,
            versions: BTreeMap::new(),
        }
    }

    pub fn job(&self, out: PathBuf) -> Job {
        Job::ReadItems { inputs: self.inputs.clone(), out }
    }
}

/// Writes the recorded items of `inputs` into the folder `out`.
pub(super) fn read(inputs: &TensorInputs, out: &Path) -> Result<Done, JobError> {
    let items = inputs.items(0, 0)?;
    ItemFile::write(out, items.iter().map(|item| item.inputs.as_slice()))?;
    Ok(Done::ItemsRead { items: items.len() })
}
