//! What a long run of one variant has shown.

use serde::Serialize;

use super::Reading;
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
    /// Why there is nothing, or how it died.
    pub trouble: Option<String>,
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
