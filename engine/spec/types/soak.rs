//! A long run of each variant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Nanos;

/// Keeps every variant at work for a while, one after the other and after everything else is timed, and looks for memory that keeps growing and for throughput that falls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Soak {
    /// How long each variant works, under the first setting of the matrix. Ten minutes find what is steep; an hour finds half a megabyte per hour.
    pub duration: Nanos,
}

impl Default for Soak {
    fn default() -> Self {
        Self { duration: Nanos::seconds(600) }
    }
}
