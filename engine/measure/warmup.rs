//! Warm-up while it happens: how many requests to make before counting.

use serde::{Deserialize, Serialize};

use super::quantile::median;
use super::trend::theil_sen;

/// Requests of one window.
pub const WINDOW: usize = 5;

/// Most requests before counting begins.
pub const MOST_REQUESTS: usize = 100;

/// Longest warm-up in nanoseconds, whatever the budget.
pub const MOST_TIME: u64 = 30_000_000_000;

/// Share of a launch's part of `max_time` that warming up may take.
const SHARE: u64 = 5;

/// Changes below this share do not matter.
const MATTERS: f64 = 0.01;

/// Why warming up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmupEnd {
    /// The spec says how many requests there are.
    Fixed,
    /// The last two windows agree, twice in a row.
    Steady,
    /// As many requests as are allowed, and still not steady.
    MostRequests,
    /// The time allowed is over, and it is still not steady.
    MostTime,
    /// Two windows would outlast the time allowed, so that nothing was looked for.
    TooDear,
}

/// Longest warm-up of one launch in nanoseconds: a fifth of what `max_time` leaves for each of the
/// least `launches` that a setting needs, and never over 30 s.
pub fn allowed(max_time: u64, launches: u64) -> u64 {
    (max_time / launches.max(1) / SHARE).min(MOST_TIME)
}

/// Watches the requests of a launch from its first one after the first call.
///
/// Steady: the medians of the last two windows of five differ by no more than 1 %, or than twice
/// the standard error of such a median where that is more (`2 · 1.4826 · MAD / √5`, over both
/// windows), the Theil–Sen slope over both changes by no more than that, and the same held one
/// request earlier. The windows that agree show that the process was steady when they began, so
/// they are not part of the warm-up.
#[derive(Debug, Clone)]
pub struct Detector {
    least: usize,
    allowed: u64,
    times: Vec<f64>,
    agreed: bool,
}

impl Detector {
    /// `least`: requests that are warm-up in any case. `allowed`: nanoseconds until it gives up.
    pub fn new(least: usize, allowed: u64) -> Self {
        Self { least, allowed, times: Vec::new(), agreed: false }
    }

    /// Tells the time of the next request, and all that has passed since the first, in nanoseconds.
    /// Once warming up is over: how many of the requests told are warm-up, and why it ended.
    pub fn tell(&mut self, request: u64, passed: u64) -> Option<(usize, WarmupEnd)> {
        self.times.push(request as f64);
        let told = self.times.len();
        if told < self.least.max(1) {
            return None;
        }
        let fastest = self.times.iter().copied().fold(f64::INFINITY, f64::min);
        let needed = self.least.max(1).saturating_sub(1) + 2 * WINDOW + 1;
        let ahead = needed.saturating_sub(told) as f64 * fastest;
        if told <= self.least.max(1) && passed as f64 + ahead > self.allowed as f64 {
            return Some((self.least, WarmupEnd::TooDear));
        }
        let agrees = agree(&self.times);
        if agrees && self.agreed {
            let before = told - 2 * WINDOW - 1;
            return Some((before.max(self.least), WarmupEnd::Steady));
        }
        self.agreed = agrees;
        if told >= MOST_REQUESTS.max(self.least) {
            return Some((told, WarmupEnd::MostRequests));
        }
        (passed >= self.allowed).then_some((told, WarmupEnd::MostTime))
    }
}

/// Whether the last two windows are of one level.
fn agree(times: &[f64]) -> bool {
    let Some(from) = times.len().checked_sub(2 * WINDOW) else { return false };
    let both = &times[from..];
    let (Some(before), Some(after)) = (median(&both[..WINDOW]), median(&both[WINDOW..])) else {
        return false;
    };
    let off = |(i, time): (usize, &f64)| (time - if i < WINDOW { before } else { after }).abs();
    let distances: Vec<f64> = both.iter().enumerate().map(off).collect();
    let error = 1.4826 * median(&distances).unwrap_or(0.0) / (WINDOW as f64).sqrt();
    let allowed = (MATTERS * after).max(2.0 * error);
    let points: Vec<(f64, f64)> = both.iter().enumerate().map(|(i, t)| (i as f64, *t)).collect();
    let slope = theil_sen(&points, 0.95, 1.0).map_or(0.0, |slope| slope.point);
    let change = slope * (2 * WINDOW - 1) as f64;
    (before - after).abs() <= allowed && change.abs() <= allowed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    /// Tells requests until the warm-up is over: how many were told, how many are warm-up, and why.
    fn course(
        least: usize,
        allowed: u64,
        time: impl Fn(usize) -> u64,
    ) -> (usize, usize, WarmupEnd) {
        let mut detector = Detector::new(least, allowed);
        let mut passed = 0;
        for i in 0..1000 {
            passed += time(i);
            if let Some((warm, end)) = detector.tell(time(i), passed) {
                return (i + 1, warm, end);
            }
        }
        unreachable!("it ends after a hundred requests")
    }

    #[test]
    fn a_steady_process_pays_nothing_beyond_the_requests_that_show_it() {
        let noisy = |i: usize| 100 * MS + (i as u64 * 7 % 5) * MS;
        assert_eq!(course(1, MOST_TIME, noisy), (11, 1, WarmupEnd::Steady));
        assert_eq!(course(0, MOST_TIME, |_| MS), (11, 0, WarmupEnd::Steady));
        assert_eq!(course(3, MOST_TIME, |_| MS), (11, 3, WarmupEnd::Steady));
        assert_eq!(course(20, MOST_TIME, |_| MS), (21, 20, WarmupEnd::Steady));
    }

    #[test]
    fn what_falls_is_warm_up_until_it_no_longer_falls() {
        let step = |i: usize| if i < 12 { 200 * MS } else { 100 * MS };
        let (told, warm, end) = course(1, MOST_TIME, step);
        // Of twelve slow requests the first eleven agree with each other: a plateau is steady.
        assert_eq!((told, warm, end), (11, 1, WarmupEnd::Steady));
        let fading = |i: usize| 100 * MS + (100.0 * MS as f64 * (-(i as f64) / 4.0).exp()) as u64;
        let (_, warm, end) = course(1, MOST_TIME, fading);
        assert_eq!(end, WarmupEnd::Steady);
        assert!((8..25).contains(&warm), "{warm}");
        assert!(fading(warm) < 115 * MS, "at most 15 % are left: {}", fading(warm));
    }

    #[test]
    fn it_ends_at_a_limit_and_says_which() {
        let falling = |i: usize| (2000 - 10 * i as u64) * MS / 10;
        assert_eq!(course(1, u64::MAX, falling), (100, 100, WarmupEnd::MostRequests));
        let (told, warm, end) = course(1, 3000 * MS, falling);
        assert_eq!((told, end), (warm, WarmupEnd::MostTime));
        assert!((15..20).contains(&told), "{told}");
    }

    #[test]
    fn requests_of_seconds_are_not_watched() {
        // Eleven requests of five seconds do not fit in six.
        assert_eq!(course(1, 6000 * MS, |_| 5000 * MS), (1, 1, WarmupEnd::TooDear));
        assert_eq!(course(0, 6000 * MS, |_| 5000 * MS), (1, 0, WarmupEnd::TooDear));
        assert_eq!(course(2, 6000 * MS, |_| 5000 * MS), (2, 2, WarmupEnd::TooDear));
        assert_eq!(course(1, 6000 * MS, |_| 500 * MS), (11, 1, WarmupEnd::Steady));
    }

    #[test]
    fn the_time_allowed_is_a_fifth_of_a_launch() {
        assert_eq!(allowed(600_000 * MS, 20), 6000 * MS);
        assert_eq!(allowed(3_600_000 * MS, 4), MOST_TIME);
        assert_eq!(allowed(0, 0), 0);
    }

    proptest! {
        #[test]
        fn it_always_ends_within_its_limits(
            times in prop::collection::vec(1_u64..1_000_000_000, 120),
            least in 0_usize..30,
            allowed in 0_u64..60_000_000_000,
        ) {
            let mut detector = Detector::new(least, allowed);
            let mut passed = 0;
            let mut ended = None;
            for (i, time) in times.iter().enumerate() {
                passed += time;
                if let Some((warm, end)) = detector.tell(*time, passed) {
                    ended = Some((i + 1, warm, end));
                    break;
                }
            }
            let (told, warm, end) = ended.expect("it ends");
            prop_assert!(told <= MOST_REQUESTS && warm <= told && warm >= least);
            prop_assert!(end == WarmupEnd::Steady || warm == told || end == WarmupEnd::TooDear);
            let before: u64 = times[..told - 1].iter().sum();
            prop_assert!(before < allowed || told <= least.max(1));
        }
    }
}
