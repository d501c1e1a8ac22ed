//! `load` of a data set: texts become token sequences, once per tokenizer.
//!
//! Judging and timing read only token numbers, so no tokenizer weighs on the memory or the first
//! call of a measured process.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::{Artifact, Job};
use crate::base::Digest;
use crate::store::{Input, Recipe};

#[derive(Debug, Clone, PartialEq)]
pub struct LoadTokens {
    /// Name of the data set in the spec.
    pub data: String,
    pub path: PathBuf,
    /// Digest of the data file.
    pub digest: Digest,
    pub field: String,
    /// Only lines that name it.
    pub split: Option<String>,
    pub take: Option<u64>,
    pub seed: Option<u64>,
    /// Longest sequence kept of a document.
    pub tokens: Option<u32>,
}

impl LoadTokens {
    pub fn recipe(&self, model: &Input) -> Recipe {
        let mut recipe = Recipe {
            facts: json!({
                "stage": "tokenize",
                "data": self.digest,
                // The name decides how the bytes are read.
                "format": self.path.extension().and_then(|e| e.to_str()),
                "field": self.field,
                "take": self.take,
                "seed": self.seed,
                "tokens": self.tokens,
            }),
            inputs: vec![model.clone()],
            epoch: 1,
            versions: BTreeMap::from([(
                "tokenizers".to_owned(),
                env!("ENGINE_TOKENIZERS_VERSION").to_owned(),
            )]),
        };
        // Told only where there is one, so that other keys stay.
        if let Some(split) = &self.split {
            recipe.facts["split"] = json!(split);
        }
        recipe
    }

    pub fn job(&self, model: &Artifact, out: PathBuf) -> Job {
        Job::Tokenize {
            model: model.clone(),
            data: self.path.clone(),
            digest: self.digest,
            field: self.field.clone(),
            split: self.split.clone(),
            take: self.take,
            seed: self.seed,
            tokens: self.tokens,
            out,
        }
    }
}
