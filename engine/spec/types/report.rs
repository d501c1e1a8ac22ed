//! What is written, and named sets of changes.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is written beside the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Report {
    /// Written beside `record.json`, which is always written.
    #[schemars(length(min = 1))]
    pub formats: Vec<Format>,
    /// Heads the report; the spec's name when left out.
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            formats: vec![Format::Markdown, Format::Html, Format::Json, Format::Csv],
            title: None,
        }
    }
}

/// A form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Markdown,
    Html,
    Json,
    Csv,
}

/// Changes to this spec under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// New values by dotted path, such as `bench.design.blocks.max: 10`.
    #[serde(default)]
    pub set: IndexMap<String, Value>,
    /// `off` leaves the gates out.
    #[serde(default)]
    pub gates: GateSwitch,
}

/// Whether the gates are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateSwitch {
    #[default]
    On,
    Off,
}
