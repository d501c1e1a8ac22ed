//! Choosing the next token from logits: greedy, or drawn with a seed.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::backend::argmax;

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the most likely token.
    pub temperature: f32,
    /// Draw from this many of the most likely tokens; 0 for all.
    pub top_k: u32,
    /// Draw from the fewest most likely tokens that together have this probability; 1 for all.
    pub top_p: f32,
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 }
    }
}

/// A sampler with its state: the same seed and logits give the same tokens.
pub struct Sampler {
    rules: Sampling,
    generator: Pcg64,
}

impl Sampler {
    pub fn new(rules: Sampling) -> Self {
        Self { rules, generator: Pcg64::seed_from_u64(rules.seed) }
    }

    /// The next token for one row of logits. Logits that are not numbers are never chosen unless
    /// all are.
    pub fn next(&mut self, logits: &[f32]) -> u32 {
        if self.rules.temperature <= 0.0 {
            return argmax(logits);
        }
        let mut candidates: Vec<(u32, f64)> = logits
            .iter()
            .enumerate()
            .filter(|(_, logit)| logit.is_finite())
            .map(|(id, &logit)| (id as u32, f64::from(logit / self.rules.temperature)))
            .collect();
        // Most likely first, lower ids first among equals.
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.rules.top_k > 0 {
            candidates.truncate(self.rules.top_k as usize);
        }
        let Some(&(first, top)) = candidates.first() else { return argmax(logits) };
        for (_, weight) in &mut candidates {
            *weight = (*weight - top).exp();
        }
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let kept = nucleus(&candidates, f64::from(self.rules.top_p) * total);
        let mass: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let mut left = self.generator.random::<f64>() * mass;
        for (id, weight) in kept {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        first
    }
}

/// The shortest prefix whose weights reach `enough`; at least one entry.
fn nucleus(candidates: &[(u32, f64)], enough: f64) -> &[(u32, f64)] {
    let mut sum = 0.0;
    let reached = candidates.iter().position(|(_, weight)| {
        sum += weight;
        sum >= enough
    });
    &candidates[..reached.map_or(candidates.len(), |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(rules: Sampling, logits: &[f32], n: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(rules);
        (0..n).map(|_| sampler.next(logits)).collect()
    }

    #[test]
    fn without_temperature_the_most_likely_token_is_taken() {
        assert_eq!(draws(Sampling::default(), &[0.0, 3.0, 3.0, 1.0], 3), [1, 1, 1]);
    }

    #[test]
    fn one_seed_gives_one_sequence_and_frequencies_follow_the_probabilities() {
        let rules = Sampling { temperature: 1.0, seed: 5, ..Sampling::default() };
        let logits = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
        let first = draws(rules, &logits, 20_000);
        assert_eq!(first, draws(rules, &logits, 20_000));
        for (id, expected) in [(0, 0.5), (1, 0.3), (2, 0.2)] {
            let share = first.iter().filter(|&&t| t == id).count() as f64 / 20_000.0;
            // Four standard errors.
            assert!((share - expected).abs() < 4.0 * (0.25_f64 / 20_000.0).sqrt(), "{id}: {share}");
        }
    }

    #[test]
    fn top_k_and_top_p_leave_the_tail_out() {
        let logits = [0.5_f32.ln(), 0.3_f32.ln(), 0.15_f32.ln(), 0.05_f32.ln()];
        let base = Sampling { temperature: 1.0, seed: 1, ..Sampling::default() };
        let k = draws(Sampling { top_k: 2, ..base }, &logits, 2000);
        assert!(k.iter().all(|&t| t < 2) && k.contains(&1));
        let p = draws(Sampling { top_p: 0.79, ..base }, &logits, 2000);
        assert!(p.iter().all(|&t| t < 2) && p.contains(&1));
        let only = draws(Sampling { top_p: 0.1, ..base }, &logits, 100);
        assert!(only.iter().all(|&t| t == 0));
    }

    #[test]
    fn logits_that_are_not_numbers_are_passed_over() {
        let rules = Sampling { temperature: 1.0, ..Sampling::default() };
        let logits = [f32::NAN, 0.0, f32::NEG_INFINITY];
        assert!(draws(rules, &logits, 50).iter().all(|&t| t == 1));
    }
}
