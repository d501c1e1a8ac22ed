//! `cast`: the same weights in another floating-point type.

use std::fs::File;
use std::io::BufWriter;

use half::{bf16, f16};
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::{copy_sidecars, read_config, write_config};
use super::rows::Rows;
use super::{Pass, PassError, PassJob, PassNotes, file_error};
use crate::model::Kind;
use crate::model::checkpoint::Checkpoint;
use crate::model::safetensors::Writer;

pub struct Cast;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    to: Float,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Float {
    F32,
    F16,
    Bf16,
}

impl Float {
    fn safetensors(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    fn torch(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Rounds to nearest, ties to even. A value that would become infinite is an error: a model
    /// with such a weight computes nothing worth timing.
    fn encode(self, values: &[f32], tensor: &str) -> Result<Vec<u8>, PassError> {
        let target = self.safetensors();
        let overflow = || PassError::Overflow { tensor: tensor.to_owned(), target };
        let finite = |is_finite: bool| if is_finite { Ok(()) } else { Err(overflow()) };
        let mut out = Vec::with_capacity(values.len() * 4);
        for &value in values {
            match self {
                Self::F32 => out.extend(value.to_le_bytes()),
                Self::F16 => {
                    let half = f16::from_f32(value);
                    finite(half.is_finite())?;
                    out.extend(half.to_le_bytes());
                }
                Self::Bf16 => {
                    let half = bf16::from_f32(value);
                    finite(half.is_finite())?;
                    out.extend(half.to_le_bytes());
                }
            }
        }
        Ok(out)
    }
}

impl Pass for Cast {
    fn id(&self) -> &'static str {
        "cast"
    }

    fn epoch(&self) -> u32 {
        1
    }

    fn about(&self) -> &'static str {
        "stores every weight of a checkpoint in another floating-point type"
    }

    fn params(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "to": {
                    "description": "Type of the new weights. Values are rounded to nearest, ties to even.",
                    "enum": ["f32", "f16", "bf16"],
                },
            },
            "required": ["to"],
            "additionalProperties": false,
        })
    }

    fn takes(&self, kind: Kind) -> Result<Kind, String> {
        match kind {
            Kind::Checkpoint => Ok(Kind::Checkpoint),
            Kind::Gguf | Kind::Onnx => Err(format!(
                "`cast` takes a checkpoint; the stages before it leave a model of kind `{}`",
                kind.name()
            )),
        }
    }

    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError> {
        let params: Params = serde_json::from_value(job.params.clone())?;
        let checkpoint = Checkpoint::open(job.input)?;
        let mut config = read_config(job.input)?;
        for key in ["torch_dtype", "dtype"] {
            if config.get(key).is_some() {
                config[key] = json!(params.to.torch());
            }
        }
        write_config(job.out, &config)?;
        copy_sidecars(job.input, job.out)?;

        let target = params.to.safetensors();
        let header: Vec<_> = checkpoint
            .tensors
            .iter()
            .map(|(name, (_, info))| (name.clone(), target.to_owned(), info.shape.clone()))
            .collect();
        let path = job.out.join("model.safetensors");
        let file = File::create(&path).map_err(file_error("create", &path))?;
        let mut writer = Writer::new(BufWriter::with_capacity(1 << 20, file), &header)?;
        let rows = Rows::open(&checkpoint)?;
        let total: u64 = checkpoint.parameters().max(1);
        let mut done = 0;
        for name in checkpoint.tensors.keys() {
            let source = rows.source(name);
            source.stream(&|i| i, &|values| params.to.encode(&values, name), |bytes| {
                writer.append(bytes).map_err(PassError::from)
            })?;
            done += source.rows * source.cols;
            (job.progress)(done as f64 / total as f64);
        }
        writer.finish()?;
        let name = target.to_ascii_lowercase();
        let notes = vec![format!("weights as {name}, rounded to nearest, ties to even")];
        Ok(PassNotes { kind: Kind::Checkpoint, notes })
    }
}
