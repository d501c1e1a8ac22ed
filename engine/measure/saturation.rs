//! Whether a queue grows without end, and the slope that tells.

use super::estimate::{normal_quantile, two_sided};
use super::quantile::{sorted, type_7};

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

/// A slope with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    pub point: f64,
    pub low: f64,
    pub high: f64,
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
        theil_sen(&points, 0.95).is_some_and(|slope| slope.low > 0.0)
    };
    rises(|s| s.waiting) && rises(|s| s.latency)
}

/// Median of the slopes of all pairs of points `(x, y)` with different `x`, and Sen's bounds, which
/// take the points as independent (P. K. Sen, JASA 63 (1968) 1379-1389, without its correction for
/// ties). `None` with fewer than three points or one that is not finite.
pub fn theil_sen(points: &[(f64, f64)], level: f64) -> Option<Slope> {
    let n = points.len();
    if n < 3 {
        return None;
    }
    let z = normal_quantile(two_sided(level)?);
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    for (i, (x, y)) in points.iter().enumerate() {
        slopes.extend(points[i + 1..].iter().filter(|p| p.0 != *x).map(|p| (p.1 - y) / (p.0 - x)));
    }
    let slopes = sorted(&slopes)?;
    let n = n as f64;
    let spread = z * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let pairs = slopes.len() as f64;
    // Ranks from 1 are (pairs − spread)/2 and (pairs + spread)/2 + 1, rounded outwards.
    let below = ((pairs - spread) / 2.0 - 1.0).floor().max(0.0) as usize;
    let above = ((pairs + spread) / 2.0).ceil() as usize;
    let last = slopes.len() - 1;
    Some(Slope {
        point: type_7(&slopes, 0.5),
        low: slopes[below.min(last)],
        high: slopes[above.min(last)],
    })
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

    #[test]
    fn slopes_are_those_computed_by_hand() {
        // Of 21 slopes the 11th is 4/3; the spread is 1.96·sqrt(7·6·19/18) = 13.05, so the bounds
        // are the 3rd and the 19th.
        let y = [1.0, 2.0, 2.0, 4.0, 7.0, 6.0, 9.0];
        let points: Vec<(f64, f64)> = (0..7).map(f64::from).zip(y).collect();
        let found = theil_sen(&points, 0.95).unwrap();
        assert_eq!(found, Slope { point: 4.0 / 3.0, low: 0.5, high: 2.5 });
        assert_eq!(theil_sen(&points[..2], 0.95), None);
        assert_eq!(theil_sen(&[(0.0, f64::NAN), (1.0, 1.0), (2.0, 1.0)], 0.95), None);
        assert_eq!(theil_sen(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)], 0.95), None, "one place");
    }
}
