//! `soak`: one request after the other for a given time, with a look at the process in between.

use super::Clock;
use super::single_stream::{Given, Request, complete, run_once};
use crate::backend::{BackendError, Generator, Session};
use crate::measure::Timeline;
use crate::record::Reading;

/// How long, and how often to look, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoakRules {
    pub duration: u64,
    pub interval: u64,
}

impl SoakRules {
    /// A reading a second; a hundred of them where the time is short.
    pub fn lasting(duration: u64) -> Self {
        Self { duration, interval: (duration / 100).clamp(1, 1_000_000_000) }
    }
}

/// Requests of a generator. `look` says what the process holds.
pub fn soak(
    generator: &mut dyn Generator,
    prompt: &mut dyn FnMut() -> Vec<u32>,
    request: Request,
    rules: SoakRules,
    clock: &dyn Clock,
    look: &mut dyn FnMut() -> Reading,
) -> Result<Vec<Reading>, BackendError> {
    let mut run = || {
        let tokens = prompt();
        complete(generator, &tokens, request, clock)
    };
    keep_on(rules, clock, &mut run, look)
}

/// Runs of a graph.
pub fn soak_of_runs<E: From<BackendError>>(
    session: &mut dyn Session,
    next: &mut dyn FnMut() -> Result<Given, E>,
    batch: u32,
    rules: SoakRules,
    clock: &dyn Clock,
    look: &mut dyn FnMut() -> Reading,
) -> Result<Vec<Reading>, E> {
    keep_on(rules, clock, &mut || run_once(session, next, batch, clock), look)
}

/// After a first call, requests until the time is over. A reading is taken between requests, so a
/// request that outlasts the interval delays it.
fn keep_on<E>(
    rules: SoakRules,
    clock: &dyn Clock,
    run: &mut dyn FnMut() -> Result<Timeline, E>,
    look: &mut dyn FnMut() -> Reading,
) -> Result<Vec<Reading>, E> {
    run()?;
    let begin = clock.now();
    let mut readings = Vec::new();
    let (mut requests, mut busy, mut due) = (0, 0, rules.interval);
    loop {
        let request = run()?;
        requests += 1;
        let done = request.tokens.last().copied().unwrap_or(request.sent);
        busy += done.saturating_sub(request.sent);
        let at = clock.now().saturating_sub(begin);
        if at >= due {
            readings.push(Reading { at, requests, busy, ..look() });
            (requests, busy) = (0, 0);
            due = (at / rules.interval + 1) * rules.interval;
        }
        if at >= rules.duration {
            return Ok(readings);
        }
    }
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

    /// Requests that take `time` each, the first call three times as long.
    fn readings(duration: u64, time: u64) -> Vec<Reading> {
        let clock = Ticks(Cell::new(7));
        let mut first = true;
        let mut run = || {
            let sent = clock.now();
            clock.0.set(sent + if first { 3 * time } else { time });
            first = false;
            Ok::<_, ()>(Timeline { sent, tokens: vec![clock.now()], ..Timeline::default() })
        };
        let mut held = 0;
        let mut look = || {
            held += 10;
            clock.0.set(clock.now() + 1);
            Reading { resident: Some(held), ..Reading::default() }
        };
        keep_on(SoakRules { duration, interval: 100 }, &clock, &mut run, &mut look).unwrap()
    }

    #[test]
    fn readings_come_regularly_and_count_every_request_once() {
        let found = readings(1000, 30);
        assert!((9..=10).contains(&found.len()), "{}", found.len());
        assert_eq!(found[0].at, 120);
        assert!(found.iter().all(|reading| reading.busy == 30 * u64::from(reading.requests)));
        assert!(found.windows(2).all(|pair| pair[0].at < pair[1].at));
        assert_eq!(found[3].resident, Some(40));
    }

    #[test]
    fn long_requests_delay_readings_and_are_not_cut() {
        let found = readings(1000, 250);
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|reading| reading.requests == 1));
    }

    #[test]
    fn a_short_soak_has_a_hundred_readings_and_a_long_one_one_a_second() {
        assert_eq!(SoakRules::lasting(5_000_000_000).interval, 50_000_000);
        assert_eq!(SoakRules::lasting(600_000_000_000).interval, 1_000_000_000);
        assert_eq!(SoakRules::lasting(0).interval, 1);
    }
}
