//! The header of a GGUF file: metadata and where each tensor lies.
//!
//! Written from the format's description in the ggml repository (`docs/gguf.md`). Versions 2 and
//! 3, little endian. Stricter than llama.cpp on purpose: tensors may not overlap, strings must be
//! UTF-8, and only the storage types of [`GgmlType`] are known.

use std::io::{BufReader, Read};
use std::path::Path;

use indexmap::IndexMap;

use super::bounded::{self, Bounded};
use super::content::{self, Content};
pub use super::gguf_type::GgmlType;
use super::gguf_value::read_string;
pub use super::gguf_value::{GgufArray, GgufValue, Strings};
pub use super::gguf_writer::GgufWriter;
use super::{Fault, ModelError, shown};

pub const MAGIC: [u8; 4] = *b"GGUF";
/// Largest header that is read: a vocabulary of 256 k tokens with its merges needs 12 MB.
pub const HEADER_LIMIT: u64 = 64 << 20;
pub const KEY_LIMIT: u64 = 65_536;
pub const TENSOR_LIMIT: u64 = 65_536;
pub const ALIGNMENT_LIMIT: u64 = 1 << 20;
pub const DEFAULT_ALIGNMENT: u64 = 32;

/// Key of the alignment of tensors, the only key that the format itself reads.
pub const ALIGNMENT_KEY: &str = "general.alignment";

/// Least bytes of a key with its value, and of a tensor's entry.
const LEAST_KEY: u64 = 8 + 1 + 4 + 1;
const LEAST_TENSOR: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// A sound header. Tensors lie inside the file and do not overlap.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf {
    pub version: u32,
    pub alignment: u64,
    /// In the order of the file, as are the tensors.
    pub metadata: IndexMap<String, GgufValue>,
    pub tensors: IndexMap<String, GgufTensor>,
    /// Byte at which the data of the tensors begins.
    pub data_start: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    pub ggml_type: GgmlType,
    /// Innermost dimension first, as ggml counts: a matrix is [columns, rows].
    pub dims: Vec<u64>,
    /// First byte, counted from the start of the file.
    pub offset: u64,
    pub bytes: u64,
}

impl GgufTensor {
    pub fn elements(&self) -> u64 {
        self.dims.iter().product()
    }

    /// Outermost dimension first, as safetensors and candle count.
    pub fn shape(&self) -> Vec<u64> {
        self.dims.iter().rev().copied().collect()
    }
}

impl Gguf {
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        content::expect(path, Some(Content::Gguf))?;
        let (file, len) = bounded::open(path)?;
        Self::parse(BufReader::new(file), len).map_err(|fault| ModelError::Malformed {
            path: path.to_owned(),
            format: "GGUF",
            fault,
        })
    }

    /// `len` is the length of the whole file; only the header is read from `file`.
    pub fn parse(file: impl Read, len: u64) -> Result<Self, Fault> {
        let mut file = Bounded::new(file, len, HEADER_LIMIT);
        if file.array("magic")? != MAGIC {
            return Err(Fault::new("magic", "is not `GGUF`").at(0));
        }
        let version = read_version(&mut file)?;
        let tensor_count = file.u64("tensor count")?;
        let key_count = file.u64("key count")?;
        for (field, count, limit, least) in [
            ("key count", key_count, KEY_LIMIT, LEAST_KEY),
            ("tensor count", tensor_count, TENSOR_LIMIT, LEAST_TENSOR),
        ] {
            file.demand(field, count, least)?;
            if count > limit {
                return Err(Fault::new(field, format!("{count}, the limit is {limit}")).at(8));
            }
        }

        let mut metadata = IndexMap::with_capacity(key_count as usize);
        for _ in 0..key_count {
            let at = file.at();
            let key = read_name(&mut file, "key")?;
            let value = GgufValue::read(&mut file, &format!("value of `{}`", shown(&key)))?;
            if metadata.contains_key(&key) {
                return Err(Fault::new(format!("key `{}`", shown(&key)), "appears twice").at(at));
            }
            metadata.insert(key, value);
        }
        let alignment = alignment(&metadata)?;

        let mut tensors = IndexMap::with_capacity(tensor_count as usize);
        for _ in 0..tensor_count {
            let at = file.at();
            let (name, tensor) = read_tensor(&mut file, alignment)?;
            if tensors.contains_key(&name) {
                return Err(
                    Fault::new(format!("tensor `{}`", shown(&name)), "appears twice").at(at)
                );
            }
            tensors.insert(name, tensor);
        }
        let data_start = file.at().next_multiple_of(alignment);
        place(&mut tensors, data_start, len)?;
        Ok(Self { version, alignment, metadata, tensors, data_start })
    }
}

fn read_version<R: Read>(file: &mut Bounded<R>) -> Result<u32, Fault> {
    let version = file.u32("version")?;
    let what = match version {
        2 | 3 => return Ok(version),
        1 => "version 1 is obsolete, convert the model again".to_owned(),
        swapped if matches!(swapped.swap_bytes(), 1..=3) => "big-endian files are not read".into(),
        other => format!("version {other} is unknown, known are 2 and 3"),
    };
    Err(Fault::new("version", what).at(4))
}

fn read_name<R: Read>(file: &mut Bounded<R>, field: &str) -> Result<String, Fault> {
    let at = file.at();
    let name = read_string(file, field)?;
    match name.len() {
        0 => Err(Fault::new(field, "is empty").at(at)),
        n if n > 65_535 => Err(Fault::new(field, format!("{n} bytes, the limit is 65535")).at(at)),
        _ => Ok(name),
    }
}

fn alignment(metadata: &IndexMap<String, GgufValue>) -> Result<u64, Fault> {
    match metadata.get(ALIGNMENT_KEY) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(GgufValue::U32(n)) if n.is_power_of_two() && u64::from(*n) <= ALIGNMENT_LIMIT => {
            Ok((*n).into())
        }
        Some(GgufValue::U32(n)) => {
            let what = format!("{n} is not a power of two up to {ALIGNMENT_LIMIT}");
            Err(Fault::new(ALIGNMENT_KEY, what))
        }
        Some(_) => Err(Fault::new(ALIGNMENT_KEY, "is not a 32-bit unsigned integer")),
    }
}

/// One tensor's entry; its offset still counts from the start of the data.
fn read_tensor<R: Read>(
    file: &mut Bounded<R>,
    alignment: u64,
) -> Result<(String, GgufTensor), Fault> {
    let name = read_name(file, "tensor name")?;
    let field = format!("tensor `{}`", shown(&name));
    let at = file.at();
    let fault = |what| Fault::new(field.as_str(), what).at(at);
    let count = file.u32(&field)?;
    if count == 0 || count > 4 {
        return Err(fault(format!("{count} dimensions, allowed are 1 to 4")));
    }
    let dims = (0..count).map(|_| file.u64(&field)).collect::<Result<Vec<_>, _>>()?;
    let id = file.u32(&field)?;
    let ggml_type = GgmlType::from_id(id)
        .ok_or_else(|| fault(format!("storage type {id} is not supported")))?;
    let offset = file.u64(&field)?;
    if offset % alignment != 0 {
        return Err(fault(format!(
            "offset {offset} is not a multiple of the alignment {alignment}"
        )));
    }
    let bytes = ggml_type.bytes(&dims).map_err(fault)?;
    Ok((name, GgufTensor { ggml_type, dims, offset, bytes }))
}

/// Makes offsets absolute and refuses ranges that overlap or leave the file.
fn place(
    tensors: &mut IndexMap<String, GgufTensor>,
    data_start: u64,
    len: u64,
) -> Result<(), Fault> {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|i| tensors[*i].offset);
    let mut reached = data_start;
    for i in order {
        let (name, tensor) = tensors.get_index_mut(i).expect("indices come from the map");
        let fault = |what| Err(Fault::new(format!("tensor `{}`", shown(name)), what));
        let range = tensor.offset.checked_add(data_start).and_then(|start| {
            start.checked_add(tensor.bytes).filter(|end| *end <= len).map(|end| (start, end))
        });
        let Some((start, end)) = range else {
            return fault(format!(
                "{} bytes at {} of the data, which begins at {data_start}, leave the file of {len}",
                tensor.bytes, tensor.offset
            ));
        };
        if start < reached {
            return fault(format!("starts at {start}, the tensor before ends at {reached}"));
        }
        reached = end;
        tensor.offset = start;
    }
    Ok(())
}
