//! What happens under load, as data.

use serde::Serialize;

use super::{QuantileSheet, Reading};
use crate::measure::Estimate;
use crate::measure::search::Answer;
use crate::measure::slo::Slo;

/// One variant under one load.
#[derive(Debug, Clone, Serialize)]
pub struct LoadSheet {
    pub variant: String,
    pub setting: usize,
    pub scenario: String,
    /// Launches that gave numbers, of those made in blocks that count.
    pub measured: usize,
    pub launches: usize,
    /// Requests that count.
    pub requests: usize,
    /// From the scheduled instant; launches are the units.
    pub latency: Vec<QuantileSheet>,
    /// Median seconds in the queue, and with the backend.
    pub wait: Reading<Estimate>,
    pub service: Reading<Estimate>,
    /// The largest p99 of the delay of whoever sends; of schedules only.
    pub dispatch: Option<f64>,
    /// Items per second.
    pub throughput: Reading<Estimate>,
    /// Tokens per second of all requests; `None` where there are no tokens.
    pub output: Option<Reading<Estimate>>,
    /// Mean seconds between tokens, launches as clusters; `None` where there are no tokens.
    pub itl: Option<Reading<Estimate>>,
    pub objective: Option<ObjectiveSheet>,
    /// Why launches gave no number, and what stands beside the times of tokens.
    pub remarks: Vec<String>,
}

/// What requests were held to, and whether they kept it.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectiveSheet {
    pub slo: Slo,
    pub answer: Answer,
    /// Share of requests over a bound.
    pub over: f64,
    /// Items per second whose requests keep all bounds.
    pub goodput: Reading<Estimate>,
}

/// The largest rate of one variant.
#[derive(Debug, Clone, Serialize)]
pub struct RateSheet {
    pub variant: String,
    /// The setting, such as `batch 1, height 224, threads 2`.
    pub place: String,
    pub slo: Slo,
    /// Requests of one launch that count.
    pub requests: u32,
    /// The largest rate that keeps the bounds, and the smallest that was shown to break them.
    pub pass: Option<f64>,
    pub fail: Option<f64>,
    /// The search came to its end, and its answer was the same when it was tried again.
    pub settled: bool,
    pub remarks: Vec<String>,
    pub unsearched: Option<String>,
    pub probes: Vec<RateRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct RateRow {
    pub rate: f64,
    pub launches: usize,
    pub requests: usize,
    /// Share of requests over a bound; `None` without requests.
    pub over: Option<f64>,
    pub answer: Answer,
    /// Why it failed, or was ended without an answer.
    pub detail: String,
}

/// Prefill without what a request costs whatever its length.
#[derive(Debug, Clone, Serialize)]
pub struct PrefillSheet {
    pub variant: String,
    /// The other axes of the settings.
    pub place: String,
    pub lengths: Vec<u64>,
    /// Prompt tokens per second from the slope over the lengths; unmeasured where the slope is not
    /// above 0.
    pub rate: Reading<Estimate>,
}
