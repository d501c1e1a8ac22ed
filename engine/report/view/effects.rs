//! What stands beside a verdict: how large the effect is, what was odd about the samples, and what
//! the spec's margins say.

use serde::Serialize;

use super::{Outcome, Tone};
use crate::measure::Estimate;
use crate::measure::effect::Effect;
use crate::measure::modes::Mode;
use crate::measure::outliers::Outliers;

/// What is known of one cell beside its numbers. All of the primary metric.
#[derive(Debug, Clone, Serialize)]
pub struct EffectSheet {
    /// `None` for the baseline and without paired blocks.
    pub effect: Option<Effect>,
    /// Over all launches, each held to its own middle.
    pub outliers: Outliers,
    /// Two groups of launches, where there are two.
    pub modes: Option<[Mode; 2]>,
    /// The speed-up of the quick quarter of requests, where it tells another story.
    pub contaminated: Option<Estimate>,
    /// Share of launches that failed, of those that were tried; of processes where they stay.
    pub failures: Option<Estimate>,
    /// Exploratory metrics that differ from the baseline's, at a false discovery rate of 10 %.
    pub differs: Vec<&'static str>,
}

/// What a margin of the spec says about a number that is not the primary metric's.
#[derive(Debug, Clone, Serialize)]
pub struct Margin {
    pub outcome: Outcome,
    /// Outputs that are not the same are no fault of theirs.
    pub tone: Tone,
    /// Such as `at most 0.681×, 1.05× is allowed`.
    pub text: String,
}
