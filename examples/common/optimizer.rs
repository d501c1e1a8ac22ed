//! AdamW in one pass over each weight, with the gradients clipped by their common norm.
//!
//! Kept apart from candle's optimizer because that one walks every weight a dozen times.
//! Formulas: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", algorithm 2.

use candle_core::{Device, Result, Tensor, Var};

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.98;
const EPS: f32 = 1e-8;
/// Decay of matrices; norms, biases and the scale of the scores do not decay.
const DECAY: f32 = 0.05;
/// Gradients longer than this are scaled down to it.
const CLIP: f32 = 1.0;

/// The running moments of every weight.
pub struct AdamW {
    moments: Vec<Vec<(f32, f32)>>,
    steps: i32,
}

impl AdamW {
    pub fn new(vars: &[Var]) -> Self {
        Self {
            moments: vars.iter().map(|var| vec![(0.0, 0.0); var.elem_count()]).collect(),
            steps: 0,
        }
    }

    /// Moves every weight once and returns the norm the gradients had before clipping.
    pub fn step(&mut self, vars: &[Var], grads: &[Vec<f32>], rate: f32) -> Result<f32> {
        self.steps += 1;
        let square: f64 =
            grads.iter().map(|grad| grad.iter().map(|g| g * g).sum::<f32>()).map(f64::from).sum();
        let norm = square.sqrt() as f32;
        let shrink = (CLIP / norm).min(1.0);
        let (bias1, bias2) = (1.0 - BETA1.powi(self.steps), 1.0 - BETA2.powi(self.steps));
        for ((var, grad), moments) in vars.iter().zip(grads).zip(&mut self.moments) {
            let decay = if var.dims().len() > 1 { DECAY } else { 0.0 };
            let mut values = var.as_tensor().flatten_all()?.to_vec1::<f32>()?;
            for ((value, g), (first, second)) in values.iter_mut().zip(grad).zip(moments) {
                let g = g * shrink;
                *first = BETA1 * *first + (1.0 - BETA1) * g;
                *second = BETA2 * *second + (1.0 - BETA2) * g * g;
                let direction = (*first / bias1) / ((*second / bias2).sqrt() + EPS);
                *value -= rate * (direction + decay * *value);
            }
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu)?)?;
        }
        Ok(norm)
    }
}
