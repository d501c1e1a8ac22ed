//! A search for the largest rate of one variant: every probe with its raw timelines.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cell::{Failure, Launch, Outcome};
use super::guard::{Disturbed, counted};
use super::search::SearchEnd;
use crate::measure::Observed;
use crate::measure::load::{self, Invalid};
use crate::measure::rate::{Found, Probed, found};
use crate::measure::search::Answer;
use crate::measure::slo::{Slo, Tally, full_rate, look_confidence};

/// Launches of a probe before its first look and its last one.
pub const LAUNCHES: [usize; 2] = [1, 5];

/// A probe whose launches gave no number this often is given up.
const MOST_FAILED: usize = 2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSearch {
    pub variant: String,
    /// The setting, in matrix order.
    pub axes: IndexMap<String, Value>,
    pub slo: Slo,
    /// Requests of one launch that count.
    pub requests: u32,
    /// Confidence of each probe's answer, such as 0.95.
    pub confidence: f64,
    /// In the order in which they were made.
    pub probes: Vec<RateProbe>,
    /// Why there were no more probes; `None` where there were none at all.
    pub end: Option<SearchEnd>,
    /// Why nothing was probed, if so.
    pub unsearched: Option<String>,
}

/// Launches at one rate until it could be said whether the bounds are kept. Launches that break the
/// rules of the scenario are kept as they were measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateProbe {
    /// Requests per second; `None` of one stream, whose time of service the first rate comes from.
    pub rate: Option<f64>,
    /// Blocks number the launches of the search.
    pub launches: Vec<Launch>,
    /// Launches that something outside disturbed; those that were left out were made again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disturbed: Vec<Disturbed>,
    /// Why it ended before its last look without an answer, if so.
    pub cut_short: Option<String>,
}

impl RateProbe {
    /// Launches that count.
    pub fn counted(&self) -> impl Iterator<Item = &Launch> + Clone {
        counted(&self.launches, &self.disturbed)
    }

    /// What its launches saw, and whether they kept the rules of the scenario.
    pub fn observed(&self) -> impl Iterator<Item = (&Observed, Result<(), Invalid>)> {
        self.counted().filter_map(|launch| match &launch.outcome {
            Outcome::Measured(observed) => Some((observed, load::check(observed))),
            Outcome::Failed(_) | Outcome::Skipped { .. } => None,
        })
    }

    /// What its valid launches saw.
    pub fn valid(&self) -> impl Iterator<Item = &Observed> {
        self.observed().filter(|(_, kept)| kept.is_ok()).map(|(observed, _)| observed)
    }

    /// Why the probe was given up, if so: the last launch that died or broke the rules.
    pub fn failure(&self) -> Option<String> {
        let died = self.counted().filter_map(|launch| match &launch.outcome {
            Outcome::Failed(Failure { verdict, detail, .. }) => {
                Some(format!("{}: {detail}", verdict.label()))
            }
            Outcome::Measured(observed) => match load::check(observed) {
                Ok(()) | Err(Invalid::Saturated { .. }) => None,
                Err(why) => Some(format!("invalid: {why}")),
            },
            Outcome::Skipped { why } => Some(why.clone()),
        });
        let died: Vec<String> = died.collect();
        if died.len() >= MOST_FAILED { died.into_iter().next_back() } else { None }
    }

    /// How many waited when the server was given up, if it was.
    pub fn saturated(&self) -> Option<u32> {
        self.observed().find_map(|(_, kept)| match kept {
            Err(Invalid::Saturated { waiting }) => Some(waiting),
            _ => None,
        })
    }

    /// What its requests say about the bounds. It is looked at after the first launch and after the
    /// fifth; a saturated server breaks them.
    pub fn answer(&self, slo: &Slo, confidence: f64) -> Answer {
        if self.saturated().is_some() {
            return Answer::Breaks;
        }
        if self.failure().is_some() {
            return Answer::Failed;
        }
        let valid: Vec<&Observed> = self.valid().collect();
        for look in LAUNCHES {
            if valid.len() < look {
                break;
            }
            let tally = valid[..look]
                .iter()
                .map(|observed| Tally::of_launch(slo, observed))
                .fold(Tally::default(), Tally::and);
            let answer = tally.answer(slo.share, look_confidence(confidence));
            if answer != Answer::Undecided {
                return answer;
            }
        }
        Answer::Undecided
    }

    /// Whether one more launch is due: until a look decides, as many as the last look takes gave a
    /// number, or the probe was given up. One stream takes one.
    pub fn goes_on(&self, slo: &Slo, confidence: f64) -> bool {
        let most = if self.rate.is_some() { LAUNCHES[1] } else { 1 };
        self.valid().count() < most && self.answer(slo, confidence) == Answer::Undecided
    }

    /// As the search sees it; `None` of one stream.
    pub fn probed(&self, slo: &Slo, confidence: f64) -> Option<Probed> {
        let rate = self.rate?;
        let answer = self.answer(slo, confidence);
        let flags: Vec<bool> = self.valid().flat_map(|seen| slo.over(seen)).collect();
        if flags.is_empty() {
            // One that was given up weighs as one request; of the others nothing is known.
            let requests = if answer == Answer::Undecided { 0.0 } else { 1.0 };
            return Some(Probed { rate, answer, over: 1.0, requests });
        }
        let requests = flags.len() as f64;
        let over = flags.iter().filter(|over| **over).count() as f64 / requests;
        Some(Probed { rate, answer, over, requests })
    }

    /// Wall nanoseconds of its processes.
    pub fn wall(&self) -> u64 {
        self.launches.iter().map(|launch| launch.wall).sum()
    }
}

/// What the probes of a search show: all probed rates, and the first rate to probe, once one stream
/// has been measured.
pub fn probed<'a>(
    probes: impl Iterator<Item = &'a RateProbe> + Clone,
    slo: &Slo,
    confidence: f64,
) -> (Vec<Probed>, Option<f64>) {
    let seen = probes.clone().filter_map(|probe| probe.probed(slo, confidence)).collect();
    let streams = probes.filter(|probe| probe.rate.is_none());
    let times: Vec<f64> =
        streams.flat_map(RateProbe::valid).flat_map(load::service_times).collect();
    // Half of what one server bears at most.
    (seen, full_rate(&times).map(|rate| rate / 2.0))
}

impl RateSearch {
    /// What is known by now.
    pub fn found(&self) -> Found {
        found(&probed(self.probes.iter(), &self.slo, self.confidence).0)
    }
}
