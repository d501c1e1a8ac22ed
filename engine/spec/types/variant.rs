//! One way to run the model, and the stages that lead to it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::expect::Expect;
use crate::spec::device::{Device, TensorRt};

/// One way to run the model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Start from another variant's artifact. Shared stages are built once.
    #[serde(default)]
    pub from: Option<String>,
    /// What runs the artifact. When left out, what opens the artifact that the stages leave: `onnxruntime` for a graph, else `candle`.
    #[serde(default)]
    pub backend: Option<Backend>,
    /// What computes: `cpu`, or `cuda:0` for an NVIDIA GPU, which backend `onnxruntime` can use. Where it cannot be used, the variant is skipped with the reason.
    #[serde(default)]
    pub device: Device,
    /// Run through the TensorRT provider; needs a GPU as `device`.
    #[serde(default)]
    pub tensorrt: Option<TensorRt>,
    /// Optimizations in order. Each is a map with one key.
    #[serde(default)]
    pub stages: Vec<Stage>,
    /// Post-conditions on the artifact, checked before any time is spent on measuring.
    #[serde(default)]
    pub expect: Option<Expect>,
}

/// What runs an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    Candle,
    Onnxruntime,
}

/// A map with exactly one key: what is done, and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct OneKey {
    pub id: String,
    /// An object; the schema has closed it before anyone reads it.
    pub params: Value,
}

impl Serialize for OneKey {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = Map::new();
        map.insert(self.id.clone(), self.params.clone());
        map.serialize(s)
    }
}

impl<'de> Deserialize<'de> for OneKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(d)?;
        let mut entries = map.into_iter();
        match (entries.next(), entries.next()) {
            (Some((id, params)), None) => Ok(Self { id, params }),
            _ => Err(serde::de::Error::custom("expected a map with exactly one key")),
        }
    }
}

macro_rules! one_key_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub OneKey);

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            /// An open placeholder; the catalogue replaces it by the closed composition.
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "object", "minProperties": 1, "maxProperties": 1})
            }
        }
    };
}

one_key_type!(
    /// One optimization: `{pass: {parameters}}`.
    Stage
);
one_key_type!(
    /// One quality metric: `{metric: {parameters}}`.
    QualityMetric
);
