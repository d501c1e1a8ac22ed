//! Ratio of two arithmetic means, such as total time or cost.
//!
//! Nothing bounds such a ratio when the denominator may be zero for all the data say. That case is
//! a value of its own: an interval with infinite ends would be printed one day.

use super::estimate::{Estimate, Method, df, moments, t_quantile, two_sided};

/// What the data say about a ratio of means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ratio {
    Bounded(Estimate),
    /// The denominator is not distinguishable from zero at this level.
    Unbounded {
        point: f64,
        level: f64,
        n: u32,
    },
}

/// Mean of `numerators` divided by that of `denominators`, paired by block, with Fieller's interval
/// (E. C. Fieller, J. R. Statist. Soc. B 16 (1954) 175-185).
///
/// With variances `vx`, `vy` and covariance `c` of the two means and `g = t²·vy/Ȳ²` the bounds are
/// `[R − g·c/vy ± t/Ȳ·sqrt(vx − 2Rc + R²vy − g(vx − c²/vy))]/(1−g)`; from `g = 1` on there are
/// none. `None` with fewer than two pairs, values that are not finite, or a mean denominator of 0.
pub fn ratio_of_means(numerators: &[f64], denominators: &[f64], level: f64) -> Option<Ratio> {
    let n = numerators.len();
    if n != denominators.len() {
        return None;
    }
    let ((x, sx), (y, sy)) = (moments(numerators)?, moments(denominators)?);
    let t = t_quantile(two_sided(level)?, df(n));
    let pairs = numerators.iter().zip(denominators);
    let per_mean = df(n) * n as f64;
    let c = pairs.map(|(a, b)| (a - x) * (b - y)).sum::<f64>() / per_mean;
    let (vx, vy) = (sx * sx / n as f64, sy * sy / n as f64);
    let point = x / y;
    let units = u32::try_from(n).ok()?;
    if !point.is_finite() {
        return None;
    }
    let g = t * t * vy / (y * y);
    if g >= 1.0 {
        return Some(Ratio::Unbounded { point, level, n: units });
    }
    let (shift, less) = if vy > 0.0 { (g * c / vy, g * (vx - c * c / vy)) } else { (0.0, 0.0) };
    let variance = vx - 2.0 * point * c + point * point * vy - less;
    let half = t / y.abs() * variance.max(0.0).sqrt();
    let (low, high) = ((point - shift - half) / (1.0 - g), (point - shift + half) / (1.0 - g));
    let estimate = Estimate { point, low, high, level, n: units, method: Method::Fieller };
    (low.is_finite() && high.is_finite()).then_some(Ratio::Bounded(estimate))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounded(x: &[f64], y: &[f64]) -> Option<Estimate> {
        match ratio_of_means(x, y, 0.95)? {
            Ratio::Bounded(found) => Some(found),
            Ratio::Unbounded { .. } => None,
        }
    }

    #[test]
    fn a_denominator_that_may_be_zero_leaves_the_ratio_unbounded() {
        let found = ratio_of_means(&[1.0, 2.0, 3.0], &[0.1, -0.1, 0.2], 0.95);
        assert!(matches!(found, Some(Ratio::Unbounded { n: 3, .. })), "{found:?}");
    }

    #[test]
    fn broken_input_gives_nothing() {
        assert_eq!(ratio_of_means(&[1.0], &[1.0], 0.95), None);
        assert_eq!(ratio_of_means(&[1.0, 2.0], &[1.0], 0.95), None);
        assert_eq!(ratio_of_means(&[1.0, f64::NAN], &[1.0, 2.0], 0.95), None);
        assert_eq!(ratio_of_means(&[1.0, 2.0], &[0.0, 0.0], 0.95), None);
    }

    #[test]
    fn a_constant_multiple_has_no_width() {
        let found = bounded(&[2.0, 4.0, 9.0, 7.0], &[1.0, 2.0, 4.5, 3.5]).unwrap();
        assert!((found.low - 2.0).abs() < 1e-7 && (found.high - 2.0).abs() < 1e-7, "{found:?}");
    }

    proptest! {
        #[test]
        fn the_interval_holds_its_point_and_turns_round_with_the_pair(
            pairs in prop::collection::vec((1.0..2.0, 1.0..2.0), 4..20),
        ) {
            let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            if let (Some(a), Some(b)) = (bounded(&x, &y), bounded(&y, &x)) {
                prop_assert!(a.low <= a.point && a.point <= a.high);
                prop_assert!((a.low * b.high - 1.0).abs() < 1e-7, "{a:?} {b:?}");
            }
        }
    }
}
