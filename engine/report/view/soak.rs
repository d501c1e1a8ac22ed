//! What a long run of one variant has shown.

use serde::Serialize;

use super::{QuantileSheet, Reading};
use crate::measure::Estimate;
use crate::measure::leak::Verdict as Leak;
use crate::measure::sustained::Verdict as Sustained;

#[derive(Debug, Clone, Serialize)]
pub struct SoakSheet {
    pub variant: String,
    /// The setting, such as `batch 1, prompt 128, new 32, threads 2`.
    pub place: String,
    /// Seconds from the first reading to the last.
    pub seconds: f64,
    pub requests: u64,
    /// What was watched, memory first.
    pub held: Vec<HeldRow>,
    /// Throughput of the last third ÷ that of the first after the warm-up.
    pub ratio: Reading<Estimate>,
    #[serde(serialize_with = "lower_case")]
    pub sustained: Option<Sustained>,
    /// Seconds at which the rate changed.
    pub changes: Vec<f64>,
    /// How answers came, where requests arrived on a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<SoakLoad>,
    /// Why it was not tried.
    pub skipped: Option<String>,
    /// How it died, or why it was ended early.
    pub trouble: Option<String>,
    /// The worst that the machine did meanwhile beyond a threshold of the guard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<String>,
    /// For drawings; the readings themselves stay in the record.
    #[serde(skip)]
    pub curves: SoakCurves,
}

/// What a long run did over time, in seconds from its beginning.
#[derive(Debug, Clone, Default)]
pub struct SoakCurves {
    /// Bytes of resident memory.
    pub resident: Vec<(f64, f64)>,
    /// The smallest of each window that the growth is computed from.
    pub envelope: Vec<(f64, f64)>,
    /// The growth that was found, from the first window to the last.
    pub line: Option<[(f64, f64); 2]>,
    /// Requests per second of the time that requests took.
    pub rates: Vec<(f64, f64)>,
    /// The same over batches, from the beginning of each.
    pub levels: Vec<(f64, f64)>,
    /// Median and largest latency, where requests arrived on a schedule.
    pub latencies: Vec<(f64, f64, f64)>,
}

/// A long run on a schedule, whatever the server does.
#[derive(Debug, Clone, Serialize)]
pub struct SoakLoad {
    /// Requests per second.
    pub rate: f64,
    /// The largest rate that was found to keep its bounds, where the run is held to a share of it.
    pub largest: Option<f64>,
    pub planned: u32,
    /// Of the latencies of all requests, from their scheduled instants.
    pub latency: Vec<QuantileSheet>,
    /// Median seconds in the first and in the last third after the first tenth of the time.
    pub thirds: Option<(f64, f64)>,
    /// The bound on latency in seconds that the rate was found under, and the share of requests
    /// that took longer.
    pub over: Option<(f64, f64)>,
    /// p99 of the seconds by which requests were queued later than scheduled, and what is allowed.
    pub dispatch: Option<(f64, f64)>,
}

/// One thing a process holds, over time.
#[derive(Debug, Clone, Serialize)]
pub struct HeldRow {
    /// `resident memory`, `proportional memory` or `descriptors`.
    pub what: &'static str,
    pub is_memory: bool,
    #[serde(serialize_with = "lower_case")]
    pub verdict: Option<Leak>,
    /// At the beginning, after the warm-up.
    pub baseline: Option<f64>,
    /// Per day.
    pub growth: Reading<Estimate>,
    /// Growth per day from which on it is a leak.
    pub limit: Option<f64>,
}

// serde hands over a reference to the field.
#[allow(clippy::ref_option)]
fn lower_case<T: std::fmt::Debug, S: serde::Serializer>(
    value: &Option<T>,
    s: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => s.serialize_str(&format!("{value:?}").to_lowercase()),
        None => s.serialize_none(),
    }
}
