//! `fuse`: several operators of a graph as one that ONNX Runtime computes faster.

use serde::Deserialize;
use serde_json::{Value, json};

use super::files::copy_beside;
use super::fuse_level::{Fusions, features, optimized};
use super::{Pass, PassError, PassJob, PassNotes, file_error};
use super::{fuse_activation, fuse_gqa, fuse_mha, fuse_skip};
use crate::model::onnx::session_options::GraphLevel;
use crate::model::onnx::{GRAPH_FILE, GraphWriter, ModelProto};
use crate::model::{Kind, OnnxModel};

pub struct Fuse;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(default)]
    attention: Option<Attention>,
    #[serde(default)]
    operators: Vec<Operator>,
    #[serde(default)]
    level: Option<GraphLevel>,
    #[serde(default = "yes")]
    layer_norm: bool,
    #[serde(default = "yes")]
    gelu: bool,
    #[serde(default = "yes")]
    skip: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Attention {
    Gqa,
    Mha,
}

/// Rewritings that are asked for one by one.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operator {
    SkipLayerNorm,
    BiasGelu,
    FastGelu,
    QuickGelu,
}

impl Params {
    /// Rewrites `proto`, whose constants `model` holds; gives what was done.
    fn rewrite(&self, proto: &mut ModelProto, model: &OnnxModel) -> Result<Vec<String>, PassError> {
        use fuse_activation::Kind as Activation;
        let failed =
            |what: String| PassError::Graph { path: model.path.display().to_string(), what };
        let mut notes = match self.attention {
            None => Vec::new(),
            Some(Attention::Gqa) => fuse_gqa::fuse(proto).map_err(failed)?,
            Some(Attention::Mha) => vec![fuse_mha::fuse(proto).map_err(failed)?],
        };
        for operator in &self.operators {
            let done = match operator {
                Operator::SkipLayerNorm => fuse_skip::fuse(proto),
                Operator::BiasGelu => fuse_activation::fuse(proto, model, Activation::Bias)?,
                Operator::FastGelu => fuse_activation::fuse(proto, model, Activation::Fast)?,
                Operator::QuickGelu => fuse_activation::fuse(proto, model, Activation::Quick)?,
            };
            notes.push(done.map_err(failed)?);
        }
        Ok(notes)
    }
}

impl Pass for Fuse {
    fn id(&self) -> &'static str {
        "fuse"
    }

    fn epoch(&self) -> u32 {
        3
    }

    fn about(&self) -> &'static str {
        "replaces operators of a graph by fused ones that ONNX Runtime has kernels for"
    }

    fn params(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "attention": {
                    "description": "`gqa`, for decoders: rotary positions, key and value cache and attention of each layer become one `GroupQueryAttention` over the packed projection, and each residual sum with its norm one `SkipSimplifiedLayerNormalization`. `mha`, for encoders: the attention of each layer becomes one `MultiHeadAttention`, for runtimes and devices without a kernel of the standard `Attention`.",
                    "enum": ["gqa", "mha"],
                },
                "operators": {
                    "description": "Operators of ONNX Runtime to put in place of several standard ones; each must find something. `skip_layer_norm`: LayerNorm(x + y) as one, which GPUs gain from and CPUs do not. `bias_gelu`: Gelu(x + b). `fast_gelu`: Gelu by tanh, where the graph has it so. `quick_gelu`: x · sigmoid(αx). They come after `attention`.",
                    "type": "array",
                    "items": {"enum": ["skip_layer_norm", "bias_gelu", "fast_gelu", "quick_gelu"]},
                    "minItems": 1,
                },
                "level": {
                    "description": "ONNX Runtime's own graph optimizations, saved as a graph: `basic` folds constants and removes what does nothing, `extended` also fuses operators, `all` also chooses layouts for this machine, which another may not have. They come after the fusions above.",
                    "enum": ["basic", "extended", "all"],
                },
                "layer_norm": {
                    "description": "Whether `level` fuses the operators of a layer norm into one. True when left out.",
                    "type": "boolean",
                },
                "gelu": {
                    "description": "Whether `level` fuses the operators of a GELU into one. True when left out.",
                    "type": "boolean",
                },
                "skip": {
                    "description": "Whether `level` fuses a residual sum with the layer norm behind it. True when left out.",
                    "type": "boolean",
                },
            },
            "minProperties": 1,
            "dependentRequired": {"layer_norm": ["level"], "gelu": ["level"], "skip": ["level"]},
            "additionalProperties": false,
        })
    }

    fn takes(&self, kind: Kind) -> Result<Kind, String> {
        super::graph_only("fuse", kind)
    }

    fn runtime(&self, params: &Value) -> bool {
        params.get("level").is_some()
    }

    fn facts(&self, params: &Value) -> Value {
        match params.get("level").and_then(Value::as_str) {
            Some("all") => json!({"cpu": features()}),
            _ => Value::Null,
        }
    }

    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError> {
        let params: Params = serde_json::from_value(job.params.clone())?;
        let model = OnnxModel::read(job.input)?;
        let mut proto = model.proto.clone();
        let mut notes = params.rewrite(&mut proto, &model)?;
        match params.level {
            None => {
                let writer = GraphWriter::new(job.out);
                writer.finish_from(proto, &model, job.progress)?;
            }
            Some(level) => {
                let scratch = job.out.join("unfinished");
                std::fs::create_dir(&scratch).map_err(file_error("create", &scratch))?;
                let mut from = job.input.to_owned();
                if params.attention.is_some() || !params.operators.is_empty() {
                    let writer = GraphWriter::new(&scratch);
                    writer.finish_from(proto, &model, &|_| {})?;
                    from = scratch.join(GRAPH_FILE);
                }
                let Params { layer_norm, gelu, skip, .. } = params;
                let fusions = Fusions { layer_norm, gelu, skip };
                let (after, told) = optimized(job, &from, &scratch, level, fusions)?;
                notes.extend(told);
                let writer = GraphWriter::new(job.out);
                writer.finish_from(after.proto.clone(), &after, job.progress)?;
                std::fs::remove_dir_all(&scratch).map_err(file_error("remove", &scratch))?;
            }
        }
        copy_beside(job.input, job.out)?;
        Ok(PassNotes { kind: Kind::Onnx, notes })
    }
}
