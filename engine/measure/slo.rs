//! A service level objective: what a share of requests must keep, and when requests seen decide it.

use serde::{Deserialize, Serialize};

use super::autocorrelation::effective_size;
use super::load::latencies;
use super::quantile::{binomial, median};
use super::sample::{Observed, Timeline};
use super::search::Answer;
use super::{summary, tokens};

/// Bounds in seconds that a share of the requests must keep, each request all of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// Such as 0.99: p99 of the latency, where that is the only bound.
    pub share: f64,
    /// From the scheduled instant to the end of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// From the scheduled instant to the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft: Option<f64>,
    /// Per token after the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpot: Option<f64>,
}

impl Slo {
    /// Whether a request keeps all bounds. One without an answer keeps none; one of a single token
    /// has no time per token and keeps that bound.
    pub fn keeps(&self, t: &Timeline) -> bool {
        let within = |bound: Option<f64>, found: Option<f64>, without: bool| {
            bound.is_none_or(|bound| found.map_or(without, |found| found <= bound))
        };
        let single = tokens::generated(t) == 1;
        summary::is_sane(t)
            && within(self.latency, summary::e2e(t), false)
            && within(self.ttft, tokens::ttft(t), false)
            && within(self.tpot, tokens::tpot(t), single)
    }

    /// Of each request of a launch that counts, in order, whether it was over a bound; one without
    /// an answer was.
    pub fn over(&self, observed: &Observed) -> Vec<bool> {
        observed.requests.iter().filter(|t| !t.warmup).map(|t| !self.keeps(t)).collect()
    }
}

/// Requests that were over a bound, among all; both may be fractions of what was seen, because
/// requests that wait in one queue say less than as many independent ones.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    pub over: f64,
    pub n: f64,
}

/// Below so many requests over a bound their own correlation cannot be seen, and that of the
/// latencies is taken, which is stronger.
const FEW: usize = 10;

impl Tally {
    /// Of the requests of one launch in order: which were over, and their latencies in seconds.
    ///
    /// Both numbers are multiplied by `n_eff/n` of the indicator of being over; with fewer than ten
    /// over, of the latencies.
    fn of(over: &[bool], latencies: &[f64]) -> Self {
        let n = over.len() as f64;
        let count = over.iter().filter(|over| **over).count();
        let indicator: Vec<f64> = over.iter().map(|over| f64::from(u8::from(*over))).collect();
        let series = if count < FEW { latencies } else { &indicator };
        let runs = [series.to_vec()];
        let share = effective_size(&runs) / series.len().max(1) as f64;
        Self { over: count as f64 * share, n: n * share }
    }

    /// What one launch says about `slo`.
    pub fn of_launch(slo: &Slo, observed: &Observed) -> Self {
        Self::of(&slo.over(observed), &latencies(observed))
    }

    pub fn and(self, other: Self) -> Self {
        Self { over: self.over + other.over, n: self.n + other.n }
    }

    /// With p the share allowed to be over, and c the confidence: *keeps* if P(Bin(n, p) ≤ t) ≤ 1−c,
    /// *breaks* if P(Bin(n, p) ≥ t) ≤ 1−c, else *undecided*. Fractions are rounded towards
    /// undecided.
    pub fn answer(self, share: f64, confidence: f64) -> Answer {
        let (n, allowed) = (self.n.floor() as usize, 1.0 - share);
        if n == 0 || !(allowed > 0.0 && allowed < 1.0) {
            return Answer::Undecided;
        }
        let (first, weights) = binomial(n, allowed);
        let total: f64 = weights.iter().sum();
        let sum = |keep: &dyn Fn(f64) -> bool| {
            let own = weights.iter().zip(first..).filter(|(_, k)| keep(*k as f64));
            own.map(|(w, _)| w).sum::<f64>() / total
        };
        let (most, least) = (self.over.ceil(), self.over.floor());
        if sum(&|k| k <= most) <= 1.0 - confidence {
            Answer::Keeps
        } else if sum(&|k| k >= least) <= 1.0 - confidence {
            Answer::Breaks
        } else {
            Answer::Undecided
        }
    }
}

/// Requests of the first look of a probe, of the second and last: as many as show that the bound is
/// kept when the share over it is half of what is allowed, and five times as many.
pub fn looks(share: f64, confidence: f64) -> [u32; 2] {
    let fits = |n: &u32| {
        let n = f64::from(*n);
        let over = ((1.0 - share) * n / 2.0).floor();
        Tally { over, n }.answer(share, confidence) == Answer::Keeps
    };
    let first = (1..=200).map(|i| 25 * i).find(fits).unwrap_or(5000);
    [first, 5 * first]
}

/// Confidence of each of the two looks of a probe, which share the error allowed (Bonferroni).
pub fn look_confidence(confidence: f64) -> f64 {
    1.0 - (1.0 - confidence) / 2.0
}

/// One over the median time of service: the rate at which one server is busy all the time.
pub fn full_rate(service_times: &[f64]) -> Option<f64> {
    median(service_times).filter(|time| *time > 0.0).map(|time| 1.0 / time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(over: f64, n: f64) -> Tally {
        Tally { over, n }
    }

    #[test]
    fn as_few_requests_decide_as_the_published_rules_say() {
        // P(Bin(n, 0.01) ≤ 0) = 0.99^n ≤ 0.05 from 299 on; LoadGen's 662 for one over at 99 %.
        assert_eq!(at(0.0, 298.0).answer(0.99, 0.95), Answer::Undecided);
        assert_eq!(at(0.0, 299.0).answer(0.99, 0.95), Answer::Keeps);
        assert_eq!(at(1.0, 661.0).answer(0.99, 0.99), Answer::Undecided);
        assert_eq!(at(1.0, 662.0).answer(0.99, 0.99), Answer::Keeps);
        for (share, need) in [(0.5, 5), (0.9, 29), (0.95, 59), (0.99, 299)] {
            assert_eq!(at(0.0, f64::from(need)).answer(share, 0.95), Answer::Keeps);
            assert_eq!(at(0.0, f64::from(need - 1)).answer(share, 0.95), Answer::Undecided);
        }
        // P(Bin(10, 0.01) ≥ 2) = 0.0043, ≥ 1 is 0.0956.
        assert_eq!(at(2.0, 10.0).answer(0.99, 0.95), Answer::Breaks);
        assert_eq!(at(1.0, 10.0).answer(0.99, 0.95), Answer::Undecided);
    }

    #[test]
    fn fractions_are_rounded_towards_not_knowing() {
        assert_eq!(at(0.2, 299.9).answer(0.99, 0.95), Answer::Undecided, "one over of 299");
        assert_eq!(at(1.9, 10.0).answer(0.99, 0.95), Answer::Undecided, "one over of 10");
        assert_eq!(at(0.0, 0.9).answer(0.99, 0.95), Answer::Undecided);
    }

    #[test]
    fn a_burst_of_slow_requests_is_one_event() {
        let over: Vec<bool> = (0..1000).map(|i| (500..530).contains(&i)).collect();
        let latencies: Vec<f64> = over.iter().map(|o| if *o { 2.0 } else { 1.0 }).collect();
        let tally = Tally::of(&over, &latencies);
        assert!(tally.n < 100.0, "{tally:?}");
        assert!((tally.over / tally.n - 0.03).abs() < 1e-12);
        assert_eq!(tally.answer(0.99, 0.95), Answer::Undecided);
        assert_eq!(at(30.0, 1000.0).answer(0.99, 0.95), Answer::Breaks, "as if independent");
    }

    #[test]
    fn a_request_keeps_all_bounds_or_none_counts() {
        let t = Timeline {
            scheduled: Some(0),
            queued: Some(0),
            sent: 20_000_000,
            tokens: vec![100_000_000, 150_000_000, 200_000_000],
            prompt_tokens: Some(4),
            batch: 1,
            ..Timeline::default()
        };
        let slo = |latency, ttft, tpot| Slo { share: 0.9, latency, ttft, tpot };
        assert!(slo(Some(0.2), Some(0.1), Some(0.05)).keeps(&t));
        assert!(!slo(Some(0.199), None, None).keeps(&t));
        assert!(!slo(Some(0.2), Some(0.09), None).keeps(&t));
        assert!(!slo(Some(0.2), None, Some(0.049)).keeps(&t));
        let failed = Timeline { tokens: Vec::new(), ..t.clone() };
        assert!(!slo(Some(9.0), None, None).keeps(&failed));
        let single = Timeline { tokens: vec![100_000_000], ..t };
        assert!(slo(None, None, Some(0.01)).keeps(&single));
    }

    #[test]
    fn looks_are_as_long_as_a_comfortable_margin_needs() {
        let [first, last] = looks(0.99, look_confidence(0.95));
        assert!((400..2500).contains(&first), "{first}");
        assert_eq!(last, 5 * first);
        assert!(looks(0.5, 0.975)[0] <= 50);
    }
}
