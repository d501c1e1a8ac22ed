//! Weights out of a seed.

use half::{bf16, f16};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng as _;
use serde_json::Value;

use crate::base::Digest;

/// Name of the recipe below, with its version: the same seed means the same weights under it.
pub(super) const GENERATOR: &str = "pcg64mcg-sum4/1";
const DEVIATION: f32 = 0.02;
/// Weights drawn from one generator; changing it changes all weights.
const CHUNK: u64 = 1 << 20;

/// The bytes of `chunk` under this seed.
pub(super) fn draw(seed: u64, chunk: &Chunk<'_>, dtype: Element, out: &mut Vec<u8>) {
    out.clear();
    out.resize(chunk.len * dtype.bytes(), 0);
    if chunk.is_norm {
        dtype.fill(out, || 1.0);
    } else {
        let mut draw = Normal::new(&format!("{}/{}/{}", seed, chunk.tensor, chunk.index));
        dtype.fill(out, || draw.next());
    }
}

/// A run of neighbouring weights of one tensor.
pub(super) struct Chunk<'a> {
    tensor: &'a str,
    index: u64,
    len: usize,
    /// Norms and variances are 1: drawn ones would blow the activations up or down layer by layer.
    is_norm: bool,
}

pub(super) fn chunks<'a>(
    tensor: &'a str,
    shape: &[u64],
) -> impl Iterator<Item = Chunk<'a>> + use<'a> {
    let elements: u64 = shape.iter().product();
    let drawn = [".bias", ".running_mean", "class_embedding"];
    let is_norm = shape.len() == 1 && !drawn.iter().any(|end| tensor.ends_with(end));
    (0..elements.div_ceil(CHUNK)).map(move |index| Chunk {
        tensor,
        index,
        len: CHUNK.min(elements - index * CHUNK) as usize,
        is_norm,
    })
}

/// Nearly normal values: a sum of four uniform 16-bit numbers, cut out of one draw. The sum ends
/// at 3.46 deviations, which weights of this size do as well.
struct Normal(Pcg64Mcg);

impl Normal {
    fn new(label: &str) -> Self {
        let digest = Digest::of_bytes(label.as_bytes()).hex();
        Self(Pcg64Mcg::new(u128::from_str_radix(&digest[..32], 16).expect("hex digits")))
    }

    #[inline]
    fn next(&mut self) -> f32 {
        /// Deviation of the sum: the square root of 4 (2^32 - 1) / 12.
        const SUM_DEVIATION: f32 = 37_837.227;
        let bits = self.0.next_u64();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f32 - 131_070.0) * (DEVIATION / SUM_DEVIATION)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Element {
    F32,
    F16,
    BF16,
}

impl Element {
    pub fn of(json: &Value) -> Self {
        match json["torch_dtype"].as_str() {
            Some("bfloat16") => Self::BF16,
            Some("float16") => Self::F16,
            _ => Self::F32,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }

    fn bytes(self) -> usize {
        if matches!(self, Self::F32) { 4 } else { 2 }
    }

    fn fill(self, out: &mut [u8], mut next: impl FnMut() -> f32) {
        fn each<const N: usize>(out: &mut [u8], mut bytes: impl FnMut() -> [u8; N]) {
            for word in out.as_chunks_mut().0 {
                *word = bytes();
            }
        }
        match self {
            Self::F32 => each(out, || next().to_le_bytes()),
            Self::F16 => each(out, || f16::from_f32(next()).to_le_bytes()),
            Self::BF16 => each(out, || bf16::from_f32(next()).to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_values_have_the_mean_and_deviation_of_the_recipe() {
        let mut draw = Normal::new("test");
        let values: Vec<f64> = (0..200_000).map(|_| f64::from(draw.next())).collect();
        let mean = values.iter().sum::<f64>() / 200_000.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 200_000.0;
        // Five standard errors of each.
        assert!(mean.abs() < 0.02 * 5.0 / 200_000_f64.sqrt(), "{mean}");
        assert!((variance.sqrt() / 0.02 - 1.0).abs() < 5.0 / 400_000_f64.sqrt(), "{variance}");
        let within = values.iter().filter(|v| v.abs() < 0.02).count() as f64 / 200_000.0;
        assert!((within - 0.683).abs() < 0.02, "{within}");
    }
}
