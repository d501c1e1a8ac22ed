//! The header of a safetensors file, read and checked before anything is mapped.
//!
//! Layout: eight bytes length of the header, a JSON object from tensor name to dtype, shape and
//! byte range, then the bytes of all tensors without gaps. The `safetensors` crate reads the same
//! files; this reader is stricter where plain JSON maps are lax (a duplicate name silently keeps
//! the last entry) and has its own limits.

use std::collections::HashSet;
use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize as DeriveDeserialize;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::bounded::{self, Bounded};
use super::content::{self, Content};
pub use super::safetensors_writer::Writer;
use super::{Fault, ModelError, shown};

/// Largest header that is read, in bytes.
pub const HEADER_LIMIT: u64 = 25_000_000;
/// Most tensors in one file.
pub const TENSOR_LIMIT: usize = 1_000_000;
/// Most dimensions of one tensor.
pub const DIMENSION_LIMIT: usize = 8;

/// Storage types whose elements take whole bytes, with that number of bytes.
const DTYPES: &[(&str, u64)] = &[
    ("BOOL", 1),
    ("U8", 1),
    ("I8", 1),
    ("F8_E4M3", 1),
    ("F8_E5M2", 1),
    ("I16", 2),
    ("U16", 2),
    ("F16", 2),
    ("BF16", 2),
    ("I32", 4),
    ("U32", 4),
    ("F32", 4),
    ("I64", 8),
    ("U64", 8),
    ("F64", 8),
];

/// One tensor of a file. Invariant: `end - start` = size of the dtype × product of the shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// As the file writes it, such as `BF16`; always one that this reader knows.
    pub dtype: String,
    /// Outermost dimension first; empty for a scalar.
    pub shape: Vec<u64>,
    /// First byte, counted from the start of the file.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

impl TensorInfo {
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    pub fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// A sound header: its ranges cover the rest of the file exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// In the order of the header's JSON.
    pub tensors: IndexMap<String, TensorInfo>,
    pub metadata: IndexMap<String, String>,
}

impl Header {
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        Self::read_within(path, HEADER_LIMIT)
    }

    /// Like [`Header::read`] with another limit on the size of the header.
    pub fn read_within(path: &Path, limit: u64) -> Result<Self, ModelError> {
        content::expect(path, Some(Content::Safetensors))?;
        let (file, len) = bounded::open(path)?;
        Self::parse(BufReader::new(file), len, limit).map_err(|fault| ModelError::Malformed {
            path: path.to_owned(),
            format: "safetensors",
            fault,
        })
    }

    /// `len` is the length of the whole file; only the header is read from `file`.
    pub fn parse(file: impl Read, len: u64, limit: u64) -> Result<Self, Fault> {
        let mut file = Bounded::new(file, len, limit.saturating_add(8));
        let size = file.u64("header length")?;
        if size > limit {
            let what = format!("{size} bytes, the limit is {limit}");
            return Err(Fault::new("header length", what).at(0));
        }
        let json = file.bytes("header", size)?;
        if json.first() != Some(&b'{') {
            return Err(Fault::new("header", "does not start with `{`").at(8));
        }
        let mut header: Self = serde_json::from_slice(&json).map_err(|e| {
            let line_starts =
                json.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1);
            let line = std::iter::once(0).chain(line_starts).nth(e.line().saturating_sub(1));
            let offset = 8 + line.unwrap_or(0) + e.column().saturating_sub(1);
            Fault::new("header", e.to_string()).at(offset as u64)
        })?;
        header.place(file.at(), len)?;
        Ok(header)
    }

    /// Checks the size equation and the tiling, and makes the ranges absolute.
    fn place(&mut self, data_start: u64, len: u64) -> Result<(), Fault> {
        for (name, tensor) in &self.tensors {
            let fault = |what| Fault::new(format!("tensor `{}`", shown(name)), what);
            let bytes = size(&tensor.dtype, &tensor.shape).map_err(&fault)?;
            if tensor.end.checked_sub(tensor.start) != Some(bytes) {
                return Err(fault(format!(
                    "data_offsets [{}, {}] do not span the {bytes} bytes of its shape",
                    tensor.start, tensor.end
                )));
            }
        }
        let mut order: Vec<usize> = (0..self.tensors.len()).collect();
        order.sort_by_key(|i| self.tensors[*i].start);
        let mut reached = 0;
        for i in order {
            let (name, tensor) = self.tensors.get_index_mut(i).expect("indices come from the map");
            if tensor.start != reached {
                let kind = if tensor.start < reached { "overlaps" } else { "leaves a gap after" };
                let field = format!("tensor `{}`", shown(name));
                let what = format!(
                    "data_offsets start at {}, which {kind} the tensor before, ending at {reached}",
                    tensor.start
                );
                return Err(Fault::new(field, what));
            }
            reached = tensor.end;
            let absolute = |offset: u64| {
                offset.checked_add(data_start).filter(|end| *end <= len).ok_or_else(|| {
                    let held = len - data_start;
                    let what =
                        format!("data_offsets reach byte {offset} of the data, which has {held}");
                    Fault::new(format!("tensor `{}`", shown(name)), what)
                })
            };
            (tensor.start, tensor.end) = (absolute(tensor.start)?, absolute(tensor.end)?);
        }
        match len - data_start {
            held if held == reached => Ok(()),
            held => Err(Fault::new("data", format!("{held} bytes, the tensors end at {reached}"))
                .at(data_start)),
        }
    }
}

/// Bytes of a tensor. Dimensions of 0 are refused: no weight is empty.
pub(crate) fn size(dtype: &str, shape: &[u64]) -> Result<u64, String> {
    let known = DTYPES.iter().find(|(name, _)| *name == dtype);
    let (_, element) = known.ok_or_else(|| format!("unknown dtype `{}`", shown(dtype)))?;
    if shape.contains(&0) {
        return Err(format!("shape {shape:?} has a dimension of 0"));
    }
    shape
        .iter()
        .try_fold(*element, |product, dim| product.checked_mul(*dim))
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| format!("shape {shape:?} overflows"))
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        let mut seen_metadata = false;
        while let Some(name) = map.next_key::<String>()? {
            let named = |e: A::Error| de::Error::custom(format!("tensor `{}`: {e}", shown(&name)));
            if name == "__metadata__" {
                if std::mem::replace(&mut seen_metadata, true) {
                    return Err(de::Error::custom("`__metadata__` appears twice"));
                }
                header.metadata = map.next_value_seed(Metadata)?;
                continue;
            }
            if header.tensors.contains_key(&name) {
                return Err(de::Error::custom(format!("tensor `{}` appears twice", shown(&name))));
            }
            if header.tensors.len() == TENSOR_LIMIT {
                return Err(de::Error::custom(format!("more than {TENSOR_LIMIT} tensors")));
            }
            let Entry { dtype, shape, data_offsets: (start, end) } =
                map.next_value().map_err(named)?;
            header.tensors.insert(name, TensorInfo { dtype, shape: shape.0, start, end });
        }
        Ok(header)
    }
}

#[derive(DeriveDeserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Shape,
    data_offsets: (u64, u64),
}

/// A list of dimensions that stops at the limit instead of growing with the input.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Dimensions;
        impl<'de> Visitor<'de> for Dimensions {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut dims = Vec::new();
                while let Some(dim) = seq.next_element()? {
                    if dims.len() == DIMENSION_LIMIT {
                        let what = format!("more than {DIMENSION_LIMIT} dimensions");
                        return Err(de::Error::custom(what));
                    }
                    dims.push(dim);
                }
                Ok(Shape(dims))
            }
        }
        d.deserialize_seq(Dimensions)
    }
}

/// The free-form part of the header: strings only, no name twice.
struct Metadata;

impl<'de> DeserializeSeed<'de> for Metadata {
    type Value = IndexMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Metadata {
    type Value = IndexMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings in `__metadata__`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut out = IndexMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            let shown = shown(&key);
            if out.insert(key, value).is_some() {
                return Err(de::Error::custom(format!("`__metadata__.{shown}` appears twice")));
            }
        }
        Ok(out)
    }
}

/// The index of a checkpoint that is split over several files: tensor name to file name.
///
/// File names are plain: a separator or `..` would let a download write or read elsewhere.
pub(crate) fn read_index(path: &Path) -> Result<IndexMap<String, String>, ModelError> {
    #[derive(DeriveDeserialize)]
    struct Index {
        weight_map: WeightMap,
    }
    struct WeightMap(IndexMap<String, String>);
    impl<'de> Deserialize<'de> for WeightMap {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            d.deserialize_map(Metadata).map(Self)
        }
    }

    let malformed = |field: &str, what: String| ModelError::Malformed {
        path: path.to_owned(),
        format: "safetensors index",
        fault: Fault::new(field, what),
    };
    let text = bounded::read_text(path, HEADER_LIMIT)?;
    let index: Index =
        serde_json::from_str(&text).map_err(|e| malformed("weight_map", e.to_string()))?;
    let files: HashSet<&str> = index.weight_map.0.values().map(String::as_str).collect();
    for file in files {
        let plain = file.ends_with(".safetensors")
            && !file.starts_with('.')
            && !file.contains(['/', '\\', '\0', ':']);
        if !plain {
            let what = format!("`{}` is not a plain name of a safetensors file", shown(file));
            return Err(malformed("weight_map", what));
        }
    }
    Ok(index.weight_map.0)
}
