//! The regularized incomplete beta function for any size of its parameters.
//!
//! statrs stops its continued fraction after 140 terms, which is too few for thousands of samples;
//! and its leading factor is a difference of large logarithms. Here the fraction runs until it
//! stands still, and the factor is Loader's saddle-point form, in which nothing large cancels.

use std::f64::consts::PI;

use super::estimate::ln_gamma;

/// Terms of the fraction; its need grows with the root of the larger parameter.
const MOST_TERMS: u32 = 100_000;

/// Halvings of the unit interval until nothing of it is left in `f64`.
const HALVINGS: u32 = 1_100;

/// `I_x(a, b)`, the probability that a beta variable with parameters `a, b > 0` is at most `x`.
///
/// Continued fraction of DLMF 8.17.22 by the modified Lentz method (Press et al., Numerical
/// Recipes, 3rd ed., section 6.4). NaN for parameters that are not positive and finite, or `x`
/// outside the unit interval.
pub fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    split(x, 1.0 - x, a, b)
}

/// [`incomplete_beta`] at `x/(x+y)`, which keeps its digits where one of the two is small.
pub fn split_beta(x: f64, y: f64, a: f64, b: f64) -> f64 {
    split(x / (x + y), y / (x + y), a, b)
}

fn split(x: f64, y: f64, a: f64, b: f64) -> f64 {
    let sane = a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite();
    if !sane || !(0.0..=1.0).contains(&x) {
        return f64::NAN;
    }
    if x == 0.0 || x == 1.0 {
        return x;
    }
    if x < (a + 1.0) / (a + b + 2.0) {
        (factor(a, b, x, y) * fraction(x, a, b) / a).min(1.0)
    } else {
        (1.0 - factor(a, b, x, y) * fraction(y, b, a) / b).max(0.0)
    }
}

/// The `x` at which [`incomplete_beta`] reaches `p`, by halving; exact in its last digits where
/// the result is small. NaN where that is NaN or `p` lies outside the unit interval.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || incomplete_beta(0.5, a, b).is_nan() {
        return f64::NAN;
    }
    let (mut below, mut above) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(below, above);
        if middle <= below || middle >= above {
            break;
        }
        if incomplete_beta(middle, a, b) < p {
            below = middle;
        } else {
            above = middle;
        }
    }
    f64::midpoint(below, above)
}

/// `x^a y^b / B(a, b)`, `y = 1 − x`, with the deviance form of C. Loader, Fast and Accurate Computation of
/// Binomial Probabilities (2000).
fn factor(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let n = a + b;
    let log = stirling_error(n)
        - stirling_error(a)
        - stirling_error(b)
        - deviance(a, n * x)
        - deviance(b, n * y);
    (a * b / (2.0 * PI * n)).sqrt() * log.exp()
}

/// `ln Γ(z+1)` minus Stirling's approximation of it.
fn stirling_error(z: f64) -> f64 {
    if z > 15.0 {
        let s = 1.0 / (z * z);
        let series = [
            1.0 / 12.0,
            -1.0 / 360.0,
            1.0 / 1260.0,
            -1.0 / 1680.0,
            1.0 / 1188.0,
            -691.0 / 360_360.0,
            1.0 / 156.0,
        ];
        series.iter().rev().fold(0.0, |sum, term| sum * s + term) / z
    } else {
        ln_gamma(z + 1.0) - (z + 0.5) * z.ln() + z - 0.5 * (2.0 * PI).ln()
    }
}

/// `x ln(x/m) + m − x` without cancellation where `x` is near `m`.
fn deviance(x: f64, m: f64) -> f64 {
    if (x - m).abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = (x - m) / (x + m);
    let mut sum = (x - m) * v;
    let mut power = 2.0 * x * v;
    for odd in (3_u32..2_000).step_by(2) {
        power *= v * v;
        let next = sum + power / f64::from(odd);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for term in 1..MOST_TERMS {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_parameters_have_closed_forms() {
        for x in [1e-9, 0.1, 0.5, 0.77, 0.999] {
            assert!((incomplete_beta(x, 1.0, 1.0) - x).abs() <= 1e-14);
            assert!((incomplete_beta(x, 3.0, 1.0) - x.powi(3)).abs() <= 1e-14);
            let turned = incomplete_beta(1.0 - x, 2.5, 40.0);
            assert!((incomplete_beta(x, 40.0, 2.5) + turned - 1.0).abs() <= 1e-13);
        }
    }

    #[test]
    fn quantiles_invert_probabilities() {
        for (a, b) in [(0.5, 2.0), (3.0, 8.0), (400.0, 20.0), (30_000.0, 1.0)] {
            for p in [1e-6, 0.025, 0.5, 0.9] {
                let found = incomplete_beta(beta_quantile(p, a, b), a, b);
                assert!((found / p - 1.0).abs() < 1e-9, "{a} {b} {p}: {found}");
            }
        }
    }

    #[test]
    fn broken_arguments_give_nan() {
        for (x, a, b) in [(-0.1, 1.0, 1.0), (1.1, 1.0, 1.0), (0.5, 0.0, 1.0), (0.5, 1.0, f64::NAN)]
        {
            assert!(incomplete_beta(x, a, b).is_nan());
        }
        assert!(beta_quantile(2.0, 1.0, 1.0).is_nan());
    }
}
