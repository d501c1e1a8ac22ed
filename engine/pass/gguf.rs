//! `quantize: {method: gguf}`: a checkpoint as a GGUF file in a block format.

use std::fs::File;
use std::io::BufWriter;

use serde::Deserialize;
use serde_json::{Value, json};

use super::rows::{Rows, Source};
use super::{GGUF_FILE, Pass, PassError, PassJob, PassNotes, file_error, gguf_metadata};
use crate::backend::quantize_rows;
use crate::model::family::Description;
use crate::model::gguf_names::{self, permuted_heads, permuted_row};
use crate::model::{Checkpoint, GgmlType, GgufWriter, Kind};

pub struct QuantizeGguf;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "method")]
    _method: String,
    format: String,
    #[serde(default)]
    embedding: Option<String>,
}

/// Formats that candle can write and compute with.
const FORMATS: &[&str] =
    &["q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "f16", "f32"];

impl Pass for QuantizeGguf {
    fn id(&self) -> &'static str {
        "quantize"
    }

    fn method(&self) -> Option<&'static str> {
        Some("gguf")
    }

    fn epoch(&self) -> u32 {
        1
    }

    fn about(&self) -> &'static str {
        "stores the matrices of a checkpoint in a block format, as a GGUF file that other programs read"
    }

    fn params(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "method": {
                    "description": "`gguf`: round-to-nearest block formats of ggml, without calibration.",
                    "enum": ["gguf"],
                },
                "format": {
                    "description": "Block format of the matrices. q8_0 has 8.5 bits per weight, q4_0 and q4_k 4.5, q5_k 5.5, q6_k 6.6. The k formats need rows of a multiple of 256 elements; others fall back to q8_0.",
                    "enum": FORMATS,
                },
                "embedding": {
                    "description": "Block format of the token embedding and the output projection, which suffer most. Left out: that of `format`, but q6_k where `format` has fewer than 6 bits.",
                    "enum": FORMATS,
                },
            },
            "required": ["method", "format"],
            "additionalProperties": false,
        })
    }

    fn takes(&self, kind: Kind) -> Result<Kind, String> {
        match kind {
            Kind::Checkpoint => Ok(Kind::Gguf),
            Kind::Gguf | Kind::Onnx => Err(format!(
                "`quantize` with method `gguf` takes a checkpoint; the stages before it leave a model of kind `{}`",
                kind.name()
            )),
        }
    }

    fn takes_networks(&self, networks: &Description, _: &Value) -> Result<(), String> {
        Err(format!(
            "`quantize` with method `gguf` takes decoders, and this model is a `{}`; its graph can be quantized: `export: {{format: onnx}}`, then `quantize: {{method: dynamic}}`",
            networks.family
        ))
    }

    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError> {
        let params: Params = serde_json::from_value(job.params.clone())?;
        let checkpoint = Checkpoint::open(job.input)?;
        let config = checkpoint.decoder("`quantize: {method: gguf}`")?;
        let format = known(&params.format)?;
        let embedding = match &params.embedding {
            Some(name) => known(name)?,
            None if format.bits_per_element() < 6.0 => known("q6_k")?,
            None => format,
        };
        let mut notes = vec![format!(
            "matrices round to nearest {} ({:.2} bits per weight), embedding {}, norms{} f32",
            format.name(),
            format.bits_per_element(),
            embedding.name(),
            if config.qkv_bias || config.output_bias { " and biases" } else { "" }
        )];
        let kind = config.architecture.model_type();
        let name = format!("{kind} {:.1}M", checkpoint.parameters() as f64 / 1e6);
        let metadata = gguf_metadata::metadata(&checkpoint, &name, format, &mut notes)?;

        let rows = Rows::open(&checkpoint)?;
        let mut tensors = Vec::new();
        let factors = gguf_names::rope_factors(config);
        if let Some(factors) = &factors {
            let dims = vec![factors.len() as u64];
            tensors.push((gguf_names::ROPE_FACTORS.to_owned(), known("f32")?, dims));
        }
        let mut sources = Vec::new();
        for tensor in checkpoint.tensors.keys() {
            // Tensors that no decoder computes with, such as stored rotary frequencies.
            let Some(gguf_name) = gguf_names::to_gguf(tensor) else {
                notes.push(format!("tensor `{tensor}` has no place in GGUF and was left out"));
                continue;
            };
            if config.tie_word_embeddings && tensor == "lm_head.weight" {
                continue;
            }
            let source = rows.source(tensor);
            let wanted = match tensor.as_str() {
                "model.embed_tokens.weight" | "lm_head.weight" => embedding,
                _ => format,
            };
            let stored = storage(&source, wanted, &mut notes)?;
            let dims = source.info.shape.iter().rev().copied().collect();
            tensors.push((gguf_name, stored, dims));
            sources.push((source, stored));
        }

        let path = job.out.join(GGUF_FILE);
        let file = File::create(&path).map_err(file_error("create", &path))?;
        let mut writer =
            GgufWriter::new(BufWriter::with_capacity(1 << 20, file), &metadata, &tensors)?;
        if let Some(factors) = factors {
            let bytes: Vec<u8> = factors.iter().flat_map(|f| f.to_le_bytes()).collect();
            writer.append(&bytes)?;
        }
        let total = checkpoint.parameters().max(1) as f64;
        let mut done = 0;
        for (source, stored) in sources {
            let heads = permuted_heads(source.name, config);
            let source = match source.info.shape.len() {
                1 if heads.is_some() => source.into_column(),
                _ => source,
            };
            let order = |row| heads.map_or(row, |heads| permuted_row(row, heads, source.rows));
            let cols = source.cols as usize;
            let convert = |values: Vec<f32>| {
                // Blocks carry a scale of 16 bits; plain f16 carries the values themselves.
                let most = if stored.name() == "f16" { 65504.0 } else { f32::MAX };
                if values.iter().any(|value| value.abs() > most) {
                    let (tensor, target) = (source.name.to_owned(), stored.name());
                    return Err(PassError::Overflow { tensor, target });
                }
                quantize_rows(values, cols, stored).map_err(|cause| PassError::Quantize {
                    tensor: source.name.to_owned(),
                    source: cause,
                })
            };
            source.stream(&order, &convert, |bytes| Ok(writer.append(bytes)?))?;
            done += source.rows * source.cols;
            (job.progress)(done as f64 / total);
        }
        writer.finish()?;
        Ok(PassNotes { kind: Kind::Gguf, notes })
    }
}

fn known(name: &str) -> Result<GgmlType, PassError> {
    GgmlType::from_name(name).ok_or_else(|| {
        PassError::Params(serde::de::Error::custom(format!("there is no format `{name}`")))
    })
}

/// The type a tensor is stored in: vectors stay f32, matrices whose rows do not divide into
/// blocks fall back to a format they divide into.
fn storage(
    source: &Source<'_>,
    wanted: GgmlType,
    notes: &mut Vec<String>,
) -> Result<GgmlType, PassError> {
    if source.info.shape.len() < 2 {
        return known("f32");
    }
    let fits = |kind: GgmlType| source.cols.is_multiple_of(kind.block_elements());
    if fits(wanted) {
        return Ok(wanted);
    }
    let fallback = match known("q8_0")? {
        kind if fits(kind) => kind,
        _ => known("f16")?,
    };
    notes.push(format!(
        "tensor `{}` is stored as {}: rows of {} elements do not divide into blocks of {}",
        source.name,
        fallback.name(),
        source.cols,
        wanted.block_elements()
    ));
    Ok(fallback)
}
