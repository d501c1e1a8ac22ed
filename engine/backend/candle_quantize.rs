//! Quantization of rows into GGUF block formats with candle's reference kernels.

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};

use super::candle_weights::candle_dtype;
use crate::model::gguf::GgmlType;

#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    #[error("`{0}` has no quantizer")]
    Type(&'static str),
    #[error("rows of {cols} elements do not divide into blocks of {block} for `{format}`")]
    Blocks { cols: usize, block: usize, format: &'static str },
    #[error("quantizing failed: {0}")]
    Kernel(#[from] candle_core::Error),
}

/// The bytes of `values` (whole rows of `cols` elements) in the block format `format`.
pub fn quantize_rows(
    values: Vec<f32>,
    cols: usize,
    format: GgmlType,
) -> Result<Vec<u8>, QuantizeError> {
    let dtype = candle_dtype(format).ok_or(QuantizeError::Type(format.name()))?;
    let block = dtype.block_size();
    if cols == 0 || !cols.is_multiple_of(block) {
        return Err(QuantizeError::Blocks { cols, block, format: format.name() });
    }
    let rows = values.len() / cols;
    let tensor = Tensor::from_vec(values, (rows, cols), &Device::Cpu)?;
    Ok(QTensor::quantize(&tensor, dtype)?.data()?.into_owned())
}
