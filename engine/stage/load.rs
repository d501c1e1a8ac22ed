//! `load`: from a source to a model on disk whose content is known.

use std::path::PathBuf;

use serde_json::json;

use super::{Job, Source};
use crate::model::family;
use crate::store::Recipe;

/// Raised when generated weights change for the same name and seed.
const GENERATOR_EPOCH: u32 = 1;

#[derive(Debug, Clone, PartialEq)]
pub struct LoadModel {
    pub source: Source,
    /// The source as the spec writes it; labels show this and no path of the machine.
    pub written: String,
}

impl LoadModel {
    /// The recipe of a source that is made here and kept in the store; others are only read.
    pub fn recipe(&self) -> Option<Recipe> {
        match &self.source {
            Source::Random(uri) => Some(Recipe {
                facts: json!({"stage": "load", "source": uri}),
                inputs: Vec::new(),
                epoch: GENERATOR_EPOCH,
                versions: family::versions(),
            }),
            _ => None,
        }
    }

    /// The work, for a source that is not a local file.
    pub fn job(&self, out: PathBuf) -> Option<Job> {
        match &self.source {
            Source::File(_) => None,
            Source::Random(uri) => Some(Job::Generate { uri: uri.clone(), out }),
            Source::Hub { repository, revision } => {
                Some(Job::Fetch { repository: repository.clone(), revision: revision.clone() })
            }
        }
    }
}
