//! The gate of the feed-forward part.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{read3, slice};

/// `silu(gate) * up`; arguments `gate` and `up`.
pub struct SwiGlu;

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        lg: &Layout,
        up: &CpuStorage,
        lu: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (slice(gate, lg)?, slice(up, lu)?);
        let y = gate.iter().zip(up).map(|(gate, up)| gate * sigmoid(*gate) * up).collect();
        Ok((CpuStorage::F32(y), lg.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dgate, dup): (Vec<f32>, Vec<f32>) = read3(gate, up, grad, |gate, up, g| {
            let each = gate.iter().zip(up).zip(g).map(|((gate, up), g)| {
                let s = sigmoid(*gate);
                (g * up * s * (1.0 + gate * (1.0 - s)), g * gate * s)
            });
            each.unzip()
        })?;
        let shape = gate.shape();
        Ok((
            Some(Tensor::from_vec(dgate, shape, gate.device())?),
            Some(Tensor::from_vec(dup, shape, up.device())?),
        ))
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
