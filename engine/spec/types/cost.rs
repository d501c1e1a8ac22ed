//! What the machine costs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an hour of the machine costs, so that the report tells throughputs as prices too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// The currency by its three letters, such as `USD`.
    #[schemars(regex(pattern = r"^[A-Z]{3}$"), extend("title" = "a currency of three capital letters, such as `USD`"))]
    pub currency: String,
    /// Price of one hour of the machine that measures.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub per_hour: f64,
    /// The day of that price as `YYYY-MM-DD`: prices change.
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), extend("title" = "a day written as `2026-11-01`"))]
    pub as_of: String,
}
