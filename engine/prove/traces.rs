//! Noise for traces whose truth is known: seeded, so that every machine draws the same.

use std::f64::consts::TAU;

use rand::Rng;
use rand_pcg::Pcg64;

/// A source of numbers for one trace.
pub(super) struct Noise(Pcg64);

impl Noise {
    /// `stream` tells sources of one seed apart.
    pub fn new(seed: u32, stream: u128) -> Self {
        Self(Pcg64::new(u128::from(seed), stream))
    }

    /// Uniform on (0, 1].
    pub fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// One of `values`, each equally likely.
    pub fn one_of(&mut self, values: &[f64]) -> f64 {
        let index = (self.uniform() * values.len() as f64) as usize;
        values[index.min(values.len() - 1)]
    }

    /// Standard normal (Box–Muller).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos()
    }

    /// `n` standard normal numbers, each correlated with the one before by `rho` (AR(1)).
    pub fn wandering(&mut self, n: usize, rho: f64) -> Vec<f64> {
        let mut last = self.normal();
        let mut next = || {
            let value = last;
            last = rho * last + (1.0 - rho * rho).sqrt() * self.normal();
            value
        };
        (0..n).map(|_| next()).collect()
    }
}

/// A share in per cent with one decimal.
pub(super) fn percent(hits: u32, of: u32) -> String {
    format!("{:.1} %", 100.0 * f64::from(hits) / f64::from(of.max(1)))
}

/// Whether at most `share` of `of` tries went wrong.
pub(super) fn at_most(hits: u32, of: u32, share: f64) -> bool {
    f64::from(hits) <= share * f64::from(of)
}
