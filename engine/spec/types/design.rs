//! Order, repetition and the end of measuring.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bench::MetricName;
use super::warmup::Warmup;
use crate::base::{Nanos, Percent};

/// Order, repetition and the end of measuring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Design {
    /// Every block launches each variant once, in balanced random order.
    pub order: Order,
    /// How many blocks at least and at most.
    pub blocks: Blocks,
    pub stop: Stop,
    /// Longest time for one setting of the matrix. The block under way is finished.
    pub max_time: Nanos,
    /// Longest time for all settings of the matrix together; each gets an even share of what is left, so that what one leaves over the later ones may use. No such limit when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Nanos")]
    pub budget: Option<Nanos>,
    /// Launches the baseline once more in each block, to see what noise alone looks like: an effect within that is never called better or worse. `auto`: under the first setting of each scenario and each part of the model. `every_block`: under every setting. `off`: never.
    pub noise_floor: NoiseFloor,
    /// `fresh`: every launch is a process of its own. `keep`, for models that are dear to load: the processes of all variants stay side by side, idle ones stopped, and take turns; each makes five bursts, one a block, before another takes its place. All blocks of a process count as one: `blocks` then counts processes.
    pub residency: Residency,
    /// Requests of one launch after the first call.
    pub requests: Requests,
    /// Seeds the order of variants, the choice of prompts and synthetic tokens.
    pub seed: u64,
}

impl Default for Design {
    fn default() -> Self {
        Self {
            order: Order::Interleaved,
            blocks: Blocks::default(),
            stop: Stop::default(),
            max_time: Nanos::seconds(600),
            budget: None,
            noise_floor: NoiseFloor::Auto,
            residency: Residency::Fresh,
            requests: Requests::default(),
            seed: 42,
        }
    }
}

/// How launches of the variants are ordered within a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    Interleaved,
}

/// Where the baseline is launched twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoiseFloor {
    Auto,
    EveryBlock,
    Off,
}

/// Whether the processes of variants stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Residency {
    Fresh,
    Keep,
}

/// How many blocks at least and at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Blocks {
    /// Blocks before the first look at the intervals; fewer only when `max_time` runs out.
    #[schemars(range(min = 2, max = 10_000))]
    pub min: u32,
    /// Measuring ends here even when the intervals are still wide.
    #[schemars(range(min = 2, max = 10_000))]
    pub max: u32,
}

impl Default for Blocks {
    fn default() -> Self {
        Self { min: 10, max: 60 }
    }
}

/// When the numbers are good enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stop {
    /// Relative half-width of the interval of every speed-up.
    pub half_width: Percent,
    /// The metric whose speed-up decides. When left out `decode_tps` of text, `latency` of a graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MetricName")]
    pub metric: Option<MetricName>,
    /// Also ends a setting, from ten blocks on, as soon as every verdict is decided by an interval that holds at any number of blocks. That interval, which is wider, is then the one that is shown.
    pub early_decision: bool,
}

impl Default for Stop {
    fn default() -> Self {
        Self { half_width: Percent(0.02), metric: None, early_decision: false }
    }
}

/// Requests of one launch after the first call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Requests {
    /// `auto`: the first blocks are a pilot, and the launches after it make as many requests as buy the narrowest interval for the time, from `min` to `max`. `fixed`: `min`, `max` and `min_time` alone say how many.
    pub count: RequestCount,
    /// Requests before those that count: `detect` for as many as it takes until times no longer change, or a number.
    pub warmup: Warmup,
    /// Requests that count, at least.
    #[schemars(range(min = 1, max = 10_000))]
    pub min: u32,
    /// Requests that count, at most.
    #[schemars(range(min = 1, max = 10_000))]
    pub max: u32,
    /// Keep on requesting, up to `max`, until the counted requests have taken this long.
    pub min_time: Nanos,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            count: RequestCount::Auto,
            warmup: Warmup::Detect,
            min: 3,
            max: 20,
            min_time: Nanos(500_000_000),
        }
    }
}

/// Who says how many requests a launch makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestCount {
    Auto,
    Fixed,
}
