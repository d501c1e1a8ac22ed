//! A single tensor in a file of its own, as ONNX's test data keeps inputs and outputs.

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::writer::inline_bytes;
use super::{EXTERNAL, TensorProto, element_type, type_name};
use crate::data::{ElementType, Tensor};

/// Number of the field `string_data`.
const STRING_DATA: u32 = 6;

/// A tensor without texts and remarks: as parts of a message, two bytes of a file become fifty in
/// memory.
#[derive(Clone, PartialEq, Message)]
struct Numbers {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    data_type: Option<i32>,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    int64_data: Vec<i64>,
    #[prost(string, optional, tag = "8")]
    name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "9")]
    raw_data: Option<Vec<u8>>,
    #[prost(double, repeated, tag = "10")]
    double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    uint64_data: Vec<u64>,
    #[prost(int32, optional, tag = "14")]
    data_location: Option<i32>,
}

impl From<Numbers> for TensorProto {
    fn from(numbers: Numbers) -> Self {
        Self {
            dims: numbers.dims,
            data_type: numbers.data_type,
            float_data: numbers.float_data,
            int32_data: numbers.int32_data,
            int64_data: numbers.int64_data,
            name: numbers.name,
            raw_data: numbers.raw_data,
            data_location: numbers.data_location,
            double_data: numbers.double_data,
            uint64_data: numbers.uint64_data,
            ..Self::default()
        }
    }
}

/// The tensor in the bytes of a .pb file with its name, or what is wrong with it. Numbers of
/// fewer than 8 bits and complex ones cannot be held and are told by their type.
pub fn tensor_from_pb(bytes: &[u8]) -> Result<(Option<String>, Tensor), String> {
    let numbers = Numbers::decode(bytes).map_err(|error| format!("is no ONNX tensor: {error}"))?;
    let proto = TensorProto::from(numbers);
    let code = proto.data_type.ok_or("is no ONNX tensor: it has no element type")?;
    let Some(dtype) = element_type(code) else {
        let name = type_name(code).map_or_else(|| code.to_string(), str::to_owned);
        return Err(format!("holds elements of type `{name}`, which no input here can be"));
    };
    if proto.data_location == Some(EXTERNAL) {
        return Err("keeps its elements in another file, which is not read".to_owned());
    }
    let mut shape = Vec::with_capacity(proto.dims.len());
    for &dim in &proto.dims {
        shape.push(usize::try_from(dim).map_err(|_| format!("has a dimension of {dim}"))?);
    }
    let name = proto.name.clone().filter(|name| !name.is_empty());
    if dtype == ElementType::String {
        let (count, data) = texts(bytes)?;
        let tensor = Tensor::new(dtype, shape.clone(), data);
        let unlike = || format!("has {count} texts in UTF-8, and not those of shape {shape:?}");
        return Ok((name, tensor.ok_or_else(unlike)?));
    }
    let needed = shape.iter().try_fold(dtype.bytes(), |n, &dim| n.checked_mul(dim));
    let data = inline_bytes(&proto).unwrap_or_default();
    let length = data.len();
    if needed != Some(length) {
        return Err(format!(
            "has {length} bytes of data, and shape {shape:?} of {dtype} needs {}",
            needed.map_or_else(|| "more than there can be".to_owned(), |n| n.to_string())
        ));
    }
    let tensor = Tensor::new(dtype, shape, data).ok_or("has an impossible shape")?;
    Ok((name, tensor))
}

/// The texts of a message as a tensor has them, and their number. Each takes two bytes more than
/// in the file at most.
fn texts(message: &[u8]) -> Result<(usize, Vec<u8>), String> {
    let broken = |error: prost::DecodeError| format!("is no ONNX tensor: {error}");
    let (mut rest, mut count, mut out) = (message, 0, Vec::new());
    while !rest.is_empty() {
        let (field, wire) = decode_key(&mut rest).map_err(broken)?;
        if (field, wire) != (STRING_DATA, WireType::LengthDelimited) {
            skip_field(wire, field, &mut rest, DecodeContext::default()).map_err(broken)?;
            continue;
        }
        let length = decode_varint(&mut rest).map_err(broken)?;
        let cut = || "is no ONNX tensor: a text ends behind the file".to_owned();
        let fits = u32::try_from(length).map_err(|_| cut())?;
        let (text, after) = rest.split_at_checked(fits as usize).ok_or_else(cut)?;
        if std::str::from_utf8(text).is_err() {
            return Err(format!("has a text, number {count}, that is not UTF-8"));
        }
        out.extend(fits.to_le_bytes());
        out.extend(text);
        (rest, count) = (after, count + 1);
    }
    Ok((count, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> TensorProto {
        TensorProto {
            dims: vec![2, 2],
            data_type: Some(1),
            name: Some("x".to_owned()),
            raw_data: Some([1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect()),
            ..TensorProto::default()
        }
    }

    fn told(change: impl FnOnce(&mut TensorProto)) -> String {
        let mut proto = sample();
        change(&mut proto);
        tensor_from_pb(&proto.encode_to_vec()).unwrap_err()
    }

    #[test]
    fn a_tensor_comes_back_with_its_name_however_it_is_stored() {
        let expected = Tensor::of_f32(vec![2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let read = tensor_from_pb(&sample().encode_to_vec()).unwrap();
        assert_eq!(read, (Some("x".to_owned()), expected.clone()));
        let typed = TensorProto {
            raw_data: None,
            name: None,
            float_data: vec![1.0, 2.0, 3.0, 4.0],
            ..sample()
        };
        assert_eq!(tensor_from_pb(&typed.encode_to_vec()).unwrap(), (None, expected));
    }

    fn words() -> TensorProto {
        let string_data = ["", "fox", "gr\u{fc}n", "a b"].map(|text| text.as_bytes().to_vec());
        let (data_type, raw_data) = (Some(8), None);
        TensorProto { data_type, raw_data, string_data: string_data.to_vec(), ..sample() }
    }

    #[test]
    fn texts_come_back_in_their_order() {
        let (name, tensor) = tensor_from_pb(&words().encode_to_vec()).unwrap();
        assert_eq!((name.as_deref(), tensor.shape.as_slice()), (Some("x"), &[2, 2][..]));
        assert_eq!(tensor.texts().unwrap(), ["", "fox", "gr\u{fc}n", "a b"]);
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert!(told(|t| t.dims = vec![2, 3]).contains("shape [2, 3] of f32 needs 24"));
        assert!(told(|t| t.dims = vec![-1]).contains("dimension of -1"));
        assert!(told(|t| t.dims = vec![i64::MAX, i64::MAX]).contains("more than there can be"));
        assert!(told(|t| t.data_type = Some(8)).contains("has 0 texts"));
        assert!(told(|t| t.data_type = Some(14)).contains("`complex64`"));
        let texts = |t: &mut TensorProto, texts: &[&[u8]]| {
            (t.data_type, t.raw_data) = (Some(8), None);
            t.string_data = texts.iter().map(|text| text.to_vec()).collect();
        };
        assert!(told(|t| texts(t, &[b"a", b"b"])).contains("has 2 texts"));
        assert!(told(|t| texts(t, &[b"a", b"\xff", b"", b""])).contains("number 1"));
        assert!(told(|t| t.data_type = None).contains("no element type"));
        assert!(told(|t| t.data_location = Some(EXTERNAL)).contains("another file"));
    }

    #[test]
    fn every_cut_and_changed_byte_is_an_error_or_a_sound_tensor() {
        let is_sound = |tensor: Tensor| {
            Tensor::new(tensor.dtype, tensor.shape.clone(), tensor.bytes.clone()) == Some(tensor)
        };
        for whole in [sample().encode_to_vec(), words().encode_to_vec()] {
            for length in 0..whole.len() {
                if let Ok((_, tensor)) = tensor_from_pb(&whole[..length]) {
                    assert!(is_sound(tensor), "cut at {length}");
                }
            }
            for at in 0..whole.len() {
                let mut changed = whole.clone();
                changed[at] ^= 0xff;
                if let Ok((_, tensor)) = tensor_from_pb(&changed) {
                    assert!(is_sound(tensor), "changed at {at}");
                }
            }
        }
    }
}
