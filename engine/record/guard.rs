//! How the machine was watched, and the blocks that something outside disturbed.

use serde::{Deserialize, Serialize};

use super::Launch;
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

/// A block that met a cause from outside, or a launch of a probe, which is a block of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disturbed {
    pub block: u32,
    pub causes: Vec<Cause>,
    /// False where as many blocks as may be had been left out already: it counts, with its cause.
    pub left_out: bool,
}

/// Those of `launches` whose blocks count: the others are kept for the reader, not for estimates.
pub(super) fn counted<'a>(
    launches: &'a [Launch],
    disturbed: &'a [Disturbed],
) -> impl Iterator<Item = &'a Launch> + Clone {
    launches.iter().filter(move |launch| !leaves_out(disturbed, launch.block))
}

/// Whether `block` was left out, for all of its launches.
pub(super) fn leaves_out(disturbed: &[Disturbed], block: u32) -> bool {
    disturbed.iter().any(|known| known.block == block && known.left_out)
}

/// What disturbed a block, and during which launch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    pub variant: String,
    pub finding: Finding,
}
