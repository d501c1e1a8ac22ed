//! A pass of one's own: how many bits of mantissa do the weights of a model need?
//! `cargo run --example custom_pass -- plan examples/custom_pass.yaml`

use std::fs::File;
use std::io::BufWriter;
use std::process::ExitCode;

use engine::Extensions;
use engine::model::{Checkpoint, Kind, Writer};
use engine::pass::files::{copy_sidecars, read_config, write_config};
use engine::pass::rows::Rows;
use engine::pass::{Pass, PassError, PassJob, PassNotes, file_error};
use serde::Deserialize;
use serde_json::{Value, json};

struct Round;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    bits: u32,
}

/// The nearest number with `bits` bits after the leading one, the even one of two as near.
fn round(value: f32, bits: u32) -> f32 {
    let (raw, dropped) = (value.to_bits(), 23 - bits);
    let up_to_half = (1 << (dropped - 1)) - 1;
    let is_odd = (raw >> dropped) & 1;
    f32::from_bits(((raw + up_to_half + is_odd) >> dropped) << dropped)
}

impl Pass for Round {
    fn id(&self) -> &'static str {
        "round"
    }

    fn epoch(&self) -> u32 {
        1
    }

    fn about(&self) -> &'static str {
        "rounds every weight of a checkpoint to a few bits of mantissa, stored as f32"
    }

    fn params(&self) -> Value {
        let bits = json!({
            "description": "Bits of mantissa that stay, without the leading one; f32 has 23.",
            "type": "integer", "minimum": 1, "maximum": 22,
        });
        json!({
            "type": "object", "properties": {"bits": bits}, "required": ["bits"],
            "additionalProperties": false,
        })
    }

    fn takes(&self, kind: Kind) -> Result<Kind, String> {
        match kind {
            Kind::Checkpoint => Ok(kind),
            Kind::Gguf | Kind::Onnx => Err("`round` takes a checkpoint".to_owned()),
        }
    }

    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError> {
        let Params { bits } = serde_json::from_value(job.params.clone())?;
        let checkpoint = Checkpoint::open(job.input)?;
        let mut config = read_config(job.input)?;
        config["torch_dtype"] = json!("float32");
        write_config(job.out, &config)?;
        copy_sidecars(job.input, job.out)?;

        let tensors = checkpoint.tensors.iter();
        let header: Vec<_> = tensors
            .map(|(name, (_, info))| (name.clone(), "F32".to_owned(), info.shape.clone()))
            .collect();
        let path = job.out.join("model.safetensors");
        let file = File::create(&path).map_err(file_error("create", &path))?;
        let mut writer = Writer::new(BufWriter::new(file), &header)?;
        let rows = Rows::open(&checkpoint)?;
        for (done, (name, _, _)) in header.iter().enumerate() {
            (job.progress)(done as f64 / header.len() as f64);
            let beyond = || PassError::Overflow { tensor: name.clone(), target: "f32" };
            let one = |value| Some(round(value, bits)).filter(|rounded| rounded.is_finite());
            let convert = |values: Vec<f32>| {
                let rounded: Option<Vec<f32>> = values.into_iter().map(one).collect();
                Ok(rounded.ok_or_else(beyond)?.into_iter().flat_map(f32::to_le_bytes).collect())
            };
            let write = |bytes: &[u8]| writer.append(bytes).map_err(PassError::from);
            rows.source(name).stream(&|row| row, &convert, write)?;
        }
        writer.finish()?;
        let notes = vec![format!("weights with {bits} bits of mantissa, ties to even")];
        Ok(PassNotes { kind: Kind::Checkpoint, notes })
    }
}

fn main() -> ExitCode {
    engine::run_with(Extensions { passes: &[&Round], ..Extensions::default() })
}
