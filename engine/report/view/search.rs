//! The largest batch under a bound, as data.

use serde::Serialize;

use super::Reading;
use crate::measure::Estimate;
use crate::measure::search::{Answer, Bound};

/// What the search of one variant has found.
#[derive(Debug, Clone, Serialize)]
pub struct SearchSheet {
    pub variant: String,
    /// The other axes of the setting, such as `height 224, threads 2`.
    pub place: String,
    pub metric: String,
    pub bound: Bound,
    /// The largest batch that was to be tried.
    pub max: u32,
    /// The largest batch that keeps the bound; `None` where none was shown to.
    pub batch: Option<u32>,
    /// The search came to its end, and its answer was the same when it was tried again.
    pub settled: bool,
    /// The bounded quantile at that batch, over all of its requests.
    pub latency: Reading<Estimate>,
    /// Median of the requests at that batch, in items per second.
    pub throughput: Reading<Estimate>,
    /// What limits or completes the answer.
    pub remarks: Vec<String>,
    pub probes: Vec<ProbeRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ProbeRow {
    pub batch: u32,
    pub launches: usize,
    pub requests: usize,
    /// The bounded quantile; `None` without requests.
    pub latency: Option<f64>,
    /// Bounds that decide, at the level of a look, where there are enough requests.
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// Median in items per second.
    pub throughput: Option<f64>,
    pub answer: Answer,
    /// Why it failed, or was ended without an answer.
    pub detail: String,
}
