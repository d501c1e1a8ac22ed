//! `bench`: all variants under one setting of the matrix.

use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::scenario::{Request, StreamRules};

#[derive(Debug, Clone, PartialEq)]
pub struct Bench {
    pub setting: Setting,
    pub variants: Vec<String>,
    /// Name of the data set the prompts come from.
    pub data: Option<String>,
    pub rules: StreamRules,
}

/// One combination of the matrix's values, resolved for this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub batch: u32,
    pub prompt_tokens: u32,
    pub new_tokens: u32,
    pub threads: u32,
}

impl Setting {
    /// In matrix order, as records keep it.
    pub fn axes(&self) -> IndexMap<String, Value> {
        [
            ("batch", self.batch),
            ("prompt_tokens", self.prompt_tokens),
            ("new_tokens", self.new_tokens),
            ("threads", self.threads),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
    }

    /// Short name in ids of steps and names of files: `b1-p128-n32-t2`.
    pub fn id(&self) -> String {
        let Self { batch, prompt_tokens, new_tokens, threads } = self;
        format!("b{batch}-p{prompt_tokens}-n{new_tokens}-t{threads}")
    }

    pub fn request(&self) -> Request {
        Request {
            batch: self.batch as usize,
            prompt_tokens: self.prompt_tokens as usize,
            new_tokens: self.new_tokens as usize,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, prompt_tokens, new_tokens, threads } = self;
        let s = if *threads == 1 { "" } else { "s" };
        write!(f, "batch {batch}, {prompt_tokens}+{new_tokens} tokens, {threads} thread{s}")
    }
}
