//! `device`: whether sessions open on an accelerator here. What needs one that does not is skipped
//! before anything is made for it.

use std::path::PathBuf;

use serde_json::json;

use super::Job;
use crate::backend::{Device, Placement, Runner, built_in};
use crate::base::Digest;
use crate::machine::Gpu;

#[derive(Debug, Clone, PartialEq)]
pub struct OpenDevice {
    /// What runs there first.
    pub runner: Runner,
    /// What the driver tells about it, or why it tells nothing.
    pub gpu: Result<Gpu, String>,
}

impl OpenDevice {
    fn placement(&self) -> &Placement {
        &self.runner.placement
    }

    /// Id of the step: `device/cuda:0`, `device/cuda:0-tensorrt`.
    pub fn id(&self) -> String {
        let tensorrt = if self.placement().tensorrt.is_some() { "-tensorrt" } else { "" };
        format!("device/{}{tensorrt}", self.placement().device)
    }

    pub fn label(&self) -> String {
        let tensorrt = if self.placement().tensorrt.is_some() { " with TensorRT" } else { "" };
        let name = self.name().map(|name| format!(" ({name})")).unwrap_or_default();
        format!("open {}{name}{tensorrt}", self.placement().device)
    }

    /// The device's own name, such as `NVIDIA H100 80GB HBM3`.
    pub fn name(&self) -> Option<String> {
        match self.placement().device {
            Device::Mock(_) => Some("mock device".to_owned()),
            _ => self.gpu.as_ref().ok().map(|gpu| gpu.name.clone()),
        }
    }

    /// Of its driver.
    pub fn driver(&self) -> Option<String> {
        self.gpu.as_ref().ok().map(|gpu| gpu.driver.clone())
    }

    /// Why it cannot be used, where that is known without trying.
    pub fn missing(&self) -> Option<String> {
        if let Err(unavailable) = built_in(self.placement()) {
            return Some(unavailable.to_string());
        }
        match (self.placement().device, &self.gpu) {
            (Device::Cuda(_), Err(why)) => Some(why.clone()),
            _ => None,
        }
    }

    /// Of everything about the device that results depend on: it joins the keys of what is
    /// observed there.
    pub fn digest(&self) -> Digest {
        let device = self.placement().device.to_string();
        let facts = json!({"device": device, "name": self.name(), "driver": self.driver()});
        Digest::of_bytes(facts.to_string().as_bytes())
    }

    /// `library` is that of the runtime, where the backend needs one.
    pub fn job(&self, library: Option<PathBuf>) -> Job {
        Job::Probe { backend: self.runner.clone(), runtime: library }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(device: Device, gpu: Result<Gpu, String>) -> OpenDevice {
        let placement = Placement { device, ..Placement::default() };
        OpenDevice { runner: Runner { backend: "onnxruntime".into(), placement }, gpu }
    }

    fn gpu(name: &str, driver: &str) -> Gpu {
        Gpu { name: name.into(), driver: driver.into(), memory: 1 << 30, ..Gpu::default() }
    }

    #[test]
    fn number_name_and_driver_of_a_device_are_in_its_digest() {
        let digests = [
            on(Device::Cuda(0), Ok(gpu("H100", "550"))).digest(),
            on(Device::Cuda(1), Ok(gpu("H100", "550"))).digest(),
            on(Device::Cuda(0), Ok(gpu("H200", "550"))).digest(),
            on(Device::Cuda(0), Ok(gpu("H100", "560"))).digest(),
            on(Device::Mock(0), Err("none".into())).digest(),
        ];
        for (i, digest) in digests.iter().enumerate() {
            assert!(!digests[..i].contains(digest));
        }
    }

    #[test]
    fn what_is_missing_is_said_without_opening_anything() {
        assert_eq!(on(Device::Mock(0), Err("no driver".into())).missing(), None);
        let cuda = on(Device::Cuda(0), Err("no driver".into())).missing().expect("a reason");
        if cfg!(feature = "cuda") {
            assert_eq!(cuda, "no driver");
        } else {
            assert!(cuda.contains("--features cuda"), "{cuda}");
        }
    }
}
