//! When requests arrive, whatever the server does.
//!
//! Gaps are drawn with mean 1 from a stored seed and divided by the rate: instants are
//! `t_i = Σ g / λ`, not rescaled to end at a round time. The same seed gives the same unit gaps for
//! every variant and every rate, so that variants meet the same bursts.

use std::fmt;
use std::hash::{Hash, Hasher};

use rand::Rng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// The stream of random numbers that arrivals use.
const ARRIVALS: u128 = 0x6172_7269_7661_6c73;

/// A finite number above 0 that is the same only when its bits are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Positive(f64);

impl Positive {
    /// `None` for what is not finite and above 0.
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value > 0.0).then_some(Self(value))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Positive {}

impl Hash for Positive {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Display for Positive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How gaps between arrivals are distributed around their mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Exponential gaps: whoever asks knows nothing of the others.
    #[default]
    Poisson,
    /// Equal gaps.
    Constant,
    /// Gamma gaps of this shape: 1 is Poisson, less comes in bursts, more is smoother.
    Gamma(Positive),
}

impl Arrivals {
    /// `count` gaps with mean 1.
    pub fn unit_gaps(self, seed: u64, count: usize) -> Vec<f64> {
        let mut rng = Pcg64::new(u128::from(seed), ARRIVALS);
        let mut gap = || match self {
            Self::Poisson => -uniform(&mut rng).ln(),
            Self::Constant => 1.0,
            Self::Gamma(shape) => gamma(shape.0, &mut rng) / shape.0,
        };
        (0..count).map(|_| gap()).collect()
    }
}

/// Instants of a clock: `begin` plus the sums of `unit_gaps` divided by `rate` per second.
pub fn schedule(unit_gaps: &[f64], rate: f64, begin: u64) -> Vec<u64> {
    let mut sum = 0.0;
    let instant = |gap: &f64| {
        sum += gap;
        begin.saturating_add((sum / rate * 1e9).round() as u64)
    };
    unit_gaps.iter().map(instant).collect()
}

/// The instants of [`schedule`] before `end`, as many as there are.
pub fn schedule_until(
    arrivals: Arrivals,
    seed: u64,
    rate: Positive,
    (begin, end): (u64, u64),
) -> Vec<u64> {
    let time = end.saturating_sub(begin) as f64 / 1e9;
    let mut count = (1.1 * time * rate.get()) as usize + 100;
    loop {
        let mut instants = schedule(&arrivals.unit_gaps(seed, count), rate.get(), begin);
        if instants.last().is_none_or(|last| *last >= end) {
            instants.truncate(instants.partition_point(|at| *at < end));
            instants.shrink_to_fit();
            return instants;
        }
        // More gaps only append.
        count *= 2;
    }
}

/// Uniform on (0, 1].
fn uniform(rng: &mut Pcg64) -> f64 {
    ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// Gamma with this shape and scale 1 (G. Marsaglia and W. W. Tsang, ACM TOMS 26 (2000) 363-372).
fn gamma(shape: f64, rng: &mut Pcg64) -> f64 {
    if shape < 1.0 {
        let power = uniform(rng).powf(1.0 / shape);
        return gamma(shape + 1.0, rng) * power;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        // Box–Muller.
        let x = (-2.0 * uniform(rng).ln()).sqrt() * (std::f64::consts::TAU * uniform(rng)).cos();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && uniform(rng).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(gaps: &[f64]) -> (f64, f64) {
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        (mean, gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64)
    }

    #[test]
    fn gaps_have_mean_one_and_the_variance_of_their_law() {
        let of = |arrivals: Arrivals| moments(&arrivals.unit_gaps(11, 20_000));
        let (mean, variance) = of(Arrivals::Poisson);
        assert!((mean - 1.0).abs() < 0.03 && (variance - 1.0).abs() < 0.06, "{mean} {variance}");
        for shape in [0.25, 4.0] {
            let (mean, variance) = of(Arrivals::Gamma(Positive::new(shape).unwrap()));
            assert!((mean - 1.0).abs() < 0.05, "{mean}");
            assert!((variance * shape - 1.0).abs() < 0.12, "{shape}: {variance}");
        }
        assert_eq!(of(Arrivals::Constant), (1.0, 0.0));
    }

    #[test]
    fn a_seed_means_the_same_gaps_and_more_only_append() {
        let gaps = Arrivals::Poisson.unit_gaps(42, 3);
        assert_eq!(gaps, Arrivals::Poisson.unit_gaps(42, 9)[..3]);
        let first = |seed| Arrivals::Poisson.unit_gaps(seed, 1)[0].to_bits();
        let firsts: std::collections::BTreeSet<u64> = (0..1000).map(first).collect();
        assert_eq!(firsts.len(), 1000, "no two seeds share their gaps");
    }

    #[test]
    fn instants_are_sums_of_gaps_by_the_rate() {
        assert_eq!(schedule(&[1.0, 0.5, 2.0], 4.0, 1000), [250_001_000, 375_001_000, 875_001_000]);
    }

    #[test]
    fn a_time_has_the_arrivals_that_fall_into_it() {
        let rate = Positive::new(50.0).unwrap();
        let shape = Arrivals::Gamma(Positive::new(0.05).unwrap());
        for arrivals in [Arrivals::Poisson, Arrivals::Constant, shape] {
            let found = schedule_until(arrivals, 3, rate, (1000, 60_000_001_000));
            assert!((2000..4000).contains(&found.len()), "{}", found.len());
            let more = schedule(&arrivals.unit_gaps(3, found.len() + 1), 50.0, 1000);
            assert_eq!(more[..found.len()], found);
            assert!(more[found.len()] >= 60_000_001_000);
        }
        assert!(schedule_until(Arrivals::Constant, 3, rate, (5, 5)).is_empty());
    }

    #[test]
    fn only_finite_numbers_above_zero_are_rates() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Positive::new(wrong), None);
        }
    }
}
