//! The settings that all variants are measured under.

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::spec::batch::Batch;

/// Every combination of these values is one setting that all variants are measured under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Matrix {
    /// Parts of a model of several, such as `image` and `text` of CLIP, each measured by itself; all of them when left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1, max = 64)))]
    pub part: Vec<String>,
    /// Sequences or other items side by side: a list of sizes, or `{search: {p99_latency: 50ms}}` for the largest one that keeps a bound on its latency.
    pub batch: Batch,
    /// Length of the prompt in tokens; `[128]` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<u32>", length(min = 1), inner(range(min = 1, max = 1_048_576)))]
    pub prompt_tokens: Option<Vec<u32>>,
    /// Tokens generated per request, end-of-text is ignored so that the work is equal; `[32]` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<u32>", length(min = 1), inner(range(min = 1, max = 1_048_576)))]
    pub new_tokens: Option<Vec<u32>>,
    /// Sizes of a graph's free dimensions by name, such as `{height: [224, 320]}`. Recorded inputs have their own.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 1_048_576}}))]
    pub dims: IndexMap<String, Vec<u32>>,
    /// Threads the backend may use.
    #[schemars(length(min = 1))]
    pub threads: Vec<Threads>,
}

impl Default for Matrix {
    fn default() -> Self {
        Self {
            part: Vec::new(),
            batch: Batch::default(),
            prompt_tokens: None,
            new_tokens: None,
            dims: IndexMap::new(),
            threads: vec![Threads::Physical],
        }
    }
}

/// A number of threads, or a property of the machine that gives one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One per physical core that the process may use.
    Physical,
    /// One per logical core that the process may use.
    Logical,
    Count(u32),
}

impl Serialize for Threads {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Physical => s.serialize_str("physical"),
            Self::Logical => s.serialize_str("logical"),
            Self::Count(n) => s.serialize_u32(*n),
        }
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(d)?;
        match (value.as_str(), value.as_u64()) {
            (Some("physical"), _) => Ok(Self::Physical),
            (Some("logical"), _) => Ok(Self::Logical),
            (_, Some(n @ 1..=4096)) => Ok(Self::Count(n as u32)),
            _ => Err(serde::de::Error::custom("expected `physical`, `logical` or a number from 1")),
        }
    }
}

impl JsonSchema for Threads {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Threads".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "`physical`, `logical` or a number from 1",
            "description": "A number of threads, or `physical` or `logical` for one per core that the process may use.",
            "type": ["string", "integer"],
            "pattern": "^(physical|logical)$",
            "minimum": 1,
            "maximum": 4096,
        })
    }
}
