//! What is compared with what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Percent;

/// What is compared with what, and what a difference must be to count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Compare {
    /// The first variant when left out.
    pub baseline: Option<String>,
    /// Confidence of every interval.
    pub confidence: Percent,
    /// How intervals widen when several comparisons are made at once.
    pub correction: Correction,
    /// A speed-up counts as `improved` when its lower bound reaches this.
    #[schemars(range(min = 1.0, max = 1000.0))]
    pub improved_from: f64,
    /// Speed-ups within this margin of 1 count as `equivalent`.
    pub equivalence: Percent,
    /// How much more peak memory than the baseline a variant may use: the report says beside the verdict whether the one-sided bound keeps it.
    pub memory: Percent,
    /// How much quality a variant may lose: points for shares of right answers, relative for other metrics. The report says beside each whether the bound keeps it.
    pub accuracy: Percent,
    /// Outputs nowhere further apart than this count as the same.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub same: f64,
}

impl Default for Compare {
    fn default() -> Self {
        Self {
            baseline: None,
            confidence: Percent(0.95),
            correction: Correction::Holm,
            improved_from: 1.2,
            equivalence: Percent(0.03),
            memory: Percent(0.05),
            accuracy: Percent(0.01),
            same: 1e-5,
        }
    }
}

/// How intervals widen when several comparisons are made at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    Holm,
    None,
}
