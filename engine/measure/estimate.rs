//! Point estimates with intervals. The only door to statrs.
//!
//! Values that are not finite, or too few of them, give `None`: a caller shows that a number is
//! missing instead of showing a made-up one.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::gamma;

use super::beta::split_beta;
pub use super::normal::{normal_cdf, normal_quantile};

/// How an interval came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Student t over block values.
    StudentT,
    /// Student t over paired log ratios of blocks, exponentiated.
    PairedLogRatioT,
    /// Exact signed-rank Hodges–Lehmann interval over paired log ratios of blocks, exponentiated.
    HodgesLehmann,
    /// Order statistics, no assumption about the distribution.
    OrderStatistic,
    /// Linearized ratio of sums with documents as clusters, Student t.
    ClusterRatio,
    /// Wilson's score interval of a proportion.
    Wilson,
    /// Tango's score interval of the difference of paired proportions.
    PairedScore,
    /// Bias-corrected and accelerated bootstrap over items.
    Bca,
    /// Fieller's interval of a ratio of means.
    Fieller,
    /// Welch's interval of two runs that were not paired.
    Welch,
    /// A quantile of each launch, Student t over launches.
    Sectioning,
    /// A quantile of pooled samples, launches resampled as a whole.
    ClusterBootstrap,
    /// Clopper and Pearson's exact interval of a proportion.
    ClopperPearson,
    /// Newcombe's interval of the difference of paired proportions.
    Newcombe,
    /// Asymptotic confidence sequence over paired log ratios of blocks, exponentiated: holds
    /// although the run was ended by it.
    ConfidenceSequence,
    /// Theil–Sen slope with Sen's interval.
    TheilSen,
    /// The value is a property, not a measurement: no interval is needed.
    Exact,
}

/// A value with the interval that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    pub point: f64,
    pub low: f64,
    pub high: f64,
    /// Confidence level, such as 0.95.
    pub level: f64,
    /// Independent units behind the interval: blocks or documents.
    pub n: u32,
    pub method: Method,
}

impl Estimate {
    /// The estimate of `exp(x)` from that of `x`; for a ratio of sums this is the delta method on
    /// the log scale. `None` where a bound leaves the range of `f64`.
    pub fn exp(self) -> Option<Self> {
        let out =
            Self { point: self.point.exp(), low: self.low.exp(), high: self.high.exp(), ..self };
        out.high.is_finite().then_some(out)
    }

    /// Seen through a monotone function, rising or falling.
    #[must_use]
    pub fn mapped(self, through: impl Fn(f64) -> f64) -> Self {
        let (a, b) = (through(self.low), through(self.high));
        Self { point: through(self.point), low: a.min(b), high: a.max(b), ..self }
    }
}

/// A property that is the same whenever it is looked at, such as a size in bytes.
pub fn exact(value: f64) -> Estimate {
    Estimate { point: value, low: value, high: value, level: 1.0, n: 1, method: Method::Exact }
}

/// Mean of independent `values` with its Student t interval; at least two of them.
pub fn mean_t(values: &[f64], level: f64) -> Option<Estimate> {
    let (mean, sd) = moments(values)?;
    let n = values.len();
    let half = t_quantile(two_sided(level)?, df(n)) * sd / (n as f64).sqrt();
    interval(mean, half, level, n, Method::StudentT)
}

/// Σ numerators / Σ denominators over independent clusters, such as the documents of a text.
///
/// Linearized variance `k/(k−1) · Σ(y−R·x)² / (Σx)²` with Student t on `k − 1` degrees of freedom
/// (Cochran, Sampling Techniques, 3rd ed., section 6.3). At least two clusters; denominators are
/// not negative and not all zero.
pub fn ratio_of_sums(numerators: &[f64], denominators: &[f64], level: f64) -> Option<Estimate> {
    let k = numerators.len();
    let total: f64 = denominators.iter().sum();
    let sane = k >= 2
        && k == denominators.len()
        && numerators.iter().all(|y| y.is_finite())
        && denominators.iter().all(|x| *x >= 0.0)
        && total > 0.0
        && total.is_finite();
    if !sane {
        return None;
    }
    let ratio = numerators.iter().sum::<f64>() / total;
    let squares: f64 =
        numerators.iter().zip(denominators).map(|(y, x)| (y - ratio * x).powi(2)).sum();
    let error = (k as f64 / df(k) * squares).sqrt() / total;
    let half = t_quantile(two_sided(level)?, df(k)) * error;
    interval(ratio, half, level, k, Method::ClusterRatio)
}

/// Arithmetic mean and sample standard deviation (`n − 1`) of at least two finite values.
///
/// Equal values have a deviation of exactly 0, which rounding of the mean would otherwise hide.
pub fn moments(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len();
    if n < 2 || values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    if values.iter().all(|v| *v == values[0]) {
        return Some((values[0], 0.0));
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let sd = (squares / df(n)).sqrt();
    (mean.is_finite() && sd.is_finite()).then_some((mean, sd))
}

/// Adjusted Fisher–Pearson skewness `G1` of at least three finite values; 0 for equal values.
pub fn skewness(values: &[f64]) -> Option<f64> {
    let (mean, sd) = moments(values)?;
    let n = values.len() as f64;
    if values.len() < 3 {
        return None;
    }
    if sd == 0.0 {
        return Some(0.0);
    }
    let cubes: f64 = values.iter().map(|v| ((v - mean) / sd).powi(3)).sum();
    Some(cubes * n / ((n - 1.0) * (n - 2.0)))
}

/// The `p`-quantile of Student's t with `df` degrees of freedom; NaN outside `0 < p < 1`, `df > 0`.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    if !(p > 0.0 && p < 1.0 && df > 0.0) {
        return f64::NAN;
    }
    if df >= CORNISH_FISHER_FROM {
        return cornish_fisher(p, df);
    }
    StudentsT::new(0.0, 1.0, df).map_or(f64::NAN, |t| polished(t.inverse_cdf(p), p, df))
}

/// One step of Newton's method on whichever probability is the smaller and so the exact one: that
/// between 0 and `t`, or that beyond.
fn polished(t: f64, p: f64, df: f64) -> f64 {
    let square = t * t;
    let log = ln_gamma(f64::midpoint(df, 1.0)) - ln_gamma(df / 2.0) - 0.5 * (df * PI).ln();
    let density = (log - f64::midpoint(df, 1.0) * (square / df).ln_1p()).exp();
    let (inner, outer) = ((p - 0.5).abs(), p.min(1.0 - p));
    let off = if inner < outer {
        split_beta(square, df, 0.5, df / 2.0) / 2.0 - inner
    } else {
        outer - split_beta(df, square, df / 2.0, 0.5) / 2.0
    };
    let step = t.signum() * off / density;
    if step.is_finite() && step.abs() <= 1e-3 * t.abs() { t - step } else { t }
}

/// Probability of a Student t at least as far from 0 as `t`, on either side.
pub fn t_two_sided_p(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    if t.is_infinite() {
        return 0.0;
    }
    split_beta(df, t * t, df / 2.0, 0.5)
}

/// About eleven digits of the normal quantile; [`super::normal`] has the rest.
pub(super) fn rough_normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// Probability of an F of at least `f` with `effects` and `noise` degrees of freedom.
pub fn f_upper_p(f: f64, effects: f64, noise: f64) -> f64 {
    if !(f >= 0.0 && effects > 0.0 && noise > 0.0) {
        return f64::NAN;
    }
    if f.is_infinite() {
        return 0.0;
    }
    split_beta(noise, effects * f, noise / 2.0, effects / 2.0)
}

/// Natural logarithm of the gamma function of a positive number.
pub(super) fn ln_gamma(x: f64) -> f64 {
    gamma::ln_gamma(x)
}

/// statrs sums 140 terms of a continued fraction, too few for many degrees of freedom.
const CORNISH_FISHER_FROM: f64 = 1_000.0;

/// Expansion of the t quantile around the normal one (Abramowitz & Stegun 26.7.5).
fn cornish_fisher(p: f64, df: f64) -> f64 {
    let z = normal_quantile(p);
    let s = z * z;
    let terms = [
        z * (s + 1.0) / 4.0,
        z * ((5.0 * s + 16.0) * s + 3.0) / 96.0,
        z * (((3.0 * s + 19.0) * s + 17.0) * s - 15.0) / 384.0,
        z * ((((79.0 * s + 776.0) * s + 1482.0) * s - 1920.0) * s - 945.0) / 92_160.0,
    ];
    z + terms.iter().rev().fold(0.0, |sum, term| (sum + term) / df)
}

/// The upper probability of a two-sided interval: 0.975 for a level of 0.95.
pub fn two_sided(level: f64) -> Option<f64> {
    (level > 0.0 && level < 1.0).then(|| f64::midpoint(1.0, level))
}

/// Degrees of freedom of `n` independent values around their mean.
pub(super) fn df(n: usize) -> f64 {
    n.saturating_sub(1) as f64
}

fn interval(point: f64, half: f64, level: f64, n: usize, method: Method) -> Option<Estimate> {
    let n = u32::try_from(n).ok()?;
    let (low, high) = (point - half, point + half);
    (low.is_finite() && high.is_finite()).then_some(Estimate { point, low, high, level, n, method })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_or_broken_values_give_no_estimate() {
        assert_eq!(mean_t(&[1.0], 0.95), None);
        assert_eq!(mean_t(&[1.0, f64::NAN], 0.95), None);
        assert_eq!(mean_t(&[1.0, f64::INFINITY], 0.95), None);
        assert_eq!(mean_t(&[f64::MAX, -f64::MAX, f64::MAX], 0.95), None);
        assert_eq!(mean_t(&[1.0, 2.0], 1.0), None);
        assert_eq!(mean_t(&[1.0, 2.0], f64::NAN), None);
        assert_eq!(ratio_of_sums(&[1.0, 2.0], &[1.0], 0.95), None);
        assert_eq!(ratio_of_sums(&[1.0, 2.0], &[0.0, 0.0], 0.95), None);
        assert_eq!(ratio_of_sums(&[1.0, 2.0], &[2.0, -1.0], 0.95), None);
        assert_eq!(ratio_of_sums(&[1.0, 2.0], &[2.0, f64::NAN], 0.95), None);
        assert_eq!(skewness(&[1.0, 2.0]), None);
    }

    #[test]
    fn broken_arguments_of_the_t_distribution_give_nan() {
        for (p, df) in [(0.0, 5.0), (1.0, 5.0), (f64::NAN, 5.0), (0.5, 0.0), (0.5, f64::NAN)] {
            assert!(t_quantile(p, df).is_nan(), "{p} {df}");
        }
        assert!(t_two_sided_p(f64::NAN, 5.0).is_nan());
        assert!(t_two_sided_p(1.0, 0.0).is_nan());
        assert_eq!(t_two_sided_p(f64::INFINITY, 5.0), 0.0);
        assert_eq!(t_two_sided_p(0.0, 5.0), 1.0);
    }

    #[test]
    fn an_f_of_one_effect_is_the_square_of_a_t() {
        for (t, df) in [(0.5, 7.0), (2.0, 12.0), (4.5, 30.0)] {
            assert!((f_upper_p(t * t, 1.0, df) - t_two_sided_p(t, df)).abs() < 1e-13);
        }
        // 3.4928 is the 0.95-quantile of F(2, 20) (tables).
        assert!((f_upper_p(3.4928, 2.0, 20.0) - 0.05).abs() < 1e-5);
        assert!(f_upper_p(-1.0, 2.0, 20.0).is_nan() && f_upper_p(f64::INFINITY, 1.0, 9.0) == 0.0);
    }

    #[test]
    fn equal_values_have_a_degenerate_interval() {
        let e = mean_t(&[0.1; 7], 0.95).unwrap();
        assert_eq!((e.point, e.low, e.high, e.n), (0.1, 0.1, 0.1, 7));
        assert_eq!(skewness(&[0.1; 7]), Some(0.0));
    }

    #[test]
    fn ratio_weighs_documents_by_their_length() {
        let e = ratio_of_sums(&[2.0, 0.0], &[1.0, 9.0], 0.95).unwrap();
        assert!((e.point - 0.2).abs() < 1e-15);
        assert_eq!((e.n, e.method), (2, Method::ClusterRatio));
    }

    #[test]
    fn exponential_of_an_estimate_stays_finite_or_is_absent() {
        let e = Estimate { point: 0.0, low: -1.0, high: 800.0, ..exact(0.0) };
        assert_eq!(e.exp(), None);
        let one = exact(0.0).exp().unwrap();
        assert_eq!((one.point, one.low, one.high), (1.0, 1.0, 1.0));
    }
}
