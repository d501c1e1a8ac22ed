//! The pooling behind the first convolution.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{read, read2, slice};

/// Maxima of windows of 3 by 3 in (batch, height, width, channels), two pixels apart; the frame of
/// one pixel around a picture counts for nothing.
#[derive(Clone, Copy)]
pub struct MaxPool;

impl MaxPool {
    fn places(length: usize) -> usize {
        (length - 1) / 2 + 1
    }

    /// Calls with where a window's channels lie in the output, and those of each of its pixels.
    fn pixels(
        (pictures, height, width, channels): (usize, usize, usize, usize),
        mut each: impl FnMut(usize, usize),
    ) {
        let around = |place: usize, length: usize| {
            (2 * place).saturating_sub(1)..(2 * place + 2).min(length)
        };
        let mut window = 0;
        for picture in 0..pictures {
            for down in 0..Self::places(height) {
                for right in 0..Self::places(width) {
                    for y in around(down, height) {
                        for x in around(right, width) {
                            each(window, ((picture * height + y) * width + x) * channels);
                        }
                    }
                    window += channels;
                }
            }
        }
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, dims) = (slice(x, layout)?, layout.shape().dims4()?);
        let (pictures, height, width, channels) = dims;
        let shape = (pictures, Self::places(height), Self::places(width), channels);
        let mut y = vec![f32::NEG_INFINITY; shape.0 * shape.1 * shape.2 * shape.3];
        Self::pixels(dims, |to, from| {
            for (y, x) in y[to..to + channels].iter_mut().zip(&x[from..from + channels]) {
                *y = y.max(*x);
            }
        });
        Ok((CpuStorage::F32(y), shape.into()))
    }

    /// The first of equal maxima is the one that counts.
    fn bwd(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (dims, channels) = (x.dims4()?, x.dim(3)?);
        let mut left = read(grad, <[f32]>::to_vec)?;
        let dx = read2(x, y, |x, y| {
            let mut dx = vec![0_f32; x.len()];
            Self::pixels(dims, |to, from| {
                for channel in 0..channels {
                    let (from, to) = (from + channel, to + channel);
                    if x[from] == y[to] {
                        dx[from] += std::mem::take(&mut left[to]);
                    }
                }
            });
            dx
        })?;
        Ok(Some(Tensor::from_vec(dx, dims, x.device())?))
    }
}
