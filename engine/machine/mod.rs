//! The machine: what it is, what a process used, what else could disturb a measurement.
//!
//! Reads, never changes, settings. A reading that cannot be had is `None` with the reason kept
//! where a reader will look for it.

mod cpu;
mod fingerprint;
mod gpu;
mod roofline;
mod usage;

pub use cpu::Cpu;
pub use fingerprint::Fingerprint;
pub use gpu::{Gpu, gpus};
pub use roofline::{PeakRates, Unmeasured};
pub use usage::{cpu_time, kernel_kills, peak_memory, reset_peak_memory, total_memory};
