//! `server`: requests arrive on a schedule, whatever the server does.
//!
//! A generator puts each request into the queue at its scheduled instant; the server takes one
//! after the other. On the machine's clock the generator is a thread of its own that does nothing
//! but sleep, stamp and send, so that a server that works delays nobody's arrival ([`live`]). On a
//! virtual clock the queue is a [`Timetable`], which comes to the same for one server: what arrived
//! while it worked is found in the queue when it asks. A late request is sent late, never dropped,
//! and its latency counts from the instant at which it was to be sent.

use std::sync::mpsc::{Receiver, channel};
use std::{io, thread};

use super::closed::Sent;
use super::{Clock, Monotonic, Server};
use crate::measure::saturation::{Seen, growing};
use crate::measure::{Admission, Sending, Timeline};

/// A request that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    pub scheduled: u64,
    pub queued: u64,
}

/// Where the server takes its requests from.
pub trait Queue {
    /// The next request, as soon as there is one; `None` after the last.
    fn take(&mut self) -> Option<Arrival>;

    /// Instants of the schedule, in order.
    fn schedule(&self) -> &[u64];
}

/// How long to send, and when to give up.
#[derive(Debug, Clone, Copy)]
pub struct OpenRules {
    /// Requests at the beginning that do not count, while the queue builds up.
    pub early: u32,
    pub patience: Patience,
}

/// When a server that falls behind is told: by what it did over the last `window`, looked at every
/// `step` from `after` on. In nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub after: u64,
    pub window: u64,
    pub step: u64,
}

impl Default for Patience {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self { after: 30 * SECOND, window: 60 * SECOND, step: 5 * SECOND }
    }
}

/// Serves all requests of `queue`, or ends early when the server falls behind for good.
///
/// # Errors
/// That of a request, when over one in a thousand fail.
pub fn open_loop<E>(
    server: &mut dyn Server<E>,
    queue: &mut dyn Queue,
    rules: OpenRules,
    clock: &dyn Clock,
) -> Result<(Vec<Timeline>, Sending), E> {
    let planned = queue.schedule().len() as u32;
    let mut sent = Sent::new(planned);
    let mut serve = |Arrival { scheduled, queued }, served: usize| {
        let warmup = served < rules.early as usize;
        sent.serve(server, (scheduled, queued), warmup, clock)
    };
    let saturated = serve_in_turn(queue, rules.patience, clock, &mut serve)?;
    let (timelines, sending) = sent.end(Admission::Scheduled, Some(planned));
    Ok((timelines, Sending { saturated, ..sending }))
}

/// Hands every request of `queue` to `serve`, with how many came before it; `serve` returns when it
/// was over. Ends early when the server falls behind for good, and tells how many waited.
///
/// # Errors
/// The first of `serve`.
pub(super) fn serve_in_turn<E>(
    queue: &mut dyn Queue,
    patience: Patience,
    clock: &dyn Clock,
    serve: &mut dyn FnMut(Arrival, usize) -> Result<u64, E>,
) -> Result<Option<u32>, E> {
    let mut watch = Watch::new(patience, clock.now());
    let (mut served, mut free) = (0, 0);
    while let Some(arrival) = queue.take() {
        let Arrival { scheduled, queued } = arrival;
        let done = serve(arrival, served)?;
        served += 1;
        let come = queue.schedule().partition_point(|at| *at <= done);
        let waiting = come.saturating_sub(served);
        let idle = queued > free;
        free = done;
        if watch.gives_up(done, done.saturating_sub(scheduled), waiting, idle) {
            return Ok(Some(u32::try_from(waiting).unwrap_or(u32::MAX)));
        }
    }
    Ok(None)
}

/// Points that a window is kept in, one for each slice of its time.
const SLICES: u64 = 1024;

/// Looks now and then whether the server falls behind.
struct Watch {
    patience: Patience,
    next: u64,
    /// When the slice of the last point is over.
    slice_end: u64,
    /// The first request that ended in each slice; it was idle where the server was before any.
    seen: Vec<Seen>,
}

impl Watch {
    fn new(patience: Patience, begin: u64) -> Self {
        let span = patience.after.max(patience.window.saturating_add(patience.step));
        let most = (span / Self::slice(patience) + 2) as usize;
        let seen = room(most, &Seen { at: 1.0, waiting: 1.0, latency: 1.0, idle: true });
        Self { patience, next: begin.saturating_add(patience.after), slice_end: 0, seen }
    }

    fn slice(patience: Patience) -> u64 {
        (patience.window / SLICES).max(1)
    }

    fn gives_up(&mut self, done: u64, latency: u64, waiting: usize, idle: bool) -> bool {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        match self.seen.last_mut() {
            Some(last) if done < self.slice_end => last.idle |= idle,
            _ => {
                self.slice_end = done.saturating_add(Self::slice(self.patience));
                let (waiting, latency) = (waiting as f64, seconds(latency));
                self.seen.push(Seen { at: seconds(done), waiting, latency, idle });
            }
        }
        if done < self.next {
            return false;
        }
        self.next = done.saturating_add(self.patience.step);
        let begin = seconds(done.saturating_sub(self.patience.window));
        self.seen.retain(|seen| seen.at >= begin);
        growing(&self.seen)
    }
}

/// Room for `most` values whose pages are all there: a log that took them one by one would look
/// like a leak.
pub(super) fn room<T: Clone>(most: usize, filler: &T) -> Vec<T> {
    let mut out = vec![filler.clone(); most];
    out.clear();
    out
}

/// A schedule whose generator lives in the server's clock: for virtual ones.
pub struct Timetable<'a> {
    schedule: &'a [u64],
    next: usize,
    clock: &'a dyn Clock,
    stall: Option<(u64, u64)>,
}

impl<'a> Timetable<'a> {
    pub fn new(schedule: &'a [u64], clock: &'a dyn Clock) -> Self {
        Self { schedule, next: 0, clock, stall: None }
    }

    /// The same with a generator that sends nothing from `begin` to `end`.
    pub fn with_stall(self, begin: u64, end: u64) -> Self {
        Self { stall: Some((begin, end)), ..self }
    }
}

impl Queue for Timetable<'_> {
    fn take(&mut self) -> Option<Arrival> {
        let scheduled = *self.schedule.get(self.next)?;
        self.next += 1;
        let queued = match self.stall {
            Some((begin, end)) if (begin..end).contains(&scheduled) => end,
            _ => scheduled,
        };
        self.clock.sleep_until(queued);
        Some(Arrival { scheduled, queued })
    }

    fn schedule(&self) -> &[u64] {
        self.schedule
    }
}

/// A queue that a thread fills.
struct Live<'a> {
    schedule: &'a [u64],
    arrivals: Receiver<Arrival>,
}

impl Queue for Live<'_> {
    fn take(&mut self) -> Option<Arrival> {
        self.arrivals.recv().ok()
    }

    fn schedule(&self) -> &[u64] {
        self.schedule
    }
}

/// Runs `body` on a queue that a thread fills at the instants of `schedule`. When `body` ends early
/// the thread ends with its next arrival.
///
/// # Errors
/// When there is no thread to be had.
pub fn live<R>(
    schedule: &[u64],
    clock: Monotonic,
    body: impl FnOnce(&mut dyn Queue) -> R,
) -> io::Result<R> {
    let (sender, arrivals) = channel();
    thread::scope(|scope| {
        thread::Builder::new().name("arrivals".to_owned()).spawn_scoped(scope, move || {
            for &scheduled in schedule {
                clock.sleep_until(scheduled);
                if sender.send(Arrival { scheduled, queued: clock.now() }).is_err() {
                    break;
                }
            }
        })?;
        Ok(body(&mut Live { schedule, arrivals }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Virtual;

    /// As many nanoseconds as `time` says for each request.
    struct Timed<'a, C, F> {
        clock: &'a C,
        time: F,
    }

    /// Times in turn.
    fn each(times: &[u64]) -> impl FnMut() -> u64 + '_ {
        let mut left = times.iter().copied();
        move || left.next().expect("a time for every request")
    }

    impl<F: FnMut() -> u64> Server<()> for Timed<'_, Virtual, F> {
        fn serve(&mut self) -> Result<Timeline, ()> {
            let sent = self.clock.now();
            self.clock.spend((self.time)());
            Ok(Timeline { sent, tokens: vec![self.clock.now()], batch: 1, ..Timeline::default() })
        }
    }

    impl<F: FnMut() -> u64> Server<()> for Timed<'_, Monotonic, F> {
        fn serve(&mut self) -> Result<Timeline, ()> {
            let sent = self.clock.now();
            self.clock.sleep_until(sent + (self.time)());
            Ok(Timeline { sent, tokens: vec![self.clock.now()], batch: 1, ..Timeline::default() })
        }
    }

    const RULES: OpenRules =
        OpenRules { early: 1, patience: Patience { after: 30_000, window: 60_000, step: 5_000 } };

    #[test]
    fn arrivals_do_not_wait_for_answers_and_latency_begins_at_the_schedule() {
        let clock = Virtual::default();
        let schedule = [10, 20, 30, 100];
        let mut queue = Timetable::new(&schedule, &clock);
        let mut server = Timed { clock: &clock, time: each(&[25, 5, 5, 5]) };
        let (seen, sending) = open_loop(&mut server, &mut queue, RULES, &clock).unwrap();
        let times: Vec<_> =
            seen.iter().map(|t| (t.scheduled.unwrap(), t.sent, t.tokens[0])).collect();
        assert_eq!(times, [(10, 10, 35), (20, 35, 40), (30, 40, 45), (100, 100, 105)]);
        assert_eq!(seen.iter().filter(|t| t.warmup).count(), 1);
        assert_eq!((sending.planned, sending.saturated), (4, None));
    }

    #[test]
    fn a_late_generator_sends_late_and_drops_nothing() {
        let clock = Virtual::default();
        let schedule = [10, 20, 30];
        let mut queue = Timetable::new(&schedule, &clock).with_stall(15, 90);
        let mut server = Timed { clock: &clock, time: || 1 };
        let (seen, _) = open_loop(&mut server, &mut queue, RULES, &clock).unwrap();
        let queued: Vec<_> = seen.iter().map(|t| t.queued.unwrap()).collect();
        assert_eq!(queued, [10, 90, 90]);
        assert_eq!(seen[2].tokens[0] - seen[2].scheduled.unwrap(), 62);
    }

    #[test]
    fn a_server_that_falls_behind_is_given_up() {
        let clock = Virtual::default();
        let schedule: Vec<u64> = (1..=10_000).map(|i| i * 100).collect();
        let mut queue = Timetable::new(&schedule, &clock);
        let mut server = Timed { clock: &clock, time: || 150 };
        let (seen, sending) = open_loop(&mut server, &mut queue, RULES, &clock).unwrap();
        assert!(seen.len() < 300, "{} were served", seen.len());
        assert!(sending.saturated.unwrap() > 50);
        let mut queue = Timetable::new(&schedule, &clock);
        let mut quick = Timed { clock: &clock, time: || 1 };
        let (seen, sending) = open_loop(&mut quick, &mut queue, RULES, &clock).unwrap();
        assert_eq!((seen.len(), sending.saturated), (10_000, None));
    }

    #[test]
    fn watching_takes_no_more_room_however_many_requests_come() {
        let patience = Patience::default();
        let mut watch = Watch::new(patience, 0);
        let room = watch.seen.capacity();
        assert!(room < 1200, "{room}");
        let mut most = 0;
        // 500 in a second, for five minutes.
        for i in 0..150_000 {
            assert!(!watch.gives_up(i * 2_000_000, 1_000_000, 1, i == 100_000));
            most = most.max(watch.seen.len());
        }
        assert_eq!(watch.seen.capacity(), room);
        assert!(most > 1000, "{most} points of 65 s");
        watch.gives_up(300_000_000_000, 1_000_000, 1, false);
        assert!(watch.seen[0].at >= 235.0 && !watch.seen.iter().any(|seen| seen.idle));
    }

    #[test]
    fn an_idle_moment_within_a_slice_is_kept() {
        let mut watch = Watch::new(Patience::default(), 0);
        for (done, idle) in [(0, false), (1_000_000, true), (2_000_000, false)] {
            watch.gives_up(done, 1, 1, idle);
        }
        assert!(watch.seen.len() == 1 && watch.seen[0].idle);
    }

    #[test]
    fn a_real_generator_keeps_the_order_and_is_never_early() {
        let clock = Monotonic::start();
        let begin = clock.now() + 1_000_000;
        let schedule: Vec<u64> = (0..20).map(|i| begin + i * 300_000).collect();
        let mut server = Timed { clock: &clock, time: || 100_000 };
        let (seen, sending) =
            live(&schedule, clock, |queue| open_loop(&mut server, queue, RULES, &clock).unwrap())
                .unwrap();
        assert_eq!((seen.len(), sending.planned), (20, 20));
        for (t, at) in seen.iter().zip(&schedule) {
            assert_eq!(t.scheduled, Some(*at));
            assert!(*at <= t.queued.unwrap() && t.queued.unwrap() <= t.sent);
        }
    }
}
