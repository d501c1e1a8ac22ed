//! What has changed between two runs, from the values of their blocks.

use std::collections::BTreeMap;

use crate::measure::Better;
use crate::measure::replicates::{Place, by_replicate, pairs};
use crate::measure::welch::{self, Historical};

/// Values of the blocks of one cell, by where they stand; blocks of one process are one.
pub type Blocks = BTreeMap<Place, f64>;

/// The variant's own value after divided by before, above 1 where it is better now. Welch over the
/// logarithms of block values. `None` where a side has fewer than two blocks.
pub fn historical(
    before: &Blocks,
    after: &Blocks,
    better: Better,
    level: f64,
) -> Option<Historical> {
    let values = |blocks: &Blocks| by_replicate(blocks).into_values().collect::<Vec<_>>();
    welch::historical(&values(before), &values(after), better, level)
}

/// The speed-up over the baseline after divided by before: Welch over the paired log ratios of the
/// blocks of either run. Each side is `(baseline, variant)`.
pub fn paired(
    before: (&Blocks, &Blocks),
    after: (&Blocks, &Blocks),
    better: Better,
    level: f64,
) -> Option<Historical> {
    welch::historical(&ratios(before), &ratios(after), better, level)
}

/// Variant divided by baseline of each replicate, over the blocks that measured both.
fn ratios((baseline, variant): (&Blocks, &Blocks)) -> Vec<f64> {
    pairs(baseline, variant).into_iter().map(|(baseline, own)| own / baseline).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of fresh processes.
    fn fresh(block: u32) -> Place {
        Place { replicate: block, block }
    }

    fn blocks(values: &[f64]) -> Blocks {
        (0..).map(fresh).zip(values.iter().copied()).collect()
    }

    #[test]
    fn what_slows_a_whole_session_leaves_the_paired_change() {
        let noise = [1.0, 1.02, 0.97, 1.01, 0.99, 1.03];
        let (base, own) = (blocks(&noise.map(|x| 10.0 * x)), blocks(&noise.map(|x| 5.0 * x)));
        let slow = |b: &Blocks| b.iter().map(|(i, v)| (*i, v * 1.3)).collect::<Blocks>();
        let (slow_base, slow_own) = (slow(&base), slow(&own));
        let all = historical(&own, &slow_own, Better::Lower, 0.95).unwrap().estimate;
        assert!(all.high < 0.85, "the times grew by 30 %: {all:?}");
        let sides = ((&base, &own), (&slow_base, &slow_own));
        let sturdy = paired(sides.0, sides.1, Better::Lower, 0.95).unwrap().estimate;
        assert!((sturdy.point - 1.0).abs() < 1e-12, "{sturdy:?}");
        let better = blocks(&noise.map(|x| 4.0 * x));
        let gain = paired((&base, &own), (&base, &better), Better::Lower, 0.95).unwrap().estimate;
        assert!((gain.point - 1.25).abs() < 1e-12, "{gain:?}");
        let rate = historical(&own, &better, Better::Higher, 0.95).unwrap().estimate;
        assert!((rate.point - 0.8).abs() < 1e-12, "{rate:?}");
    }

    #[test]
    fn blocks_that_only_one_side_measured_count_for_nobody() {
        let base = Blocks::from([(0, 2.0), (1, 2.1), (5, 2.2)].map(|(b, v)| (fresh(b), v)));
        let own = Blocks::from([(0, 1.0), (2, 7.0), (5, 1.1)].map(|(b, v)| (fresh(b), v)));
        let found = paired((&base, &own), (&base, &own), Better::Lower, 0.95).unwrap();
        assert_eq!(found.estimate.n, 2, "two pairs on each side");
        assert_eq!(historical(&blocks(&[1.0]), &own, Better::Lower, 0.95), None);
    }
}
