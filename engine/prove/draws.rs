//! Random numbers of simulated machines: a named generator, seeds as numbers, distributions by
//! formulas of this file, so that a table means the same whichever version of a library is linked.

use std::f64::consts::TAU;

use rand::Rng as _;
use rand_pcg::Pcg64;

/// A stream of draws. Equal `study` and `seed` give equal draws, and others give others: the low bit
/// of a state counts, as it does not in the multiplicative generators of the same family, whose
/// seeds 2k and 2k + 1 are one.
#[derive(Debug, Clone)]
pub struct Draws {
    rng: Pcg64,
    /// The second of a pair of normal numbers, not handed out yet.
    spare: Option<f64>,
}

impl Draws {
    /// `study` keeps the cells of a table apart, `seed` the sessions of a cell.
    pub fn new(study: u64, seed: u64) -> Self {
        let state = (u128::from(study) << 64) | u128::from(seed);
        Self { rng: Pcg64::new(state, 0x5e55_1045), spare: None }
    }

    /// Uniform on (0, 1].
    pub fn uniform(&mut self) -> f64 {
        ((self.rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sine, cosine) = (TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// One of `values`, each equally likely.
    pub fn one_of(&mut self, values: &[f64]) -> f64 {
        values[self.below(values.len())]
    }

    /// `n` standard normal numbers, each correlated with the one before by `rho` (AR(1)); they begin
    /// in their steady state.
    pub fn wandering(&mut self, n: usize, rho: f64) -> Vec<f64> {
        let fresh = (1.0 - rho * rho).sqrt();
        let mut z = self.normal();
        let next = |i| {
            if i > 0 {
                z = rho * z + fresh * self.normal();
            }
            z
        };
        (0..n).map(next).collect()
    }

    /// One of `0..n`; `n` is small beside 2^53.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64).ceil() as usize).clamp(1, n.max(1)) - 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn draws_have_the_moments_of_their_distribution() {
        let mut draws = Draws::new(1, 2);
        let many = 40_000;
        let normal: Vec<f64> = (0..many).map(|_| draws.normal()).collect();
        let mean = |power: i32| normal.iter().map(|z| z.powi(power)).sum::<f64>() / f64::from(many);
        assert!(mean(1).abs() < 0.02 && (mean(2) - 1.0).abs() < 0.03, "{} {}", mean(1), mean(2));
        assert!(mean(3).abs() < 0.08 && (mean(4) - 3.0).abs() < 0.2, "{} {}", mean(3), mean(4));
        let dice: Vec<usize> = (0..6000).map(|_| draws.below(6)).collect();
        for side in 0..6 {
            let share = dice.iter().filter(|d| **d == side).count();
            assert!((880..1120).contains(&share), "{side}: {share}");
        }
    }

    #[test]
    fn a_seed_means_the_same_draws_for_ever() {
        let mut draws = Draws::new(7, 42);
        let found: Vec<f64> = (0..3).map(|_| (draws.uniform() * 1e6).round()).collect();
        assert_eq!(found, GOLDEN);
        assert_ne!(Draws::new(7, 43).uniform(), Draws::new(7, 42).uniform());
        assert_ne!(Draws::new(8, 42).uniform(), Draws::new(7, 42).uniform());
    }

    #[test]
    fn no_two_seeds_and_no_two_studies_share_a_stream() {
        let first = |study, seed| Draws::new(study, seed).uniform();
        let seeds: Vec<f64> = (0..1000).map(|seed| first(1, seed)).collect();
        let studies = (2..1002).map(|study| first(study, 7));
        let all: BTreeSet<u64> = seeds.iter().copied().chain(studies).map(f64::to_bits).collect();
        assert_eq!(all.len(), 2000);
        // Nor do neighbours move together.
        let products = seeds.windows(2).map(|pair| (pair[0] - 0.5) * (pair[1] - 0.5));
        let correlation = 12.0 * products.sum::<f64>() / 999.0;
        assert!(correlation.abs() < 0.1, "{correlation}");
    }

    const GOLDEN: [f64; 3] = [330_549.0, 493_252.0, 781_660.0];
}
