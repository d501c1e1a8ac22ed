//! Layer normalization.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::{read, read2, slice};

/// `(x - mean) / sqrt(variance + eps) * w + b` over the last dimension; arguments `x`, `w`, `b`.
#[derive(Clone, Copy)]
pub struct LayerNorm {
    pub eps: f32,
}

impl LayerNorm {
    /// The mean of a row and the inverse of its deviation.
    fn moments(self, row: &[f32]) -> (f32, f32) {
        let count = row.len() as f32;
        let mean = row.iter().sum::<f32>() / count;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / count;
        (mean, (variance + self.eps).sqrt().recip())
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, b) = (slice(x, lx)?, slice(w, lw)?, slice(b, lb)?);
        let mut y = Vec::with_capacity(x.len());
        for row in x.chunks_exact(w.len()) {
            let (mean, scale) = self.moments(row);
            y.extend(row.iter().zip(w).zip(b).map(|((x, w), b)| (x - mean) * scale * w + b));
        }
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = w.elem_count();
        let weights = read(w, <[f32]>::to_vec)?;
        let (dx, dw, db) =
            read2(x, grad, |x, g| {
                let mut dx = Vec::with_capacity(x.len());
                let (mut dw, mut db) = (vec![0_f32; width], vec![0_f32; width]);
                for (x, g) in x.chunks_exact(width).zip(g.chunks_exact(width)) {
                    let (mean, scale) = self.moments(x);
                    let (mut sum, mut sum_normal) = (0.0, 0.0);
                    let places = x.iter().zip(g).zip(&weights).zip(dw.iter_mut().zip(&mut db));
                    for (((x, g), w), (dw, db)) in places {
                        let (normal, gw) = ((x - mean) * scale, g * w);
                        *dw += g * normal;
                        *db += g;
                        sum += gw;
                        sum_normal += gw * normal;
                    }
                    let (sum, sum_normal) = (sum / width as f32, sum_normal / width as f32);
                    dx.extend(x.iter().zip(g).zip(&weights).map(|((x, g), w)| {
                        scale * (g * w - sum - (x - mean) * scale * sum_normal)
                    }));
                }
                (dx, dw, db)
            })?;
        let like_w = |values| Tensor::from_vec(values, w.shape(), w.device());
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), x.device())?),
            Some(like_w(dw)?),
            Some(like_w(db)?),
        ))
    }
}
