//! `bench`: all variants under one setting of the matrix.

use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::text::inert;
use crate::measure::slo::Slo;
use crate::record::dimension_axis;
use crate::scenario::{Load, Request, StreamRules};
use crate::task::TensorInputs;

#[derive(Debug, Clone, PartialEq)]
pub struct Bench {
    pub setting: Setting,
    pub variants: Vec<String>,
    /// Name of the data set the prompts or inputs come from.
    pub data: Option<String>,
    /// Of a graph: what its requests are.
    pub inputs: Option<TensorInputs>,
    pub rules: StreamRules,
    /// What requests are held to, where the scenario says so.
    pub slo: Option<Slo>,
}

/// One combination of the matrix's values, resolved for this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Of a model of several parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    pub batch: u32,
    pub work: Work,
    pub threads: u32,
    /// The scenario with its parameters.
    #[serde(default, skip_serializing_if = "Load::is_single_stream")]
    pub load: Load,
}

/// The axes that depend on the task.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Work {
    Tokens {
        prompt_tokens: u32,
        new_tokens: u32,
    },
    /// One run of a graph with these sizes of its free dimensions by name.
    Run {
        dims: Vec<(String, u32)>,
    },
}

impl Setting {
    /// A setting of text generation.
    pub fn tokens(batch: u32, prompt_tokens: u32, new_tokens: u32, threads: u32) -> Self {
        let work = Work::Tokens { prompt_tokens, new_tokens };
        Self { part: None, batch, work, threads, load: Load::SingleStream }
    }

    /// In matrix order, as records keep it.
    pub fn axes(&self) -> IndexMap<String, Value> {
        let part = self.part.iter().map(|part| ("part".to_owned(), json!(part)));
        let mut axes = vec![("batch".to_owned(), self.batch)];
        match &self.work {
            Work::Tokens { prompt_tokens, new_tokens } => axes.extend([
                ("prompt_tokens".to_owned(), *prompt_tokens),
                ("new_tokens".to_owned(), *new_tokens),
            ]),
            Work::Run { dims } => {
                axes.extend(dims.iter().map(|(name, size)| (dimension_axis(name), *size)));
            }
        }
        axes.push(("threads".to_owned(), self.threads));
        let axes = axes.into_iter().map(|(name, value)| (name, json!(value)));
        let load = self.load.axis().map(|(name, value)| (name.to_owned(), value));
        part.chain(axes).chain(load).collect()
    }

    /// The work of one request; `None` where requests are not about tokens.
    pub fn request(&self) -> Option<Request> {
        match self.work {
            Work::Tokens { prompt_tokens, new_tokens } => Some(Request {
                batch: self.batch as usize,
                prompt_tokens: prompt_tokens as usize,
                new_tokens: new_tokens as usize,
            }),
            Work::Run { .. } => None,
        }
    }

    /// Short name in ids of steps and names of files: `b1-p128-n32-t2`, `b8-height224-t2`.
    pub fn id(&self) -> String {
        self.named(&format!("b{}-", self.batch))
    }

    /// The same without the batch, where that is searched for: `height224-t2`.
    pub fn id_beside_batch(&self) -> String {
        self.named("")
    }

    fn named(&self, batch: &str) -> String {
        let load = match self.load {
            Load::SingleStream => String::new(),
            Load::MultiStream { samples } => format!("-multi{samples}"),
            Load::Offline { samples } => format!("-offline{samples}"),
            Load::Concurrency { users } => format!("-users{users}"),
            Load::Server { rate, .. } => format!("-rate{rate}"),
        };
        let threads = format!("{}{load}", self.threads);
        match &self.work {
            Work::Tokens { prompt_tokens, new_tokens } => {
                format!("{batch}p{prompt_tokens}-n{new_tokens}-t{threads}")
            }
            Work::Run { dims } => {
                // Names come from strangers and end up in file names.
                let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
                let short = |name: &str| name.chars().take(24).map(plain).collect::<String>();
                let named = |(name, size): &(String, u32)| format!("{}{size}-", short(name));
                let dims = dims.iter().map(named).collect::<Vec<_>>().concat();
                let part = self.part.as_ref().map_or_else(String::new, |part| format!("{part}-"));
                format!("{part}{batch}{dims}t{threads}")
            }
        }
    }

    /// In words, without the batch.
    pub fn beside_batch(&self) -> String {
        self.told("")
    }

    fn told(&self, batch: &str) -> String {
        let part = self.part.as_ref().map_or_else(String::new, |part| format!("{part}, "));
        let work = match &self.work {
            Work::Tokens { prompt_tokens, new_tokens } => {
                format!("{prompt_tokens}+{new_tokens} tokens, ")
            }
            Work::Run { dims } => {
                let told = |(name, size): &(String, u32)| format!("{} {size}, ", inert(name));
                dims.iter().map(told).collect::<Vec<_>>().concat()
            }
        };
        let s = if self.threads == 1 { "" } else { "s" };
        let load = match self.load {
            Load::SingleStream => String::new(),
            Load::MultiStream { samples } => format!(", queries of {samples} samples"),
            Load::Offline { samples } => format!(", {samples} samples at once"),
            Load::Concurrency { users: 1 } => ", 1 user".to_owned(),
            Load::Concurrency { users } => format!(", {users} users"),
            Load::Server { rate, .. } => format!(", {rate} requests per second"),
        };
        format!("{part}{batch}{work}{} thread{s}{load}", self.threads)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(&format!("batch {}, ", self.batch)))
    }
}
