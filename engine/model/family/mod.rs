//! Model families: how a configuration becomes a computation.
//!
//! One file per family. A family names its tensors and wires them; where the tensors come from
//! (safetensors, GGUF) and how they are stored (dense, quantized) is the business of the
//! [`Weights`] that the backend hands in. Deliberately absent: files, devices, tokenizers.

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{Module, Result, Tensor};
use std::sync::Arc;

mod bert;
mod clip;
mod describe;
#[cfg(test)]
mod hostile;
pub mod llama;
pub mod llama_onnx;
mod registry;
mod resnet;
mod sentence;
mod spans;
mod vit;

pub use clip::{IMAGE, TEXT};
pub use describe::{ConfigFile, Description, Family};
pub(crate) use registry::add;
pub use registry::{families, family, versions};

pub use spans::{PartWork, TARGET, part};

/// A source of weights by their Hugging Face names.
pub trait Weights {
    /// A matrix of shape (`rows`, `cols`) applied to vectors of length `cols`.
    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix>;

    /// A vector of length `len`, dense.
    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor>;

    /// Divisors of the rotary frequencies, shape (`len`), if the source carries them.
    fn rope_factors(&mut self, len: usize) -> Result<Option<Tensor>>;

    /// True when the rows of query and key projections are laid out for interleaved rotary pairs
    /// (GGUF) instead of half-split ones (safetensors).
    fn interleaved_rope(&self) -> bool;
}

/// A weight matrix as its artifact stores it.
#[derive(Debug, Clone)]
pub enum Matrix {
    /// Shape (rows, cols).
    Dense(Tensor),
    Quantized(Arc<QTensor>, QMatMul),
}

impl Matrix {
    pub fn quantized(tensor: QTensor) -> Result<Self> {
        let tensor = Arc::new(tensor);
        Ok(Self::Quantized(Arc::clone(&tensor), QMatMul::from_arc(tensor)?))
    }

    /// `xs` of shape (batch, positions, cols) times the transposed matrix.
    pub fn apply(&self, xs: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(weight) => {
                let (batch, positions, cols) = xs.dims3()?;
                xs.reshape((batch * positions, cols))?.matmul(&weight.t()?)?.reshape((
                    batch,
                    positions,
                    (),
                ))
            }
            Self::Quantized(_, weight) => weight.forward(xs),
        }
    }

    /// Rows number `ids` (batch, positions), as (batch, positions, cols).
    pub fn rows(&self, ids: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(weight) => {
                let (batch, positions) = ids.dims2()?;
                weight.index_select(&ids.flatten_all()?, 0)?.reshape((batch, positions, ()))
            }
            Self::Quantized(tensor, _) => tensor.embedding(ids),
        }
    }

    /// What applying `matrices` to `xs` takes.
    pub fn work(matrices: &[&Self], xs: &Tensor) -> PartWork {
        let mut out = PartWork { bytes: spans::bytes_of(xs), ..PartWork::default() };
        for matrix in matrices {
            let (dims, stored, int8) = match matrix {
                Self::Dense(weight) => (weight.dims(), spans::bytes_of(weight), false),
                // candle multiplies blocks of quantized weights with inputs that it quantizes too.
                Self::Quantized(weight, _) => {
                    (weight.shape().dims(), weight.storage_size_in_bytes(), true)
                }
            };
            let (rows, cols) = (dims.first().copied().unwrap_or(1), dims.last().copied());
            let vectors = xs.elem_count() / cols.unwrap_or(1).max(1);
            out.operations += 2 * rows * xs.elem_count();
            out.bytes += stored + vectors * rows * xs.dtype().size_in_bytes();
            out.weights += rows * cols.unwrap_or(1);
            out.int8 |= int8;
        }
        out
    }

    /// Applies several matrices to the same input, in one parallel region where candle can.
    pub fn apply_all(matrices: &[&Self], xs: &Tensor) -> Result<Vec<Tensor>> {
        let quantized: Option<Vec<&QTensor>> = matrices
            .iter()
            .map(|matrix| match matrix {
                Self::Quantized(tensor, QMatMul::QTensor(_)) => Some(tensor.as_ref()),
                _ => None,
            })
            .collect();
        if let Some(tensors) = quantized
            && let Some(outputs) = QTensor::gemv_fused_shared_lhs(&tensors, xs)?
        {
            return Ok(outputs);
        }
        matrices.iter().map(|matrix| matrix.apply(xs)).collect()
    }
}
