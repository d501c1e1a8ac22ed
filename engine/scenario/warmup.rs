//! The requests before those that count, where a detector says how many there are.

use super::{Clock, StreamRules};
use crate::measure::Timeline;
use crate::measure::warmup::{Detector, WarmupEnd};

/// Makes the requests of `rules.warmup`, then, if asked, as many as show a steady state. Requests
/// that belong to the warm-up are flagged; those that showed the steady state count already, the
/// last `rules.max` of them.
pub(super) fn warm_up<E>(
    rules: StreamRules,
    clock: &dyn Clock,
    run: &mut dyn FnMut() -> Result<Timeline, E>,
) -> Result<(Vec<Timeline>, WarmupEnd), E> {
    let mut requests = Vec::new();
    let Some(allowed) = rules.detect else {
        for _ in 0..rules.warmup {
            requests.push(Timeline { warmup: true, ..run()? });
        }
        return Ok((requests, WarmupEnd::Fixed));
    };
    let mut detector = Detector::new(rules.warmup as usize, allowed);
    let begin = clock.now();
    let (early, end) = loop {
        let request = run()?;
        let done = request.tokens.last().copied().unwrap_or(request.sent);
        let time = done.saturating_sub(request.sent);
        requests.push(request);
        if let Some(end) = detector.tell(time, clock.now().saturating_sub(begin)) {
            break end;
        }
    };
    let early = early.max(requests.len().saturating_sub(rules.max as usize));
    for request in &mut requests[..early] {
        request.warmup = true;
    }
    Ok((requests, end))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Ticks(Cell<u64>);

    impl Clock for Ticks {
        fn now(&self) -> u64 {
            self.0.get()
        }
    }

    /// How many requests were made and how many of them are warm-up; request `i` takes `time(i)`.
    fn warmed(rules: StreamRules, time: impl Fn(u64) -> u64) -> (usize, usize, WarmupEnd) {
        let clock = Ticks(Cell::new(50));
        let mut number = 0;
        let mut run = || {
            let sent = clock.now();
            clock.0.set(sent + time(number));
            number += 1;
            Ok::<_, ()>(Timeline { sent, tokens: vec![clock.now()], ..Timeline::default() })
        };
        let (requests, end) = warm_up(rules, &clock, &mut run).unwrap();
        let warm = requests.iter().take_while(|request| request.warmup).count();
        assert!(requests[warm..].iter().all(|request| !request.warmup), "one stretch");
        (requests.len(), warm, end)
    }

    const RULES: StreamRules =
        StreamRules { warmup: 1, detect: Some(1_000_000), min: 3, max: 20, min_time: 0 };

    #[test]
    fn requests_that_show_the_steady_state_count() {
        assert_eq!(warmed(RULES, |_| 1000), (11, 1, WarmupEnd::Steady));
        let few = StreamRules { max: 4, ..RULES };
        assert_eq!(warmed(few, |_| 1000), (11, 7, WarmupEnd::Steady));
    }

    #[test]
    fn a_fixed_number_is_kept_and_dear_requests_are_not_watched() {
        let fixed = StreamRules { warmup: 4, detect: None, ..RULES };
        assert_eq!(warmed(fixed, |_| 1000), (4, 4, WarmupEnd::Fixed));
        assert_eq!(warmed(StreamRules { warmup: 0, ..fixed }, |_| 1), (0, 0, WarmupEnd::Fixed));
        assert_eq!(warmed(RULES, |_| 500_000), (1, 1, WarmupEnd::TooDear));
        let without = StreamRules { warmup: 0, ..RULES };
        assert_eq!(warmed(without, |_| 500_000), (1, 0, WarmupEnd::TooDear));
    }

    #[test]
    fn what_is_slow_at_first_is_warm_up() {
        let (made, warm, end) = warmed(RULES, |i| 1000 + 1000 * 9_u64.saturating_sub(i));
        assert_eq!(end, WarmupEnd::Steady);
        // Two slow ones of five do not move the median of the first window that agrees.
        assert_eq!((made, warm), (18, 7));
    }
}
