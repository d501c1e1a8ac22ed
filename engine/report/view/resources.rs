//! What a variant costs in money and memory.

use serde::Serialize;

use super::Reading;
use crate::measure::Estimate;

/// Prices that follow from throughputs and `cost` of the spec.
#[derive(Debug, Clone, Serialize)]
pub struct CostSheet {
    pub currency: String,
    pub per_hour: f64,
    pub as_of: String,
    /// Prices are per million generated tokens, else per thousand items.
    pub tokens: bool,
    pub rows: Vec<CostRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CostRow {
    pub variant: String,
    pub setting: usize,
    /// Tokens or items per second, in the scenario of the setting.
    pub rate: Reading<Estimate>,
    pub price: Reading<Estimate>,
    /// Mean price by the baseline's, with Fieller's interval; `None` of the baseline.
    pub ratio: Option<Reading<Estimate>>,
}

/// What the machine took for a variant under one setting, the middle over blocks.
#[derive(Debug, Clone, Serialize)]
pub struct EnergyRow {
    pub variant: String,
    pub setting: usize,
    /// Joules per request, idle power included.
    pub gross: Reading<Estimate>,
    /// The same without what the idle machine would have taken.
    pub net: Reading<Estimate>,
    /// Joules per generated token, gross; of graphs unmeasured.
    pub per_token: Reading<Estimate>,
    /// Watts while the requests were made.
    pub power: Reading<Estimate>,
}

/// Where the memory of a variant under one setting is, in bytes: the middle over blocks.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryRow {
    pub variant: String,
    pub setting: usize,
    /// Highest resident set, load included.
    pub peak: Reading<Estimate>,
    /// Highest resident set after the load.
    pub steady: Reading<Estimate>,
    /// Of the resident set at the end: without a file behind it, and backed by files.
    pub anonymous: Reading<Estimate>,
    pub mapped: Reading<Estimate>,
    /// The same with shared pages divided among who shares them.
    pub proportional: Reading<Estimate>,
    /// Bytes of the weights as they are stored.
    pub weights: Option<u64>,
    /// Bytes of all files of the artifact.
    pub disk: Option<u64>,
}

/// What a token of context costs in memory.
#[derive(Debug, Clone, Serialize)]
pub struct CacheRow {
    pub variant: String,
    /// The axes besides the lengths.
    pub place: String,
    /// Bytes by the shape of the model at four bytes a number, for the whole batch.
    pub theory: u64,
    /// Slope of the steady peak over the context.
    pub measured: Reading<Estimate>,
    /// Different context lengths behind it.
    pub lengths: usize,
}
