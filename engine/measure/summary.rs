//! From the timelines of one launch to values of metrics.
//!
//! Tokens are counted where they arrived. A request whose instants make no sense — none at all, or
//! out of order — has no value; it never counts as a fast one.

use super::metric::{Better, Metric};
use super::quantile::{median, sorted, type_7};
use super::sample::{Observed, Timeline};

/// Values of `metric` in one launch, in the unit of [`super::METRICS`]: seconds, tokens or items
/// per second, or bytes.
///
/// One value for each counted request, in order; for `itl` one for each gap between tokens; for
/// `load`, `first_call` and `peak_memory` one in all. Empty for what was not observed and for
/// metrics that do not come from a launch.
pub fn values(observed: &Observed, metric: &str) -> Vec<f64> {
    let each = |value: fn(&Timeline) -> Option<f64>| counted(observed).filter_map(value).collect();
    match metric {
        "ttft" => each(ttft),
        "prefill_tps" => each(prefill_tps),
        "decode_tps" => each(decode_tps),
        "e2e" => each(e2e),
        "latency" => each(latency),
        "throughput" => each(throughput),
        "decode" => each(|t| t.decode.map(seconds)),
        "preprocess" => each(|t| t.preprocess.map(seconds)),
        "itl" => counted(observed).flat_map(gaps).collect(),
        "load" => vec![seconds(observed.load)],
        "first_call" => {
            Some(&observed.first_call).filter(|t| is_sane(t)).and_then(e2e).into_iter().collect()
        }
        "peak_memory" => observed.peak_memory.map(|bytes| bytes as f64).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// What one launch contributes to its block: the median of its values. `None` without any.
pub fn block_value(observed: &Observed, metric: &str) -> Option<f64> {
    median(&values(observed, metric))
}

/// As [`block_value`], of the quick quarter: the lower quartile of times, the upper one of rates.
/// What slows some requests down leaves it alone. `None` without values.
pub fn quick_value(observed: &Observed, metric: &Metric) -> Option<f64> {
    let quarter = if metric.better == Better::Lower { 0.25 } else { 0.75 };
    Some(type_7(&sorted(&values(observed, metric.id))?, quarter))
}

/// Whether counted requests still became faster: the first third of the `times`, in order, is
/// slower than the rest by over 1 % and by over four standard errors of their difference.
///
/// Both are medians. The standard error is that of a difference of two means, from the median
/// absolute deviation of the rest, which a few slow requests do not inflate. Independent noise
/// passes for warming in under one launch of twenty (`simulation`). False with fewer than nine
/// times, which cannot tell.
pub fn still_warming(times: &[f64]) -> bool {
    let (early, rest) = times.split_at(times.len() / 3);
    let (Some(first), Some(steady)) = (median(early), median(rest)) else { return false };
    let distances: Vec<f64> = rest.iter().map(|t| (t - steady).abs()).collect();
    let Some(deviation) = median(&distances) else { return false };
    let error = 1.4826 * deviation * (1.0 / early.len() as f64 + 1.0 / rest.len() as f64).sqrt();
    early.len() >= 3 && first - steady > (4.0 * error).max(0.01 * steady)
}

fn counted(observed: &Observed) -> impl Iterator<Item = &Timeline> {
    observed.requests.iter().filter(|t| !t.warmup && is_sane(t))
}

/// At least one token, none before the request was sent, none before its predecessor.
fn is_sane(t: &Timeline) -> bool {
    t.tokens.first().is_some_and(|first| *first >= t.sent) && t.tokens.is_sorted()
}

fn ttft(t: &Timeline) -> Option<f64> {
    t.prompt_tokens?;
    span(t.sent, *t.tokens.first()?)
}

fn e2e(t: &Timeline) -> Option<f64> {
    span(t.sent, *t.tokens.last()?)
}

/// From handing over the inputs to all outputs, of a request that is not about tokens.
fn latency(t: &Timeline) -> Option<f64> {
    if t.prompt_tokens.is_none() { e2e(t) } else { None }
}

/// Items of the batch per second.
fn throughput(t: &Timeline) -> Option<f64> {
    rate(f64::from(t.batch), latency(t)?)
}

/// All prompt tokens of the batch per second of prefill.
fn prefill_tps(t: &Timeline) -> Option<f64> {
    rate(f64::from(t.batch) * f64::from(t.prompt_tokens?), ttft(t)?)
}

/// Tokens after the first of every sequence per second from the first to the last.
fn decode_tps(t: &Timeline) -> Option<f64> {
    let after_first = t.tokens.len().checked_sub(1)?;
    rate(f64::from(t.batch) * after_first as f64, span(t.tokens[0], *t.tokens.last()?)?)
}

fn gaps(t: &Timeline) -> impl Iterator<Item = f64> {
    t.tokens.windows(2).filter_map(|pair| span(pair[0], pair[1]))
}

/// Work per time; `None` where there was no work or the clock saw no time pass.
fn rate(tokens: f64, seconds: f64) -> Option<f64> {
    (tokens > 0.0 && seconds > 0.0).then(|| tokens / seconds)
}

fn span(from: u64, to: u64) -> Option<f64> {
    to.checked_sub(from).map(seconds)
}

fn seconds(nanos: u64) -> f64 {
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
    fn a_falling_start_is_warming_and_steady_noise_is_not() {
        let noise = |i: usize| 1.0 + 0.01 * ((i * 7 % 5) as f64 - 2.0);
        let steady: Vec<f64> = (0..30).map(noise).collect();
        let falling: Vec<f64> =
            (0..30).map(|i| noise(i) + 0.5 * (-(i as f64) / 5.0).exp()).collect();
        assert!(!still_warming(&steady));
        assert!(still_warming(&falling));
        assert!(!still_warming(&falling[..8]), "too few to tell");
        let slight = [1.005, 1.005, 1.005, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        assert!(!still_warming(&slight), "half a per cent does not matter");
        let wild = [1.05, 1.05, 1.05, 0.8, 1.2, 0.8, 1.2, 0.8, 1.2];
        assert!(!still_warming(&wild), "within the noise of the rest");
        assert!(!still_warming(&[f64::NAN; 30]));
    }
}
