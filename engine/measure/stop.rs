//! When the numbers are good enough, and when they will not become so.
//!
//! A run stops on the width of its intervals, never on their side: stopping on significance would
//! find differences where there are none.

use super::compare::{Comparison, blocks_for};

/// When to look, and when to end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Blocks before the first look; looks begin with six blocks at least.
    pub min_blocks: u32,
    pub max_blocks: u32,
    /// Relative half-width `sqrt(high/low) − 1` that every comparison must reach; 0.02 is 2 %.
    pub half_width: f64,
    /// Time for all blocks in nanoseconds. The block under way is finished.
    pub max_time_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Continue,
    Stop(Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Every interval is as narrow as asked.
    Target,
    MaxBlocks,
    /// The time ran out.
    Budget,
    /// What is missing would take several times the blocks that are allowed.
    Unreachable,
}

/// A run is given up only when the prediction exceeds what is allowed by this factor: after two
/// looks the standard deviation behind it can be off by a half, and the prediction goes with its
/// square.
const HOPELESS: f64 = 4.0;

/// No look is taken before so many blocks, unless they are all there is. From six on the signed-rank
/// interval exists at the working level and stands in where the noise happens to look small; a run
/// that may stop after two blocks would cover 90 % where 95 % is asked (`engine prove calibration`).
const FIRST_LOOK: u32 = 6;

/// Looks grow by this factor, so that their number grows with the logarithm of the blocks.
const LOOKS: f64 = 1.25;

/// The part of the error that one interval at the end may use up, when several looks were taken.
const SPENT_AT_THE_END: f64 = 0.8;

/// The level at which intervals are computed when the run stops itself, so that they cover as often
/// as `confidence` says: 0.96 for 0.95.
///
/// Stopping at a narrow interval prefers runs that underestimate their own noise.
pub fn working_level(confidence: f64) -> f64 {
    1.0 - (1.0 - confidence) * SPENT_AT_THE_END
}

/// The level of the intervals that looks are taken at: the report widens its intervals for the
/// `family` of comparisons, so the target must be met by the widest of them.
pub fn look_level(confidence: f64, family: usize) -> f64 {
    1.0 - (1.0 - working_level(confidence)) / family.max(1) as f64
}

impl Rule {
    /// The first look after `blocks` blocks: the next of `ceil(max(min, 6)·1.25^j)`, `max_blocks` at
    /// most.
    pub fn next_look(&self, blocks: u32) -> u32 {
        self.looks().find(|look| *look > blocks).unwrap_or(self.max_blocks)
    }

    /// All looks in ascending order; the last is `max_blocks`.
    fn looks(&self) -> impl Iterator<Item = u32> {
        let (start, most) = (self.min_blocks.max(FIRST_LOOK), self.max_blocks);
        (0..)
            .map(move |j| (f64::from(start) * LOOKS.powi(j)).ceil() as u32)
            .take_while(move |look| *look < most)
            .chain([most])
    }
}

/// Whether to go on after `blocks_done` blocks and `elapsed_ns` of measuring.
///
/// `comparisons` holds one entry for each comparison that still runs, `None` where it has no
/// interval yet: that one has not reached its target. With no entry at all there is nothing to
/// sharpen, so the first look ends the run with [`Reason::Target`]. The target is only looked at
/// when a look is due; time and number of blocks end a run at once, below `min_blocks` too.
///
/// A run is [`Reason::Unreachable`] from the second look on, when each comparison that misses its
/// target is predicted to need over four times the blocks that `max_blocks` and the time, at the
/// pace so far, allow. Those predictions use widths alone, never p-values.
pub fn decide(
    rule: &Rule,
    blocks_done: u32,
    elapsed_ns: u64,
    comparisons: &[Option<Comparison>],
) -> Decision {
    let at_end = blocks_done >= rule.max_blocks;
    let looks = rule.looks().take_while(|look| *look <= blocks_done).count();
    let look_due = at_end || rule.looks().any(|look| look == blocks_done);
    let missing = || comparisons.iter().filter(|c| !reached(rule, c.as_ref()));
    if look_due && missing().count() == 0 {
        return Decision::Stop(Reason::Target);
    }
    if at_end {
        return Decision::Stop(Reason::MaxBlocks);
    }
    if elapsed_ns >= rule.max_time_ns {
        return Decision::Stop(Reason::Budget);
    }
    let allowed = HOPELESS * blocks_allowed(rule, blocks_done, elapsed_ns);
    let hopeless = |c: &Comparison| f64::from(blocks_for(rule.half_width, c)) > allowed;
    if look_due && looks >= 2 && missing().all(|c| c.as_ref().is_some_and(hopeless)) {
        return Decision::Stop(Reason::Unreachable);
    }
    Decision::Continue
}

fn reached(rule: &Rule, comparison: Option<&Comparison>) -> bool {
    comparison.is_some_and(|c| c.half_width() <= rule.half_width)
}

/// Blocks that fit into the rule, as many per time as so far.
fn blocks_allowed(rule: &Rule, blocks_done: u32, elapsed_ns: u64) -> f64 {
    let in_time = f64::from(blocks_done) * rule.max_time_ns as f64 / elapsed_ns.max(1) as f64;
    in_time.min(f64::from(rule.max_blocks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Better, compare::speedup};

    const RULE: Rule =
        Rule { min_blocks: 10, max_blocks: 60, half_width: 0.02, max_time_ns: 600_000_000_000 };

    /// Ratios that alternate around `ratio` by a factor of `1 + noise`.
    fn after(blocks: u32, ratio: f64, noise: f64) -> Option<Comparison> {
        let pairs: Vec<_> = (0..blocks)
            .map(|b| (1.0, ratio * if b % 2 == 0 { 1.0 + noise } else { 1.0 / (1.0 + noise) }))
            .collect();
        speedup(&pairs, Better::Higher, 0.95)
    }

    #[test]
    fn looks_are_geometric_and_end_with_the_last_block() {
        assert_eq!(RULE.looks().collect::<Vec<_>>(), [10, 13, 16, 20, 25, 31, 39, 48, 60]);
        assert_eq!((RULE.next_look(0), RULE.next_look(10), RULE.next_look(11)), (10, 13, 13));
        assert_eq!(RULE.next_look(60), 60);
        let odd = Rule { min_blocks: 0, max_blocks: 0, ..RULE };
        assert_eq!(odd.next_look(5), 0);
        let few = Rule { min_blocks: 2, max_blocks: 9, ..RULE };
        assert_eq!(few.looks().collect::<Vec<_>>(), [6, 8, 9], "two blocks know nothing of noise");
        let fewer = Rule { max_blocks: 4, ..few };
        assert_eq!(fewer.looks().collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_narrow_interval_waits_for_its_look() {
        let narrow = [after(12, 1.3, 0.001)];
        assert_eq!(decide(&RULE, 12, 1, &narrow), Decision::Continue);
        assert_eq!(decide(&RULE, 13, 1, &narrow), Decision::Stop(Reason::Target));
        assert_eq!(decide(&RULE, 9, 1, &narrow), Decision::Continue);
    }

    #[test]
    fn every_comparison_must_reach_the_target() {
        let mixed = [after(10, 1.3, 0.001), after(10, 1.3, 0.05)];
        assert_eq!(decide(&RULE, 10, 1, &mixed), Decision::Continue);
        assert_eq!(decide(&RULE, 10, 1, &[after(10, 1.3, 0.001), None]), Decision::Continue);
        assert_eq!(decide(&RULE, 60, 1, &mixed), Decision::Stop(Reason::MaxBlocks));
        assert_eq!(decide(&RULE, 10, 1, &[]), Decision::Stop(Reason::Target));
    }

    #[test]
    fn a_huge_difference_alone_never_stops_a_run() {
        let certain = after(13, 5.0, 0.08);
        assert!(certain.unwrap().p_value < 1e-12);
        assert_eq!(decide(&RULE, 13, 1, &[certain]), Decision::Continue);
    }

    #[test]
    fn time_ends_a_run_even_below_the_minimum() {
        let wide = [after(4, 1.3, 0.05)];
        assert_eq!(decide(&RULE, 4, RULE.max_time_ns, &wide), Decision::Stop(Reason::Budget));
        assert_eq!(decide(&RULE, 4, RULE.max_time_ns - 1, &wide), Decision::Continue);
    }

    #[test]
    fn a_hopeless_run_is_given_up_at_the_second_look() {
        let wild = |blocks| [after(blocks, 1.0, 0.3)];
        assert_eq!(decide(&RULE, 10, 1, &wild(10)), Decision::Continue);
        assert_eq!(decide(&RULE, 12, 1, &wild(12)), Decision::Continue);
        assert_eq!(decide(&RULE, 13, 1, &wild(13)), Decision::Stop(Reason::Unreachable));
        // A second comparison that can still reach the target keeps the run alive.
        let hope = [after(13, 1.0, 0.3), after(13, 1.0, 0.05)];
        assert_eq!(decide(&RULE, 13, 1, &hope), Decision::Continue);
        assert_eq!(decide(&RULE, 13, 1, &[after(13, 1.0, 0.3), None]), Decision::Continue);
    }

    #[test]
    fn slow_blocks_make_a_target_unreachable_that_fast_ones_reach() {
        let noisy = [after(13, 1.0, 0.07)];
        assert_eq!(decide(&RULE, 13, 1, &noisy), Decision::Continue);
        let late = RULE.max_time_ns - 1;
        assert_eq!(decide(&RULE, 13, late, &noisy), Decision::Stop(Reason::Unreachable));
    }

    #[test]
    fn the_working_level_leaves_room_for_several_looks() {
        assert!((working_level(0.95) - 0.96).abs() < 1e-15);
    }
}
