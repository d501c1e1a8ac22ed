//! Token sequences of a data set, as the step that tokenized it left them.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Name of the one file of a tokenized data set.
pub const TOKENS_FILE: &str = "tokens.json";

/// Token sequences of a data set, without beginning-of-text tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFile {
    /// What the model expects before a text, if anything.
    pub bos: Option<u32>,
    pub documents: Vec<Vec<u32>>,
}

impl TokenFile {
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(TOKENS_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        serde_json::from_str(&text)
            .map_err(|error| format!("`{}` is damaged: {error}", path.display()))
    }

    /// The documents with the beginning-of-text token in front.
    pub fn with_bos(&self) -> Vec<Vec<u32>> {
        self.documents.iter().map(|d| self.bos.iter().chain(d).copied().collect()).collect()
    }
}
