//! Where the time goes, as data.

use serde::Serialize;

use super::Reading;
use crate::machine::PeakRates;

/// The profile of one variant under one setting.
#[derive(Debug, Clone, Serialize)]
pub struct ProfileSheet {
    pub variant: String,
    pub backend: String,
    /// Index into `settings`; `None` where the run has no cell of that setting.
    pub setting: Option<usize>,
    pub unprofiled: Option<String>,
    /// The digest differs from that of the timed artifact.
    pub other_artifact: bool,
    pub peak_memory: Option<u64>,
    pub peaks: Reading<PeakRates>,
    /// Name of the Chrome trace beside the report.
    pub trace: Option<String>,
    pub phases: Vec<PhaseSheet>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PhaseSheet {
    pub name: String,
    /// Calls that were watched.
    pub calls: usize,
    /// Mean wall seconds of a watched call by the engine's clock.
    pub watched: f64,
    /// The same without a profiler.
    pub latency: f64,
    /// Mean seconds of a call inside operators.
    pub in_operators: f64,
    /// Share of a watched call outside operators; below 0 where they ran side by side.
    pub residual: f64,
    /// Processor time by wall time and threads; waiting threads that spin count as busy.
    pub utilisation: Option<f64>,
    /// In order of time.
    pub operators: Vec<LoadRow>,
    /// In order of the layers, what belongs to none last.
    pub layers: Vec<LoadRow>,
    /// What dominates, what was left out.
    pub findings: Vec<String>,
    /// What to try next, in order of expected gain.
    pub advice: Vec<Advice>,
}

/// Something that takes time: an operator type, or a layer.
#[derive(Debug, Clone, Serialize)]
pub struct LoadRow {
    pub name: String,
    pub arithmetic: Option<String>,
    /// Per call.
    pub events: f64,
    /// Seconds per call.
    pub seconds: f64,
    /// Of a watched call.
    pub share: f64,
    /// Per call.
    pub operations: Option<f64>,
    /// Per call.
    pub bytes: Option<f64>,
    /// Stored weights multiplied with, per call.
    pub weights: Option<f64>,
    /// Operations by bytes.
    pub intensity: Option<f64>,
    pub limit: Reading<Limit>,
    /// The heaviest operators by name.
    pub nodes: Vec<String>,
}

/// How far something is from what the machine can do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limit {
    /// Seconds per call at peak: the larger of operations by rate and bytes by rate, part by part.
    pub attainable: f64,
    /// `attainable` by seconds: above 1 where caches are faster than memory.
    pub reached: f64,
    pub bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    Compute,
    Memory,
    Overhead,
}

impl Bound {
    pub fn label(self) -> &'static str {
        match self {
            Self::Compute => "compute-bound",
            Self::Memory => "memory-bound",
            Self::Overhead => "overhead-bound",
        }
    }
}

/// Something to try.
#[derive(Debug, Clone, Serialize)]
pub struct Advice {
    pub text: String,
    /// Share of a call that it could save at most.
    pub gain: f64,
}
