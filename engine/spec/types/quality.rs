//! How answers are judged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::variant::QualityMetric;

/// How good the answers of each variant still are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// The variant whose answers count as right; the baseline of `compare` when left out.
    #[serde(default)]
    pub reference: Option<String>,
    /// What is judged, each on a data set.
    #[schemars(length(min = 1))]
    pub metrics: Vec<QualityMetric>,
}
