//! Root-mean-square normalization.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{read3, slice};

/// `x * w / sqrt(mean(x^2) + eps)` over the last dimension; arguments `x` and `w`.
pub struct RmsNorm {
    pub eps: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (slice(x, lx)?, slice(w, lw)?);
        let mut y = Vec::with_capacity(x.len());
        for row in x.chunks_exact(w.len()) {
            let r = self.inverse_root(row);
            y.extend(row.iter().zip(w).map(|(x, w)| x * r * w));
        }
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = w.elem_count();
        let (dx, dw) = read3(x, w, grad, |x, w, g| {
            let mut dx = Vec::with_capacity(x.len());
            let mut dw = vec![0_f32; width];
            for (x, g) in x.chunks_exact(width).zip(g.chunks_exact(width)) {
                let r = self.inverse_root(x);
                let gwx = dot3(g, w, x) * r * r / width as f32;
                for (((dw, w), x), g) in dw.iter_mut().zip(w).zip(x).zip(g) {
                    dx.push(r * (g * w - x * gwx));
                    *dw += g * x * r;
                }
            }
            (dx, dw)
        })?;
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), x.device())?),
            Some(Tensor::from_vec(dw, w.shape(), w.device())?),
        ))
    }
}

impl RmsNorm {
    fn inverse_root(&self, row: &[f32]) -> f32 {
        (row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32 + self.eps).sqrt().recip()
    }
}

fn dot3(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    a.iter().zip(b).zip(c).map(|((a, b), c)| a * b * c).sum()
}
