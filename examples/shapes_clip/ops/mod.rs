//! Four fused operations with their derivatives.
//!
//! Chains of candle's primitives spend more time allocating gradients than multiplying matrices.
//! Each operation here works row by row on contiguous `f32` data on the CPU. The tests hold every
//! derivative to a finite difference.

mod bias;
mod gelu;
mod norm;
mod softmax;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

pub use bias::AddBias;
pub use gelu::QuickGelu;
pub use norm::LayerNorm;
pub use softmax::Softmax;

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("a fused operation needs contiguous data"),
    }
}

/// Lends the contiguous values of a tensor.
fn read<R>(a: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let a = a.contiguous()?;
    let (storage, layout) = a.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        bail!("the fused operations run on the CPU only")
    };
    Ok(f(slice(storage, layout)?))
}

/// Lends the contiguous values of two tensors.
fn read2<R>(a: &Tensor, b: &Tensor, f: impl FnOnce(&[f32], &[f32]) -> R) -> Result<R> {
    read(a, |a| read(b, |b| f(a, b)))?
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
