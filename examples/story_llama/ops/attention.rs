//! What attention needs besides matrix products: the masked softmax and the rotary turn.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{last, read2, slice};

/// Softmax of `scale * scores` over the last dimension, where row `i` sees columns `0..=i`.
///
/// Rows repeat with the length of the last dimension, so query heads that share a key head may
/// be stacked.
pub struct CausalSoftmax {
    pub scale: f32,
}

/// Rotary position embedding of rows `[.., positions, head_dim]`, halves rotated against each
/// other as Hugging Face's `rotate_half` does.
pub struct Rope {
    pub theta: f32,
    /// -1 turns back, which is the derivative.
    pub direction: f32,
}

impl CustomOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal-softmax"
    }

    fn cpu_fwd(&self, s: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let scores = slice(s, layout)?;
        let width = last(layout.dims());
        let mut p = vec![0_f32; scores.len()];
        for (i, (s, p)) in scores.chunks_exact(width).zip(p.chunks_exact_mut(width)).enumerate() {
            let seen = i % width + 1;
            let top = s[..seen].iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for (p, s) in p[..seen].iter_mut().zip(s) {
                *p = ((s - top) * self.scale).exp();
                sum += *p;
            }
            p[..seen].iter_mut().for_each(|p| *p /= sum);
        }
        Ok((CpuStorage::F32(p), layout.shape().clone()))
    }

    fn bwd(&self, scores: &Tensor, p: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let width = last(p.dims());
        let ds = read2(p, grad, |p, g| {
            let mut ds = vec![0_f32; p.len()];
            let rows =
                ds.chunks_exact_mut(width).zip(p.chunks_exact(width)).zip(g.chunks_exact(width));
            for (i, ((ds, p), g)) in rows.enumerate() {
                let seen = i % width + 1;
                let mean: f32 = p[..seen].iter().zip(g).map(|(p, g)| p * g).sum();
                for ((ds, p), g) in ds[..seen].iter_mut().zip(p).zip(g) {
                    *ds = p * (g - mean) * self.scale;
                }
            }
            ds
        })?;
        Ok(Some(Tensor::from_vec(ds, scores.shape(), scores.device())?))
    }
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, layout)?;
        let width = last(layout.dims());
        let positions = last(&layout.dims()[..layout.dims().len() - 1]);
        let half = width / 2;
        let turns: Vec<(f32, f32)> = (0..positions * half)
            .map(|at| {
                let frequency = self.theta.powf(-2.0 * (at % half) as f32 / width as f32);
                let (sin, cos) = ((at / half) as f32 * frequency).sin_cos();
                (cos, sin * self.direction)
            })
            .collect();
        let mut y = vec![0_f32; x.len()];
        for (i, (x, y)) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).enumerate() {
            let turns = &turns[i % positions * half..][..half];
            for (j, (cos, sin)) in turns.iter().enumerate() {
                y[j] = x[j] * cos - x[j + half] * sin;
                y[j + half] = x[j + half] * cos + x[j] * sin;
            }
        }
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let back = Rope { theta: self.theta, direction: -self.direction };
        Ok(Some(grad.contiguous()?.apply_op1_no_bwd(&back)?))
    }
}
