//! In which order and at what pace requests are made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Nanos;

/// Whose samples come together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleLoad {
    /// Samples of one query of `multi_stream`, or all samples of `offline`. A request has as many of them as its batch.
    #[schemars(range(min = 1, max = 100_000))]
    pub samples: u32,
}

/// Users in a closed loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserLoad {
    /// Numbers of users, each a setting of its own. Each user asks again as soon as the answer is there; they stand in one queue before one session.
    #[schemars(length(min = 1), inner(range(min = 1, max = 1000)))]
    pub users: Vec<u32>,
}

/// Requests that arrive on a schedule, whatever the server does. One session answers them, first come, first served; latency counts from the scheduled instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerLoad {
    /// Requests per second, each rate a setting of its own. Either these or `search`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 0.001, max = 100_000.0)))]
    pub rate: Vec<f64>,
    /// Finds the largest rate that keeps these bounds, for every variant by itself, from few probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Objective>,
    /// Requests of one launch that count; a tenth as many come before them and do not. 100 when left out; of a search, as many as its bounds need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 20, max = 100_000))]
    pub requests: Option<u32>,
    /// How gaps between arrivals are distributed around their mean; they are seeded, and the same for every variant and rate.
    #[serde(default)]
    pub arrivals: ArrivalLaw,
    /// Shape of `arrivals: gamma`: 1 is Poisson, less comes in bursts, more is smoother. The variance of gaps is 1 / shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 100.0))]
    pub shape: Option<f64>,
    /// Bounds that each request is held to: the report says whether they are kept, and how many requests per second keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Objective>,
}

/// Bounds on times of requests. With several, so many of 100 requests must keep all of them at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Objective {
    /// 99 of 100 requests must be answered within this time of their scheduled instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_latency: Option<Nanos>,
    /// 99 of 100 requests must have their first token within this time of their scheduled instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ttft: Option<Nanos>,
    /// 99 of 100 requests must not take longer than this per token after the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_tpot: Option<Nanos>,
    /// 90 of 100 requests must be answered within this time of their scheduled instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90_latency: Option<Nanos>,
    /// 90 of 100 requests must have their first token within this time of their scheduled instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90_ttft: Option<Nanos>,
    /// 90 of 100 requests must not take longer than this per token after the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90_tpot: Option<Nanos>,
    /// Half of the requests must be answered within this time of their scheduled instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_latency: Option<Nanos>,
}

/// A law of gaps between arrivals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArrivalLaw {
    /// Exponential gaps: whoever asks knows nothing of the others.
    #[default]
    Poisson,
    /// Equal gaps.
    Constant,
    /// Gamma gaps of the given `shape`.
    Gamma,
}

/// Requests of a launch where nobody says how many.
pub const USUAL_REQUESTS: u32 = 100;

/// A scenario by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScenarioName {
    SingleStream,
    MultiStream,
    Offline,
    Concurrency,
    Server,
}
