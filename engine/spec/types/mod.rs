//! The spec language as Rust types: one source for parsing, JSON schema and editor completion.
//!
//! Doc comments here are what a user reads in the editor. Stages and quality metrics are one-key
//! maps whose parameters belong to other rooms: the catalogue fills `$defs/Stage` and
//! `$defs/QualityMetric` of the schema in, closed and described.

mod bench;
mod compare;
mod cost;
mod design;
mod expect;
mod gate;
mod guard;
mod matrix;
mod model;
mod op_profile;
mod quality;
mod report;
mod scenario;
mod soak;
mod variant;
mod warmup;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bench::*;
pub use compare::*;
pub use cost::*;
pub use design::*;
pub use expect::*;
pub use gate::*;
pub use guard::*;
pub use matrix::*;
pub use model::*;
pub use op_profile::*;
pub use quality::*;
pub use report::*;
pub use scenario::*;
pub use soak::*;
pub use variant::*;
pub use warmup::*;

/// One question about one model: what to load, how to optimize it, what to measure, and how to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "engine spec, version 1")]
pub struct Spec {
    /// Version of the spec language.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Names the results folder: lowercase letters, digits, `_` and `-`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,63}$"), extend("title" = "a name of up to 64 lowercase letters, digits, `_` and `-` that starts with a letter"))]
    pub name: String,
    /// The question this spec answers. It heads the report.
    #[schemars(length(min = 1, max = 1000))]
    pub why: String,
    pub model: Model,
    #[serde(default)]
    pub runtime: Runtime,
    /// Data sets by name. Stages, metrics and the benchmark refer to them by that name.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 1000, "propertyNames" = {"title": "a name of up to 64 letters, digits, `_` and `-` that starts with a letter", "pattern": r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"}))]
    pub data: IndexMap<String, Data>,
    /// What is compared, by name and in the order reports show it. The baseline is a variant like any other.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1000, "propertyNames" = {"title": "a name of up to 64 letters, digits, `_` and `-` that starts with a letter", "pattern": r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"}))]
    pub variants: IndexMap<String, Variant>,
    /// Judges every variant on held-out data, on the same artifact that is timed.
    #[serde(default)]
    pub quality: Option<Quality>,
    /// The benchmark matrix. Without it nothing is timed.
    #[serde(default)]
    pub bench: Option<Bench>,
    #[serde(default)]
    pub compare: Compare,
    /// Conditions on the bounds of intervals. A failed gate ends `engine run` with exit code 4, an undecided one with 5.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// What the machine costs: the report tells throughputs as prices too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Cost")]
    pub cost: Option<Cost>,
    #[serde(default)]
    pub report: Report,
    /// Named sets of changes: `engine run SPEC --profile NAME`.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 32, "propertyNames" = {"title": "a name of up to 64 letters, digits, `_` and `-` that starts with a letter", "pattern": r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"}))]
    pub profiles: IndexMap<String, Profile>,
}
