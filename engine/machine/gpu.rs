//! GPUs, through NVIDIA's management library. The only door to nvml-wrapper.

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    pub name: String,
    pub driver: String,
    /// Memory in bytes.
    pub memory: u64,
}

/// Every GPU, or in words why none can be seen.
pub fn gpus() -> Result<Vec<Gpu>, String> {
    let nvml = Nvml::init().map_err(|error| match error {
        NvmlError::LibloadingError(_) => "no NVIDIA driver library found".to_owned(),
        other => format!("the NVIDIA driver does not answer: {other}"),
    })?;
    let read = || -> Result<Vec<Gpu>, NvmlError> {
        let driver = nvml.sys_driver_version()?;
        (0..nvml.device_count()?)
            .map(|index| {
                let device = nvml.device_by_index(index)?;
                Ok(Gpu {
                    name: device.name()?,
                    driver: driver.clone(),
                    memory: device.memory_info()?.total,
                })
            })
            .collect()
    };
    read().map_err(|error| format!("the NVIDIA driver does not answer: {error}"))
}
