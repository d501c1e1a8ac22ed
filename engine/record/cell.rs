//! One cell of the matrix: a variant under one setting, launched once per block.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::guard::{Disturbed, counted, leaves_out};
use crate::machine::watch::Readings;
use crate::measure::replicates::{Place, by_replicate};
use crate::measure::slo::Slo;
use crate::measure::{Observed, summary};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    pub variant: String,
    /// Such as `single_stream`.
    pub scenario: String,
    /// The setting, in matrix order: `{"batch": 1, "prompt_tokens": 128, ...}` with resolved values.
    pub axes: IndexMap<String, Value>,
    /// Ordered by block, then by position in the block.
    pub launches: Vec<Launch>,
    /// Why the blocks of this setting ended; shared by all variants of the setting.
    pub stop: Option<StopReason>,
    /// Blocks that something outside disturbed; shared by all variants of the setting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disturbed: Vec<Disturbed>,
    /// What its requests are held to, where the scenario says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
}

/// The scenario in which requests come one after the other; all others put load on a server.
const SINGLE_STREAM: &str = "single_stream";

impl Cell {
    /// Whether requests come faster than one after the other.
    pub fn is_under_load(&self) -> bool {
        self.scenario != SINGLE_STREAM
    }

    /// Launches of blocks that count: those left out are kept for the reader, not for estimates.
    pub fn counted(&self) -> impl Iterator<Item = &Launch> {
        counted(&self.launches, &self.disturbed)
    }

    /// Whether a block of its setting was left out, for all of its launches.
    pub fn leaves_out(&self, block: u32) -> bool {
        leaves_out(&self.disturbed, block)
    }

    /// The launches that were measured in blocks that count, with what they saw.
    pub fn measured(&self) -> impl Iterator<Item = (&Launch, &Observed)> {
        self.counted().filter_map(|launch| Some((launch, launch.seen()?)))
    }

    /// One value of `metric` per block, of the last launch of that block that was measured; blocks
    /// of one process are one.
    pub fn block_values(&self, metric: &str) -> BTreeMap<u32, f64> {
        self.replicates(&|seen| summary::block_value(seen, metric))
    }

    /// As [`Self::block_values`], with whatever value `of` makes of a launch.
    pub fn replicates(&self, of: &dyn Fn(&Observed) -> Option<f64>) -> BTreeMap<u32, f64> {
        by_replicate(&self.values_by(of))
    }

    /// One value of `metric` for each launch that counts, by where it stands.
    pub fn values(&self, metric: &str) -> BTreeMap<Place, f64> {
        self.values_by(&|seen| summary::block_value(seen, metric))
    }

    /// What `of` makes of the launches that count, by where they stand.
    pub fn values_by(&self, of: &dyn Fn(&Observed) -> Option<f64>) -> BTreeMap<Place, f64> {
        values_by(self.measured(), of)
    }
}

/// What `of` makes of launches, by where they stand; only what is finite.
pub fn values_by<'a>(
    launches: impl Iterator<Item = (&'a Launch, &'a Observed)>,
    of: &dyn Fn(&Observed) -> Option<f64>,
) -> BTreeMap<Place, f64> {
    let value = |(launch, seen): (&Launch, &Observed)| Some((launch.place(), of(seen)?));
    launches.filter_map(value).filter(|(_, value)| value.is_finite()).collect()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Blocks count from 0.
    pub block: u32,
    /// Place in the block's order, from 0.
    pub position: u32,
    pub pid: Option<u32>,
    /// Nanoseconds since the run started.
    pub started: u64,
    /// Wall nanoseconds of the whole process; of a process that stays those of its burst, with the
    /// first of them its load.
    pub wall: u64,
    pub outcome: Outcome,
    /// What else the machine did meanwhile; none where nobody watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Readings>,
    /// Which burst of which process it was, where its process stayed; none of a process of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residence: Option<Residence>,
    /// What else the machine did while a process that stays loaded and warmed up; with its first
    /// burst.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settling: Option<Readings>,
}

/// A launch that is one burst of a process that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residence {
    /// The block with which the processes of its round began.
    pub round: u32,
    /// Bursts that they made before, from 0.
    pub part: u32,
}

impl Launch {
    /// Where it stands among blocks and replicates.
    pub fn place(&self) -> Place {
        let replicate = self.residence.map_or(self.block, |residence| residence.round);
        Place { replicate, block: self.block }
    }

    /// What it saw, if it was measured.
    pub fn seen(&self) -> Option<&Observed> {
        match &self.outcome {
            Outcome::Measured(observed) => Some(observed),
            Outcome::Failed(_) | Outcome::Skipped { .. } => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "nearly all launches are measured")]
pub enum Outcome {
    Measured(Observed),
    Failed(Failure),
    Skipped { why: String },
}

/// The name of a graph's free dimension among the axes. One that is called like an axis of every
/// cell says that it is a dimension.
pub fn dimension_axis(dimension: &str) -> String {
    match dimension {
        "batch" | "threads" => format!("dims.{dimension}"),
        other => other.to_owned(),
    }
}

/// How a launch died and what it said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    pub verdict: Verdict,
    /// One line for people, such as `signal 11 (SIGSEGV)` or the backend's error.
    pub detail: String,
    /// The end of what the process wrote, at most a few KiB; untrusted text.
    pub log_tail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The cell reported a clean error of its own.
    Error,
    Panic,
    Abort,
    Signal,
    Timeout,
    OutOfMemory,
    /// It wrote more than it may.
    OutputCap,
    /// It left a process behind.
    Leak,
    /// It ended without a result.
    NoResult,
    /// It ended well, but what it measured breaks the rules of its scenario.
    Invalid,
}

impl Verdict {
    pub fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Abort => "abort",
            Self::Signal => "signal",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out of memory",
            Self::OutputCap => "output cap",
            Self::Leak => "left a process behind",
            Self::NoResult => "no result",
            Self::Invalid => "invalid",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The interval is as narrow as asked.
    Target,
    MaxBlocks,
    /// The time allowed for measuring ran out.
    Budget,
    /// The predicted number of blocks lies beyond what is allowed.
    Unreachable,
    /// Every comparison was decided, by intervals that hold at any number of blocks.
    Decision,
    /// Nothing was left to measure: every variant but one at most had failed.
    NothingLeft,
    /// Processes that stay no longer fit into memory beside each other.
    Crowded,
    Interrupted,
}
