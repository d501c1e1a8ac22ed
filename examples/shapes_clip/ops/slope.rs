//! Holds derivatives to finite differences.

use candle_core::{Device, Result, Tensor, Var};

/// Compares the derivative of `sum(f(x) * weights)` with a central difference at each entry.
pub fn check(x: &[f32], shape: &[usize], f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<()> {
    let loss = |x: &Tensor| -> Result<Tensor> {
        let y = f(x)?.flatten_all()?;
        let weights: Vec<f32> = (0..y.elem_count()).map(|i| (i as f32 * 0.7).sin() + 0.3).collect();
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

/// Numbers from -1 to 1.
pub fn some(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 1.3 + 0.4).sin()).collect()
}

pub fn tensor(shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(some(shape.iter().product()), shape, &Device::Cpu)
}
