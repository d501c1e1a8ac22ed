//! Where sessions run: a device, the options of its provider, and what else may run their nodes.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    #[default]
    Cpu,
    /// An NVIDIA GPU by its number, counted as the driver counts (in the order of the PCI bus).
    Cuda(u32),
    /// No hardware at all, see [`super::mock`]. No spec can ask for it.
    Mock(u32),
}

impl Device {
    pub fn is_cpu(self) -> bool {
        self == Self::Cpu
    }
}

impl fmt::Display for Device {
    /// As specs write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Mock(number) => write!(f, "mock:{number}"),
        }
    }
}

/// Options of the TensorRT provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorRt {
    /// Kernels in f16 may be chosen.
    pub fp16: bool,
    /// Kernels in int8 may be chosen.
    pub int8: bool,
    /// Built engines are kept for later sessions.
    pub engine_cache: bool,
}

/// Where a session runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    pub device: Device,
    #[serde(default)]
    pub tensorrt: Option<TensorRt>,
    /// Nodes that the provider asked for cannot run may run on another one. Otherwise such a node
    /// is an error when a session is opened.
    #[serde(default)]
    pub fallback: bool,
    /// Folder for built engines, created when it is first needed.
    #[serde(default)]
    pub engines: Option<PathBuf>,
}

impl Placement {
    /// ONNX Runtime's name of the provider that all nodes are asked to run on.
    pub fn provider(&self) -> &'static str {
        match (self.device, self.tensorrt) {
            (Device::Cpu, _) => "CPUExecutionProvider",
            (Device::Cuda(_), None) => "CUDAExecutionProvider",
            (Device::Cuda(_), Some(_)) => "TensorrtExecutionProvider",
            (Device::Mock(_), _) => "MockExecutionProvider",
        }
    }

    /// What of it decides results and speed, for keys and records; `None` for the CPU, whose keys
    /// are as they were before there were devices.
    pub fn facts(&self) -> Option<Value> {
        let (device, tensorrt) = (self.device.to_string(), self.tensorrt);
        (!self.device.is_cpu()).then(
            || json!({"device": device, "tensorrt": tensorrt, "provider_fallback": self.fallback}),
        )
    }

    /// Whether sessions leave something behind that later ones open faster with.
    pub fn keeps_engines(&self) -> bool {
        self.tensorrt.is_some_and(|options| options.engine_cache)
    }
}

/// What runs an artifact: a backend by its id, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runner {
    pub backend: String,
    #[serde(default)]
    pub placement: Placement,
}

impl From<&str> for Runner {
    /// A backend on the CPU.
    fn from(backend: &str) -> Self {
        Self { backend: backend.to_owned(), placement: Placement::default() }
    }
}

impl fmt::Display for Runner {
    /// `onnxruntime on cuda:0 with TensorRT fp16`; the backend alone for the CPU.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.backend)?;
        if !self.placement.device.is_cpu() {
            write!(f, " on {}", self.placement.device)?;
        }
        if let Some(options) = self.placement.tensorrt {
            f.write_str(" with TensorRT")?;
            f.write_str(if options.fp16 { " fp16" } else { "" })?;
            f.write_str(if options.int8 { " int8" } else { "" })?;
        }
        Ok(())
    }
}

/// Nodes of a graph that one provider runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assigned {
    /// ONNX Runtime's name of the provider.
    pub provider: String,
    pub nodes: u64,
    /// Some of them by name.
    pub named: Vec<String>,
}

/// Something that this program was built without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this engine was built without `{feature}`; build it with `cargo build --features {feature}`"
)]
pub struct Unavailable {
    /// The feature to enable.
    pub feature: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_leaves_keys_alone_and_every_option_of_a_device_is_in_them() {
        assert_eq!(Placement::default().facts(), None);
        let options = TensorRt { fp16: false, int8: false, engine_cache: true };
        let plain = Placement { device: Device::Cuda(0), ..Placement::default() };
        let variants = [
            Placement { device: Device::Cuda(1), ..plain.clone() },
            Placement { fallback: true, ..plain.clone() },
            Placement { tensorrt: Some(options), ..plain.clone() },
            Placement { tensorrt: Some(TensorRt { fp16: true, ..options }), ..plain.clone() },
            Placement { tensorrt: Some(TensorRt { int8: true, ..options }), ..plain.clone() },
        ];
        let facts: Vec<_> = [&plain].into_iter().chain(&variants).map(Placement::facts).collect();
        for (i, own) in facts.iter().enumerate() {
            assert!(own.is_some());
            assert!(facts[..i].iter().all(|other| other != own), "{own:?}");
        }
        let elsewhere = Placement { engines: Some("/elsewhere".into()), ..plain.clone() };
        assert_eq!(elsewhere.facts(), plain.facts(), "where engines lie decides nothing");
    }

    #[test]
    fn runners_read_as_a_person_would_say_it() {
        let tensorrt = Some(TensorRt { fp16: true, int8: false, engine_cache: true });
        let placement = Placement { device: Device::Cuda(2), tensorrt, ..Placement::default() };
        let runner = Runner { backend: "onnxruntime".into(), placement };
        assert_eq!(runner.to_string(), "onnxruntime on cuda:2 with TensorRT fp16");
        assert_eq!(Runner::from("candle").to_string(), "candle");
    }
}
