//! `cast` of a checkpoint: every tensor is stored in the new type.

use std::fs::File;
use std::io::BufWriter;

use serde_json::json;

use super::cast::Float;
use super::files::{copy_sidecars, read_config, write_config};
use super::rows::Rows;
use super::{PassError, PassJob, PassNotes, file_error};
use crate::model::Kind;
use crate::model::checkpoint::Checkpoint;
use crate::model::safetensors::Writer;

/// Writes the checkpoint with all weights as `to`.
pub fn cast(job: &PassJob<'_>, to: Float) -> Result<PassNotes, PassError> {
    let checkpoint = Checkpoint::open(job.input)?;
    let mut config = read_config(job.input)?;
    for key in ["torch_dtype", "dtype"] {
        if config.get(key).is_some() {
            config[key] = json!(to.torch());
        }
    }
    write_config(job.out, &config)?;
    copy_sidecars(job.input, job.out)?;

    let target = to.safetensors();
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
        source.stream(&|i| i, &|values| to.encode(&values, name), |bytes| {
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
