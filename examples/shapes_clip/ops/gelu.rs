//! The activation between the two matrices of a feed-forward part.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{read2, slice};

/// `x * sigmoid(1.702 x)`.
pub struct QuickGelu;

const SLOPE: f32 = 1.702;

impl CustomOp1 for QuickGelu {
    fn name(&self) -> &'static str {
        "quick-gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = slice(x, layout)?.iter().map(|x| x * sigmoid(SLOPE * x)).collect();
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dx: Vec<f32> = read2(x, grad, |x, g| {
            let each = x.iter().zip(g).map(|(x, g)| {
                let s = sigmoid(SLOPE * x);
                g * s * (1.0 + SLOPE * x * (1.0 - s))
            });
            each.collect()
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
