//! What is timed, and what one launch may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::design::Design;
use super::guard::Guard;
use super::matrix::Matrix;
use super::op_profile::OpProfile;
use super::soak::Soak;
use crate::base::{Bytes, Nanos};
use crate::spec::scenarios::Scenario;

/// What is timed, under which settings, and when it is enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bench {
    /// Data set the prompts or inputs come from: real text, fresh for every request, cut to the cell's length; or recorded inputs, drawn at random. Seeded synthetic ones when left out.
    #[serde(default)]
    pub data: Option<String>,
    #[serde(default)]
    pub matrix: Matrix,
    /// In which order and at what pace requests are made; each scenario is measured under every setting of the matrix. One request after the other when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 5))]
    pub scenarios: Vec<Scenario>,
    /// What is reported. Everything the task has when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<MetricName>", length(min = 1))]
    pub measure: Option<Vec<MetricName>>,
    #[serde(default)]
    pub design: Design,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub guard: Guard,
    /// Shows where the time goes: time by operator and by layer, against what the machine can do, from launches of their own after everything is timed. Left out: no profile.
    #[serde(default)]
    pub profile: Option<OpProfile>,
    /// Keeps every variant at work for a while after everything is timed, and looks for memory that keeps growing and for throughput that falls. Left out: no soak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Soak")]
    pub soak: Option<Soak>,
}

/// A performance metric. Definitions stand in every report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricName {
    Load,
    FirstCall,
    Ttft,
    Itl,
    PrefillTps,
    DecodeTps,
    E2e,
    Latency,
    Throughput,
    Tpot,
    OutputTps,
    Decode,
    Preprocess,
    PeakMemory,
    SteadyMemory,
    Energy,
    EnergyPerToken,
    ModelSize,
}

/// What one launch may use before it is ended and shown as a failed row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Wall time of one launch.
    pub time: Nanos,
    /// Memory of one launch; nine tenths of what the machine has when left out.
    pub memory: Option<Bytes>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Nanos::seconds(600), memory: None }
    }
}
