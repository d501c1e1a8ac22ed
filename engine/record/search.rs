//! A search for the largest batch of one variant: every probe with its raw timelines.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cell::{Failure, Launch, Outcome};
use super::guard::{Disturbed, counted};
use crate::measure::search::{Answer, Bound, answer};
use crate::measure::summary;

/// A probe whose launches have failed this often is given up.
const MOST_FAILED: usize = 2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    pub variant: String,
    /// The setting without its batch, in matrix order.
    pub axes: IndexMap<String, Value>,
    /// Such as `latency`.
    pub metric: String,
    pub bound: Bound,
    /// The largest batch that was to be tried.
    pub max: u32,
    /// Confidence of each probe's answer, such as 0.95.
    pub confidence: f64,
    /// In the order in which they were made.
    pub probes: Vec<Probe>,
    /// Why there were no more probes; `None` where there were none at all.
    pub end: Option<SearchEnd>,
    /// Why nothing was probed, if so.
    pub unsearched: Option<String>,
}

/// Launches of one batch until it could be said whether it keeps the bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub batch: u32,
    /// Blocks number the launches of the search.
    pub launches: Vec<Launch>,
    /// Launches that something outside disturbed; those that were left out were made again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disturbed: Vec<Disturbed>,
    /// Why it ended before its last look without an answer, if so.
    pub cut_short: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchEnd {
    /// Nothing was left to probe.
    Complete,
    /// The time allowed for it ran out.
    Budget,
    Interrupted,
}

fn values<'a>(launches: impl Iterator<Item = &'a Launch>, metric: &str) -> Vec<f64> {
    let seen = launches.filter_map(|launch| match &launch.outcome {
        Outcome::Measured(observed) => Some(observed),
        Outcome::Failed(_) | Outcome::Skipped { .. } => None,
    });
    seen.flat_map(|observed| summary::values_as_made(observed, metric)).collect()
}

impl Probe {
    /// Launches that count.
    pub fn counted(&self) -> impl Iterator<Item = &Launch> + Clone {
        counted(&self.launches, &self.disturbed)
    }

    /// Values of `metric` of all requests that are not flagged as warm-up, in order. What looks like
    /// warm-up afterwards is kept: a probe asks for a number of requests and bounds their tail, and
    /// leaving out slow ones because they were slow would make a size look quicker than it is.
    pub fn values(&self, metric: &str) -> Vec<f64> {
        values(self.counted(), metric)
    }

    /// The same of all launches, those that were left out too: how long requests take is known.
    pub fn all_values(&self, metric: &str) -> Vec<f64> {
        values(self.launches.iter(), metric)
    }

    /// The last failure, when there were so many that the probe was given up.
    pub fn failure(&self) -> Option<&Failure> {
        let failures = self.counted().filter_map(|launch| match &launch.outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Measured(_) | Outcome::Skipped { .. } => None,
        });
        let failures: Vec<&Failure> = failures.collect();
        failures.last().copied().filter(|_| failures.len() >= MOST_FAILED)
    }

    /// What its requests say about the bound.
    pub fn answer(&self, metric: &str, bound: Bound, confidence: f64) -> Answer {
        match self.failure() {
            Some(_) => Answer::Failed,
            None => answer(&self.values(metric), bound, confidence),
        }
    }

    /// Wall nanoseconds of its processes.
    pub fn wall(&self) -> u64 {
        self.launches.iter().map(|launch| launch.wall).sum()
    }
}

impl Search {
    /// Batch and answer of every probe.
    pub fn answers(&self) -> Vec<(u32, Answer)> {
        let of =
            |probe: &Probe| (probe.batch, probe.answer(&self.metric, self.bound, self.confidence));
        self.probes.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Observed, Timeline, steady};

    #[test]
    fn a_slow_start_counts_against_a_size() {
        let request = |i: u64| {
            let (sent, slow) = (i * 1_000_000_000, if i < 9 { 9_000_000 } else { 0 });
            let done = sent + 50_000_000 + slow + i % 3 * 10_000;
            Timeline { sent, tokens: vec![done], batch: 4, warmup: i == 0, ..Timeline::default() }
        };
        let observed = Observed { requests: (0..30).map(request).collect(), ..Observed::default() };
        assert!(steady::counted_from(&observed) > 1, "it looks like warm-up afterwards");
        let launch = Launch {
            block: 0,
            position: 0,
            pid: None,
            started: 0,
            wall: 0,
            outcome: Outcome::Measured(observed),
            conditions: None,
            residence: None,
            settling: None,
        };
        let (launches, disturbed) = (vec![launch], Vec::new());
        let probe = Probe { batch: 4, launches, disturbed, cut_short: None };
        let slow = probe.values("latency").iter().filter(|seconds| **seconds > 0.055).count();
        assert_eq!((probe.values("latency").len(), slow), (29, 8));
        assert_eq!(probe.values("throughput").len(), 29);
    }
}
