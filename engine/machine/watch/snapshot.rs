//! Counters of the machine at one instant.

use serde::{Deserialize, Serialize};

use super::gpu::GpuSample;
use super::processes::Process;

/// Counters at one instant. All but `frequency` and what is said of GPUs only ever grow, so that a
/// window is the difference of two. What cannot be read is absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshot {
    /// Nanoseconds on a monotonic clock of the reader.
    pub at: u64,
    /// Seconds for which the processors this process may use did something for anybody, summed
    /// over them. The kernel counts them in ticks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy: Option<f64>,
    /// Seconds for which they were ready to run and the hypervisor ran somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steal: Option<f64>,
    /// Processor seconds of this process and of the children it has waited for, theirs included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<f64>,
    /// Seconds for which some task of the machine waited for a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<f64>,
    /// Periods in which the control group, or one around it, had used up its quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u64>,
    /// Pages read back from swap, by anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swapped_in: Option<u64>,
    /// Page faults of waited-for children that had to read from a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<u64>,
    /// Times that waited-for children were taken off a processor while they wanted to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switches: Option<u64>,
    /// Clock of the fastest processor this process may use, now, in hertz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency: Option<f64>,
    /// Times that these processors were slowed down because they were hot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thermal: Option<u64>,
    /// Processes that are not ours; `None` where nobody looked at this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<Process>>,
    /// One per GPU that is watched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuSample>,
}
