//! What a `config.json` describes: a decoder, or networks of a family.

use std::path::Path;

use indexmap::IndexMap;
use serde_json::Value;

use super::family::{ConfigFile, Description, Family, families, family};
use super::fields::Fields;
use super::{LlamaConfig, ModelError, Signature, llama_tensors};
use crate::model::onnx::TEXT_GENERATION;

#[derive(Debug, Clone, PartialEq)]
pub enum Configuration {
    Llama(LlamaConfig),
    Networks(Description),
}

/// Every value of `model_type` that can be loaded.
pub fn model_types() -> Vec<&'static str> {
    let networks = families().flat_map(Family::model_types).copied();
    super::ARCHITECTURES.iter().copied().chain(networks).collect()
}

impl Configuration {
    /// Reads a parsed `config.json`; `path` is only shown. `tensors` tells the names of the
    /// checkpoint's tensors, `beside` reads other JSON files of its folder.
    pub fn from_json(
        path: &Path,
        value: &Value,
        tensors: &dyn Fn(&str) -> bool,
        beside: &dyn Fn(&str) -> Result<Option<Value>, ModelError>,
    ) -> Result<Self, ModelError> {
        let kind = value.get("model_type").and_then(Value::as_str);
        match (kind.and_then(family), value.as_object()) {
            (Some(family), Some(map)) => {
                let fields = Fields { path, map };
                fields.refuse_quantized()?;
                family
                    .read(&ConfigFile { fields, tensors, beside })
                    .map(|all| Self::Networks(all.narrowed()))
            }
            _ => LlamaConfig::from_json(path, value).map(Self::Llama),
        }
    }

    /// Such as `llama` or `bert`.
    pub fn architecture(&self) -> &str {
        match self {
            Self::Llama(config) => config.architecture.model_type(),
            Self::Networks(networks) => networks.family,
        }
    }

    /// As specs write it.
    pub fn task(&self) -> &'static str {
        match self {
            Self::Llama(_) => TEXT_GENERATION,
            Self::Networks(networks) => networks.task,
        }
    }

    /// Every tensor that a checkpoint must hold, with its shape.
    pub fn tensors(&self) -> Vec<(String, Vec<u64>)> {
        match self {
            Self::Llama(config) => config.tensors(),
            Self::Networks(networks) => networks.tensors(),
        }
    }

    /// What is wrong with the tensors that were found.
    pub(crate) fn compare(&self, found: &IndexMap<String, Vec<u64>>) -> Vec<String> {
        match self {
            Self::Llama(config) => llama_tensors::compare(config, found),
            Self::Networks(networks) => networks.compare(found),
        }
    }

    /// Number of weights; a tied output projection counts once.
    pub fn parameters(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().product::<u64>()).sum()
    }

    /// Longest text in tokens; no longer than the sliding window of a decoder that has one.
    pub fn context(&self) -> Option<u64> {
        match self {
            Self::Llama(config) => Some(config.context() as u64),
            Self::Networks(networks) => networks.context.map(|context| context as u64),
        }
    }

    /// The sliding window of a decoder that bounds its context.
    pub fn sliding_window(&self) -> Option<u64> {
        match self {
            Self::Llama(config) => config.sliding_window.map(|window| window as u64),
            Self::Networks(_) => None,
        }
    }

    /// Numbers that a decoder's cache of keys and values holds for one token.
    pub fn cache_per_token(&self) -> Option<u64> {
        match self {
            Self::Llama(config) => Some(config.cache_per_token()),
            Self::Networks(_) => None,
        }
    }

    pub fn vocab(&self) -> Option<u64> {
        match self {
            Self::Llama(config) => Some(config.vocab_size as u64),
            Self::Networks(networks) => networks.vocab.map(|vocab| vocab as u64),
        }
    }

    /// Inputs and outputs, of all parts together.
    pub fn signature(&self) -> Signature {
        match self {
            Self::Llama(config) => Signature::text_generation(config.vocab_size as u64),
            Self::Networks(networks) => {
                let mut all = Signature { inputs: Vec::new(), outputs: Vec::new() };
                for part in networks.parts.values().map(super::network::Network::signature) {
                    all.inputs.extend(part.inputs);
                    all.outputs.extend(part.outputs);
                }
                all
            }
        }
    }

    /// The configuration of a model that continues texts.
    pub fn decoder(&self) -> Option<&LlamaConfig> {
        match self {
            Self::Llama(config) => Some(config),
            Self::Networks(_) => None,
        }
    }

    pub fn networks(&self) -> Option<&Description> {
        match self {
            Self::Llama(_) => None,
            Self::Networks(networks) => Some(networks),
        }
    }
}
