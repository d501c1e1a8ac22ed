//! Dense tensors as they go in and out of models.

use std::fmt;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// Type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ElementType {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    /// Texts in UTF-8.
    String,
}

impl ElementType {
    pub const ALL: [Self; 14] = [
        Self::F64,
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::I64,
        Self::I32,
        Self::I16,
        Self::I8,
        Self::U64,
        Self::U32,
        Self::U16,
        Self::U8,
        Self::Bool,
        Self::String,
    ];

    /// As records and reports write it, such as `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::U8 => "u8",
            Self::Bool => "bool",
            Self::String => "string",
        }
    }

    /// The type with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Bytes of one element; of a text those of its length, which stands before it, so that it has
    /// at least as many.
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 | Self::String => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    pub fn is_text(self) -> bool {
        self == Self::String
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A dense tensor: elements in row-major order, little-endian. A text is its length in bytes as a
/// u32, and its UTF-8; so texts can be put one after another as numbers can.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub dtype: ElementType,
    /// Outermost dimension first; empty for a scalar.
    pub shape: Vec<usize>,
    /// `shape` many elements of `dtype`.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// `None` when `bytes` are not the elements that the shape demands.
    pub fn new(dtype: ElementType, shape: Vec<usize>, bytes: Vec<u8>) -> Option<Self> {
        let elements = shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim))?;
        let needed = elements.checked_mul(dtype.bytes())?;
        let sound = match dtype {
            ElementType::String => behind_texts(&bytes, elements).is_some_and(<[u8]>::is_empty),
            _ => needed == bytes.len(),
        };
        sound.then_some(Self { dtype, shape, bytes })
    }

    /// A tensor of texts; `None` when there are not as many as the shape demands, or when one is
    /// longer than 4 GiB.
    pub fn of_texts<T: AsRef<str>>(shape: Vec<usize>, texts: &[T]) -> Option<Self> {
        let elements = shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim))?;
        let bytes = stored(texts.iter().map(AsRef::as_ref))?;
        (elements == texts.len()).then_some(Self { dtype: ElementType::String, shape, bytes })
    }

    /// Every text; `None` of a tensor of numbers.
    pub fn texts(&self) -> Option<Vec<&str>> {
        if !self.dtype.is_text() {
            return None;
        }
        let mut left = self.bytes.as_slice();
        let mut take = |_| {
            let (text, after) = first_text(left)?;
            left = after;
            Some(text)
        };
        (0..self.elements()).map(&mut take).collect()
    }

    /// The rows of the first dimension, each as a tensor of one row. A scalar has none.
    pub fn rows(&self) -> Vec<Self> {
        let Some((&count, rest)) = self.shape.split_first() else { return Vec::new() };
        let shape = [&[1], rest].concat();
        let row =
            |bytes: &[u8]| Self { dtype: self.dtype, shape: shape.clone(), bytes: bytes.to_vec() };
        let mut left = self.bytes.as_slice();
        let mut take = |_| {
            let after = match self.dtype {
                ElementType::String => behind_texts(left, self.elements() / count)?,
                _ => left.get(self.bytes.len() / count..)?,
            };
            let (taken, after) = left.split_at(left.len() - after.len());
            left = after;
            Some(row(taken))
        };
        (0..count).filter_map(&mut take).collect()
    }

    /// A tensor of f32. The caller gives as many values as the shape demands.
    pub fn of_f32(shape: Vec<usize>, values: &[f32]) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        Self { dtype: ElementType::F32, shape, bytes: bytemuck::cast_slice(values).to_vec() }
    }

    /// A tensor of i64. The caller gives as many values as the shape demands.
    pub fn of_i64(shape: Vec<usize>, values: &[i64]) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        Self { dtype: ElementType::I64, shape, bytes: bytemuck::cast_slice(values).to_vec() }
    }

    /// A tensor of `dtype` from numbers that it can hold; others become the nearest it has, and for
    /// truth values everything but 0 is true. A text is the number in digits. The caller gives as
    /// many as the shape demands.
    pub fn of_f64(dtype: ElementType, shape: Vec<usize>, values: &[f64]) -> Self {
        fn each<const N: usize>(values: &[f64], bytes: impl Fn(f64) -> [u8; N]) -> Vec<u8> {
            values.iter().flat_map(|&value| bytes(value)).collect()
        }
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        let bytes = match dtype {
            ElementType::F64 => each(values, f64::to_le_bytes),
            ElementType::F32 => each(values, |v| (v as f32).to_le_bytes()),
            ElementType::F16 => each(values, |v| f16::from_f64(v).to_le_bytes()),
            ElementType::Bf16 => each(values, |v| bf16::from_f64(v).to_le_bytes()),
            ElementType::I64 => each(values, |v| (v as i64).to_le_bytes()),
            ElementType::I32 => each(values, |v| (v as i32).to_le_bytes()),
            ElementType::I16 => each(values, |v| (v as i16).to_le_bytes()),
            ElementType::I8 => each(values, |v| (v as i8).to_le_bytes()),
            ElementType::U64 => each(values, |v| (v as u64).to_le_bytes()),
            ElementType::U32 => each(values, |v| (v as u32).to_le_bytes()),
            ElementType::U16 => each(values, |v| (v as u16).to_le_bytes()),
            ElementType::U8 => each(values, |v| [v as u8]),
            ElementType::Bool => each(values, |v| [u8::from(v != 0.0)]),
            ElementType::String => {
                let digits: Vec<String> = values.iter().map(f64::to_string).collect();
                stored(digits.iter().map(String::as_str)).expect("a number has few digits")
            }
        };
        Self { dtype, shape, bytes }
    }

    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Every element as f64, exact but for integers beyond 2^53. A text is no number, but NaN.
    pub fn to_f64(&self) -> Vec<f64> {
        fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            let (whole, _) = bytes.as_chunks::<N>();
            whole.iter().map(|chunk| value(*chunk)).collect()
        }
        let bytes = &self.bytes;
        match self.dtype {
            ElementType::F64 => each(bytes, f64::from_le_bytes),
            ElementType::F32 => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
            ElementType::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f64()),
            ElementType::Bf16 => each(bytes, |b| bf16::from_le_bytes(b).to_f64()),
            ElementType::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
            ElementType::I32 => each(bytes, |b| f64::from(i32::from_le_bytes(b))),
            ElementType::I16 => each(bytes, |b| f64::from(i16::from_le_bytes(b))),
            ElementType::I8 => each(bytes, |b| f64::from(i8::from_le_bytes(b))),
            ElementType::U64 => each(bytes, |b| u64::from_le_bytes(b) as f64),
            ElementType::U32 => each(bytes, |b| f64::from(u32::from_le_bytes(b))),
            ElementType::U16 => each(bytes, |b| f64::from(u16::from_le_bytes(b))),
            ElementType::U8 | ElementType::Bool => each(bytes, |b: [u8; 1]| f64::from(b[0])),
            ElementType::String => vec![f64::NAN; self.elements()],
        }
    }
}

/// Texts as a tensor has them; `None` when one is too long.
fn stored<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    Some(bytes)
}

/// The text at the beginning of `bytes` and what stands behind it; `None` where there is none.
fn first_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, after) = bytes.split_first_chunk::<4>()?;
    let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((std::str::from_utf8(text).ok()?, after))
}

/// What stands behind `count` texts.
fn behind_texts(bytes: &[u8], count: usize) -> Option<&[u8]> {
    (0..count).try_fold(bytes, |left, _| Some(first_text(left)?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_has_as_many_bytes_as_its_shape_demands() {
        assert!(Tensor::new(ElementType::F32, vec![2, 3], vec![0; 24]).is_some());
        assert!(Tensor::new(ElementType::F32, vec![2, 3], vec![0; 23]).is_none());
        assert!(Tensor::new(ElementType::U8, vec![usize::MAX, 2], vec![]).is_none());
        assert_eq!(Tensor::new(ElementType::I64, vec![], vec![0; 8]).unwrap().elements(), 1);
    }

    #[test]
    fn elements_are_read_in_their_type() {
        let tensor = Tensor::new(ElementType::I8, vec![2], vec![0xff, 3]).unwrap();
        assert_eq!(tensor.to_f64(), [-1.0, 3.0]);
        let half = f16::from_f32(1.5).to_le_bytes();
        let tensor = Tensor::new(ElementType::F16, vec![1], half.to_vec()).unwrap();
        assert_eq!(tensor.to_f64(), [1.5]);
        assert_eq!(Tensor::of_f32(vec![2], &[0.5, -2.0]).to_f64(), [0.5, -2.0]);
    }

    #[test]
    fn numbers_go_into_every_type_and_come_back() {
        for dtype in ElementType::ALL.into_iter().filter(|dtype| !dtype.is_text()) {
            let values =
                if dtype == ElementType::Bool { [0.0, 1.0, 1.0] } else { [0.0, 1.0, 97.0] };
            let tensor = Tensor::of_f64(dtype, vec![3], &values);
            assert_eq!(tensor.bytes.len(), 3 * dtype.bytes());
            assert_eq!(tensor.to_f64(), values, "{dtype}");
        }
        assert_eq!(Tensor::of_f64(ElementType::I8, vec![1], &[1e9]).to_f64(), [127.0]);
    }

    #[test]
    fn texts_are_kept_whatever_their_lengths_and_are_no_numbers() {
        let words = ["", "fox", "gr\u{fc}n", "a b"];
        let tensor = Tensor::of_texts(vec![2, 2], &words).unwrap();
        assert_eq!((tensor.dtype.name(), tensor.texts().unwrap()), ("string", words.to_vec()));
        assert_eq!(
            Tensor::new(tensor.dtype, vec![2, 2], tensor.bytes.clone()),
            Some(tensor.clone())
        );
        assert!(tensor.to_f64().iter().all(|number| number.is_nan()));
        assert_eq!(Tensor::of_texts(vec![3], &words), None);
        assert_eq!(Tensor::of_f64(ElementType::String, vec![1], &[7.0]).texts().unwrap(), ["7"]);
        assert_eq!(Tensor::of_f32(vec![1], &[7.0]).texts(), None);
        let rows = tensor.rows();
        assert_eq!(
            (rows[1].shape.as_slice(), rows[1].texts().unwrap()),
            (&[1, 2][..], words[2..].to_vec())
        );
        assert!(Tensor::of_texts::<&str>(vec![0, 2], &[]).unwrap().rows().is_empty());
        assert_eq!(Tensor::of_f32(vec![2, 1], &[1.0, 2.0]).rows()[1].to_f64(), [2.0]);
    }

    #[test]
    fn bytes_that_are_no_texts_make_no_tensor() {
        let whole = Tensor::of_texts(vec![2], &["fox", "gr\u{fc}n"]).unwrap().bytes;
        let made = |bytes: &[u8]| Tensor::new(ElementType::String, vec![2], bytes.to_vec());
        assert!(made(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(made(&whole[..length]), None, "cut at {length}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            // No byte of a text in ASCII or UTF-8 turns into another one so.
            assert_eq!(made(&changed), None, "changed at {at}");
        }
        let huge = vec![usize::MAX / 4];
        assert_eq!(Tensor::new(ElementType::String, huge, whole), None);
    }
}
