//! Means over independent items of unknown distribution: bias-corrected and accelerated bootstrap.
//!
//! Cosines and errors of items are skewed and bounded; the interval follows the samples instead of
//! assuming a shape, stays among them, and looks the same through any monotone function. Resamples
//! come from a generator with a fixed seed: the same values give the same bounds, whenever they are
//! asked. Deliberately absent: quantiles far out, whose bootstrap never looks beyond the worst
//! item; order statistics say honestly how many items they need.

use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;

use super::estimate::{Estimate, Method, normal_cdf, normal_quantile, two_sided};
use super::quantile::{sorted, type_7};

/// Resamples behind an interval.
pub const RESAMPLES: usize = 5_000;

const SEED: u128 = 0x5eed_b007_57a9;

/// Mean of `values` with its BCa interval over [`RESAMPLES`] resamples (B. Efron, JASA 82 (1987)
/// 171-185). At least two finite values; equal ones have a degenerate interval.
pub fn mean_bca(values: &[f64], level: f64) -> Option<Estimate> {
    let sorted = sorted(values).filter(|sorted| sorted.len() > 1)?;
    let items = sorted.len();
    if sorted[0] == sorted[items - 1] {
        two_sided(level)?;
        let (point, n) = (sorted[0], u32::try_from(items).ok()?);
        return Some(Estimate { point, low: point, high: point, level, n, method: Method::Bca });
    }
    let mut rng = Pcg64Mcg::new(SEED);
    let mut counts = vec![0_u32; items];
    let resample = |_| {
        counts.fill(0);
        for _ in 0..items {
            counts[rng.random_range(0..items)] += 1;
        }
        mean_of(&sorted, &counts)
    };
    let means = (0..RESAMPLES).map(resample).collect();
    interval(&sorted, means, level)
}

/// Mean of a sample that holds each of the `sorted` values `counts` times. Sums run in their
/// order, so that equal samples have equal means.
pub(super) fn mean_of(sorted: &[f64], counts: &[u32]) -> f64 {
    let sum: f64 = sorted.iter().zip(counts).map(|(x, n)| x * f64::from(*n)).sum();
    sum / f64::from(counts.iter().sum::<u32>())
}

/// The interval that `means` of resamples of the `sorted` values lead to.
pub(super) fn interval(sorted: &[f64], mut means: Vec<f64>, level: f64) -> Option<Estimate> {
    let n = sorted.len();
    let point = mean_of(sorted, &vec![1; n]);
    means.sort_by(f64::total_cmp);
    let all = means.len() as f64;
    let below = means.partition_point(|x| *x < point) as f64;
    let up_to = means.partition_point(|x| *x <= point) as f64;
    // Half a resample away from the ends, where no normal quantile exists.
    let share = ((below + up_to) / (2.0 * all)).clamp(0.5 / all, 1.0 - 0.5 / all);
    let bias = normal_quantile(share);
    let acceleration = acceleration(sorted, point);
    let z = normal_quantile(two_sided(level)?);
    let bound = |z: f64| {
        let shifted = bias + z;
        let slope = 1.0 - acceleration * shifted;
        // Beyond the pole of the correction lies nothing but the end.
        let share = match slope > 0.0 {
            true => normal_cdf(bias + shifted / slope),
            false => f64::from(u8::from(shifted > 0.0)),
        };
        type_7(&means, share)
    };
    let (low, high) = (bound(-z).min(point), bound(z).max(point));
    let n = u32::try_from(n).ok()?;
    let sane = low.is_finite() && high.is_finite();
    sane.then_some(Estimate { point, low, high, level, n, method: Method::Bca })
}

/// A sixth of the skewness of the jackknife: how fast the standard error moves with the mean. A
/// mean without one value lies off by that value's own distance, divided by `n - 1`, which cancels.
fn acceleration(values: &[f64], mean: f64) -> f64 {
    let power = |p: i32| values.iter().map(|x| (x - mean).powi(p)).sum::<f64>();
    let squares = power(2);
    if squares > 0.0 { power(3) / (6.0 * squares.powf(1.5)) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_or_broken_values_give_no_estimate() {
        assert_eq!(mean_bca(&[], 0.95), None);
        assert_eq!(mean_bca(&[1.0], 0.95), None);
        assert_eq!(mean_bca(&[1.0, f64::NAN], 0.95), None);
        assert_eq!(mean_bca(&[1.0, 2.0], 1.0), None);
        assert_eq!(mean_bca(&[1.0, 1.0], 1.0), None);
    }

    #[test]
    fn equal_values_have_a_degenerate_interval() {
        let same = mean_bca(&[0.1; 7], 0.95).unwrap();
        assert_eq!((same.point, same.low, same.high, same.n), (0.1, 0.1, 0.1, 7));
    }

    #[test]
    fn the_same_values_give_the_same_bounds_in_any_order() {
        let values: Vec<f64> = (1..40).map(|i| 1.0 / f64::from(i)).collect();
        let turned: Vec<f64> = values.iter().rev().copied().collect();
        let found = mean_bca(&values, 0.95).unwrap();
        assert_eq!(mean_bca(&turned, 0.95).unwrap(), found);
        assert!(found.low < found.point && found.point < found.high);
        // Skewed to the right: the interval is longer on that side.
        assert!(found.high - found.point > 1.2 * (found.point - found.low), "{found:?}");
    }

    #[test]
    fn bounds_stay_among_the_values() {
        let mut values = vec![1.0; 30];
        values.extend([0.2, 0.9]);
        let found = mean_bca(&values, 0.9999).unwrap();
        assert!(0.2 <= found.low && found.low < found.point && found.high <= 1.0, "{found:?}");
    }
}
