//! The noise floor, as data.

use serde::Serialize;

use super::Reading;
use crate::measure::compare::Comparison;

/// The baseline against itself under one setting.
#[derive(Debug, Clone, Serialize)]
pub struct FloorRow {
    /// Index into `settings`.
    pub setting: usize,
    /// The second arm as if it were a variant.
    pub found: Reading<Comparison>,
    /// Launches of the second arm in blocks that count, those that failed, and how the first of
    /// those did.
    pub launches: usize,
    pub failed: usize,
    pub failure: Option<String>,
}
