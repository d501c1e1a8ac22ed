//! Comparisons paired inside blocks, and inside documents.
//!
//! Whatever slows the machine slows both halves of a pair, so it leaves their ratio. Ratios are
//! averaged on the log scale: their mean does not depend on which variant is called the baseline.

use serde::{Deserialize, Serialize};

use super::estimate::{
    Estimate, Method, df, moments, normal_quantile, ratio_of_sums, skewness, t_quantile,
    t_two_sided_p, two_sided,
};
use super::metric::Better;
use super::signed_rank;

/// Under this number of blocks the t interval is checked against the signed-rank one.
const FEW_BLOCKS: usize = 15;

/// Above this skewness of the log ratios it is checked whatever the number of blocks.
const MUCH_SKEW: f64 = 1.0;

/// A variant against the baseline, over blocks that measured both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The speed-up: geometric mean of the paired ratios, above 1 where the variant is better.
    pub estimate: Estimate,
    /// Standard deviation of the paired log ratios, `n − 1` in the denominator.
    pub sd_log: f64,
    /// Two-sided paired t test of a speed-up of 1. Orders hypotheses; decides nothing.
    pub p_value: f64,
    pub blocks: u32,
    /// Smallest speed-up that the interval of another run, with as many blocks as noisy, tells from 1
    /// in four of five cases: `exp(c·s/√B)`, see [`detectable`].
    pub mde: f64,
}

impl Comparison {
    /// Relative half-width of the interval, `sqrt(high/low) − 1`.
    pub fn half_width(&self) -> f64 {
        (self.estimate.high / self.estimate.low).sqrt() - 1.0
    }
}

/// Speed-up of the variant over `pairs` of block values `(baseline, variant)`.
///
/// Student t over the paired log ratios. With under 15 blocks or a skewness beyond ±1, the wider
/// of that and the exact signed-rank interval, stretched to its point where it misses it.
/// `None` with fewer than two pairs, with a value that is not positive and finite, and where a
/// bound leaves the range of `f64`.
pub fn speedup(pairs: &[(f64, f64)], better: Better, level: f64) -> Option<Comparison> {
    compare(oriented(pairs, better)?, level)
}

/// The log ratio of every pair in ascending order, above 0 where the variant is better.
pub(super) fn oriented(pairs: &[(f64, f64)], better: Better) -> Option<Vec<f64>> {
    let mut d = log_ratios(pairs)?;
    if better == Better::Lower {
        for d in &mut d {
            *d = -*d;
        }
    }
    d.sort_by(f64::total_cmp);
    Some(d)
}

/// Variant divided by baseline, whichever is better: the same computation as [`speedup`].
pub fn plain_ratio(pairs: &[(f64, f64)], level: f64) -> Option<Estimate> {
    Some(compare(log_ratios(pairs)?, level)?.estimate)
}

/// Perplexity of the variant divided by that of the reference, over the same documents.
///
/// `sum` and `reference_sum` hold each document's summed negative log-likelihood in nats,
/// `positions` its scored positions. The log of the ratio is a ratio of sums with documents as
/// clusters; its interval is exponentiated.
pub fn ratio_change(
    sum: &[f64],
    reference_sum: &[f64],
    positions: &[f64],
    level: f64,
) -> Option<Estimate> {
    if sum.len() != reference_sum.len() {
        return None;
    }
    let difference: Vec<f64> = sum.iter().zip(reference_sum).map(|(v, r)| v - r).collect();
    ratio_of_sums(&difference, positions, level)?.exp()
}

/// Blocks after which the relative half-width is expected to reach `half_width`: `B·(hw/ε)²`.
pub fn blocks_for(half_width: f64, comparison: &Comparison) -> u32 {
    let found = comparison.half_width();
    if found <= half_width {
        return comparison.blocks;
    }
    let factor = (found / half_width).powi(2);
    if half_width > 0.0 && factor.is_finite() {
        (f64::from(comparison.blocks) * factor).ceil() as u32
    } else {
        u32::MAX
    }
}

/// `ln(variant / baseline)` of every pair.
fn log_ratios(pairs: &[(f64, f64)]) -> Option<Vec<f64>> {
    let sane = |x: f64| x.is_finite() && x > 0.0;
    if !pairs.iter().all(|(b, v)| sane(*b) && sane(*v)) {
        return None;
    }
    Some(pairs.iter().map(|(baseline, variant)| variant.ln() - baseline.ln()).collect())
}

fn compare(mut d: Vec<f64>, level: f64) -> Option<Comparison> {
    // Sums do not depend on the order of blocks.
    d.sort_by(f64::total_cmp);
    let n = d.len();
    let (mean, sd) = moments(&d)?;
    let error = sd / (n as f64).sqrt();
    let half = t_quantile(two_sided(level)?, df(n)) * error;
    let (mut low, mut high, mut method) = (mean - half, mean + half, Method::PairedLogRatioT);
    if n < FEW_BLOCKS || skewness(&d).is_some_and(|g| g.abs() > MUCH_SKEW) {
        let exact = signed_rank::interval(&d, level).filter(|(l, u)| u - l > high - low);
        if let Some((l, u)) = exact {
            (low, high, method) = (l.min(mean), u.max(mean), Method::HodgesLehmann);
        }
    }
    let p_value = match (sd > 0.0, mean == 0.0) {
        (true, _) => t_two_sided_p(mean / error, df(n)),
        (false, true) => 1.0,
        (false, false) => 0.0,
    };
    let mde = match sd > 0.0 {
        true => detectable((high - low) / (2.0 * error), df(n)) * error,
        false => 0.0,
    };
    let blocks = u32::try_from(n).ok()?;
    let log = Estimate { point: mean, low, high, level, n: blocks, method };
    let estimate = log.exp().filter(|e| e.low > 0.0)?;
    Some(Comparison { estimate, sd_log: sd, p_value, blocks, mde: mde.exp().min(f64::MAX) })
}

/// How many standard errors a true difference must lie from 0 for another run to find it in four
/// of five cases, whose interval reaches `reach` of its own standard errors to either side.
///
/// `t + z_.80` would do if the noise were known. Both this run and the other only estimate it, so
/// the other one finds the difference where `Z + c·S − t·S′ > 0`, with `S` and `S′` the ratios of
/// estimated to true deviations. These have means near `1 − 1/(4ν)` and variances near `1/(2ν)`,
/// and the sum is nearly normal: `(c − t)·(1 − 1/(4ν)) = z_.80·sqrt(1 + (c² + t²)/(2ν))`, a quadratic
/// equation for `c`. `prove power` tries the result.
fn detectable(reach: f64, df: f64) -> f64 {
    let shrunk = (1.0 - 0.25 / df) / normal_quantile(0.8);
    let (squared, spread) = (shrunk * shrunk, 0.5 / df);
    let lead = squared - spread;
    let rest = lead * (lead * reach * reach - 1.0);
    (squared * reach + ((squared * reach).powi(2) - rest).sqrt()) / lead
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9)
    }

    #[test]
    fn a_metric_where_higher_is_better_is_oriented_the_other_way() {
        let pairs = [(10.0, 20.0), (11.0, 21.0), (9.0, 19.0)];
        let faster = speedup(&pairs, Better::Higher, 0.95).unwrap().estimate;
        assert!(faster.point > 1.9 && faster.low > 1.0);
        assert_eq!(plain_ratio(&pairs, 0.95), Some(faster));
        let slower = speedup(&pairs, Better::Lower, 0.95).unwrap().estimate;
        assert!(near(slower.point * faster.point, 1.0) && slower.high < 1.0);
    }

    #[test]
    fn equal_blocks_give_a_degenerate_interval() {
        let same = speedup(&[(3.0, 3.0); 12], Better::Lower, 0.95).unwrap();
        assert_eq!((same.estimate.low, same.estimate.point, same.estimate.high), (1.0, 1.0, 1.0));
        assert_eq!((same.p_value, same.mde, same.half_width()), (1.0, 1.0, 0.0));
        let twice = speedup(&[(3.0, 1.5); 12], Better::Lower, 0.95).unwrap();
        assert_eq!((twice.p_value, twice.sd_log, twice.half_width()), (0.0, 0.0, 0.0));
        assert!(near(twice.estimate.point, 2.0));
    }

    #[test]
    fn one_outlier_among_few_blocks_makes_the_wider_interval_count() {
        let mut calm: Vec<_> = (0..14).map(|i| (1.0, 1.0 + f64::from(i) * 1e-3)).collect();
        let t = speedup(&calm, Better::Lower, 0.95).unwrap().estimate;
        assert_eq!(t.method, Method::HodgesLehmann, "uniform values: signed ranks reach further");
        calm[13].1 = 2.0;
        let spiked = speedup(&calm, Better::Lower, 0.95).unwrap().estimate;
        assert_eq!(spiked.method, Method::PairedLogRatioT, "one spike: t reaches further");
        assert!(spiked.high / spiked.low > t.high / t.low);
    }

    #[test]
    fn skew_makes_the_wider_interval_count_with_many_blocks_too() {
        let mut pairs = vec![(1.0, 1.0); 14];
        pairs.extend([(1.0, 2.0); 2]);
        let skewed = speedup(&pairs, Better::Higher, 0.95).unwrap().estimate;
        assert_eq!(skewed.method, Method::HodgesLehmann);
        // 29 of 136 Walsh averages lie outside; 31 hold one of the two slow blocks.
        assert!(near(skewed.low, 1.0) && near(skewed.high, 2.0_f64.sqrt()));
    }

    #[test]
    fn a_signed_rank_interval_beside_the_mean_is_stretched_to_it() {
        let groups = [(7, 0.0), (12, 0.005), (1, 0.011), (15, 0.84), (1, 3.0)];
        let pairs: Vec<_> = groups
            .iter()
            .flat_map(|(times, d): &(usize, f64)| vec![(1.0, d.exp()); *times])
            .collect();
        let d: Vec<f64> = pairs.iter().map(|(_, v): &(f64, f64)| v.ln()).collect();
        let (_, high) = signed_rank::interval(&d, 0.95).unwrap();
        let found = speedup(&pairs, Better::Higher, 0.95).unwrap().estimate;
        assert_eq!(found.method, Method::HodgesLehmann);
        assert!(high.exp() < found.point && found.point == found.high);
    }

    #[test]
    fn values_that_cannot_be_times_give_no_comparison() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(speedup(&[(1.0, 1.0), (1.0, bad)], Better::Lower, 0.95), None);
        }
        assert_eq!(speedup(&[(1.0, 2.0)], Better::Lower, 0.95), None);
        assert_eq!(ratio_change(&[1.0, 2.0], &[1.0], &[5.0, 5.0], 0.95), None);
    }

    #[test]
    fn four_times_the_blocks_halve_the_interval() {
        let pairs: Vec<_> = (0..20).map(|i| (1.0, 1.0 + f64::from(i % 5) * 0.01)).collect();
        let c = speedup(&pairs, Better::Lower, 0.95).unwrap();
        assert_eq!(blocks_for(c.half_width() / 2.0, &c), 80);
        assert_eq!(blocks_for(1.0, &c), 20);
        assert_eq!(blocks_for(0.0, &c), u32::MAX);
        assert_eq!(blocks_for(f64::NAN, &c), u32::MAX);
    }

    #[test]
    fn perplexity_ratio_of_a_constant_loss_is_its_exponential() {
        let reference = [30.0, 200.0, 90.0];
        let positions = [10.0, 80.0, 30.0];
        let worse: Vec<f64> = reference.iter().zip(&positions).map(|(s, n)| s + 0.1 * n).collect();
        let e = ratio_change(&worse, &reference, &positions, 0.95).unwrap();
        assert!(near(e.point, 0.1_f64.exp()) && near(e.low, e.high));
        assert_eq!((e.n, e.method), (3, Method::ClusterRatio));
    }
}
