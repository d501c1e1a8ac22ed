//! The normal distribution to the last digits.
//!
//! statrs is right to about ten digits in the tails; p-values and percentiles of a bootstrap should
//! not depend on that.

use std::f64::consts::PI;

use super::estimate::rough_normal_quantile;

/// Distance from 0 up to which the series is used; the fraction takes over where it converges.
const SERIES_TO: f64 = 3.0;

/// Probability of a standard normal number up to `z`.
///
/// Near 0 by the series `1/2 + φ(z)·Σ z^(2k+1)/(2k+1)!!` (G. Marsaglia, J. Stat. Software 11 (2004)
/// no. 4), in the tails by the continued fraction of Mills' ratio (DLMF 7.9.3).
pub fn normal_cdf(z: f64) -> f64 {
    if z.is_nan() {
        return f64::NAN;
    }
    if z.abs() > SERIES_TO {
        let tail = upper_tail(z.abs());
        return if z > 0.0 { 1.0 - tail } else { tail };
    }
    let (mut sum, mut term, mut odd) = (z, z, 1.0);
    loop {
        odd += 2.0;
        term *= z * z / odd;
        let next = sum + term;
        if next == sum {
            return 0.5 + density(z) * sum;
        }
        sum = next;
    }
}

/// The `p`-quantile of the standard normal distribution; NaN outside `0 < p < 1`.
pub fn normal_quantile(p: f64) -> f64 {
    if !(p > 0.0 && p < 1.0) {
        return f64::NAN;
    }
    // Newton's step from a value that is right to many digits; in the tail, which is the accurate
    // side.
    let mut z = rough_normal_quantile(p);
    for _ in 0..2 {
        let off = if z > 0.0 { (1.0 - p) - normal_cdf(-z) } else { normal_cdf(z) - p };
        let step = off / density(z);
        if !step.is_finite() {
            break;
        }
        z -= step;
    }
    z
}

fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

/// `φ(z)/(z + 1/(z + 2/(z + 3/…)))`, from the inside.
fn upper_tail(z: f64) -> f64 {
    let depth = 40 + (2000.0 / (z * z)) as u32;
    let fraction = (1..=depth).rev().fold(z, |inner, k| z + f64::from(k) / inner);
    density(z) / fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_mirror_each_other_and_quantiles_turn_back() {
        for z in [0.0, 0.3, 1.96, 2.999, 3.001, 5.0, 8.0, 20.0] {
            assert!((normal_cdf(z) + normal_cdf(-z) - 1.0).abs() < 1e-15, "{z}");
        }
        for p in [1e-12, 1e-4, 0.025, 0.4, 0.5, 0.6, 0.975, 0.9999] {
            assert!((normal_cdf(normal_quantile(p)) / p - 1.0).abs() < 1e-12, "{p}");
            assert!((normal_quantile(p) + normal_quantile(1.0 - p)).abs() < 1e-3);
        }
        let (left, right) = (normal_cdf(-3.0 - 1e-12), normal_cdf(-3.0 + 1e-12));
        assert!((left / right - 1.0).abs() < 1e-10, "the two ways meet");
    }

    #[test]
    fn nonsense_gives_nan() {
        for p in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(normal_quantile(p).is_nan());
        }
        assert!(normal_cdf(f64::NAN).is_nan());
        assert_eq!((normal_cdf(f64::INFINITY), normal_cdf(f64::NEG_INFINITY)), (1.0, 0.0));
    }
}
