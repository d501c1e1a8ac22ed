//! Writes a safetensors file piece by piece: the header first, then the tensors in its order.

use std::collections::HashSet;
use std::io::Write;

use serde_json::{Map, Value, json};

use super::ModelError;
use super::safetensors::size;
use super::tally::{Tally, misuse};

/// A file being written. Holds no tensor, so memory does not grow with the model.
pub struct Writer<W: Write> {
    out: W,
    tally: Tally,
}

impl<W: Write> Writer<W> {
    /// Writes the header. Tensors are (name, dtype, shape) and must then be appended in this
    /// order. The data starts at a multiple of eight bytes; a list that puts wider dtypes first
    /// keeps every tensor aligned to its elements.
    pub fn new(mut out: W, tensors: &[(String, String, Vec<u64>)]) -> Result<Self, ModelError> {
        let mut header = Map::new();
        // Loaders of the Python library refuse a file without this entry.
        header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
        let mut reached: u64 = 0;
        let mut sizes = Vec::with_capacity(tensors.len());
        let mut names = HashSet::new();
        for (name, dtype, shape) in tensors {
            if name == "__metadata__" || !names.insert(name) {
                return Err(misuse(format!("tensor `{name}` cannot be named twice")).into());
            }
            let bytes = size(dtype, shape).map_err(|what| misuse(format!("`{name}`: {what}")))?;
            let end = reached.checked_add(bytes).ok_or_else(|| misuse("the tensors overflow"))?;
            let entry = json!({
                "dtype": dtype, "shape": shape, "data_offsets": [reached, end],
            });
            header.insert(name.clone(), entry);
            sizes.push((name.clone(), bytes));
            reached = end;
        }
        let mut text = Value::Object(header).to_string();
        text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
        out.write_all(&(text.len() as u64).to_le_bytes())?;
        out.write_all(text.as_bytes())?;
        Ok(Self { out, tally: Tally::new(sizes) })
    }

    /// Appends a piece of the current tensor, little endian and row by row. A piece that would
    /// reach into the next tensor is refused.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        self.tally.take(bytes.len())?;
        Ok(self.out.write_all(bytes)?)
    }

    /// Refuses when bytes are missing; otherwise flushes and gives the output back.
    pub fn finish(mut self) -> Result<W, ModelError> {
        self.tally.finish()?;
        self.out.flush()?;
        Ok(self.out)
    }
}
