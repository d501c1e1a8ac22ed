//! From the timelines of one launch to values of metrics.
//!
//! Tokens are counted where they arrived. A request whose instants make no sense — none at all, or
//! out of order — has no value; it never counts as a fast one.

use super::load;
use super::metric::{Better, Metric};
use super::quantile::{median, sorted, type_7};
use super::sample::{Admission, Energy, Observed, Timeline};
use super::{steady, tokens};

/// Values of `metric` in one launch, in the unit of [`super::METRICS`]: seconds, tokens or items
/// per second, or bytes.
///
/// One value for each counted request, in order; for `itl` one for each token after the first
/// chunk; for `load`, `first_call`, memory, energy, and under load `throughput` and
/// `output_tps`, one in all. Empty for what was not observed and for metrics that do not come from a launch.
///
/// Under load times of answers count from the scheduled instant. Where all requests are there from
/// the start the one value of `latency` and `e2e` is the time until the last is answered.
pub fn values(observed: &Observed, metric: &str) -> Vec<f64> {
    let at_once = observed.sending.is_some_and(|s| s.admission == Admission::AtOnce);
    match metric {
        "ttft" if at_once => Vec::new(),
        "output_tps" => load::output_tps(observed).into_iter().collect(),
        "latency" | "throughput" if is_text(observed) => Vec::new(),
        "e2e" | "latency" => load::latencies(observed),
        "throughput" if observed.sending.is_some() => {
            load::throughput(observed).into_iter().collect()
        }
        "itl" => counted(observed).flat_map(|t| tokens::itl(t).collect::<Vec<_>>()).collect(),
        "load" => vec![seconds(observed.load)],
        "first_call" => whole_time(&observed.first_call).into_iter().collect(),
        "steady_memory" => observed.steady_memory.map(|bytes| bytes as f64).into_iter().collect(),
        "energy" => per_work(observed, |_| 1.0).into_iter().collect(),
        "energy_per_token" => per_work(observed, generated).into_iter().collect(),
        "peak_memory" => observed.peak_memory.map(|bytes| bytes as f64).into_iter().collect(),
        _ => each(metric).map_or_else(Vec::new, |one| counted(observed).filter_map(one).collect()),
    }
}

/// As [`values`] of a metric that every request has by itself, of all requests that were not
/// flagged as warm-up when they were made: a level that is found afterwards leaves none out.
/// Requests come one after the other, as in the probes of a search for a batch.
pub fn values_as_made(observed: &Observed, metric: &str) -> Vec<f64> {
    each(metric).map_or_else(Vec::new, |one| as_made(observed).filter_map(one).collect())
}

/// The value of one request by itself, for metrics that are one.
fn each(metric: &str) -> Option<fn(&Timeline) -> Option<f64>> {
    Some(match metric {
        "ttft" => tokens::ttft,
        "prefill_tps" => tokens::prefill_tps,
        "decode_tps" => tokens::decode_tps,
        "tpot" => tokens::tpot,
        "e2e" | "latency" => e2e,
        "throughput" => throughput,
        "decode" => |t| t.decode.map(seconds),
        "preprocess" => |t| t.preprocess.map(seconds),
        _ => return None,
    })
}

/// What one launch contributes to its block: the median of its values. `None` without any.
pub fn block_value(observed: &Observed, metric: &str) -> Option<f64> {
    observed.course.value(metric, || median(&values(observed, metric)))
}

/// As [`block_value`], of the quick quarter: the lower quartile of times, the upper one of rates.
/// What slows some requests down leaves it alone. `None` without values.
pub fn quick_value(observed: &Observed, metric: &Metric) -> Option<f64> {
    let quarter = if metric.better == Better::Lower { 0.25 } else { 0.75 };
    Some(type_7(&sorted(&values(observed, metric.id))?, quarter))
}

/// End-to-end seconds of a request; `None` where its instants make no sense.
pub fn whole_time(request: &Timeline) -> Option<f64> {
    Some(request).filter(|t| is_sane(t)).and_then(e2e)
}

/// Requests that count and make sense.
pub fn counted(observed: &Observed) -> impl Iterator<Item = &Timeline> {
    let from = steady::counted_from(observed);
    observed.requests.iter().skip(from).filter(|t| is_counted(t))
}

/// Requests that counted when they were made and make sense.
fn as_made(observed: &Observed) -> impl Iterator<Item = &Timeline> {
    observed.requests.iter().filter(|t| is_counted(t))
}

fn is_counted(t: &Timeline) -> bool {
    !t.warmup && is_sane(t)
}

/// At least one answer, none before the request was sent, none before its predecessor; and it was
/// not sent before it was queued, nor queued before it was to be.
pub(super) fn is_sane(t: &Timeline) -> bool {
    let queued = t.queued.unwrap_or(t.sent);
    t.tokens.first().is_some_and(|first| *first >= t.sent)
        && t.tokens.is_sorted()
        && t.counts.as_ref().is_none_or(|counts| counts.len() == t.tokens.len())
        && (t.scheduled.unwrap_or(queued)..=t.sent).contains(&queued)
}

fn is_text(observed: &Observed) -> bool {
    counted(observed).any(|t| t.prompt_tokens.is_some())
}

/// From the instant at which a request was to be sent, to its last answer.
pub(super) fn e2e(t: &Timeline) -> Option<f64> {
    span(t.scheduled.unwrap_or(t.sent), tokens::last(t)?)
}

/// Items of the batch by the time of the request, which was the only one.
fn throughput(t: &Timeline) -> Option<f64> {
    rate(f64::from(t.batch), e2e(t)?)
}

/// Joules of the machine per unit of what the requests that count did.
fn per_work(observed: &Observed, work: fn(&Timeline) -> f64) -> Option<f64> {
    let Some(Energy::Counted { zones, .. }) = &observed.energy else { return None };
    let done: f64 = observed.requests.iter().filter(|t| !t.warmup).map(work).sum();
    rate(zones.values().sum(), done)
}

/// Tokens that a request generated; none of one that is not about tokens.
fn generated(t: &Timeline) -> f64 {
    t.prompt_tokens.map_or(0.0, |_| f64::from(t.batch) * f64::from(tokens::generated(t)))
}

/// Work per time; `None` where there was no work or the clock saw no time pass.
pub(super) fn rate(work: f64, seconds: f64) -> Option<f64> {
    (work > 0.0 && seconds > 0.0).then(|| work / seconds)
}

pub(super) fn span(from: u64, to: u64) -> Option<f64> {
    to.checked_sub(from).map(seconds)
}

pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::METRICS;

    const MS: u64 = 1_000_000;

    fn request(sent: u64, tokens: &[u64]) -> Timeline {
        let tokens = tokens.iter().map(|t| t * MS).collect();
        Timeline {
            sent: sent * MS,
            tokens,
            prompt_tokens: Some(100),
            batch: 2,
            ..Timeline::default()
        }
    }

    fn launch(requests: Vec<Timeline>) -> Observed {
        Observed {
            load: 2_500 * MS,
            first_call: request(0, &[400, 500]),
            requests,
            peak_memory: Some(1 << 30),
            steady_memory: None,
            cpu_time: None,
            ..Observed::default()
        }
    }

    fn close(found: &[f64], expected: &[f64]) -> bool {
        found.len() == expected.len()
            && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs())
    }

    #[test]
    fn values_follow_from_a_timeline_computed_by_hand() {
        let o = launch(vec![request(1000, &[1050, 1060, 1080, 1090]), request(2000, &[2040])]);
        assert!(close(&values(&o, "ttft"), &[0.05, 0.04]));
        assert!(close(&values(&o, "itl"), &[0.01, 0.02, 0.01]));
        assert!(close(&values(&o, "prefill_tps"), &[2.0 * 100.0 / 0.05, 2.0 * 100.0 / 0.04]));
        // Two sequences, three tokens after the first, 40 ms; the second request has no decode.
        assert!(close(&values(&o, "decode_tps"), &[2.0 * 3.0 / 0.04]));
        assert!(close(&values(&o, "e2e"), &[0.09, 0.04]));
        assert!(close(&values(&o, "load"), &[2.5]));
        assert!(close(&values(&o, "first_call"), &[0.5]));
        assert!(close(&values(&o, "peak_memory"), &[1_073_741_824.0]));
        assert!(close(&[block_value(&o, "ttft").unwrap()], &[0.045]));
        let quick = |id| quick_value(&o, crate::measure::metric(id).unwrap()).unwrap();
        assert!(close(&[quick("ttft"), quick("prefill_tps")], &[0.0425, 4750.0]));
    }

    #[test]
    fn a_request_without_tokens_has_a_latency_and_nothing_of_tokens() {
        let plain = |sent, done| Timeline { prompt_tokens: None, ..request(sent, &[done]) };
        let o = launch(vec![plain(1000, 1050), plain(2000, 2040)]);
        assert!(close(&values(&o, "latency"), &[0.05, 0.04]));
        assert!(close(&values(&o, "throughput"), &[2.0 / 0.05, 2.0 / 0.04]));
        assert_eq!(values(&o, "latency"), values(&o, "e2e"));
        for metric in ["ttft", "itl", "prefill_tps", "decode_tps"] {
            assert!(values(&o, metric).is_empty(), "{metric}");
        }
        let text = launch(vec![request(1000, &[1050, 1060])]);
        assert!(values(&text, "latency").is_empty() && values(&text, "throughput").is_empty());
        let written = serde_json::to_value(&o.requests[0]).unwrap();
        assert!(written.get("prompt_tokens").is_none());
        assert_eq!(serde_json::from_value::<Timeline>(written).unwrap(), o.requests[0]);
    }

    #[test]
    fn energy_is_shared_out_among_the_requests_that_count() {
        let warm = Timeline { warmup: true, ..request(0, &[900, 1800]) };
        let counted = [request(1000, &[1050, 1060, 1070]), request(2000, &[2040])];
        let mut o = launch(vec![warm, counted[0].clone(), counted[1].clone()]);
        assert!(values(&o, "energy").is_empty());
        let zones = [("package-0".to_owned(), 10.0), ("dram-0".to_owned(), 2.0)].into();
        o.energy = Some(Energy::Counted { zones, window: 1_000_000_000 });
        assert!(close(&values(&o, "energy"), &[6.0]));
        // Two sequences of three and of one token.
        assert!(close(&values(&o, "energy_per_token"), &[12.0 / 8.0]));
        o.energy = Some(Energy::Unmeasured("no counter".into()));
        assert!(values(&o, "energy").is_empty(), "never 0");
        let plain = Timeline { prompt_tokens: None, ..counted[1].clone() };
        let zones = [("package-0".to_owned(), 10.0)].into();
        let energy = Some(Energy::Counted { zones, window: 1 });
        let graph = Observed { energy, ..launch(vec![plain]) };
        assert!(close(&values(&graph, "energy"), &[10.0]));
        assert!(values(&graph, "energy_per_token").is_empty());
    }

    #[test]
    fn warmup_requests_are_left_out() {
        let slow = Timeline { warmup: true, ..request(0, &[900, 1800]) };
        let o = launch(vec![slow, request(1000, &[1050, 1060])]);
        assert!(close(&values(&o, "ttft"), &[0.05]));
        assert!(close(&values(&o, "itl"), &[0.01]));
    }

    #[test]
    fn a_timeline_that_makes_no_sense_has_no_value() {
        let backwards = request(1000, &[1050, 1040, 1090]);
        let before_sent = request(1000, &[900, 1090]);
        let mut o = launch(vec![request(1000, &[]), backwards, before_sent]);
        o.first_call = request(1000, &[1050, 1040]);
        o.peak_memory = None;
        for metric in METRICS.iter().filter(|m| m.id != "load") {
            assert!(values(&o, metric.id).is_empty(), "{}", metric.id);
            assert_eq!(block_value(&o, metric.id), None);
        }
        assert!(values(&o, "no such metric").is_empty());
    }

    #[test]
    fn work_in_no_time_has_no_rate() {
        let o = launch(vec![request(1000, &[1000, 1000])]);
        assert!(values(&o, "decode_tps").is_empty() && values(&o, "prefill_tps").is_empty());
        let idle = Timeline { batch: 0, ..request(0, &[10, 20]) };
        assert!(values(&launch(vec![idle]), "decode_tps").is_empty());
    }

    #[test]
    fn warm_up_that_was_not_noticed_in_time_is_left_out_afterwards() {
        let last = |i: u64| if i < 7 { 1100 + 2 * i } else { 1050 + i % 3 };
        let mut requests: Vec<Timeline> = (0..25).map(|i| request(1000, &[last(i)])).collect();
        requests[0].warmup = true;
        let o = launch(requests);
        let found = values(&o, "e2e");
        assert_eq!(found.len(), 18, "seven of twenty-five were slow");
        assert!(found.iter().all(|seconds| *seconds < 0.06));
        assert_eq!(values_as_made(&o, "e2e").len(), 24, "all but what was flagged");
        assert!(close(&values(&o, "first_call"), &[0.5]));
    }
}
