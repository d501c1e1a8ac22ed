//! A confidence sequence: an interval that may be looked at after every block, and acted upon.
//!
//! An ordinary interval covers at a number of blocks that was fixed before; whoever stops as soon as
//! it shows something is fooled several times as often as it says. This one holds at all numbers of blocks
//! at once, so a run may end as soon as the question is answered, and pays for that with width: 1.4
//! to 1.6 times that of the ordinary interval.

use super::compare::{Comparison, speedup as fixed};
use super::estimate::{Method, df, normal_quantile, t_quantile, two_sided};
use super::metric::Better;
use super::verdict::{Thresholds, Verdict, judge};

/// Blocks before the first decision: the sequence is asymptotic, and holds from about here on.
pub const LEAST: u32 = 10;

/// Blocks around which it is narrowest, where it ends a run.
pub const PLANNED: u32 = 20;

/// Half-width on the scale of the values after `n` of them with standard deviation `sd`.
///
/// `sd·√(2(nρ²+1)/(n²ρ²)·ln(√(nρ²+1)/α))` with `ρ² = (−2·ln α + ln(−2·ln α) + 1)/planned`, which is
/// narrowest around `planned` values (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024,
/// Time-uniform central limit theory and asymptotic confidence sequences, Annals of Statistics 52).
/// Widened by the ratio of Student's t to the normal quantile, because with tens of blocks the
/// standard deviation is not known. NaN outside `0 < level < 1` and for fewer than two values.
pub fn half_width(n: u32, sd: f64, level: f64, planned: u32) -> f64 {
    let (Some(p), true) = (two_sided(level), n >= 2) else { return f64::NAN };
    let (alpha, n) = (1.0 - level, f64::from(n));
    let spent = -2.0 * alpha.ln();
    let rho2 = (spent + spent.ln() + 1.0) / f64::from(planned.max(1));
    let grown = n * rho2 + 1.0;
    let asymptotic = (2.0 * grown / (n * n * rho2) * (grown.sqrt() / alpha).ln()).sqrt();
    sd * asymptotic * t_quantile(p, df(n as usize)) / normal_quantile(p)
}

/// The speed-up as [`compare::speedup`](super::compare::speedup) has it, with an interval that
/// holds although the run was ended by it; never narrower than the ordinary one.
pub fn speedup(
    pairs: &[(f64, f64)],
    better: Better,
    level: f64,
    planned: u32,
) -> Option<Comparison> {
    let mut found = fixed(pairs, better, level)?;
    let half = half_width(found.blocks, found.sd_log, level, planned);
    let e = &mut found.estimate;
    let (low, high) = (e.point * (-half).exp(), e.point * half.exp());
    if !(low > 0.0 && high.is_finite()) {
        return None;
    }
    (e.low, e.high, e.method) = (e.low.min(low), e.high.max(high), Method::ConfidenceSequence);
    Some(found)
}

/// Whether the question is answered: the whole interval lies on one side of every threshold.
pub fn decides(found: &Comparison, thresholds: &Thresholds) -> bool {
    found.blocks >= LEAST
        && matches!(
            judge(&found.estimate, thresholds),
            Verdict::Improved
                | Verdict::ImprovedBelowThreshold
                | Verdict::Regressed
                | Verdict::Equivalent
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_widths_are_those_of_the_formula() {
        // By hand for n = 20, α = 0.05, planned 20: 2·ln(1/α) = 5.991 465, ρ² = 0.439 085,
        // nρ² + 1 = 9.781 7, √(2·9.781 7/(400·0.439 085)·ln(√9.781 7/0.05)) = 0.678 745;
        // t_.975(19)/z_.975 = 2.093 024/1.959 964.
        let found = half_width(20, 1.0, 0.95, 20);
        assert!((found - 0.678_745 * 2.093_024 / 1.959_964).abs() < 1e-5, "{found}");
        assert!(half_width(1, 1.0, 0.95, 20).is_nan() && half_width(9, 1.0, 1.0, 20).is_nan());
        assert_eq!(half_width(9, 0.0, 0.95, 20), 0.0);
    }

    #[test]
    fn it_is_wider_than_the_ordinary_interval_and_keeps_the_point() {
        let pairs: Vec<_> = (0..20).map(|i| (1.0, 1.0 + f64::from(i % 5) * 0.01)).collect();
        let plain = fixed(&pairs, Better::Lower, 0.96).unwrap();
        let found = speedup(&pairs, Better::Lower, 0.96, 20).unwrap();
        assert_eq!(found.estimate.point, plain.estimate.point);
        assert!(found.half_width() > 1.3 * plain.half_width());
        assert_eq!(found.estimate.method, Method::ConfidenceSequence);
        assert_eq!(speedup(&pairs[..1], Better::Lower, 0.96, 20), None);
    }

    #[test]
    fn clear_answers_decide_and_few_blocks_never_do() {
        let thresholds = Thresholds { improved_from: 1.2, equivalence: 0.03, regression: 0.03 };
        let after = |blocks: u32, ratio: f64, noise: f64| {
            let pair =
                |i: u32| (1.0, ratio.recip() * if i.is_multiple_of(2) { 1.0 + noise } else { 1.0 });
            let pairs: Vec<_> = (0..blocks).map(pair).collect();
            decides(&speedup(&pairs, Better::Lower, 0.96, 20).unwrap(), &thresholds)
        };
        assert!(after(10, 1.6, 0.05) && !after(9, 1.6, 0.05));
        assert!(after(10, 1.0, 0.01) && after(10, 0.8, 0.05) && after(10, 1.1, 0.01));
        assert!(!after(10, 1.2, 0.05) && !after(10, 1.0, 0.1));
    }
}
