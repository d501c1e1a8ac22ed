//! What an interval allows to say.
//!
//! Verdicts and gates look at bounds, never at the point, except to tell two cautious verdicts
//! apart. An interval too wide to decide is said to be just that.

use serde::{Deserialize, Serialize};

use super::estimate::Estimate;

/// What a speed-up's interval says about the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better by the claimed factor at least.
    Improved,
    /// Better, and certainly by less than the claimed factor.
    ImprovedBelowThreshold,
    /// Better; the point reaches the claimed factor, the lower bound does not.
    LikelyImproved,
    /// Better; the claimed factor is possible, the point does not reach it.
    FasterSizeUnclear,
    /// No difference that would matter.
    Equivalent,
    /// Worse by more than the margin.
    Regressed,
    Inconclusive,
}

impl Verdict {
    pub fn label(self) -> &'static str {
        match self {
            Self::Improved => "improved",
            Self::ImprovedBelowThreshold => "improved, below threshold",
            Self::LikelyImproved => "likely improved",
            Self::FasterSizeUnclear => "better, size unclear",
            Self::Equivalent => "equivalent",
            Self::Regressed => "regressed",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// What a difference must be to count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Speed-up claimed by `improved`, at least 1.
    pub improved_from: f64,
    /// Margin δ: speed-ups from `1/(1+δ)` to `1+δ` do not matter. 0.03 is three per cent.
    pub equivalence: f64,
    /// Margin of a regression: the whole interval lies below `1/(1+margin)`.
    pub regression: f64,
}

/// The first verdict that holds, in the order improved, regressed, equivalent, the cautious ones.
///
/// `speedup` is oriented so that more than 1 is better. An interval with a NaN is inconclusive.
pub fn judge(speedup: &Estimate, thresholds: &Thresholds) -> Verdict {
    let Estimate { point, low, high, .. } = *speedup;
    let Thresholds { improved_from, equivalence, regression } = *thresholds;
    let better = low > 1.0;
    if better && low >= improved_from {
        Verdict::Improved
    } else if high < 1.0 / (1.0 + regression) {
        Verdict::Regressed
    } else if low >= 1.0 / (1.0 + equivalence) && high <= 1.0 + equivalence {
        Verdict::Equivalent
    } else if better && high < improved_from {
        Verdict::ImprovedBelowThreshold
    } else if better && point >= improved_from {
        Verdict::LikelyImproved
    } else if better && point < improved_from && high >= improved_from {
        Verdict::FasterSizeUnclear
    } else {
        Verdict::Inconclusive
    }
}

/// Blocks in all after which an inconclusive comparison is expected to be decided: its point stays
/// where it is and its bounds come nearer with the root of the blocks. `None` where `most` blocks
/// do not suffice.
pub fn blocks_to_decide(
    speedup: &Estimate,
    thresholds: &Thresholds,
    blocks: u32,
    most: u32,
) -> Option<u32> {
    let Estimate { point, low, high, .. } = *speedup;
    let decided = |b: &u32| {
        let nearer = (f64::from(blocks) / f64::from(*b)).sqrt();
        let bound = |bound: f64| point * (bound / point).powf(nearer);
        let then = Estimate { low: bound(low), high: bound(high), ..*speedup };
        judge(&then, thresholds) != Verdict::Inconclusive
    };
    (blocks.saturating_add(1)..=most).find(decided)
}

/// What a gate allows. With neither side set everything passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// Whether a gate holds; ordered from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// The whole interval lies within the bound.
    Passed,
    /// The interval straddles the bound, or there is none.
    Undecided,
    /// The whole interval lies outside.
    Failed,
}

impl GateVerdict {
    pub fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Undecided => "undecided",
            Self::Failed => "failed",
        }
    }
}

/// Judges an interval against a bound; its ends count as inside.
pub fn gate(estimate: &Estimate, bound: &Bound) -> GateVerdict {
    let Estimate { low, high, .. } = *estimate;
    let ordered = low <= high;
    if !ordered {
        GateVerdict::Undecided
    } else if bound.min.is_some_and(|min| high < min) || bound.max.is_some_and(|max| low > max) {
        GateVerdict::Failed
    } else if bound.min.is_none_or(|min| low >= min) && bound.max.is_none_or(|max| high <= max) {
        GateVerdict::Passed
    } else {
        GateVerdict::Undecided
    }
}

/// The worst verdict over several cells; `Undecided` for none, since nothing has been shown.
pub fn worst(verdicts: impl IntoIterator<Item = GateVerdict>) -> GateVerdict {
    verdicts.into_iter().max().unwrap_or(GateVerdict::Undecided)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::estimate::exact;

    const USUAL: Thresholds =
        Thresholds { improved_from: 1.2, equivalence: 0.03, regression: 0.03 };

    fn interval(low: f64, point: f64, high: f64) -> Estimate {
        Estimate { point, low, high, ..exact(point) }
    }

    #[test]
    fn every_verdict_follows_from_the_bounds() {
        let table = [
            (1.20, 1.25, 1.30, Verdict::Improved),
            (1.04, 1.08, 1.12, Verdict::ImprovedBelowThreshold),
            (1.15, 1.21, 1.28, Verdict::LikelyImproved),
            (1.05, 1.15, 1.26, Verdict::FasterSizeUnclear),
            (0.99, 1.00, 1.01, Verdict::Equivalent),
            (1.005, 1.01, 1.02, Verdict::Equivalent),
            (0.90, 0.93, 0.96, Verdict::Regressed),
            (0.96, 0.98, 0.99, Verdict::Inconclusive),
            (0.90, 1.10, 1.34, Verdict::Inconclusive),
            (1.00, 1.10, 1.15, Verdict::Inconclusive),
        ];
        for (low, point, high, expected) in table {
            assert_eq!(judge(&interval(low, point, high), &USUAL), expected, "[{low}, {high}]");
        }
    }

    #[test]
    fn an_undecided_interval_tells_how_many_blocks_would_decide() {
        // A point of 1.1 needs its lower bound above 1: at half the width, four times the blocks.
        let wide = interval(1.1 / 1.21, 1.1, 1.1 * 1.21);
        assert_eq!(judge(&wide, &USUAL), Verdict::Inconclusive);
        assert_eq!(blocks_to_decide(&wide, &USUAL, 10, 600), Some(41));
        assert_eq!(blocks_to_decide(&wide, &USUAL, 10, 40), None);
        // On the margin itself nothing ever decides.
        let edge = interval(1.0 / 1.05, 1.0 / 1.03, 1.0 / 1.01);
        assert_eq!(blocks_to_decide(&edge, &USUAL, 10, 600), None);
    }

    #[test]
    fn equality_is_never_an_improvement_even_without_a_claimed_factor() {
        let any = Thresholds { improved_from: 1.0, ..USUAL };
        assert_eq!(judge(&exact(1.0), &any), Verdict::Equivalent);
        assert_eq!(judge(&exact(1.5), &any), Verdict::Improved);
    }

    #[test]
    fn an_interval_of_nan_decides_nothing() {
        let nan = f64::NAN;
        assert_eq!(judge(&interval(nan, nan, nan), &USUAL), Verdict::Inconclusive);
        let bound = Bound { min: None, max: Some(1.0) };
        assert_eq!(gate(&interval(nan, nan, nan), &bound), GateVerdict::Undecided);
        assert_eq!(gate(&interval(0.1, 0.2, nan), &Bound::default()), GateVerdict::Undecided);
    }

    #[test]
    fn a_gate_needs_the_whole_interval() {
        let ratio = Bound { min: None, max: Some(1.05) };
        assert_eq!(gate(&interval(0.9, 1.0, 1.05), &ratio), GateVerdict::Passed);
        assert_eq!(gate(&interval(0.9, 1.0, 1.06), &ratio), GateVerdict::Undecided);
        assert_eq!(gate(&interval(1.06, 1.1, 1.2), &ratio), GateVerdict::Failed);
        let both = Bound { min: Some(0.5), max: Some(1.0) };
        assert_eq!(gate(&exact(0.5), &both), GateVerdict::Passed);
        assert_eq!(gate(&exact(0.4), &both), GateVerdict::Failed);
        assert_eq!(gate(&interval(0.4, 0.7, 0.9), &both), GateVerdict::Undecided);
    }

    #[test]
    fn the_worst_cell_speaks_for_all_and_no_cell_shows_nothing() {
        use GateVerdict::{Failed, Passed, Undecided};
        assert_eq!(worst([Passed, Undecided, Passed]), Undecided);
        assert_eq!(worst([Undecided, Failed, Passed]), Failed);
        assert_eq!(worst([Passed]), Passed);
        assert_eq!(worst([]), Undecided);
    }

    #[test]
    fn verdicts_are_stored_in_snake_case() {
        let text = serde_json::to_string(&Verdict::ImprovedBelowThreshold).unwrap();
        assert_eq!(text, "\"improved_below_threshold\"");
    }
}
