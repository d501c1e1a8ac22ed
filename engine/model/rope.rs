//! Rules that stretch rotary positions beyond the length a model was first trained on.

use serde::Serialize;

/// How the frequencies of rotary positions are divided.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    #[default]
    #[serde(rename = "default")]
    None,
    /// Every frequency by the same factor.
    Linear { factor: f64 },
    /// Low frequencies by `factor`, high ones not at all, the ones between by a blend.
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_max_position_embeddings: usize,
    },
}

impl RopeScaling {
    /// Divisor of each frequency, `head_dim / 2` of them, highest frequency first.
    ///
    /// The `llama3` rule is computed as llama.cpp's converter does for `rope_freqs.weight`
    /// (`convert_hf_to_gguf.py`, `LlamaModel.generate_extra_tensors`) and equals transformers'
    /// `_compute_llama3_parameters`.
    pub fn divisors(&self, head_dim: usize, theta: f64) -> Vec<f32> {
        let rotations = (0..head_dim / 2).map(|i| theta.powf(-2.0 * i as f64 / head_dim as f64));
        rotations.map(|frequency| self.divisor(frequency) as f32).collect()
    }

    /// Radians per position of each pair of elements, `head_dim / 2` of them, highest first.
    pub fn frequencies(&self, head_dim: usize, theta: f64) -> Vec<f32> {
        let plain = (0..head_dim / 2).map(|i| theta.powf(-2.0 * i as f64 / head_dim as f64) as f32);
        let divisors = self.divisors(head_dim, theta);
        plain.zip(divisors).map(|(frequency, divisor)| frequency / divisor).collect()
    }

    /// `frequency` in radians per position.
    fn divisor(&self, frequency: f64) -> f64 {
        match *self {
            Self::None => 1.0,
            Self::Linear { factor } => factor,
            Self::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: trained,
            } => {
                let turns = trained as f64 * frequency / std::f64::consts::TAU;
                if turns > high {
                    1.0
                } else if turns < low {
                    factor
                } else {
                    let smooth = (turns - low) / (high - low);
                    1.0 / ((1.0 - smooth) / factor + smooth)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference values: the converter's formula in double precision (Python), Llama 3.2 1B.
    #[test]
    fn llama3_divisors_equal_the_converters() {
        let rule = RopeScaling::Llama3 {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let found = rule.divisors(64, 500_000.0);
        assert_eq!(found.len(), 32);
        assert!(found[..15].iter().all(|d| *d == 1.0));
        assert!(found[18..].iter().all(|d| *d == 32.0));
        for (i, reference) in REFERENCE {
            assert!((found[i] / reference - 1.0).abs() < 1e-5, "{i}: {} {reference}", found[i]);
        }
    }

    const REFERENCE: [(usize, f32); 3] = [(15, 1.651_329), (16, 3.292_262), (17, 9.666_729)];

    #[test]
    fn linear_scaling_divides_every_frequency_alike() {
        assert_eq!(RopeScaling::Linear { factor: 2.0 }.divisors(8, 1e4), [2.0; 4]);
        assert_eq!(RopeScaling::None.divisors(8, 1e4), [1.0; 4]);
    }
}
