//! `device` and `tensorrt` of a variant: where it runs.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::Rules;
use super::locate::{below, dotted};
use super::types::{Backend, Variant};

/// Where a variant runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Device {
    #[default]
    Cpu,
    Cuda(u32),
}

const PATTERN: &str = r"^(cpu|cuda:(0|[1-9][0-9]?))$";

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let number = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
        match (text.as_str(), number) {
            ("cpu", _) => Ok(Self::Cpu),
            (_, Some(number)) => Ok(Self::Cuda(number)),
            _ => Err(serde::de::Error::custom("expected `cpu` or `cuda:N`")),
        }
    }
}

impl JsonSchema for Device {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Device".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "`cpu`, or `cuda:` and a number from 0 to 99",
            "description": "Where a variant runs: `cpu`, or `cuda:N` for the NVIDIA GPU with that number in the order of the PCI bus.",
            "type": "string",
            "pattern": PATTERN,
        })
    }
}

/// Runs a graph through the TensorRT provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TensorRt {
    /// Let it choose kernels that compute in f16.
    pub fp16: bool,
    /// Let it choose kernels that compute in int8: for graphs with QuantizeLinear and DequantizeLinear nodes, as pass `quantize` with method `static` leaves them.
    pub int8: bool,
    /// Keep built engines for later launches. They are built in a launch that is not counted; without the cache every launch builds its own.
    pub engine_cache: bool,
}

impl Default for TensorRt {
    fn default() -> Self {
        Self { fp16: false, int8: false, engine_cache: true }
    }
}

impl Rules<'_> {
    /// A device needs a backend that can use it, and TensorRT needs a device.
    pub fn device(&mut self, here: &str, variant: &Variant) {
        if variant.tensorrt.is_some() && variant.device == Device::Cpu {
            let pointer = below(here, "tensorrt");
            let what = format!("{} needs a GPU, and `device` is `cpu`", dotted(&pointer));
            self.report("spec/no-device", &pointer, what).hint =
                Some("add `device: cuda:0`".into());
        } else if variant.device != Device::Cpu && variant.backend == Some(Backend::Candle) {
            let pointer = below(here, "device");
            let what = format!(
                "{} is `{}`, and backend `candle` runs on the CPU only",
                dotted(&pointer),
                variant.device
            );
            self.report("spec/no-device", &pointer, what).hint =
                Some("`backend: onnxruntime` runs graphs on GPUs".into());
        }
    }
}
