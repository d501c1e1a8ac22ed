//! Rows of a checkpoint's tensors as f32, a few at a time and several pieces at once.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use half::{bf16, f16};
use rayon::prelude::*;

use super::{PassError, file_error};
use crate::model::checkpoint::Checkpoint;
use crate::model::safetensors::TensorInfo;

/// Elements that one worker holds as f32 at a time: 4 Mi elements are 16 MiB.
const PIECE: u64 = 4 << 20;

/// Open files of a checkpoint.
pub struct Rows<'a> {
    checkpoint: &'a Checkpoint,
    files: HashMap<PathBuf, File>,
}

/// One tensor seen as a matrix; vectors and scalars have a single row.
pub struct Source<'a> {
    pub name: &'a str,
    pub info: &'a TensorInfo,
    file: &'a File,
    pub rows: u64,
    pub cols: u64,
}

impl<'a> Rows<'a> {
    pub fn open(checkpoint: &'a Checkpoint) -> Result<Self, PassError> {
        let mut files = HashMap::new();
        for (path, _) in checkpoint.tensors.values() {
            if !files.contains_key(path) {
                let file = File::open(path).map_err(file_error("open", path))?;
                files.insert(path.clone(), file);
            }
        }
        Ok(Self { checkpoint, files })
    }

    /// The tensor `name`; the checkpoint reader has made sure that it exists.
    pub fn source(&'a self, name: &'a str) -> Source<'a> {
        let (path, info) = &self.checkpoint.tensors[name];
        let cols = info.shape.last().copied().unwrap_or(1);
        let elements: u64 = info.shape.iter().product();
        let rows = elements.checked_div(cols).unwrap_or(0);
        Source { name, info, file: &self.files[path], rows, cols }
    }
}

impl Source<'_> {
    /// The same vector with a row for each element, so that elements can be reordered.
    pub fn into_column(self) -> Self {
        Self { rows: self.rows * self.cols, cols: 1, ..self }
    }

    fn element_bytes(&self) -> u64 {
        if self.info.dtype == "F32" { 4 } else { 2 }
    }

    /// Rows `range` after reordering: new row `i` is old row `order(i)`.
    pub fn read(
        &self,
        range: Range<u64>,
        order: &(dyn Fn(u64) -> u64 + Sync),
    ) -> Result<Vec<f32>, PassError> {
        let row_bytes = self.cols * self.element_bytes();
        let mut bytes = vec![0; ((range.end - range.start) * row_bytes) as usize];
        let consecutive = (range.start..range.end).all(|i| order(i) == i);
        let failed = |source| PassError::File {
            action: "read the weights of",
            path: self.name.to_owned(),
            source,
        };
        if consecutive {
            let at = self.info.start + range.start * row_bytes;
            self.file.read_exact_at(&mut bytes, at).map_err(failed)?;
        } else {
            for (i, row) in range.clone().zip(bytes.chunks_exact_mut(row_bytes as usize)) {
                let at = self.info.start + order(i) * row_bytes;
                self.file.read_exact_at(row, at).map_err(failed)?;
            }
        }
        let values: Vec<f32> = match self.info.dtype.as_str() {
            "F32" => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            "F16" => {
                bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            _ => {
                bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
        };
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(at) => Err(PassError::NotFinite {
                tensor: self.name.to_owned(),
                row: range.start + at as u64 / self.cols.max(1),
            }),
        }
    }

    /// Runs `convert` over all rows in pieces, several at once, and hands the results to `write`
    /// in order.
    pub fn stream(
        &self,
        order: &(dyn Fn(u64) -> u64 + Sync),
        convert: &(dyn Fn(Vec<f32>) -> Result<Vec<u8>, PassError> + Sync),
        mut write: impl FnMut(&[u8]) -> Result<(), PassError>,
    ) -> Result<(), PassError> {
        let step = (PIECE / self.cols.max(1)).max(1);
        let pieces: Vec<Range<u64>> = (0..self.rows)
            .step_by(step as usize)
            .map(|start| start..(start + step).min(self.rows))
            .collect();
        for batch in pieces.chunks(rayon::current_num_threads().max(1)) {
            let converted: Result<Vec<_>, PassError> =
                batch.par_iter().map(|range| convert(self.read(range.clone(), order)?)).collect();
            for bytes in converted? {
                write(&bytes)?;
            }
        }
        Ok(())
    }
}
