//! `single_stream` in a process that stays: it settles once, and then makes bursts.

use super::single_stream::counted;
use super::warmup::warm_up;
use super::{Clock, StreamRules};
use crate::measure::{Timeline, WarmupEnd};

/// What a process does before its first burst: the first call, then requests until it is warm. All
/// of those are flagged as warm-up, also the ones that showed the steady state: others run before
/// the burst comes.
pub fn settle<E>(
    rules: StreamRules,
    clock: &dyn Clock,
    run: &mut dyn FnMut() -> Result<Timeline, E>,
) -> Result<(Timeline, Vec<Timeline>, WarmupEnd), E> {
    let first_call = run()?;
    let (mut requests, end) = warm_up(rules, clock, run)?;
    for request in &mut requests {
        request.warmup = true;
    }
    Ok((first_call, requests, end))
}

/// A burst: one request that does not count, because others have had the caches meanwhile, then
/// those that do. None that does not count where the rules want none.
pub fn burst<E>(
    rules: StreamRules,
    clock: &dyn Clock,
    run: &mut dyn FnMut() -> Result<Timeline, E>,
) -> Result<Vec<Timeline>, E> {
    let mut requests = Vec::new();
    for _ in 0..rules.warmup.min(1) {
        requests.push(Timeline { warmup: true, ..run()? });
    }
    counted(rules, clock, &mut requests, run)?;
    Ok(requests)
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

    #[test]
    fn a_process_settles_once_and_each_burst_has_one_request_that_does_not_count() {
        let clock = Ticks(Cell::new(0));
        let mut run = || {
            let sent = clock.now();
            clock.0.set(sent + 1000);
            Ok::<_, ()>(Timeline { sent, tokens: vec![clock.now()], ..Timeline::default() })
        };
        let detect = Some(1_000_000);
        let rules = StreamRules { warmup: 1, detect, min: 3, max: 20, min_time: 4_500 };
        let (first, warm, end) = settle(rules, &clock, &mut run).unwrap();
        assert_eq!((first.sent, warm.len(), end), (0, 11, WarmupEnd::Steady));
        assert!(warm.iter().all(|request| request.warmup));
        let flags = |burst: &[Timeline]| burst.iter().map(|r| r.warmup).collect::<Vec<_>>();
        let own = burst(rules, &clock, &mut run).unwrap();
        assert_eq!(flags(&own), [true, false, false, false, false, false]);
        let none = StreamRules { warmup: 0, detect: None, min_time: 0, ..rules };
        assert_eq!(flags(&burst(none, &clock, &mut run).unwrap()), [false; 3]);
    }
}
