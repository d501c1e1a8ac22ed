//! Four fused operations with their derivatives.
//!
//! Chains of candle's primitives spend more time allocating gradients than multiplying matrices.
//! Each operation here works row by row on contiguous `f32` data on the CPU. The tests hold every
//! derivative to a finite difference.

mod access;
mod bias;
mod gelu;
mod norm;
#[cfg(test)]
mod slope;
mod softmax;

use access::{read, read2, slice};
pub use bias::AddBias;
pub use gelu::QuickGelu;
pub use norm::LayerNorm;
pub use softmax::Softmax;

#[cfg(test)]
mod tests {
    use candle_core::Result;

    use super::slope::{check, some, tensor};
    use super::*;

    #[test]
    fn derivatives_agree_with_finite_differences() -> Result<()> {
        let (x, w, b) = (tensor(&[3, 8])?, tensor(&[8])?, tensor(&[8])?);
        let norm = LayerNorm { eps: 1e-5 };
        check(&some(24), &[3, 8], |x| x.apply_op3(&w, &b, norm))?;
        check(&some(8), &[8], |w| x.apply_op3(w, &b, norm))?;
        check(&some(8), &[8], |b| x.apply_op3(&w, b, norm))?;
        check(&some(32), &[2, 4, 4], |x| x.apply_op1(Softmax { scale: 0.5, causal: true }))?;
        check(&some(32), &[2, 4, 4], |x| x.apply_op1(Softmax { scale: 0.5, causal: false }))?;
        check(&some(24), &[3, 8], |x| x.apply_op1(QuickGelu))?;
        check(&some(24), &[3, 8], |x| x.apply_op2(&b, AddBias))?;
        check(&some(8), &[8], |b| x.apply_op2(b, AddBias))
    }
}
