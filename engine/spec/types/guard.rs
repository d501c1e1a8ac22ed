//! Watching the machine while something is measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Percent;

/// Watches the machine while launches run. A block that something outside disturbed is left out and measured again; it stays in the record with its cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// Read the kernel's and the driver's counters around every launch. Off: conditions are unmeasured and no block is left out.
    pub enabled: bool,
    /// Before blocks, as often as a quarter of a per cent of one processor allows, a fixed loop of 10 to 20 ms shows whether the machine is as fast as before.
    pub canary: bool,
    /// Share of a setting's blocks that may be left out, up to 50%. More disturbed blocks than that count, and the report says that the setting is noisy.
    pub max_invalid: Percent,
}

impl Default for Guard {
    fn default() -> Self {
        Self { enabled: true, canary: true, max_invalid: Percent(0.2) }
    }
}
