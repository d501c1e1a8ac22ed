//! Statistics over independent items of unknown distribution: bias-corrected and accelerated
//! bootstrap.
//!
//! Cosines and errors of items are skewed and bounded; the interval follows the samples instead of
//! assuming a shape, and looks the same through any monotone function. Resamples come from a
//! generator with a fixed seed: the same values give the same bounds, whenever they are asked.

use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;

use super::estimate::{Estimate, Method, normal_cdf, normal_quantile, two_sided};
use super::quantile::{sorted, type_7};

/// Resamples behind an interval.
pub const RESAMPLES: usize = 5_000;

const SEED: u128 = 0x5eed_b007_57a9;

/// What is estimated from the items.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    Mean,
    /// Hyndman-Fan type 7, between 0 and 1.
    Quantile(f64),
}

/// `statistic` of `values` with its BCa interval over [`RESAMPLES`] resamples (B. Efron, JASA 82
/// (1987) 171-185). At least two finite values; equal ones have a degenerate interval.
pub fn bca(values: &[f64], statistic: Statistic, level: f64) -> Option<Estimate> {
    let sorted = sorted(values)?;
    let n = sorted.len();
    if n < 2 {
        return None;
    }
    let mut rng = Pcg64Mcg::new(SEED);
    let mut counts = vec![0_u32; n];
    let mut resample = || {
        counts.fill(0);
        for _ in 0..n {
            counts[rng.random_range(0..n)] += 1;
        }
        statistic.of(&sorted, &counts)
    };
    if sorted[0] == sorted[n - 1] {
        two_sided(level)?;
        let (point, n) = (sorted[0], u32::try_from(n).ok()?);
        return Some(Estimate { point, low: point, high: point, level, n, method: Method::Bca });
    }
    let replicates = (0..RESAMPLES).map(|_| resample()).collect();
    interval(&sorted, statistic, replicates, level)
}

/// The interval that `replicates`, the statistic of resamples of the `sorted` values, lead to.
pub(super) fn interval(
    sorted: &[f64],
    statistic: Statistic,
    mut replicates: Vec<f64>,
    level: f64,
) -> Option<Estimate> {
    let n = sorted.len();
    let point = statistic.of(sorted, &vec![1; n]);
    replicates.sort_by(f64::total_cmp);
    let all = replicates.len() as f64;
    let below = replicates.partition_point(|x| *x < point) as f64;
    let up_to = replicates.partition_point(|x| *x <= point) as f64;
    // Half a resample away from the ends, where no normal quantile exists.
    let share = ((below + up_to) / (2.0 * all)).clamp(0.5 / all, 1.0 - 0.5 / all);
    let bias = normal_quantile(share);
    let acceleration = acceleration(&statistic.without_each(sorted));
    let z = normal_quantile(two_sided(level)?);
    let bound = |z: f64| {
        let shifted = bias + z;
        let slope = 1.0 - acceleration * shifted;
        // Beyond the pole of the correction lies nothing but the end.
        let share = match slope > 0.0 {
            true => normal_cdf(bias + shifted / slope),
            false => f64::from(u8::from(shifted > 0.0)),
        };
        type_7(&replicates, share)
    };
    let (low, high) = (bound(-z).min(point), bound(z).max(point));
    let n = u32::try_from(n).ok()?;
    let sane = low.is_finite() && high.is_finite();
    sane.then_some(Estimate { point, low, high, level, n, method: Method::Bca })
}

/// A sixth of the skewness of the jackknife values: how fast the standard error moves with the
/// statistic. 0 where they are all equal.
fn acceleration(jackknife: &[f64]) -> f64 {
    let mean = jackknife.iter().sum::<f64>() / jackknife.len() as f64;
    let power = |p: i32| jackknife.iter().map(|x| (mean - x).powi(p)).sum::<f64>();
    let squares = power(2);
    if squares > 0.0 { power(3) / (6.0 * squares.powf(1.5)) } else { 0.0 }
}

impl Statistic {
    /// Of a sample that holds each of the `sorted` values `counts` times. Sums run in their order,
    /// so that equal samples have equal statistics.
    pub(super) fn of(self, sorted: &[f64], counts: &[u32]) -> f64 {
        let all: u32 = counts.iter().sum();
        match self {
            Self::Mean => {
                let sum: f64 = sorted.iter().zip(counts).map(|(x, n)| x * f64::from(*n)).sum();
                sum / f64::from(all)
            }
            Self::Quantile(q) => {
                let place = q * f64::from(all - 1);
                let first = place.floor();
                let (mut seen, mut below) = (0, None);
                for (value, count) in sorted.iter().zip(counts) {
                    seen += count;
                    if below.is_none() && f64::from(seen) > first {
                        below = Some(*value);
                    }
                    if f64::from(seen) > (first + 1.0).min(f64::from(all - 1)) {
                        let (share, below) = (place - first, below.unwrap_or(*value));
                        return below * (1.0 - share) + value * share;
                    }
                }
                f64::NAN
            }
        }
    }

    /// Of the `sorted` values without each of them in turn.
    fn without_each(self, sorted: &[f64]) -> Vec<f64> {
        let left = sorted.len() - 1;
        match self {
            Self::Mean => {
                let sum: f64 = sorted.iter().sum();
                sorted.iter().map(|x| (sum - x) / left as f64).collect()
            }
            Self::Quantile(q) => {
                let place = q * left.saturating_sub(1) as f64;
                let below = place.floor() as usize;
                let above = (below + 1).min(left - 1);
                let share = place - below as f64;
                let kept = |at: usize, without: usize| sorted[at + usize::from(at >= without)];
                let value = |i| kept(below, i) * (1.0 - share) + kept(above, i) * share;
                (0..=left).map(value).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_or_broken_values_give_no_estimate() {
        assert_eq!(bca(&[], Statistic::Mean, 0.95), None);
        assert_eq!(bca(&[1.0], Statistic::Mean, 0.95), None);
        assert_eq!(bca(&[1.0, f64::NAN], Statistic::Mean, 0.95), None);
        assert_eq!(bca(&[1.0, 2.0], Statistic::Mean, 1.0), None);
        assert_eq!(bca(&[1.0, 1.0], Statistic::Mean, 1.0), None);
    }

    #[test]
    fn equal_values_have_a_degenerate_interval() {
        let same = bca(&[0.1; 7], Statistic::Mean, 0.95).unwrap();
        assert_eq!((same.point, same.low, same.high, same.n), (0.1, 0.1, 0.1, 7));
    }

    #[test]
    fn statistics_of_counted_values_are_those_of_the_values_written_out() {
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        let counts = [2, 0, 3, 0, 1];
        let written = [1.0, 1.0, 4.0, 4.0, 4.0, 16.0];
        assert_eq!(Statistic::Mean.of(&sorted, &counts), 5.0);
        for q in [0.0, 0.01, 0.19, 0.2, 0.5, 0.77, 0.99, 1.0] {
            let found = Statistic::Quantile(q).of(&sorted, &counts);
            assert!((found - type_7(&written, q)).abs() < 1e-12, "{q}: {found}");
            let jackknife = Statistic::Quantile(q).without_each(&sorted);
            for (i, found) in jackknife.iter().enumerate() {
                let mut rest = sorted.to_vec();
                rest.remove(i);
                assert!((found - type_7(&rest, q)).abs() < 1e-12, "{q} without {i}");
            }
        }
    }

    #[test]
    fn the_same_values_give_the_same_bounds_in_any_order() {
        let values: Vec<f64> = (1..40).map(|i| 1.0 / f64::from(i)).collect();
        let turned: Vec<f64> = values.iter().rev().copied().collect();
        let (a, b) = (bca(&values, Statistic::Mean, 0.95), bca(&turned, Statistic::Mean, 0.95));
        assert_eq!(a, b);
        let found = a.unwrap();
        assert!(found.low < found.point && found.point < found.high);
        // Skewed to the right: the interval is longer on that side.
        assert!(found.high - found.point > 1.2 * (found.point - found.low), "{found:?}");
    }
}
