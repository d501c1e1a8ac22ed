//! Times of generated text, from chunks of tokens.
//!
//! Chunk `j` arrives at `a_j` and carries `n_j` tokens. Chunks without tokens, such as one that only
//! opens an answer, are no output. With `a_1` and `a_m` the first and last chunk that carry some and
//! `N = Σ n_j`:
//!
//! - TTFT is `a_1` minus the instant at which the request was to be sent;
//! - TPOT is `(a_m − a_1)/(N − n_1)`: the first chunk belongs to the prompt. Its distribution is over
//!   requests;
//! - ITL is `(a_j − a_{j−1})/n_j`, counted `n_j` times. Its distribution is over tokens, which are
//!   not independent: an interval takes requests as clusters.

use super::estimate::{Estimate, Method, ratio_of_sums};
use super::sample::Timeline;
use super::summary::{rate, span};
use super::trend::theil_sen;

/// Instants and numbers of tokens of the chunks that carry some.
fn chunks(t: &Timeline) -> impl Iterator<Item = (u64, u32)> {
    let count = |j: usize| t.counts.as_ref().map_or(Some(1), |counts| counts.get(j).copied());
    let all = t.tokens.iter().enumerate().filter_map(move |(j, at)| Some((*at, count(j)?)));
    all.filter(|(_, n)| *n > 0)
}

/// First chunk with tokens: its instant and number.
fn first(t: &Timeline) -> Option<(u64, u32)> {
    t.prompt_tokens?;
    chunks(t).next()
}

/// When the last output was there.
pub(super) fn last(t: &Timeline) -> Option<u64> {
    chunks(t).last().map(|(at, _)| at)
}

/// Tokens of one sequence.
pub fn generated(t: &Timeline) -> u32 {
    chunks(t).map(|(_, n)| n).sum()
}

/// Tokens of one sequence that arrived after `begin`, until `end`.
pub(super) fn between(t: &Timeline, begin: u64, end: u64) -> f64 {
    chunks(t).filter(|(at, _)| begin < *at && *at <= end).map(|(_, n)| f64::from(n)).sum()
}

/// Seconds to the first token, from the instant at which the request was to be sent.
pub fn ttft(t: &Timeline) -> Option<f64> {
    span(t.scheduled.unwrap_or(t.sent), first(t)?.0)
}

/// Seconds per token after the first chunk.
pub fn tpot(t: &Timeline) -> Option<f64> {
    let (begin, n) = first(t)?;
    let after = generated(t) - n;
    (after > 0).then(|| span(begin, last(t)?)).flatten().map(|time| time / f64::from(after))
}

/// As other tools compute it: (E2E − TTFT)/(N − 1), which takes the first chunk for one token.
pub fn tpot_compat(t: &Timeline) -> Option<f64> {
    let after = generated(t).checked_sub(1).filter(|n| *n > 0)?;
    Some(span(first(t)?.0, last(t)?)? / f64::from(after))
}

/// Seconds between consecutive chunks.
pub fn icl(t: &Timeline) -> impl Iterator<Item = f64> {
    pairs(t).map(|(gap, _)| gap)
}

/// Seconds between consecutive tokens: the gap before a chunk is shared by its tokens.
pub fn itl(t: &Timeline) -> impl Iterator<Item = f64> {
    pairs(t).flat_map(|(gap, n)| std::iter::repeat_n(gap / f64::from(n), n as usize))
}

/// Gaps before chunks, with the tokens of each.
fn pairs(t: &Timeline) -> impl Iterator<Item = (f64, u32)> {
    chunks(t).zip(chunks(t).skip(1)).filter_map(|((a, _), (b, n))| Some((span(a, b)?, n)))
}

/// All prompt tokens of the batch per second of prefill, from handing the request to the backend.
pub fn prefill_tps(t: &Timeline) -> Option<f64> {
    rate(f64::from(t.batch) * f64::from(t.prompt_tokens?), span(t.sent, first(t)?.0)?)
}

/// Tokens after the first chunk of every sequence per second from the first to the last.
pub fn decode_tps(t: &Timeline) -> Option<f64> {
    let (begin, n) = first(t)?;
    rate(f64::from(t.batch) * f64::from(generated(t) - n), span(begin, last(t)?)?)
}

/// Mean time between tokens with launches as clusters, because requests of one process share its
/// luck; at least two of them with such times.
pub fn mean_itl<'a, L: IntoIterator<Item = &'a Timeline>>(
    launches: impl IntoIterator<Item = L>,
    level: f64,
) -> Option<Estimate> {
    let sum = |launch: L| {
        let gaps = launch.into_iter().flat_map(pairs);
        gaps.fold((0.0, 0.0), |(time, n), (gap, own)| (time + gap, n + f64::from(own)))
    };
    let sums: Vec<(f64, f64)> =
        launches.into_iter().map(sum).filter(|(_, tokens)| *tokens > 0.0).collect();
    let (times, tokens): (Vec<f64>, Vec<f64>) = sums.into_iter().unzip();
    ratio_of_sums(&times, &tokens, level)
}

/// Prompt tokens per second without what a request costs whatever its length: one over the
/// Theil–Sen slope of TTFT over prompt lengths, with Sen's interval of that slope turned over.
/// `None` with fewer than three lengths, and where the slope or its lower bound is not above 0.
pub fn prefill_slope(points: &[(u32, f64)], level: f64) -> Option<Estimate> {
    let mut lengths: Vec<u32> = points.iter().map(|(length, _)| *length).collect();
    lengths.sort_unstable();
    lengths.dedup();
    if lengths.len() < 3 {
        return None;
    }
    let points: Vec<(f64, f64)> = points.iter().map(|(n, t)| (f64::from(*n), *t)).collect();
    let slope = theil_sen(&points, level, 1.0).filter(|slope| slope.low > 0.0)?;
    Some(Estimate {
        point: slope.point.recip(),
        low: slope.high.recip(),
        high: slope.low.recip(),
        level,
        n: u32::try_from(points.len()).ok()?,
        method: Method::TheilSen,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times in milliseconds.
    fn stream(tokens: &[u64], counts: &[u32]) -> Timeline {
        Timeline {
            scheduled: Some(1_000_000),
            queued: Some(1_500_000),
            sent: 2_000_000,
            tokens: tokens.iter().map(|t| t * 1_000_000).collect(),
            counts: Some(counts.to_vec()),
            prompt_tokens: Some(8),
            batch: 1,
            ..Timeline::default()
        }
    }

    #[test]
    fn a_slope_over_lengths_leaves_the_fixed_cost_out() {
        // 10 ms whatever the length, and 1 ms for each token.
        let points: Vec<(u32, f64)> =
            (0..24).map(|i| 32 * (1 + i % 3)).map(|n| (n, 0.010 + 0.001 * f64::from(n))).collect();
        let rate = prefill_slope(&points, 0.95).unwrap();
        assert!((rate.point - 1000.0).abs() < 1e-6, "{rate:?}");
        assert!(rate.low <= rate.point && rate.point <= rate.high, "{rate:?}");
        assert_eq!((rate.n, rate.method), (24, Method::TheilSen));
        assert_eq!(prefill_slope(&points[..2], 0.95), None, "two lengths");
        let flat: Vec<(u32, f64)> = points.iter().map(|(n, _)| (*n, 0.5)).collect();
        assert_eq!(prefill_slope(&flat, 0.95), None, "no slope");
    }

    #[test]
    fn intervals_of_the_time_between_tokens_take_launches_as_units() {
        let fast = stream(&[10, 20, 30, 40], &[1, 1, 1, 1]);
        let slow = stream(&[10, 40, 70, 100], &[1, 1, 1, 1]);
        let found = mean_itl([[&fast], [&slow]], 0.95).unwrap();
        assert!((found.point - 0.020).abs() < 1e-12);
        assert_eq!(found.n, 2);
        assert!(found.low < 0.0, "two launches that differ threefold know nothing");
        assert!(mean_itl([[&fast], [&stream(&[10], &[1])]], 0.95).is_none(), "one with gaps");
        assert!(mean_itl([[&fast, &slow]], 0.95).is_none(), "one launch, however many requests");
    }

    #[test]
    fn what_is_not_about_tokens_has_no_times_of_tokens() {
        let plain = Timeline { prompt_tokens: None, ..stream(&[10], &[1]) };
        assert_eq!((ttft(&plain), tpot(&plain), decode_tps(&plain)), (None, None, None));
        let empty = stream(&[10, 20], &[0, 0]);
        assert_eq!((ttft(&empty), generated(&empty), last(&empty)), (None, 0, None));
    }
}
