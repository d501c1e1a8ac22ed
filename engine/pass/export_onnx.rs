//! `export: {format: onnx}`: a checkpoint as an ONNX graph with its weights in a data file.

use serde::Deserialize;
use serde_json::{Value, json};

use super::files::{copy_file, copy_sidecars};
use super::rows::Rows;
use super::{Pass, PassError, PassJob, PassNotes, matrix};
use crate::data::ElementType;
use crate::model::family::{Description, llama_onnx};
use crate::model::network::onnx::{self as network, Wanted};
use crate::model::onnx::{CONTEXT_KEY, GraphWriter, PART_KEY, TensorProto};
use crate::model::{Checkpoint, Configuration, Kind};

pub struct ExportOnnx;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "format")]
    _format: String,
    kv_cache: Option<bool>,
    part: Option<String>,
}

impl Pass for ExportOnnx {
    fn id(&self) -> &'static str {
        "export"
    }

    fn epoch(&self) -> u32 {
        2
    }

    fn about(&self) -> &'static str {
        "writes a checkpoint as an ONNX graph of standard operators, weights in f32 beside it"
    }

    fn params(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "format": {
                    "description": "`onnx`: a graph of operator set 24.",
                    "enum": ["onnx"],
                },
                "kv_cache": {
                    "description": "Whether the graph keeps keys and values of earlier positions, in buffers that are bound once and written in place. Without it every new token runs the whole sequence again. True when left out; models that continue no texts have none.",
                    "type": "boolean",
                },
                "part": {
                    "description": "Part of a model of several, such as `image` of CLIP. Planning exports every part by itself; nobody needs to write it.",
                    "type": "string",
                },
            },
            "required": ["format"],
            "additionalProperties": false,
        })
    }

    fn takes_out_a_part(&self) -> bool {
        true
    }

    fn takes(&self, kind: Kind) -> Result<Kind, String> {
        match kind {
            Kind::Checkpoint => Ok(Kind::Onnx),
            Kind::Gguf | Kind::Onnx => Err(format!(
                "`export` takes a checkpoint; the stages before it leave a model of kind `{}`",
                kind.name()
            )),
        }
    }

    fn takes_networks(&self, networks: &Description, params: &Value) -> Result<(), String> {
        match params.get("kv_cache").and_then(Value::as_bool) {
            Some(true) => Err(format!(
                "a `{}` model has no key and value cache: leave `kv_cache` out",
                networks.family
            )),
            _ => Ok(()),
        }
    }

    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError> {
        let params: Params = serde_json::from_value(job.params.clone())?;
        let checkpoint = Checkpoint::open(job.input)?;
        let rows = Rows::open(&checkpoint)?;
        let mut writer = GraphWriter::new(job.out);
        let total = checkpoint.parameters().max(1) as f64;
        let mut done = 0;
        let mut weight = |name: &str, wanted: Wanted<'_>| -> Result<TensorProto, PassError> {
            let tensor =
                match wanted {
                    Wanted::Table(table) => {
                        let shape: Vec<u64> = table.shape.iter().map(|&dim| dim as u64).collect();
                        writer.weight::<PassError>(name, table.dtype, &shape, |out| {
                            out(&table.bytes)
                        })?
                    }
                    Wanted::Stored(source) => {
                        let source = rows.source(source);
                        done += source.rows * source.cols;
                        let encode = |values: Vec<f32>| Ok(bytemuck::cast_slice(&values).to_vec());
                        writer.weight(name, ElementType::F32, &source.info.shape, |out| {
                            source.stream(&|row| row, &encode, out)
                        })?
                    }
                    Wanted::Joined(sources) => {
                        let mut joined = Vec::new();
                        for source in &sources {
                            let source = rows.source(source);
                            done += source.rows * source.cols;
                            joined.append(&mut matrix::read(&source)?);
                        }
                        let shape = [joined.len() as u64];
                        writer.weight::<PassError>(name, ElementType::F32, &shape, |out| {
                            out(bytemuck::cast_slice(&joined))
                        })?
                    }
                    Wanted::Transposed(sources) => {
                        let mut stacked = Vec::new();
                        let mut inputs = 0;
                        for source in &sources {
                            let source = rows.source(source);
                            let elements = source.rows * source.cols;
                            let outputs = source.info.shape.first().copied().unwrap_or(1);
                            inputs = elements.checked_div(outputs).unwrap_or(0) as usize;
                            done += elements;
                            stacked.append(&mut matrix::read(&source)?);
                        }
                        let outputs = stacked.len() / inputs.max(1);
                        let turned = matrix::transpose(&stacked, outputs, inputs);
                        drop(stacked);
                        let shape = [inputs as u64, outputs as u64];
                        writer.weight::<PassError>(name, ElementType::F32, &shape, |out| {
                            out(bytemuck::cast_slice(&turned))
                        })?
                    }
                };
            (job.progress)(done as f64 / total);
            Ok(tensor)
        };
        let kv_cache = params.kv_cache.unwrap_or(true);
        let mut graph = match &checkpoint.config {
            Configuration::Llama(config) => llama_onnx::graph(config, kv_cache, &mut weight)?,
            Configuration::Networks(all) => {
                self.takes_networks(all, job.params).map_err(PassError::Unfit)?;
                let part = all.part(params.part.as_deref()).ok_or_else(|| {
                    let parts = all.parts.keys().copied().collect::<Vec<_>>().join(", ");
                    PassError::Unfit(format!("`export` needs one of the model's parts: {parts}"))
                })?;
                let mut graph = network::graph(part, all.task, all.family, &mut weight)?;
                if let Some(context) = all.context {
                    graph.set_metadata(CONTEXT_KEY, &context.to_string());
                }
                if let Some(part) = &params.part {
                    graph.set_metadata(PART_KEY, part);
                }
                graph
            }
        };
        if checkpoint.random_weights {
            graph.set_metadata(llama_onnx::RANDOM_KEY, "true");
        }
        writer.finish(&graph)?;
        copy_file(job.input, job.out, "config.json")?;
        copy_sidecars(job.input, job.out)?;
        let cache = match (&checkpoint.config, kv_cache) {
            (Configuration::Networks(_), _) => "",
            (_, true) => "; key and value buffers written in place by TensorScatter",
            (_, false) => "; no key and value cache",
        };
        let notes = vec![
            "standard operators of set 24, weights in f32".to_owned(),
            format!("query, key and value projections packed into one matrix{cache}"),
        ];
        Ok(PassNotes { kind: Kind::Onnx, notes })
    }
}
