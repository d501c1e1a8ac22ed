//! Three operations of convolutional networks with their derivatives.
//!
//! Candle's convolution is differentiated by a transposed one, which is slow on the CPU, and its
//! pooling where windows overlap not at all. Pictures lie as (batch, height, width, channels), so
//! that a convolution is [`Unfold`] and a product of matrices. The tests hold every derivative to
//! a finite difference.

#[path = "../../shapes_clip/ops/access.rs"]
mod access;
mod norm;
mod pool;
#[cfg(test)]
#[path = "../../shapes_clip/ops/slope.rs"]
mod slope;
mod unfold;

use access::{read, read2, slice};
pub use norm::{BatchNorm, Moments};
pub use pool::MaxPool;
pub use unfold::Unfold;

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor};

    use super::slope::{check, some, tensor};
    use super::*;

    #[test]
    fn derivatives_agree_with_finite_differences() -> Result<()> {
        let x = tensor(&[6, 4])?;
        // With these no value is near the kink of ReLU.
        let (scale, shift) = ([0.9_f32, 1.2, -0.7, 0.8], [0.3_f32, -0.2, 0.1, 0.4]);
        let (w, b) = (Tensor::new(&scale, &Device::Cpu)?, Tensor::new(&shift, &Device::Cpu)?);
        for rectifies in [false, true] {
            let norm = BatchNorm { eps: 1e-5, rectifies };
            check(&some(24), &[6, 4], |x| x.apply_op3(&w, &b, norm))?;
            check(&scale, &[4], |w| x.apply_op3(w, &b, norm))?;
            check(&shift, &[4], |b| x.apply_op3(&w, b, norm))?;
        }
        let shape = [2, 5, 4, 2];
        check(&some(80), &shape, |x| x.apply_op1(MaxPool))?;
        for (side, stride) in [(1, 2), (3, 1), (3, 2)] {
            check(&some(80), &shape, |x| x.apply_op1(Unfold { side, stride }))?;
        }
        Ok(())
    }

    #[test]
    fn unfolding_and_a_product_are_a_convolution() -> Result<()> {
        let (x, kernel) = (tensor(&[2, 6, 5, 3])?, tensor(&[4, 3, 3, 3])?);
        for stride in [1, 2] {
            let unfold = Unfold { side: 3, stride };
            let (height, width) = (unfold.places(6), unfold.places(5));
            let matrix = kernel.permute((0, 2, 3, 1))?.reshape((4, 27))?;
            let ours = x.apply_op1(unfold)?.matmul(&matrix.t()?)?.reshape((2, height, width, 4))?;
            let theirs = x.permute((0, 3, 1, 2))?.contiguous()?.conv2d(&kernel, 1, stride, 1, 1)?;
            let apart = (ours.permute((0, 3, 1, 2))? - theirs)?.abs()?.flatten_all()?.max(0)?;
            assert!(apart.to_scalar::<f32>()? < 1e-5);
        }
        Ok(())
    }

    #[test]
    fn a_maximum_sees_nothing_outside() -> Result<()> {
        let below = (tensor(&[1, 3, 3, 1])? - 5.0)?;
        let ours = below.apply_op1(MaxPool)?.flatten_all()?.to_vec1::<f32>()?;
        let x = below.flatten_all()?.to_vec1::<f32>()?;
        let most = |at: [usize; 4]| at.iter().map(|at| x[*at]).fold(f32::NEG_INFINITY, f32::max);
        assert_eq!(ours, [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]].map(most));
        Ok(())
    }
}
