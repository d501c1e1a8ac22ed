//! Tensors as ONNX Runtime's own values, and back.

use half::{bf16, f16};
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, ValueType};

use super::BackendError;
use super::ort_environment::run_error;
use crate::data::{ElementType, Tensor};

/// Calls a function with the reader of an element of a type, or does something else with texts.
macro_rules! in_type {
    ($dtype:expr, $call:ident($($given:expr),*), $texts:expr) => {
        match $dtype {
            ElementType::F64 => $call($($given,)* f64::from_le_bytes),
            ElementType::F32 => $call($($given,)* f32::from_le_bytes),
            ElementType::F16 => $call($($given,)* f16::from_le_bytes),
            ElementType::Bf16 => $call($($given,)* bf16::from_le_bytes),
            ElementType::I64 => $call($($given,)* i64::from_le_bytes),
            ElementType::I32 => $call($($given,)* i32::from_le_bytes),
            ElementType::I16 => $call($($given,)* i16::from_le_bytes),
            ElementType::I8 => $call($($given,)* i8::from_le_bytes),
            ElementType::U64 => $call($($given,)* u64::from_le_bytes),
            ElementType::U32 => $call($($given,)* u32::from_le_bytes),
            ElementType::U16 => $call($($given,)* u16::from_le_bytes),
            ElementType::U8 => $call($($given,)* u8::from_le_bytes),
            ElementType::Bool => $call($($given,)* |[byte]: [u8; 1]| byte != 0),
            ElementType::String => $texts,
        }
    };
}

/// A tensor as ONNX Runtime's own value, copied.
pub fn value_of(tensor: &Tensor) -> Result<DynValue, BackendError> {
    fn made<T, const N: usize>(
        tensor: &Tensor,
        read: impl Fn([u8; N]) -> T,
    ) -> Result<DynValue, BackendError>
    where
        T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
    {
        let (whole, _) = tensor.bytes.as_chunks::<N>();
        let values: Vec<T> = whole.iter().map(|chunk| read(*chunk)).collect();
        ort::value::Tensor::from_array((tensor.shape.clone(), values))
            .map(ort::value::Value::into_dyn)
            .map_err(run_error)
    }
    in_type!(tensor.dtype, made(tensor), value_of_texts(tensor))
}

/// Writes the numbers of a tensor into a value of the same type and shape.
pub fn fill(value: &mut DynValue, tensor: &Tensor) -> Result<(), BackendError> {
    fn filled<T, const N: usize>(
        value: &mut DynValue,
        tensor: &Tensor,
        read: impl Fn([u8; N]) -> T,
    ) -> Result<(), BackendError>
    where
        T: PrimitiveTensorElementType,
    {
        let (_, places) = value.try_extract_tensor_mut::<T>().map_err(run_error)?;
        let (whole, _) = tensor.bytes.as_chunks::<N>();
        for (place, chunk) in places.iter_mut().zip(whole) {
            *place = read(*chunk);
        }
        Ok(())
    }
    in_type!(tensor.dtype, filled(value, tensor), Err(run_error("texts have no fixed place")))
}

fn value_of_texts(tensor: &Tensor) -> Result<DynValue, BackendError> {
    let texts = tensor.texts().ok_or_else(|| run_error("a tensor of texts is damaged"))?;
    let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
    ort::value::Tensor::from_string_array((tensor.shape.clone(), texts.as_slice()))
        .map(ort::value::Value::into_dyn)
        .map_err(run_error)
}

/// The tensor in a value, copied, or what else the value is.
pub fn tensor_of(value: &DynValue) -> Result<Tensor, String> {
    fn taken<T, const N: usize>(
        value: &DynValue,
        dtype: ElementType,
        write: impl Fn(&T) -> [u8; N],
    ) -> Result<Tensor, String>
    where
        T: PrimitiveTensorElementType,
    {
        let (shape, values) = value.try_extract_tensor::<T>().map_err(|error| error.to_string())?;
        let shape = shape.iter().map(|&dim| dim as usize).collect();
        let bytes = values.iter().flat_map(write).collect();
        Tensor::new(dtype, shape, bytes).ok_or_else(|| "its shape and size differ".to_owned())
    }
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err(format!("it is no tensor but {}", value.dtype()));
    };
    match ty {
        TensorElementType::Float64 => taken(value, ElementType::F64, |v: &f64| v.to_le_bytes()),
        TensorElementType::Float32 => taken(value, ElementType::F32, |v: &f32| v.to_le_bytes()),
        TensorElementType::Float16 => taken(value, ElementType::F16, |v: &f16| v.to_le_bytes()),
        TensorElementType::Bfloat16 => taken(value, ElementType::Bf16, |v: &bf16| v.to_le_bytes()),
        TensorElementType::Int64 => taken(value, ElementType::I64, |v: &i64| v.to_le_bytes()),
        TensorElementType::Int32 => taken(value, ElementType::I32, |v: &i32| v.to_le_bytes()),
        TensorElementType::Int16 => taken(value, ElementType::I16, |v: &i16| v.to_le_bytes()),
        TensorElementType::Int8 => taken(value, ElementType::I8, |v: &i8| v.to_le_bytes()),
        TensorElementType::Uint64 => taken(value, ElementType::U64, |v: &u64| v.to_le_bytes()),
        TensorElementType::Uint32 => taken(value, ElementType::U32, |v: &u32| v.to_le_bytes()),
        TensorElementType::Uint16 => taken(value, ElementType::U16, |v: &u16| v.to_le_bytes()),
        TensorElementType::Uint8 => taken(value, ElementType::U8, |v: &u8| v.to_le_bytes()),
        TensorElementType::Bool => taken(value, ElementType::Bool, |v: &bool| [u8::from(*v)]),
        TensorElementType::String => {
            let (shape, texts) = value.try_extract_strings().map_err(|error| error.to_string())?;
            let shape = shape.iter().map(|&dim| dim as usize).collect();
            Tensor::of_texts(shape, &texts).ok_or_else(|| "its shape and size differ".to_owned())
        }
        other => Err(format!("its elements are {other}")),
    }
}
