//! Where the time of a variant goes under one setting, from a launch of its own.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::Digest;
use crate::machine::PeakRates;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub variant: String,
    pub backend: String,
    /// The setting, in matrix order, as cells have it.
    pub axes: IndexMap<String, Value>,
    /// What was profiled: the same artifact that was timed.
    pub artifact: Option<Digest>,
    /// Why nothing is known, if so.
    pub unprofiled: Option<String>,
    /// `prefill` and `decode`, or `run`.
    pub phases: Vec<Phase>,
    /// Highest resident memory of the profiled process in bytes; the profile itself is part of it.
    pub peak_memory: Option<u64>,
    /// What the machine can do at most with as many threads.
    pub peaks: Option<PeakRates>,
    /// Why there are no peak rates, if they were asked for.
    pub unmeasured_peaks: Option<String>,
    /// Name of the Chrome trace beside the report.
    pub trace: Option<String>,
}

/// All calls of one kind after the warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    pub name: String,
    /// Wall nanoseconds of each call by the engine's clock, from handing it over to having its
    /// result, without a profiler.
    pub latencies: Vec<u64>,
    /// The same with the profiler that the groups come from.
    pub watched: Vec<u64>,
    /// Processor time of the process during the calls without a profiler, in nanoseconds.
    pub cpu_time: Option<u64>,
    /// By operator and layer, in order of time.
    pub groups: Vec<OpGroup>,
}

/// Events of one operator in one layer, summed over the watched calls of a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpGroup {
    pub operator: String,
    pub layer: Option<u32>,
    pub provider: Option<String>,
    /// `int8`, `bf16` or `f32`; `None` where the work is not known.
    pub arithmetic: Option<String>,
    pub events: u64,
    /// Nanoseconds without what ran inside as events of their own.
    pub nanos: u64,
    /// Multiplications and additions, each counted as one.
    pub operations: Option<u64>,
    /// Bytes of operands and results, each once per event.
    pub bytes: Option<u64>,
    /// Stored weights multiplied with, once per event; `None` where there are none.
    pub weights: Option<u64>,
    /// Names of the operators that took most of the time, heaviest first, eight at most.
    pub nodes: Vec<String>,
}
