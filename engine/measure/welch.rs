//! Two runs of different days, set side by side without pairing.
//!
//! The machine may have changed between them in ways that no interval shows. So this is never a
//! [`super::compare::Comparison`], and what it gives is labelled historical wherever it is shown.

use super::estimate::{Estimate, Method, df, moments, t_quantile, t_two_sided_p, two_sided};
use super::metric::Better;

/// A variant of one run against that of another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Historical {
    /// Above 1 where the newer is better. Its `n` is the smaller number of blocks.
    pub estimate: Estimate,
    /// Satterthwaite's degrees of freedom.
    pub freedom: f64,
    /// Two-sided test of no difference.
    pub p_value: f64,
}

/// Ratio of geometric means of block values of two runs, `older` and `newer`, oriented so that
/// above 1 is better, with Welch's interval on the logarithms (B. L. Welch, Biometrika 34 (1947)
/// 28-35) and degrees of freedom `(vx + vy)² / (vx²/(nx−1) + vy²/(ny−1))` (F. E. Satterthwaite,
/// Biometrics Bulletin 2 (1946) 110-114).
///
/// `None` with fewer than two values on either side, or values that are not positive and finite.
pub fn historical(older: &[f64], newer: &[f64], better: Better, level: f64) -> Option<Historical> {
    let logs = |values: &[f64]| -> Option<Vec<f64>> {
        let sane = values.iter().all(|v| v.is_finite() && *v > 0.0);
        sane.then(|| {
            let mut out: Vec<f64> = values.iter().map(|v| v.ln()).collect();
            out.sort_by(f64::total_cmp);
            out
        })
    };
    let (older, newer) = (logs(older)?, logs(newer)?);
    let ((a, sa), (b, sb)) = (moments(&older)?, moments(&newer)?);
    let gain = if better == Better::Higher { b - a } else { a - b };
    let (va, vb) = (sa * sa / older.len() as f64, sb * sb / newer.len() as f64);
    let error = (va + vb).sqrt();
    let upper = two_sided(level)?;
    let (freedom, half, p_value) = if error > 0.0 {
        let freedom = (va + vb).powi(2) / (va * va / df(older.len()) + vb * vb / df(newer.len()));
        (freedom, t_quantile(upper, freedom) * error, t_two_sided_p(gain / error, freedom))
    } else {
        (df(older.len().min(newer.len())), 0.0, f64::from(u8::from(gain == 0.0)))
    };
    let n = u32::try_from(older.len().min(newer.len())).ok()?;
    let log = Estimate {
        point: gain,
        low: gain - half,
        high: gain + half,
        level,
        n,
        method: Method::Welch,
    };
    let estimate = log.exp().filter(|found| found.low > 0.0)?;
    Some(Historical { estimate, freedom, p_value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runs_without_spread_differ_for_certain_or_not_at_all() {
        let same = historical(&[2.0; 4], &[2.0; 3], Better::Lower, 0.95).unwrap();
        assert_eq!((same.estimate.low, same.estimate.high, same.p_value), (1.0, 1.0, 1.0));
        let twice = historical(&[2.0; 4], &[1.0; 3], Better::Lower, 0.95).unwrap();
        assert!((twice.estimate.low - 2.0).abs() < 1e-12 && twice.p_value == 0.0);
    }

    #[test]
    fn broken_values_give_nothing() {
        assert_eq!(historical(&[1.0], &[1.0, 2.0], Better::Lower, 0.95), None);
        assert_eq!(historical(&[1.0, 0.0], &[1.0, 2.0], Better::Lower, 0.95), None);
        assert_eq!(historical(&[1.0, 3.0], &[1.0, 2.0], Better::Lower, 1.0), None);
    }

    proptest! {
        #[test]
        fn exchanging_runs_inverts_and_scaling_changes_nothing(
            older in prop::collection::vec(0.5..2.0, 2..20),
            newer in prop::collection::vec(0.5..2.0, 2..20),
            c in 1e-3..1e3,
        ) {
            let forth = historical(&older, &newer, Better::Lower, 0.95);
            let back = historical(&newer, &older, Better::Lower, 0.95);
            let scale = |v: &[f64]| v.iter().map(|x| x * c).collect::<Vec<f64>>();
            let scaled = historical(&scale(&older), &scale(&newer), Better::Lower, 0.95);
            if let (Some(a), Some(b), Some(s)) = (forth, back, scaled) {
                prop_assert!((a.estimate.low * b.estimate.high - 1.0).abs() < 1e-9);
                prop_assert!((a.estimate.low / s.estimate.low - 1.0).abs() < 1e-7);
                let least = older.len().min(newer.len()) as f64 - 1.0;
                let most = (older.len() + newer.len()) as f64 - 2.0;
                prop_assert!(a.freedom >= least - 1e-9 && a.freedom <= most + 1e-9);
            }
        }
    }
}
