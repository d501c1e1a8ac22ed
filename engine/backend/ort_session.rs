//! Plain runs on ONNX Runtime: named tensors in, named tensors out.

use std::path::Path;

use half::{bf16, f16};
use ort::session::Session as OrtGraph;
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, ValueType};

use super::onnxruntime::ID;
use super::operators::OpEvent;
use super::ort_environment::{end_profile, run_error, session};
use super::ort_work::Hints;
use super::{BackendError, OpenOptions, Session};
use crate::data::{ElementType, Tensor};
use crate::model::{OnnxModel, Signature};

pub struct OrtSession {
    session: OrtGraph,
    signature: Signature,
    /// What the graph tells about its nodes, where it was opened to be profiled.
    profiled: Option<Hints>,
    runs: usize,
    /// Names of the outputs.
    names: Vec<String>,
    /// Inputs of the next run.
    given: Vec<(String, DynValue)>,
    /// Outputs of the last run, in the order of `names`.
    outputs: Vec<DynValue>,
}

impl OrtSession {
    pub fn open(artifact: &Path, how: &OpenOptions) -> Result<Self, BackendError> {
        let model = OnnxModel::read(artifact)?;
        let profiled = how.profile.is_some().then(|| Hints::of(&model));
        let signature = model.facts().signature;
        let session = session(&model, how)?;
        let names = session.outputs().iter().map(|outlet| outlet.name().to_owned()).collect();
        let (given, outputs) = (Vec::new(), Vec::new());
        Ok(Self { session, signature, profiled, runs: 0, names, given, outputs })
    }
}

impl Session for OrtSession {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn give(&mut self, inputs: &[(String, Tensor)]) -> Result<(), BackendError> {
        self.outputs.clear();
        let value = |(name, tensor): &(String, Tensor)| Ok((name.clone(), value_of(tensor)?));
        self.given = inputs.iter().map(value).collect::<Result<_, BackendError>>()?;
        Ok(())
    }

    fn execute(&mut self) -> Result<(), BackendError> {
        self.runs += 1;
        let given = std::mem::take(&mut self.given);
        let mut outputs = self.session.run(given).map_err(run_error)?;
        for name in &self.names {
            let value = outputs.remove(name);
            self.outputs.push(value.ok_or_else(|| run_error(format!("no `{name}`")))?);
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Vec<(String, Tensor)>, BackendError> {
        let outputs = std::mem::take(&mut self.outputs);
        let named = self.names.iter().zip(outputs).map(|(name, value)| {
            let tensor = tensor_of(&value)
                .map_err(|why| run_error(format!("output `{name}` cannot be taken: {why}")))?;
            Ok((name.clone(), tensor))
        });
        named.collect()
    }

    fn operators(&mut self) -> Result<Vec<OpEvent>, BackendError> {
        let hints = self.profiled.take().ok_or(BackendError::Unprofiled { backend: ID })?;
        end_profile(&mut self.session, &hints, self.runs)
    }
}

/// A tensor as ONNX Runtime's own value, copied.
fn value_of(tensor: &Tensor) -> Result<DynValue, BackendError> {
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
    match tensor.dtype {
        ElementType::F64 => made(tensor, f64::from_le_bytes),
        ElementType::F32 => made(tensor, f32::from_le_bytes),
        ElementType::F16 => made(tensor, f16::from_le_bytes),
        ElementType::Bf16 => made(tensor, bf16::from_le_bytes),
        ElementType::I64 => made(tensor, i64::from_le_bytes),
        ElementType::I32 => made(tensor, i32::from_le_bytes),
        ElementType::I16 => made(tensor, i16::from_le_bytes),
        ElementType::I8 => made(tensor, i8::from_le_bytes),
        ElementType::U64 => made(tensor, u64::from_le_bytes),
        ElementType::U32 => made(tensor, u32::from_le_bytes),
        ElementType::U16 => made(tensor, u16::from_le_bytes),
        ElementType::U8 => made(tensor, u8::from_le_bytes),
        ElementType::Bool => made(tensor, |[byte]: [u8; 1]| byte != 0),
    }
}

/// The tensor in a value, copied, or what else the value is.
fn tensor_of(value: &DynValue) -> Result<Tensor, String> {
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
        other => Err(format!("its elements are {other}")),
    }
}
