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
}

impl Default for Compare {
    fn default() -> Self {
        Self {
            baseline: None,
            confidence: Percent(0.95),
            correction: Correction::Holm,
            improved_from: 1.2,
            equivalence: Percent(0.03),
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
