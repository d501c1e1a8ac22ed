//! The weights of attention.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{read2, slice};

/// Softmax of `scale * scores` over the last dimension of square scores.
pub struct Softmax {
    pub scale: f32,
    /// Row `i` sees columns `0..=i`.
    pub causal: bool,
}

impl Softmax {
    fn seen(&self, row: usize, width: usize) -> usize {
        if self.causal { row % width + 1 } else { width }
    }
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "attention-softmax"
    }

    fn cpu_fwd(&self, s: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let scores = slice(s, layout)?;
        let width = layout.dims()[layout.dims().len() - 1];
        let mut p = vec![0_f32; scores.len()];
        for (i, (s, p)) in scores.chunks_exact(width).zip(p.chunks_exact_mut(width)).enumerate() {
            let seen = self.seen(i, width);
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
        let width = scores.dims()[scores.dims().len() - 1];
        let ds = read2(p, grad, |p, g| {
            let mut ds = vec![0_f32; p.len()];
            let rows =
                ds.chunks_exact_mut(width).zip(p.chunks_exact(width)).zip(g.chunks_exact(width));
            for (i, ((ds, p), g)) in rows.enumerate() {
                let seen = self.seen(i, width);
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
