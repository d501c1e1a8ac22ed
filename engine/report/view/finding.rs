//! What the evidence allows to say, and how it is to be read.

use serde::Serialize;

use crate::measure::verdict::Verdict;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    Good,
    Bad,
    Unsure,
    Plain,
}

/// A number, or why there is none.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading<T> {
    Known(T),
    Unmeasured(String),
}

impl<T> Reading<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unmeasured(_) => None,
        }
    }
}

/// What the evidence allows to say about a variant under one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    Baseline,
    Judged(Verdict),
    /// The variant was never made, or it was launched and no launch gave a number.
    Failed,
    /// Not reached, or nothing to compare it with.
    Unmeasured,
}

impl Finding {
    pub fn label(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Judged(verdict) => verdict.label(),
            Self::Failed => "failed",
            Self::Unmeasured => "unmeasured",
        }
    }

    pub fn tone(self) -> Tone {
        match self {
            Self::Judged(Verdict::Improved) => Tone::Good,
            Self::Judged(Verdict::Regressed) | Self::Failed => Tone::Bad,
            Self::Judged(Verdict::ImprovedBelowThreshold | Verdict::Equivalent)
            | Self::Baseline => Tone::Plain,
            Self::Judged(_) | Self::Unmeasured => Tone::Unsure,
        }
    }

    /// From what a reader must see first to what may wait. A variant is summed up by the least
    /// favourable finding over its settings.
    pub fn rank(self) -> u8 {
        match self {
            Self::Failed => 0,
            Self::Judged(Verdict::Regressed) => 1,
            Self::Unmeasured => 2,
            Self::Judged(Verdict::Inconclusive) => 3,
            Self::Judged(Verdict::Equivalent) => 4,
            Self::Judged(Verdict::FasterSizeUnclear) => 5,
            Self::Judged(Verdict::ImprovedBelowThreshold) => 6,
            Self::Judged(Verdict::LikelyImproved) => 7,
            Self::Judged(Verdict::Improved) => 8,
            Self::Baseline => 9,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    Failed,
    Undecided,
    NotMeasured,
}

impl Outcome {
    pub fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Undecided => "undecided",
            Self::NotMeasured => "not measured",
        }
    }

    pub fn tone(self) -> Tone {
        match self {
            Self::Passed => Tone::Good,
            Self::Failed => Tone::Bad,
            Self::Undecided | Self::NotMeasured => Tone::Unsure,
        }
    }
}
