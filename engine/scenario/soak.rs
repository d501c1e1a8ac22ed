//! `soak`: requests for a given time, one after the other or on a schedule, with a look at the
//! process in between.

use std::io;

use super::arrivals::schedule_until;
use super::load::HEAD_START;
use super::open::{room, serve_in_turn};
use super::single_stream::{Given, Request, complete, run_once};
use super::{Arrivals, Clock, Monotonic, Patience, Positive, Queue, Server, live};
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

/// What a soak on a schedule has seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduled {
    pub readings: Vec<Reading>,
    /// Requests of the schedule.
    pub planned: u32,
    /// It was ended because the server fell behind for good; so many requests were waiting.
    pub saturated: Option<u32>,
}

/// After a first call, requests that arrive at `rate` per second for the time of `rules`, whatever
/// the server does; `seed` seeds the arrivals.
pub fn soak_under_load<E: From<io::Error>>(
    server: &mut dyn Server<E>,
    (rate, arrivals, seed): (Positive, Arrivals, u64),
    rules: SoakRules,
    clock: Monotonic,
    look: &mut dyn FnMut() -> Reading,
) -> Result<Scheduled, E> {
    server.serve()?;
    let begin = clock.now() + HEAD_START;
    let end = begin.saturating_add(rules.duration);
    let instants = schedule_until(arrivals, seed, rate, (begin, end));
    live(&instants, clock, |queue| keep_up(server, queue, rules, &clock, look))?
}

/// Readings so far, and what was done since the last one.
struct Log {
    rules: SoakRules,
    begin: u64,
    due: u64,
    requests: u32,
    busy: u64,
    readings: Vec<Reading>,
}

impl Log {
    fn begin(rules: SoakRules, begin: u64) -> Self {
        let most = (rules.duration / rules.interval + 2) as usize;
        let readings = room(most, &Reading { at: 1, ..Reading::default() });
        Self { rules, begin, due: rules.interval, requests: 0, busy: 0, readings }
    }

    /// Counts a request, and takes a reading where one is due. Returns the time since the beginning.
    fn count(&mut self, request: &Timeline, now: u64, look: &mut dyn FnMut() -> Reading) -> u64 {
        let done = request.tokens.last().copied().unwrap_or(request.sent);
        self.requests += 1;
        self.busy += done.saturating_sub(request.sent);
        let at = now.saturating_sub(self.begin);
        if at >= self.due {
            self.read(at, look);
        }
        at
    }

    fn read(&mut self, at: u64, look: &mut dyn FnMut() -> Reading) {
        let (requests, busy) = (self.requests, self.busy);
        self.readings.push(Reading { at, requests, busy, ..look() });
        (self.requests, self.busy) = (0, 0);
        self.due = (at / self.rules.interval + 1) * self.rules.interval;
    }
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
    let mut log = Log::begin(rules, clock.now());
    loop {
        let request = run()?;
        if log.count(&request, clock.now(), look) >= rules.duration {
            return Ok(log.readings);
        }
    }
}

/// All requests of `queue`, with readings in between; what arrives during a reading waits for it.
fn keep_up<E>(
    server: &mut dyn Server<E>,
    queue: &mut dyn Queue,
    rules: SoakRules,
    clock: &dyn Clock,
    look: &mut dyn FnMut() -> Reading,
) -> Result<Scheduled, E> {
    let planned = queue.schedule().len();
    let mut log = Log::begin(rules, clock.now());
    let mut times: Vec<(u64, u64)> = room(planned, &(1, 1));
    let saturated = serve_in_turn(queue, Patience::default(), clock, &mut |arrival, _| {
        let request = server.serve()?;
        let done = request.tokens.last().copied().unwrap_or_else(|| clock.now());
        let delay = arrival.queued.saturating_sub(arrival.scheduled);
        times.push((done.saturating_sub(arrival.scheduled), delay));
        log.count(&request, clock.now(), look);
        Ok(done)
    })?;
    if log.requests > 0 {
        log.read(clock.now().saturating_sub(log.begin), look);
    }
    let mut times = times.into_iter();
    for reading in &mut log.readings {
        let own = times.by_ref().take(reading.requests as usize);
        (reading.latencies, reading.delays) = own.unzip();
    }
    let planned = u32::try_from(planned).unwrap_or(u32::MAX);
    Ok(Scheduled { readings: log.readings, planned, saturated })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::scenario::{Timetable, Virtual};

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

    /// So long a request, and so long from the instant `slow` on.
    struct Slowing<'a> {
        clock: &'a Virtual,
        times: (u64, u64),
        slow: u64,
    }

    impl Server<()> for Slowing<'_> {
        fn serve(&mut self) -> Result<Timeline, ()> {
            let sent = self.clock.now();
            self.clock.spend(if sent < self.slow { self.times.0 } else { self.times.1 });
            Ok(Timeline { sent, tokens: vec![self.clock.now()], batch: 1, ..Timeline::default() })
        }
    }

    #[test]
    fn requests_on_a_schedule_have_latencies_from_their_scheduled_instant() {
        let clock = Virtual::default();
        let schedule: Vec<u64> = (0..40).map(|i| i * 25).collect();
        // The generator sleeps from 500 to 560: three requests come late and wait for each other.
        let mut queue = Timetable::new(&schedule, &clock).with_stall(500, 560);
        let mut server = Slowing { clock: &clock, times: (10, 10), slow: 0 };
        let mut look = || Reading { resident: Some(7), ..Reading::default() };
        let rules = SoakRules { duration: 1000, interval: 100 };
        let found = keep_up(&mut server, &mut queue, rules, &clock, &mut look).unwrap();
        assert_eq!((found.planned, found.saturated), (40, None));
        let counts: Vec<usize> = found.readings.iter().map(|r| r.requests as usize).collect();
        assert_eq!(counts.iter().sum::<usize>(), 40, "those after the last reading too");
        for (reading, count) in found.readings.iter().zip(counts) {
            assert_eq!((reading.latencies.len(), reading.delays.len()), (count, count));
            assert_eq!((reading.busy, reading.resident), (10 * count as u64, Some(7)));
        }
        let all = |of: fn(&Reading) -> &Vec<u64>| -> Vec<u64> {
            found.readings.iter().flat_map(of).copied().collect()
        };
        let (latencies, delays) = (all(|r| &r.latencies), all(|r| &r.delays));
        assert_eq!((latencies[19], delays[19]), (10, 0));
        assert_eq!((&latencies[20..23], &delays[20..23]), (&[70, 55, 40][..], &[60, 35, 10][..]));
    }

    #[test]
    fn a_server_that_becomes_too_slow_for_its_schedule_ends_the_soak() {
        const SECOND: u64 = 1_000_000_000;
        let clock = Virtual::default();
        let schedule: Vec<u64> = (0..6000).map(|i| i * SECOND / 10).collect();
        let mut queue = Timetable::new(&schedule, &clock);
        let (times, slow) = ((SECOND / 12, SECOND / 8), 200 * SECOND);
        let mut server = Slowing { clock: &clock, times, slow };
        let rules = SoakRules::lasting(600 * SECOND);
        let found = keep_up(&mut server, &mut queue, rules, &clock, &mut Reading::default).unwrap();
        assert!(found.saturated.is_some_and(|waiting| waiting > 50), "{:?}", found.saturated);
        let last = found.readings.last().unwrap().at / SECOND;
        assert!((230..330).contains(&last), "{last}");
    }
}
