//! How large a paired difference is beside its noise, and tests that assume less than t.
//!
//! Reported in the details of a cell; a verdict never follows from any of them. Deliberately
//! absent: Cohen's d over pooled requests, which grows with the length of a loop.

use serde::Serialize;

use super::bootstrap::mean_bca;
use super::compare::{Comparison, oriented};
use super::estimate::{Estimate, mean_t, moments, skewness};
use super::metric::Better;
use super::proportion::wilson;
use super::sign_flip::sign_flip;
use super::wilcoxon::wilcoxon;

/// Fewer blocks than this are not resampled.
const ENOUGH_BLOCKS: usize = 20;

/// Skewness from which the bootstrap says something that t does not.
const MUCH_SKEW: f64 = 1.0;

/// A paired difference in other words than its ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Effect {
    /// Share of blocks in which the variant is better, ties counting by halves, with Wilson's
    /// interval. The paired analogue of Cliff's δ is twice this minus 1.
    pub dominance: Estimate,
    /// Mean of the log ratios by their standard deviation; `None` where that is 0.
    pub d_z: Option<f64>,
    /// Two-sided signed-rank test of no difference.
    pub signed_rank_p: Option<f64>,
    /// Two-sided permutation test of no difference, up to 16 blocks.
    pub sign_flip_p: Option<f64>,
    /// The speed-up with the bootstrap's interval over blocks: from 20 blocks on, where the log
    /// ratios are skewed beyond ±1.
    pub bca: Option<Estimate>,
}

/// The effect over `pairs` of block values `(baseline, variant)`; `None` without two pairs of
/// positive, finite values.
pub fn effect(pairs: &[(f64, f64)], better: Better, level: f64) -> Option<Effect> {
    let d = oriented(pairs, better)?;
    let (mean, sd) = moments(&d)?;
    let half = |d: &f64| if *d > 0.0 { 1.0 } else { f64::from(u8::from(*d == 0.0)) / 2.0 };
    let skewed = || skewness(&d).is_some_and(|g| g.abs() > MUCH_SKEW);
    let resampled = d.len() >= ENOUGH_BLOCKS && skewed();
    Some(Effect {
        dominance: wilson(d.iter().map(half).sum(), d.len(), level)?,
        d_z: (sd > 0.0).then(|| mean / sd),
        signed_rank_p: wilcoxon(&d),
        sign_flip_p: sign_flip(&d),
        bca: if resampled { mean_bca(&d, level).and_then(Estimate::exp) } else { None },
    })
}

/// Whether slow requests made the speed-up: that of the quick quarter of requests differs from that
/// of the medians by more than the half-width of the interval, and by more than chance.
///
/// Interference only ever slows a request down, so it moves medians more than quick quarters.
/// `medians` and `quick` hold block values of the same blocks in the same order.
pub fn contaminated(
    found: &Comparison,
    medians: &[(f64, f64)],
    quick: &[(f64, f64)],
    level: f64,
) -> bool {
    let gaps = |pairs: &[(f64, f64)]| -> Vec<f64> {
        pairs.iter().map(|(baseline, variant)| (variant / baseline).ln()).collect()
    };
    if medians.len() != quick.len() {
        return false;
    }
    let moved: Vec<f64> = gaps(medians).iter().zip(gaps(quick)).map(|(m, q)| m - q).collect();
    mean_t(&moved, level).is_some_and(|by| {
        by.point.abs() > (1.0 + found.half_width()).ln() && (by.low > 0.0 || by.high < 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::compare::speedup;

    #[test]
    fn dominance_counts_blocks_and_ties_by_halves() {
        let pairs = [(2.0, 1.0), (3.0, 1.0), (1.0, 1.0), (1.0, 2.0)];
        let found = effect(&pairs, Better::Lower, 0.95).unwrap();
        assert_eq!((found.dominance.point, found.dominance.n), (0.625, 4));
        let turned = effect(&pairs, Better::Higher, 0.95).unwrap();
        assert_eq!(turned.dominance.point, 0.375);
        assert!((found.d_z.unwrap() + turned.d_z.unwrap()).abs() < 1e-12);
        assert_eq!(found.signed_rank_p, turned.signed_rank_p);
        assert_eq!(effect(&[(1.0, 0.0); 5], Better::Lower, 0.95), None);
        assert_eq!(effect(&[(1.0, 2.0); 5], Better::Lower, 0.95).unwrap().d_z, None);
    }

    #[test]
    fn only_many_skewed_blocks_are_resampled() {
        let mut pairs: Vec<_> = (0..24).map(|i| (1.0 + 0.01 * f64::from(i % 5), 1.0)).collect();
        assert_eq!(effect(&pairs, Better::Lower, 0.95).unwrap().bca, None);
        pairs[3].0 = 4.0;
        let bca = effect(&pairs, Better::Lower, 0.95).unwrap().bca.unwrap();
        let point = speedup(&pairs, Better::Lower, 0.95).unwrap().estimate.point;
        assert!((bca.point / point - 1.0).abs() < 1e-12 && bca.low < point && point < bca.high);
        assert_eq!(effect(&pairs[..19], Better::Lower, 0.95).unwrap().bca, None);
    }

    #[test]
    fn interference_with_one_arm_is_told_and_noise_is_not() {
        let noisy = |i: u32| 1.0 + 0.004 * f64::from(i * 7 % 5);
        let quick: Vec<_> = (0..12).map(|i| (noisy(i), noisy(i + 2) / 1.5)).collect();
        let mut medians = quick.clone();
        let told = |medians: &[(f64, f64)]| {
            let found = speedup(medians, Better::Lower, 0.95).unwrap();
            contaminated(&found, medians, &quick, 0.95)
        };
        assert!(!told(&medians));
        for pair in &mut medians {
            pair.1 *= 1.1;
        }
        assert!(told(&medians));
        // One block alone is noise, whatever it did.
        let mut once = quick.clone();
        once[4].1 *= 3.0;
        assert!(!told(&once));
    }
}
