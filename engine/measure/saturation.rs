//! Whether a queue grows without end.

use super::trend::theil_sen;

/// What the server looked like when a request was answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Seconds on any clock.
    pub at: f64,
    /// Requests that were to be sent by then and had no answer yet.
    pub waiting: f64,
    /// Of the request, from the instant at which it was to be sent; in seconds.
    pub latency: f64,
    /// The server had nothing to do just before it took the request.
    pub idle: bool,
}

/// Fewer say nothing.
const LEAST: usize = 20;

/// Points that a slope is computed from: all pairs of them are formed while the server waits.
const MOST: usize = 48;

/// Growth that counts.
const GROWTH: f64 = 1.5;

/// Whether the server fell behind over `seen`, in order of time: it was never idle, the number that
/// waits and the latency both have a slope whose lower 95 % bound is above 0, and the number that
/// waits has grown by half and by two at least from the first fifth to the last.
///
/// Waiting numbers are not independent of each other, so the bounds alone would say so too often;
/// that the server was never idle is what a queue without end has and a busy one rarely.
pub fn growing(seen: &[Seen]) -> bool {
    if seen.len() < LEAST || seen.iter().skip(1).any(|s| s.idle) {
        return false;
    }
    let fifth = seen.len() / 5;
    let mean = |part: &[Seen]| part.iter().map(|s| s.waiting).sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&seen[..fifth]), mean(&seen[seen.len() - fifth..]));
    if last <= GROWTH * first || last < first + 2.0 {
        return false;
    }
    let step = seen.len().div_ceil(MOST);
    let thin = || seen.iter().step_by(step);
    let rises = |of: fn(&Seen) -> f64| {
        let points: Vec<(f64, f64)> = thin().map(|s| (s.at, of(s))).collect();
        theil_sen(&points, 0.95, 1.0).is_some_and(|slope| slope.low > 0.0)
    };
    rises(|s| s.waiting) && rises(|s| s.latency)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One second between answers; `waiting` requests in the queue at each.
    fn trace(n: u32, waiting: impl Fn(f64) -> f64) -> Vec<Seen> {
        let seen = |i: u32| {
            let (at, waiting) = (f64::from(i), waiting(f64::from(i)));
            Seen { at, waiting, latency: 0.5 * waiting, idle: false }
        };
        (0..n).map(seen).collect()
    }

    #[test]
    fn a_queue_that_grows_is_told_from_one_that_is_long() {
        let wobble = |i: f64| f64::from(i as u32 * 7 % 5);
        assert!(growing(&trace(60, |i| 0.5 * i + wobble(i))));
        assert!(!growing(&trace(60, |i| 30.0 + wobble(i))));
        assert!(!growing(&trace(60, |i| 30.0 - 0.5 * i)));
        assert!(!growing(&trace(19, |i| i)), "too few");
        let mut rested = trace(60, |i| i);
        rested[30].idle = true;
        assert!(!growing(&rested), "it had nothing to do in between");
    }
}
