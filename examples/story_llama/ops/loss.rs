//! The loss of next-token prediction.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{last, read2, slice};

/// Mean negative log-likelihood of the targets under the softmax of each row of logits.
pub struct CrossEntropy {
    pub targets: Vec<u32>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let rows = slice(logits, layout)?.chunks_exact(last(layout.dims()));
        let sum: f64 = rows
            .zip(&self.targets)
            .map(|(row, target)| {
                let (top, sum) = top_and_sum(row);
                f64::from(sum.ln() + top - row[*target as usize])
            })
            .sum();
        Ok((CpuStorage::F32(vec![(sum / self.targets.len() as f64) as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let width = last(logits.dims());
        let share = grad.to_scalar::<f32>()? / self.targets.len() as f32;
        let d = read2(logits, grad, |logits, _| {
            let mut d = Vec::with_capacity(logits.len());
            for (row, target) in logits.chunks_exact(width).zip(&self.targets) {
                let (top, sum) = top_and_sum(row);
                let start = d.len();
                d.extend(row.iter().map(|x| (x - top).exp() / sum * share));
                d[start + *target as usize] -= share;
            }
            d
        })?;
        Ok(Some(Tensor::from_vec(d, logits.shape(), logits.device())?))
    }
}

fn top_and_sum(row: &[f32]) -> (f32, f32) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (top, row.iter().map(|x| (x - top).exp()).sum())
}
