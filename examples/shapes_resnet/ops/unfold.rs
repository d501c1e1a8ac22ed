//! Windows of pictures as the rows of a matrix.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{read, slice};

/// Every window of (batch, height, width, channels), with zeros around the picture, as a row of
/// `side` by `side` by channels.
#[derive(Clone, Copy)]
pub struct Unfold {
    /// Pixels along each side of a window, odd; half as many zeros are around the picture.
    pub side: usize,
    pub stride: usize,
}

impl Unfold {
    /// Windows along a side of the picture.
    pub fn places(self, length: usize) -> usize {
        (length + 2 * (self.side / 2) - self.side) / self.stride + 1
    }

    /// Calls with where values lie in the picture, where in the rows, and how many.
    fn runs(
        self,
        (pictures, height, width, channels): (usize, usize, usize, usize),
        mut each: impl FnMut(usize, usize, usize),
    ) {
        let Self { side, stride } = self;
        let half = side / 2;
        let mut row = 0;
        for picture in 0..pictures {
            for down in 0..self.places(height) {
                for left in (0..self.places(width)).map(|place| place * stride) {
                    let (first, last) = (half.saturating_sub(left), side.min(width + half - left));
                    for line in 0..side {
                        let y = down * stride + line;
                        if (half..height + half).contains(&y) {
                            let from = (picture * height + y - half) * width + left + first - half;
                            let to = row + (line * side + first) * channels;
                            each(from * channels, to, (last - first) * channels);
                        }
                    }
                    row += side * side * channels;
                }
            }
        }
    }
}

impl CustomOp1 for Unfold {
    fn name(&self) -> &'static str {
        "unfold"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, dims) = (slice(x, layout)?, layout.shape().dims4()?);
        let (pictures, height, width, channels) = dims;
        let rows = pictures * self.places(height) * self.places(width);
        let columns = self.side * self.side * channels;
        let mut y = vec![0_f32; rows * columns];
        self.runs(dims, |from, to, count| {
            y[to..to + count].copy_from_slice(&x[from..from + count]);
        });
        Ok((CpuStorage::F32(y), (rows, columns).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dims = x.dims4()?;
        let dx = read(grad, |g| {
            let mut dx = vec![0_f32; x.elem_count()];
            self.runs(dims, |from, to, count| {
                for (dx, g) in dx[from..from + count].iter_mut().zip(&g[to..to + count]) {
                    *dx += g;
                }
            });
            dx
        })?;
        Ok(Some(Tensor::from_vec(dx, dims, x.device())?))
    }
}
