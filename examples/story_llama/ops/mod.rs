//! Five fused operations with their derivatives.
//!
//! candle's own fused kernels have no backward pass, and chains of primitives spend more time
//! allocating gradients than multiplying matrices. Each operation here works row by row on
//! contiguous `f32` data on the CPU. The tests hold every derivative to a finite difference.

mod attention;
mod loss;
mod norm;
mod swiglu;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

pub use attention::{CausalSoftmax, Rope};
pub use loss::CrossEntropy;
pub use norm::RmsNorm;
pub use swiglu::SwiGlu;

fn last(dims: &[usize]) -> usize {
    dims[dims.len() - 1]
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("a fused operation needs contiguous data"),
    }
}

fn read2<R>(a: &Tensor, b: &Tensor, f: impl FnOnce(&[f32], &[f32]) -> R) -> Result<R> {
    read3(a, b, b, |a, b, _| f(a, b))
}

/// Lends the contiguous values of three tensors.
fn read3<R>(
    a: &Tensor,
    b: &Tensor,
    c: &Tensor,
    f: impl FnOnce(&[f32], &[f32], &[f32]) -> R,
) -> Result<R> {
    let (a, b, c) = (a.contiguous()?, b.contiguous()?, c.contiguous()?);
    let ((a, la), (b, lb), (c, lc)) =
        (a.storage_and_layout(), b.storage_and_layout(), c.storage_and_layout());
    match (&*a, &*b, &*c) {
        (Storage::Cpu(a), Storage::Cpu(b), Storage::Cpu(c)) => {
            Ok(f(slice(a, la)?, slice(b, lb)?, slice(c, lc)?))
        }
        _ => bail!("the fused operations run on the CPU only"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// Compares the derivative of `sum(f(x) * weights)` with a central difference at each entry.
    fn check(x: &[f32], shape: &[usize], f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<()> {
        let loss = |x: &Tensor| -> Result<Tensor> {
            let y = f(x)?.flatten_all()?;
            let weights: Vec<f32> =
                (0..y.elem_count()).map(|i| (i as f32 * 0.7).sin() + 0.3).collect();
            (&y * Tensor::from_vec(weights, y.shape(), &Device::Cpu)?)?.sum_all()
        };
        let var = Var::from_tensor(&Tensor::from_slice(x, shape, &Device::Cpu)?)?;
        let grads = loss(var.as_tensor())?.backward()?;
        let grad = grads.get(&var).expect("x is in the graph").flatten_all()?.to_vec1::<f32>()?;
        for at in 0..x.len() {
            let moved = |step: f32| -> Result<f32> {
                let mut x = x.to_vec();
                x[at] += step;
                loss(&Tensor::from_vec(x, shape, &Device::Cpu)?)?.to_scalar()
            };
            let slope = (moved(1e-2)? - moved(-1e-2)?) / 2e-2;
            assert!((slope - grad[at]).abs() < 2e-2, "entry {at}: {slope} against {}", grad[at]);
        }
        Ok(())
    }

    fn some(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 1.3 + 0.4).sin()).collect()
    }

    fn tensor(shape: &[usize]) -> Result<Tensor> {
        Tensor::from_vec(some(shape.iter().product()), shape, &Device::Cpu)
    }

    #[test]
    fn derivatives_agree_with_finite_differences() -> Result<()> {
        let w = tensor(&[8])?;
        let x = tensor(&[3, 8])?;
        check(&some(24), &[3, 8], |x| x.apply_op2(&w, RmsNorm { eps: 1e-5 }))?;
        check(&some(8), &[8], |w| x.apply_op2(w, RmsNorm { eps: 1e-5 }))?;
        check(&some(32), &[2, 4, 4], |x| x.apply_op1(CausalSoftmax { scale: 0.5 }))?;
        check(&some(24), &[1, 3, 8], |x| x.apply_op1(Rope { theta: 100.0, direction: 1.0 }))?;
        check(&some(24), &[3, 8], |gate| gate.apply_op2(&x, SwiGlu))?;
        check(&some(24), &[3, 8], |up| x.apply_op2(up, SwiGlu))?;
        check(&some(24), &[3, 8], |x| x.apply_op1(CrossEntropy { targets: vec![2, 0, 7] }))
    }
}
