//! Batch normalization in training, by the statistics of the batch.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::{read, slice};

/// Mean and variance of every column, the sum of squares divided by the number of rows.
#[derive(Clone)]
pub struct Moments {
    /// Rows they were taken over.
    pub count: f32,
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

impl Moments {
    pub fn of(x: &Tensor) -> Result<Self> {
        let width = x.dim(1)?;
        read(x, |x| Self::of_rows(x, width))
    }

    fn of_rows(x: &[f32], width: usize) -> Self {
        let count = (x.len() / width) as f64;
        let mean = |of: &dyn Fn(&mut [f64], &[f32])| -> Vec<f32> {
            let mut sums = vec![0_f64; width];
            for row in x.chunks_exact(width) {
                of(&mut sums, row);
            }
            sums.iter().map(|sum| (sum / count) as f32).collect()
        };
        let means = mean(&|sums, row| {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += f64::from(*x);
            }
        });
        let variance = mean(&|sums, row| {
            for ((sum, x), mean) in sums.iter_mut().zip(row).zip(&means) {
                *sum += f64::from((x - mean) * (x - mean));
            }
        });
        Self { count: count as f32, mean: means, variance }
    }

    /// The inverse of each column's deviation.
    pub fn scales(&self, eps: f32) -> Vec<f32> {
        self.variance.iter().map(|variance| (variance + eps).sqrt().recip()).collect()
    }
}

/// `(x - mean) / sqrt(variance + eps) * w + b` with the moments of each column (Ioffe and Szegedy,
/// 2015), then ReLU if asked for; arguments `x` (rows, channels), `w`, `b`.
#[derive(Clone, Copy)]
pub struct BatchNorm {
    pub eps: f32,
    pub rectifies: bool,
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
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
        let moments = Moments::of_rows(x, w.len());
        let mut scales = moments.scales(self.eps);
        scales.iter_mut().zip(w).for_each(|(scale, w)| *scale *= w);
        let least = if self.rectifies { 0.0 } else { f32::NEG_INFINITY };
        let mut y = Vec::with_capacity(x.len());
        for row in x.chunks_exact(w.len()) {
            let columns = row.iter().zip(&moments.mean).zip(scales.iter().zip(b));
            y.extend(columns.map(|((x, mean), (scale, b))| ((x - mean) * scale + b).max(least)));
        }
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = w.elem_count();
        let weights = read(w, <[f32]>::to_vec)?;
        let mut g = read(grad, <[f32]>::to_vec)?;
        if self.rectifies {
            read(y, |y| {
                g.iter_mut().zip(y).for_each(|(g, y)| *g = if *y > 0.0 { *g } else { 0.0 });
            })?;
        }
        let moments = Moments::of(x)?;
        let scales = moments.scales(self.eps);
        let (mut dw, mut db) = (vec![0_f32; width], vec![0_f32; width]);
        read(x, |x| {
            for (x, g) in x.chunks_exact(width).zip(g.chunks_exact(width)) {
                for at in 0..width {
                    dw[at] += g[at] * (x[at] - moments.mean[at]) * scales[at];
                    db[at] += g[at];
                }
            }
            for (x, g) in x.chunks_exact(width).zip(g.chunks_exact_mut(width)) {
                for at in 0..width {
                    let normal = (x[at] - moments.mean[at]) * scales[at];
                    let rest = g[at] - (db[at] + normal * dw[at]) / moments.count;
                    g[at] = weights[at] * scales[at] * rest;
                }
            }
        })?;
        let like_w = |values| Tensor::from_vec(values, w.shape(), w.device());
        let dx = Tensor::from_vec(g, x.shape(), x.device())?;
        Ok((Some(dx), Some(like_w(dw)?), Some(like_w(db)?)))
    }
}
