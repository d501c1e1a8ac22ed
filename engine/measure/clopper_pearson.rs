//! How often launches may fail, for all that a few of them say.

use super::beta::beta_quantile;
use super::estimate::{Estimate, Method, two_sided};

/// Share of `failures` among `n` independent trials with the exact interval of C. J. Clopper &
/// E. S. Pearson, Biometrika 26 (1934) 404-413, which covers at least as often as asked.
///
/// Bounds invert binomial tails: `low = B(α/2; k, n−k+1)`, `high = 1 − B(α/2; n−k, k+1)` with `B`
/// the quantile of the beta distribution. `None` without trials, or for more failures than trials.
pub fn clopper_pearson(failures: u64, n: u64, level: f64) -> Option<Estimate> {
    let tail = 1.0 - two_sided(level)?;
    if n == 0 || failures > n {
        return None;
    }
    let (k, rest) = (failures as f64, (n - failures) as f64);
    let low = if failures == 0 { 0.0 } else { beta_quantile(tail, k, rest + 1.0) };
    let high = if failures == n { 1.0 } else { 1.0 - beta_quantile(tail, rest, k + 1.0) };
    let (point, n) = (k / n as f64, u32::try_from(n).ok()?);
    Some(Estimate { point, low, high, level, n, method: Method::ClopperPearson })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_is_no_proof() {
        let none = clopper_pearson(0, 12, 0.95).unwrap();
        assert_eq!((none.low, none.point), (0.0, 0.0));
        assert!((none.high - (1.0 - 0.025_f64.powf(1.0 / 12.0))).abs() < 1e-12);
        assert_eq!(clopper_pearson(0, 0, 0.95), None);
        assert_eq!(clopper_pearson(4, 3, 0.95), None);
        assert_eq!(clopper_pearson(1, 3, 1.0), None);
    }

    #[test]
    fn failing_and_not_failing_mirror_each_other() {
        for (k, n) in [(1, 7), (3, 12), (40, 1000)] {
            let (a, b) = (clopper_pearson(k, n, 0.9), clopper_pearson(n - k, n, 0.9));
            let (a, b) = (a.unwrap(), b.unwrap());
            assert!((a.low + b.high - 1.0).abs() < 1e-12 && (a.high + b.low - 1.0).abs() < 1e-12);
            assert!(a.low < a.point && a.point < a.high);
        }
    }
}
