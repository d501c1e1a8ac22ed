//! Post-conditions on an artifact.

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::base::Percent;

/// Post-conditions on an artifact. Each one that does not hold fails the variant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Size on disk, relative to another variant.
    #[serde(default)]
    pub size_vs: Option<SizeVs>,
    /// Share of weight elements stored in fewer than 16 bits.
    #[serde(default)]
    pub quantized_weights: Option<ShareBounds>,
    /// Number of tensors by storage type, such as `{q8_0: {min: 40}}`.
    #[serde(default)]
    pub tensors: IndexMap<String, CountBounds>,
    /// Number of nodes of a graph by operator, such as `{GroupQueryAttention: {equals: layers}}`. Operators beyond the standard set may be named with their set or without: `com.microsoft.GroupQueryAttention`.
    #[serde(default)]
    pub ops: IndexMap<String, NodeBounds>,
    /// Number of Cast nodes of a graph: each turns numbers from one type into another while the graph runs.
    #[serde(default)]
    pub casts: Option<CountBounds>,
    /// Version of a graph's standard operator set.
    #[serde(default)]
    pub opset: Option<CountBounds>,
    /// Whether nodes may run on another provider than the one that was asked for. On a GPU the answer is `none` unless it is given.
    #[serde(default)]
    pub provider_fallback: Option<ProviderFallback>,
}

/// Whether nodes may run on another provider than the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderFallback {
    /// None may: a single such node fails the variant.
    None,
    Allow,
}

/// Bounds on a number of nodes: numbers, or `layers` for the model's number of layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct NodeBounds {
    /// Smallest number that passes.
    #[serde(default)]
    pub min: Option<NodeCount>,
    /// Largest number that passes.
    #[serde(default)]
    pub max: Option<NodeCount>,
    /// The only number that passes.
    #[serde(default)]
    pub equals: Option<NodeCount>,
}

/// A number of nodes, or the model's number of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeCount {
    Layers,
    Count(u64),
}

impl Serialize for NodeCount {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Layers => s.serialize_str("layers"),
            Self::Count(n) => s.serialize_u64(*n),
        }
    }
}

impl<'de> Deserialize<'de> for NodeCount {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(d)?;
        match (value.as_str(), value.as_u64()) {
            (Some("layers"), _) => Ok(Self::Layers),
            (_, Some(n)) => Ok(Self::Count(n)),
            _ => Err(serde::de::Error::custom("expected `layers` or a number")),
        }
    }
}

impl JsonSchema for NodeCount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NodeCount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "`layers` or a number from 0",
            "description": "A number of nodes, or `layers` for the model's number of layers.",
            "type": ["string", "integer"],
            "pattern": "^(layers)$",
            "minimum": 0,
            "maximum": 1_000_000_000,
        })
    }
}

/// Size on disk, relative to another variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SizeVs {
    /// The variant compared with.
    pub variant: String,
    /// Largest allowed share of that variant's size.
    pub max: Percent,
}

/// Bounds on a share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct ShareBounds {
    /// Smallest share that passes.
    #[serde(default)]
    pub min: Option<Percent>,
    /// Largest share that passes.
    #[serde(default)]
    pub max: Option<Percent>,
}

/// Bounds on a count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct CountBounds {
    /// Smallest count that passes.
    #[serde(default)]
    pub min: Option<u64>,
    /// Largest count that passes.
    #[serde(default)]
    pub max: Option<u64>,
    /// The only count that passes.
    #[serde(default)]
    pub equals: Option<u64>,
}
