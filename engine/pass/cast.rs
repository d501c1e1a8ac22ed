//! `cast`: the same weights in another floating-point type.

use half::{bf16, f16};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Pass, PassError, PassJob, PassNotes, cast_checkpoint, cast_onnx};
use crate::model::Kind;

pub struct Cast;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    to: Float,
    #[serde(default)]
    keep_io: Option<bool>,
    #[serde(default)]
    exclude: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Float {
    F32,
    F16,
    Bf16,
}

impl Float {
    pub fn safetensors(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    pub fn torch(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Rounds to nearest, ties to even. A value that would become infinite is an error: a model
    /// with such a weight computes nothing worth timing.
    pub fn encode(self, values: &[f32], tensor: &str) -> Result<Vec<u8>, PassError> {
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
        2
    }

    fn about(&self) -> &'static str {
        "stores every weight of a checkpoint or graph in another floating-point type"
    }

    fn params(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "to": {
                    "description": "Type of the new weights. Values are rounded to nearest, ties to even. A graph also computes in it.",
                    "enum": ["f32", "f16", "bf16"],
                },
                "keep_io": {
                    "description": "Of a graph: inputs and outputs keep their type, but for caches of keys and values. True when left out.",
                    "type": "boolean",
                },
                "exclude": {
                    "description": "Of a graph: operators (such as `Softmax`) and parts of node names that go on computing in f32.",
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                },
            },
            "required": ["to"],
            "additionalProperties": false,
        })
    }

    fn takes(&self, kind: Kind) -> Result<Kind, String> {
        match kind {
            Kind::Checkpoint | Kind::Onnx => Ok(kind),
            Kind::Gguf => Err(
                "`cast` takes a checkpoint or an ONNX graph; the stages before it leave a model of kind `gguf`".to_owned(),
            ),
        }
    }

    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError> {
        let params: Params = serde_json::from_value(job.params.clone())?;
        if job.kind == Kind::Onnx {
            return cast_onnx::cast(
                job,
                params.to,
                params.keep_io.unwrap_or(true),
                &params.exclude,
            );
        }
        if params.keep_io.is_some() || !params.exclude.is_empty() {
            let what = "`keep_io` and `exclude` are about graphs, and this is a checkpoint";
            return Err(PassError::Params(serde::de::Error::custom(what)));
        }
        cast_checkpoint::cast(job, params.to)
    }
}
