//! How a setting was measured: what was decided on the way, and the baseline against itself.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Launch;
use crate::measure::repetition::Repetition;

/// What the second launch of the baseline is called beside variants; none of them can be called so.
pub const AGAIN: &str = "the baseline again";

/// What all cells of one setting share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conduct {
    /// As in the setting's cells.
    pub scenario: String,
    /// As in the setting's cells.
    pub axes: IndexMap<String, Value>,
    /// How many requests launches made after the pilot; absent where the spec fixes it, and where
    /// measuring ended before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition: Option<Repetition>,
    /// The variant that the others are compared with.
    pub baseline: String,
    /// Launches of the baseline as a second arm of each block, ordered by block: what a comparison
    /// finds where there is nothing to find.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<Launch>,
    /// Why there is no second arm, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_again: Option<String>,
    /// Why processes did not stay, where the spec asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
}
