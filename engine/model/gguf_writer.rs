//! Writes a GGUF file of version 3 piece by piece: the header first, then the tensors in its
//! order. Equal input gives equal bytes: nothing depends on time, machine or a hash order.

use std::collections::HashSet;
use std::io::{self, Write};

use super::gguf::{ALIGNMENT_KEY, ALIGNMENT_LIMIT, DEFAULT_ALIGNMENT, MAGIC};
use super::gguf_value::write_string;
use super::tally::{Tally, misuse};
use super::{GgmlType, GgufValue, ModelError};

/// A file being written. Holds no tensor, so memory does not grow with the model.
pub struct GgufWriter<W: Write> {
    out: W,
    tally: Tally,
    alignment: u64,
    /// Bytes written since the start of the file.
    at: u64,
}

impl<W: Write> GgufWriter<W> {
    /// Writes the header. Tensors are (name, type, dimensions with the innermost first) and must
    /// then be appended in this order. `general.alignment` in `metadata` is obeyed.
    pub fn new(
        out: W,
        metadata: &[(String, GgufValue)],
        tensors: &[(String, GgmlType, Vec<u64>)],
    ) -> Result<Self, ModelError> {
        let alignment = alignment(metadata)?;
        let mut header = Vec::new();
        header.extend(MAGIC);
        header.extend(3_u32.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.len() as u64).to_le_bytes());
        let mut names = HashSet::new();
        for (key, value) in metadata {
            if key.is_empty() || !names.insert(key) {
                return Err(misuse(format!("key `{key}` is empty or appears twice")).into());
            }
            write_string(&mut header, key)?;
            value.write(&mut header)?;
        }
        let mut names = HashSet::new();
        let mut sizes = Vec::with_capacity(tensors.len());
        let mut offset: u64 = 0;
        for (name, ggml_type, dims) in tensors {
            if name.is_empty() || !names.insert(name) {
                return Err(misuse(format!("tensor `{name}` is empty or appears twice")).into());
            }
            let bytes =
                ggml_type.bytes(dims).map_err(|what| misuse(format!("`{name}`: {what}")))?;
            write_string(&mut header, name)?;
            header.extend((dims.len() as u32).to_le_bytes());
            for dim in dims {
                header.extend(dim.to_le_bytes());
            }
            header.extend(ggml_type.id().to_le_bytes());
            header.extend(offset.to_le_bytes());
            sizes.push((name.clone(), bytes));
            offset = offset
                .checked_add(bytes)
                .and_then(|end| end.checked_next_multiple_of(alignment))
                .ok_or_else(|| misuse("the tensors overflow"))?;
        }
        let mut writer = Self { out, tally: Tally::new(sizes), alignment, at: 0 };
        writer.put(&header)?;
        writer.pad()?;
        Ok(writer)
    }

    /// Appends a piece of the current tensor. A piece that would reach into the next tensor is
    /// refused; padding between tensors is written here.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        let complete = self.tally.take(bytes.len())?;
        self.put(bytes)?;
        // The last tensor is padded too: ggml reads it together with its padding.
        if complete {
            self.pad()?;
        }
        Ok(())
    }

    /// Refuses when bytes are missing; otherwise flushes and gives the output back.
    pub fn finish(mut self) -> Result<W, ModelError> {
        self.tally.finish()?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> io::Result<()> {
        let zeros = self.at.next_multiple_of(self.alignment) - self.at;
        self.put(&vec![0; zeros as usize])
    }
}

fn alignment(metadata: &[(String, GgufValue)]) -> io::Result<u64> {
    match metadata.iter().find(|(key, _)| key == ALIGNMENT_KEY) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some((_, GgufValue::U32(n))) if n.is_power_of_two() && u64::from(*n) <= ALIGNMENT_LIMIT => {
            Ok((*n).into())
        }
        Some((_, other)) => Err(misuse(format!("`{ALIGNMENT_KEY}` cannot be {other:?}"))),
    }
}
