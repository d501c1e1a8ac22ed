//! GPUs, through NVIDIA's management library. The only door to nvml-wrapper, with `gpu_watch`.

use nvml_wrapper::enum_wrappers::device::Clock;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use serde::{Deserialize, Serialize};

/// A GPU and its settings. What the driver does not tell is absent; so is everything after the
/// memory in records of earlier engines.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Gpu {
    pub name: String,
    pub driver: String,
    /// Memory in bytes.
    pub memory: u64,
    #[serde(default)]
    pub uuid: Option<String>,
    /// Version of CUDA that the driver brings, such as `12.4`.
    #[serde(default)]
    pub cuda: Option<String>,
    /// Watts that it may draw at most.
    #[serde(default)]
    pub power_limit: Option<f64>,
    /// Highest clock of the multiprocessors in hertz.
    #[serde(default)]
    pub max_clock: Option<f64>,
    /// Whether the driver stays loaded while nobody uses it.
    #[serde(default)]
    pub persistence: Option<bool>,
    #[serde(default)]
    pub ecc: Option<bool>,
    /// Whether it is split into instances.
    #[serde(default)]
    pub mig: Option<bool>,
    /// Lanes of its connection that are in use.
    #[serde(default)]
    pub pcie_width: Option<u32>,
}

/// Every GPU, or in words why none can be seen.
pub fn gpus() -> Result<Vec<Gpu>, String> {
    let nvml = open()?;
    let read = || -> Result<Vec<Gpu>, NvmlError> {
        let driver = nvml.sys_driver_version()?;
        let cuda = nvml.sys_cuda_driver_version().ok().map(version);
        (0..nvml.device_count()?)
            .map(|index| facts(&nvml.device_by_index(index)?, &driver, cuda.clone()))
            .collect()
    };
    read().map_err(|error| silent(&error))
}

fn facts(device: &Device<'_>, driver: &str, cuda: Option<String>) -> Result<Gpu, NvmlError> {
    Ok(Gpu {
        name: device.name()?,
        driver: driver.to_owned(),
        memory: device.memory_info()?.total,
        uuid: device.uuid().ok(),
        cuda,
        power_limit: device.enforced_power_limit().ok().map(|mw| f64::from(mw) / 1e3),
        max_clock: device.max_clock_info(Clock::SM).ok().map(|mhz| f64::from(mhz) * 1e6),
        persistence: device.is_in_persistent_mode().ok(),
        ecc: device.is_ecc_enabled().ok().map(|state| state.currently_enabled),
        mig: device.mig_mode().ok().map(|mode| mode.current != 0),
        pcie_width: device.current_pcie_link_width().ok(),
    })
}

/// The driver gives 12040 for 12.4.
fn version(number: i32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

/// The driver's library, or in words why it does not answer.
pub(super) fn open() -> Result<Nvml, String> {
    Nvml::init().map_err(|error| match error {
        NvmlError::LibloadingError(_) => "no NVIDIA driver library found".to_owned(),
        other => silent(&other),
    })
}

pub(super) fn silent(error: &NvmlError) -> String {
    format!("the NVIDIA driver does not answer: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_as_people_write_them() {
        assert_eq!(version(12_040), "12.4");
        assert_eq!(version(13_000), "13.0");
    }

    #[test]
    fn gpus_of_earlier_records_are_still_read() {
        let old = r#"{"name": "H100", "driver": "550.1", "memory": 85899345920}"#;
        let found: Gpu = serde_json::from_str(old).unwrap();
        assert_eq!((found.name.as_str(), found.mig), ("H100", None));
    }
}
