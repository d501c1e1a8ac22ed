//! Conditions on the bounds of intervals.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scenario::ScenarioName;
use crate::base::Percent;

/// A condition on the bound of an interval, never on its point. Exactly one of `ratio`, `loss` and `value`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Shown in the report.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    pub on: GateTarget,
    /// The metric that is judged.
    pub metric: GateMetric,
    /// A stored run to compare with instead of this run's baseline: a result folder or `record.json`, or a pattern with `*` for the newest run that fits. Undecided where the runs were made on different machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 4096))]
    pub against: Option<String>,
    /// With `against`: how the variant's ratio to the baseline of its own run has changed, which the state of the machine moves less than the value itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paired: bool,
    /// Bounds on variant divided by baseline; with `against` on the variant now divided by what it was then.
    #[serde(default)]
    pub ratio: Option<NumberBounds>,
    /// Largest movement in the metric's own bad direction, relative to the baseline (or the reference, for quality; or that run, with `against`). Of `top1`, `top5` and recalls, percentage points lost against the reference.
    #[serde(default)]
    pub loss: Option<LossBound>,
    /// Bounds on the variant's own value, in the metric's unit: seconds, tokens or items per second, bytes.
    #[serde(default)]
    pub value: Option<NumberBounds>,
}

/// Which cells a gate looks at. With several, all must pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateTarget {
    /// The variant that is judged.
    pub variant: String,
    /// Only cells of this part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Only cells with this batch.
    #[serde(default)]
    pub batch: Option<u32>,
    /// Only cells with this prompt length.
    #[serde(default)]
    pub prompt_tokens: Option<u32>,
    /// Only cells that generate this many tokens.
    #[serde(default)]
    pub new_tokens: Option<u32>,
    /// Only cells of this scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<ScenarioName>,
    /// Only cells of `server` with this rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Only cells of `concurrency` with this many users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<u32>,
    /// Only cells with these sizes of free dimensions.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub dims: IndexMap<String, u32>,
}

/// A metric of `bench.measure` or `quality.metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateMetric {
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
    Perplexity,
    Kl,
    #[serde(rename = "top1_agreement")]
    Top1Agreement,
    Cosine,
    CosineP01,
    Snr,
    MaxAbsError,
    MeanAbsError,
    Top1,
    Top5,
    Accuracy,
    #[serde(rename = "recall@1")]
    RecallAt1,
    #[serde(rename = "recall@5")]
    RecallAt5,
    #[serde(rename = "recall@10")]
    RecallAt10,
}

/// Bounds on a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct NumberBounds {
    /// The lower bound of the interval must reach this.
    #[serde(default)]
    pub min: Option<f64>,
    /// The upper bound of the interval must not exceed this.
    #[serde(default)]
    pub max: Option<f64>,
}

/// The largest loss that passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LossBound {
    /// Largest loss of the interval's bad bound. For shares of right answers, which are `top1`, `top5` and recalls, in percentage points: `2%` allows 88 % after 90 %.
    pub max: Percent,
}
