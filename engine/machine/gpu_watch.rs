//! Samples of GPUs while something runs on them, from NVIDIA's management library.
//!
//! It has been compiled, and has never met a GPU: what follows from samples is tested on
//! recordings that were made by hand (`watch/gpu.rs`).

use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;

use super::gpu::{open, silent};
use super::watch::{GpuSample, GpuSource, Slowdown, Tenant, family, name_of};

/// The driver as a source of samples.
pub struct Driver {
    library: Nvml,
    indices: Vec<u32>,
}

impl Driver {
    /// Watches the GPUs of these numbers, or says in words why it cannot.
    pub fn open(indices: &[u32]) -> Result<Self, String> {
        let library = open()?;
        for index in indices {
            library.device_by_index(*index).map_err(|error| silent(&error))?;
        }
        Ok(Self { library, indices: indices.to_vec() })
    }
}

impl GpuSource for Driver {
    fn sample(&mut self) -> Result<Vec<GpuSample>, String> {
        self.indices.iter().map(|&index| self.sample_one(index)).collect()
    }
}

impl Driver {
    fn sample_one(&self, index: u32) -> Result<GpuSample, String> {
        let device = self.library.device_by_index(index).map_err(|error| silent(&error))?;
        let compute = device.running_compute_processes().ok();
        let graphics = device.running_graphics_processes().ok();
        let all = compute.map(|own| own.into_iter().chain(graphics.into_iter().flatten()));
        Ok(GpuSample {
            index,
            utilization: device.utilization_rates().ok().map(|rates| f64::from(rates.gpu) / 100.0),
            clock: device.clock_info(Clock::SM).ok().map(|mhz| f64::from(mhz) * 1e6),
            slowdowns: device.current_throttle_reasons().ok().map(slowdowns),
            memory: device.memory_info().ok().map(|memory| memory.used),
            power: device.power_usage().ok().map(|mw| f64::from(mw) / 1e3),
            temperature: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
            energy: device.total_energy_consumption().ok(),
            foreign: all.map(|all| all.filter_map(|process| tenant(&process)).collect()),
        })
    }
}

/// A process that is not ours. The driver may number processes as the host does: one that cannot
/// be seen from here may be our own, and is left out.
fn tenant(process: &ProcessInfo) -> Option<Tenant> {
    let name = name_of(process.pid)?;
    if family(process.pid, std::process::id()) {
        return None;
    }
    let memory = match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    };
    Some(Tenant { pid: process.pid, name: Some(name), memory })
}

fn slowdowns(reasons: ThrottleReasons) -> Vec<Slowdown> {
    let known = [
        (ThrottleReasons::HW_SLOWDOWN, Slowdown::Hardware),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, Slowdown::HardwareThermal),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, Slowdown::SoftwareThermal),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, Slowdown::PowerBrake),
        (ThrottleReasons::SW_POWER_CAP, Slowdown::PowerCap),
        (ThrottleReasons::SYNC_BOOST, Slowdown::SyncBoost),
        (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, Slowdown::Setting),
        (ThrottleReasons::DISPLAY_CLOCK_SETTING, Slowdown::Setting),
    ];
    let mut out = Vec::new();
    for (flag, slowdown) in known {
        if reasons.contains(flag) && !out.contains(&slowdown) {
            out.push(slowdown);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_the_driver_are_told_apart() {
        assert_eq!(slowdowns(ThrottleReasons::GPU_IDLE), []);
        let hot = ThrottleReasons::HW_SLOWDOWN | ThrottleReasons::HW_THERMAL_SLOWDOWN;
        assert_eq!(slowdowns(hot), [Slowdown::Hardware, Slowdown::HardwareThermal]);
        let set = ThrottleReasons::APPLICATIONS_CLOCKS_SETTING
            | ThrottleReasons::DISPLAY_CLOCK_SETTING
            | ThrottleReasons::SW_POWER_CAP;
        assert_eq!(slowdowns(set), [Slowdown::PowerCap, Slowdown::Setting]);
    }
}
