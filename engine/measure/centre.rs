//! A variant's own value over its blocks.

use super::estimate::{Estimate, Method, mean_t};
use super::quantile::quantile;

/// The middle of `values`, one for each block: their median with bounds from order statistics.
///
/// Where a few launches are slow as a whole, a mean moves with how many of them a run happened to
/// meet, and its t interval knows nothing of those it did not meet: it covered a true mean in as
/// few as a fifth of simulated runs (`engine prove own_values`). Bounds from order statistics cover the
/// true median whatever the distribution. They need six values at 0.95; with fewer, the mean with
/// Student's t. `None` with fewer than two finite values.
pub fn centre(values: &[f64], level: f64) -> Option<Estimate> {
    let found = quantile(values, 0.5, level)?;
    let Some((low, high)) = found.bounds else { return mean_t(values, level) };
    let n = u32::try_from(found.n).ok()?;
    Some(Estimate { point: found.point, low, high, level, n, method: Method::OrderStatistic })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_blocks_have_a_median_and_fewer_a_mean() {
        let six = centre(&[1.0, 2.0, 3.0, 4.0, 5.0, 60.0], 0.95).unwrap();
        assert_eq!((six.point, six.low, six.high), (3.5, 1.0, 60.0));
        assert_eq!((six.n, six.method), (6, Method::OrderStatistic));
        let five = centre(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95).unwrap();
        assert_eq!((five.point, five.method), (3.0, Method::StudentT));
        assert_eq!(centre(&[1.0], 0.95), None);
        assert_eq!(centre(&[], 0.95), None);
        assert_eq!(centre(&[1.0, f64::NAN], 0.95), None);
    }

    #[test]
    fn one_slow_launch_of_ten_moves_a_bound_at_most() {
        let mut values = [1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 1.08, 1.09];
        let calm = centre(&values, 0.95).unwrap();
        values[9] = 10.0;
        assert_eq!(centre(&values, 0.95).unwrap(), calm, "its bounds are the second and the ninth");
    }
}
