//! How the machine was watched, and the blocks that something outside disturbed.

use serde::{Deserialize, Serialize};

use crate::machine::watch::{Finding, Unseen};

/// How the machine was watched. The readings lie with their launches.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Signals that could not be read, each with the reason.
    pub unmeasured: Vec<Unseen>,
    /// Share of a setting's blocks that may be left out.
    pub max_invalid: f64,
}

/// A block that met a cause from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disturbed {
    pub block: u32,
    pub causes: Vec<Cause>,
    /// False where as many blocks as may be had been left out already: it counts, with its cause.
    pub left_out: bool,
}

/// What disturbed a block, and during which launch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    pub variant: String,
    pub finding: Finding,
}
