//! Where candle's tensors come from: safetensors and GGUF files, read tensor by tensor.
//!
//! Files are read, not mapped: a mapped file that shrinks kills the process, and mapped pages
//! would count twice in the peak memory that cells report.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Error, Result, Tensor};
use half::{bf16, f16};

use crate::model::checkpoint::Checkpoint;
use crate::model::family::{Matrix, Weights};
use crate::model::gguf::{GgmlType, Gguf};
use crate::model::{Architecture, gguf_names};

/// Dense weights of a checkpoint, converted to one type.
pub struct CheckpointWeights<'a> {
    checkpoint: &'a Checkpoint,
    dtype: DType,
    files: HashMap<PathBuf, File>,
}

impl<'a> CheckpointWeights<'a> {
    pub fn new(checkpoint: &'a Checkpoint, dtype: DType) -> Self {
        Self { checkpoint, dtype, files: HashMap::new() }
    }

    /// The tensor `name`, which must have this shape.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let (path, info) = self
            .checkpoint
            .tensors
            .get(name)
            .ok_or_else(|| Error::Msg(format!("tensor `{name}` is missing")))?;
        if !self.files.contains_key(path) {
            self.files.insert(path.clone(), File::open(path)?);
        }
        let file = &self.files[path];
        let count: usize = shape.iter().product();
        let tensor = match info.dtype.as_str() {
            "F32" => {
                Tensor::from_vec(read_as::<f32>(file, info.start, count)?, shape, &Device::Cpu)
            }
            "F16" => {
                Tensor::from_vec(read_as::<f16>(file, info.start, count)?, shape, &Device::Cpu)
            }
            "BF16" => {
                Tensor::from_vec(read_as::<bf16>(file, info.start, count)?, shape, &Device::Cpu)
            }
            other => Err(Error::Msg(format!("tensor `{name}` has type {other}"))),
        }?;
        tensor.to_dtype(self.dtype)
    }
}

impl Weights for CheckpointWeights<'_> {
    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        self.tensor(name, &[rows, cols]).map(Matrix::Dense)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor> {
        self.tensor(name, &[len])
    }

    fn rope_factors(&mut self, _: usize) -> Result<Option<Tensor>> {
        Ok(None)
    }

    fn interleaved_rope(&self) -> bool {
        false
    }
}

/// Weights of a GGUF file in its own block formats; unquantized matrices become f32.
pub struct GgufWeights<'a> {
    gguf: &'a Gguf,
    file: File,
    interleaved: bool,
}

impl<'a> GgufWeights<'a> {
    pub fn new(gguf: &'a Gguf, path: &Path, architecture: Architecture) -> Result<Self> {
        let interleaved = architecture.interleaves_in_gguf();
        Ok(Self { gguf, file: File::open(path)?, interleaved })
    }

    /// `name` is the GGUF name; `shape` in candle's order, outermost first.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<QTensor> {
        let info = self
            .gguf
            .tensors
            .get(name)
            .ok_or_else(|| Error::Msg(format!("tensor `{name}` is missing")))?;
        let found: Vec<usize> = info.dims.iter().rev().map(|&d| d as usize).collect();
        if found != shape {
            let text = format!("tensor `{name}` has shape {found:?}, expected {shape:?}");
            return Err(Error::Msg(text));
        }
        let dtype = candle_dtype(info.ggml_type)
            .ok_or_else(|| Error::Msg(format!("candle has no type {}", info.ggml_type.name())))?;
        let mut bytes = vec![0; info.bytes as usize];
        self.file.read_exact_at(&mut bytes, info.offset)?;
        QTensor::new(QStorage::from_data(Cow::Owned(bytes), &Device::Cpu, dtype)?, shape)
    }

    fn gguf_name(name: &str) -> Result<String> {
        gguf_names::to_gguf(name)
            .ok_or_else(|| Error::Msg(format!("tensor `{name}` has no GGUF name")))
    }
}

impl Weights for GgufWeights<'_> {
    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        let tensor = self.tensor(&Self::gguf_name(name)?, &[rows, cols])?;
        match tensor.dtype() {
            GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => {
                Ok(Matrix::Dense(tensor.dequantize(&Device::Cpu)?))
            }
            _ => Matrix::quantized(tensor),
        }
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor> {
        self.tensor(&Self::gguf_name(name)?, &[len])?.dequantize(&Device::Cpu)
    }

    fn rope_factors(&mut self, len: usize) -> Result<Option<Tensor>> {
        match self.gguf.tensors.contains_key(gguf_names::ROPE_FACTORS) {
            true => {
                self.tensor(gguf_names::ROPE_FACTORS, &[len])?.dequantize(&Device::Cpu).map(Some)
            }
            false => Ok(None),
        }
    }

    fn interleaved_rope(&self) -> bool {
        self.interleaved
    }
}

/// Reads `count` little-endian numbers at byte `start`, without a copy in between.
fn read_as<T: bytemuck::Pod>(file: &File, start: u64, count: usize) -> io::Result<Vec<T>> {
    let mut values = vec![T::zeroed(); count];
    file.read_exact_at(bytemuck::cast_slice_mut(&mut values), start)?;
    Ok(values)
}

/// candle's name for a GGUF storage type, if it computes with it.
pub(super) fn candle_dtype(ggml_type: GgmlType) -> Option<GgmlDType> {
    Some(match ggml_type.name() {
        "f32" => GgmlDType::F32,
        "f16" => GgmlDType::F16,
        "bf16" => GgmlDType::BF16,
        "q4_0" => GgmlDType::Q4_0,
        "q4_1" => GgmlDType::Q4_1,
        "q5_0" => GgmlDType::Q5_0,
        "q5_1" => GgmlDType::Q5_1,
        "q8_0" => GgmlDType::Q8_0,
        "q8_1" => GgmlDType::Q8_1,
        "q2_k" => GgmlDType::Q2K,
        "q3_k" => GgmlDType::Q3K,
        "q4_k" => GgmlDType::Q4K,
        "q5_k" => GgmlDType::Q5K,
        "q6_k" => GgmlDType::Q6K,
        "q8_k" => GgmlDType::Q8K,
        _ => return None,
    })
}
