//! What a comparison finds where there is nothing to find: the baseline against itself.
//!
//! The baseline is launched once more in each block, as a variant of its own that the orders place
//! like any other (an A/A arm). Whatever differs between the two arms is noise, or a fault of the
//! instrument; an effect of that size shows nothing.

use super::estimate::Estimate;
use super::verdict::Verdict;

/// The largest factor, at least 1, by which the two arms may differ: the end of their interval
/// that is farther from 1, on either side, because which arm is called the first is arbitrary.
pub fn floor(arms: &Estimate) -> f64 {
    let factor = arms.high.max(arms.low.recip());
    // An interval of NaN hides everything.
    if factor >= 1.0 { factor } else { f64::INFINITY }
}

/// True when a speed-up lies within the floor: no farther from 1 than the arms may be.
pub fn hides(floor: f64, speedup: f64) -> bool {
    // Written so that a speed-up of NaN is hidden.
    !(speedup > floor || speedup < floor.recip())
}

/// A verdict that claims a difference needs an effect beyond the floor.
pub fn capped(verdict: Verdict, floor: f64, speedup: f64) -> Verdict {
    match verdict {
        Verdict::Equivalent | Verdict::Inconclusive => verdict,
        _ if hides(floor, speedup) => Verdict::Inconclusive,
        claim => claim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::estimate::exact;

    fn interval(low: f64, high: f64) -> Estimate {
        Estimate { low, high, ..exact(1.0) }
    }

    #[test]
    fn the_farther_end_counts_on_both_sides() {
        assert_eq!(floor(&interval(0.98, 1.05)), 1.05);
        assert_eq!(floor(&interval(0.8, 1.05)), 1.25);
        assert_eq!(floor(&interval(1.01, 1.02)), 1.02, "arms that differ hide as much");
        assert!(floor(&interval(f64::NAN, f64::NAN)).is_infinite());
    }

    #[test]
    fn only_effects_beyond_the_floor_keep_a_claim() {
        for (verdict, speedup, kept) in [
            (Verdict::Improved, 1.3, true),
            (Verdict::Improved, 1.04, false),
            (Verdict::Regressed, 0.9, true),
            (Verdict::Regressed, 0.96, false),
            (Verdict::ImprovedBelowThreshold, 1.02, false),
            (Verdict::Equivalent, 1.0, true),
            (Verdict::Improved, f64::NAN, false),
        ] {
            let found = capped(verdict, 1.05, speedup);
            assert_eq!(found == verdict, kept, "{verdict:?} {speedup}: {found:?}");
            assert!(kept || found == Verdict::Inconclusive);
        }
        assert_eq!(capped(Verdict::Improved, f64::INFINITY, 9.0), Verdict::Inconclusive);
    }
}
