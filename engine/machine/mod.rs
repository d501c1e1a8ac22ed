//! The machine: what it is, what a process used, what else could disturb a measurement.
//!
//! Reads, never changes, settings. A reading that cannot be had is `None` with the reason kept
//! where a reader will look for it.

mod advice;
mod cpu;
#[cfg(feature = "cuda")]
mod device_time;
mod energy;
mod fingerprint;
mod gpu;
mod gpu_watch;
mod holdings;
mod roofline;
mod settings;
mod usage;
pub mod watch;

pub use advice::{Advice, Situation, advice};
pub use cpu::Cpu;
#[cfg(feature = "cuda")]
pub use device_time::{DeviceTimeError, DeviceTimer};
pub use energy::{EnergyCounters, EnergyReading, Reader};
pub use fingerprint::Fingerprint;
pub use gpu::{Gpu, gpus};
pub use gpu_watch::Driver;
pub use holdings::{Holdings, holdings};
pub use roofline::{PeakRates, Unmeasured};
pub use settings::Settings;
pub use usage::{
    ResidentKinds, cpu_time, kernel_kills, peak_memory, reset_peak_memory, resident_kinds,
    resident_memory, thread_time, total_memory,
};
