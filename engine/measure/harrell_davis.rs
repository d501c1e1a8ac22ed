//! A quantile as a weighted mean of all order statistics.
//!
//! Its error is smaller than that of one or two order statistics where the density is smooth there.
//! Where values fall into two modes it points between them, so it is shown beside the plain
//! quantile and never instead of it.

use super::beta::incomplete_beta;
use super::quantile::sorted;

/// Independent values from which the weights are worth their while.
pub const LEAST: usize = 50;

/// The `q`-quantile, `0 < q < 1`, with weights `I_{i/n}(a, b) − I_{(i−1)/n}(a, b)`, `a = (n+1)q`,
/// `b = (n+1)(1−q)` (F. E. Harrell & C. E. Davis, Biometrika 69 (1982) 635-640). `None` without
/// finite values.
pub fn harrell_davis(values: &[f64], q: f64) -> Option<f64> {
    if !(q > 0.0 && q < 1.0) {
        return None;
    }
    let sorted = sorted(values)?;
    let n = sorted.len() as f64;
    let (a, b) = ((n + 1.0) * q, (n + 1.0) * (1.0 - q));
    // Beyond forty standard deviations no weight is left in `f64`, be the tail exponential.
    let reach = 40.0 * (q * (1.0 - q) / (n + 2.0)).sqrt() + 2.0 / n;
    let (mut before, mut sum) = (0.0, 0.0);
    for (i, x) in (1_u32..).zip(&sorted) {
        let share = f64::from(i) / n;
        let up_to = match share {
            _ if share < q - reach => 0.0,
            _ if share > q + reach => 1.0,
            _ => incomplete_beta(share, a, b),
        };
        sum += (up_to - before) * x;
        before = up_to;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn broken_input_gives_no_quantile() {
        assert_eq!(harrell_davis(&[], 0.5), None);
        assert_eq!(harrell_davis(&[f64::NAN], 0.5), None);
        assert_eq!(harrell_davis(&[1.0], 1.0), None);
        assert_eq!(harrell_davis(&[3.0], 0.9), Some(3.0));
    }

    #[test]
    fn the_middle_of_symmetric_values_is_their_median() {
        let values: Vec<f64> = (0..=20_000).map(f64::from).collect();
        let found = harrell_davis(&values, 0.5).unwrap();
        assert!((found - 10_000.0).abs() < 1e-6, "{found}");
        let high = harrell_davis(&values, 0.99).unwrap();
        assert!((high - 19_800.0).abs() < 5.0, "{high}");
    }

    proptest! {
        #[test]
        fn it_moves_with_the_values(
            values in prop::collection::vec(-10.0..10.0, 2..60), q in 0.05..0.95,
        ) {
            let found = harrell_davis(&values, q).unwrap();
            let moved: Vec<f64> = values.iter().map(|x| 3.0 * x - 5.0).collect();
            prop_assert!((harrell_davis(&moved, q).unwrap() - (3.0 * found - 5.0)).abs() < 1e-9);
            let turned: Vec<f64> = values.iter().map(|x| -x).collect();
            prop_assert!((harrell_davis(&turned, 1.0 - q).unwrap() + found).abs() < 1e-9);
        }
    }
}
