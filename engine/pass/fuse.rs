//! `fuse`: several operators of a graph as one that ONNX Runtime computes faster.

use serde::Deserialize;
use serde_json::{Value, json};

use super::files::copy_beside;
use super::{Pass, PassError, PassJob, PassNotes, fuse_gqa};
use crate::model::onnx::GraphWriter;
use crate::model::{Kind, OnnxModel};

pub struct Fuse;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(default)]
    attention: Option<Attention>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Attention {
    Gqa,
}

impl Pass for Fuse {
    fn id(&self) -> &'static str {
        "fuse"
    }

    fn epoch(&self) -> u32 {
        1
    }

    fn about(&self) -> &'static str {
        "replaces operators of a graph by fused ones that ONNX Runtime has kernels for"
    }

    fn params(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "attention": {
                    "description": "`gqa`: rotary positions, key and value cache and attention of each layer become one `GroupQueryAttention` over the packed projection, and each residual sum with its norm one `SkipSimplifiedLayerNormalization`.",
                    "enum": ["gqa"],
                },
            },
            "minProperties": 1,
            "additionalProperties": false,
        })
    }

    fn takes(&self, kind: Kind) -> Result<Kind, String> {
        super::graph_only("fuse", kind)
    }

    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError> {
        let params: Params = serde_json::from_value(job.params.clone())?;
        let model = OnnxModel::read(job.input)?;
        let mut proto = model.proto.clone();
        let mut notes = Vec::new();
        if let Some(Attention::Gqa) = params.attention {
            let fused = fuse_gqa::fuse(&mut proto)
                .map_err(|what| PassError::Graph { path: job.input.display().to_string(), what })?;
            notes.extend(fused);
        }
        GraphWriter::new(job.out).finish_from(proto, &model, job.progress)?;
        copy_beside(job.input, job.out)?;
        Ok(PassNotes { kind: Kind::Onnx, notes })
    }
}
