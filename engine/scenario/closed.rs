//! Scenarios in which answers, or nothing, decide when the next request is sent.

use std::collections::VecDeque;

use super::{Clock, Server, StreamRules};
use crate::measure::load::MOST_ERRORS;
use crate::measure::{Admission, Sending, Timeline};

/// Requests of a scenario so far, failed ones included.
pub(super) struct Sent {
    pub timelines: Vec<Timeline>,
    failed: u32,
    most_failed: u32,
}

impl Sent {
    /// For about `planned` requests, of which one in a thousand may fail.
    pub fn new(planned: u32) -> Self {
        let most_failed = (MOST_ERRORS * f64::from(planned)).floor() as u32;
        Self { timelines: Vec::with_capacity(planned as usize), failed: 0, most_failed }
    }

    /// Serves one request that was to be sent at `scheduled` and was queued at `queued`. Returns
    /// when it was over.
    ///
    /// # Errors
    /// That of the request that made too many fail.
    pub fn serve<E>(
        &mut self,
        server: &mut dyn Server<E>,
        (scheduled, queued): (u64, u64),
        warmup: bool,
        clock: &dyn Clock,
    ) -> Result<u64, E> {
        let timeline = match server.serve() {
            Ok(timeline) => timeline,
            Err(error) if self.failed >= self.most_failed => return Err(error),
            Err(_) => {
                self.failed += 1;
                Timeline { sent: queued, ..Timeline::default() }
            }
        };
        let done = timeline.tokens.last().copied().unwrap_or_else(|| clock.now());
        let (scheduled, queued) = (Some(scheduled), Some(queued));
        self.timelines.push(Timeline { scheduled, queued, warmup, ..timeline });
        Ok(done)
    }

    pub fn end(self, admission: Admission, planned: Option<u32>) -> (Vec<Timeline>, Sending) {
        let planned = planned.unwrap_or(self.timelines.len() as u32);
        let sending = Sending { admission, planned, failed: self.failed, saturated: None };
        (self.timelines, sending)
    }
}

/// Whether to go on after `counted` requests or queries since `begin`.
fn goes_on(rules: StreamRules, counted: u32, begin: u64, clock: &dyn Clock) -> bool {
    let short = || clock.now().saturating_sub(begin) < rules.min_time;
    counted < rules.max && (counted < rules.min || short())
}

/// All `requests` are there from the start.
pub fn offline<E>(
    server: &mut dyn Server<E>,
    requests: u32,
    clock: &dyn Clock,
) -> Result<(Vec<Timeline>, Sending), E> {
    let mut sent = Sent::new(requests);
    let begin = clock.now();
    for _ in 0..requests {
        sent.serve(server, (begin, begin), false, clock)?;
    }
    Ok(sent.end(Admission::AtOnce, Some(requests)))
}

/// Queries of `samples` requests each; a query is sent when all of the one before are answered.
/// `rules` count queries.
pub fn multi_stream<E>(
    server: &mut dyn Server<E>,
    samples: u32,
    rules: StreamRules,
    clock: &dyn Clock,
) -> Result<(Vec<Timeline>, Sending), E> {
    let mut sent = Sent::new(samples.saturating_mul(rules.max));
    let mut query = |warmup: bool| -> Result<(), E> {
        let begin = clock.now();
        for _ in 0..samples {
            sent.serve(server, (begin, begin), warmup, clock)?;
        }
        Ok(())
    };
    for _ in 0..rules.warmup {
        query(true)?;
    }
    let (begin, mut counted) = (clock.now(), 0);
    while goes_on(rules, counted, begin, clock) {
        query(false)?;
        counted += 1;
    }
    Ok(sent.end(Admission::Queries, None))
}

/// `users` who each ask again as soon as they are answered; they stand in one queue.
///
/// The first request of every user is not counted: by then all slots have been handed over from the
/// beginning, where the queue was built up at once, to the steady state. Counting begins without
/// draining and ends before draining; at least as many requests as users are counted.
pub fn concurrency<E>(
    server: &mut dyn Server<E>,
    users: u32,
    rules: StreamRules,
    clock: &dyn Clock,
) -> Result<(Vec<Timeline>, Sending), E> {
    let rules = StreamRules { min: rules.min.max(users), max: rules.max.max(users), ..rules };
    let early = users.max(rules.warmup);
    let mut sent = Sent::new(early.saturating_add(rules.max));
    let mut ready: VecDeque<u64> = (0..users).map(|_| clock.now()).collect();
    let mut turn = |warmup: bool| -> Result<(), E> {
        if let Some(free) = ready.pop_front() {
            ready.push_back(sent.serve(server, (free, free), warmup, clock)?);
        }
        Ok(())
    };
    for _ in 0..early {
        turn(true)?;
    }
    let (begin, mut counted) = (clock.now(), 0);
    while goes_on(rules, counted, begin, clock) {
        turn(false)?;
        counted += 1;
    }
    Ok(sent.end(Admission::Closed, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Observed, load};
    use crate::scenario::Virtual;

    /// Ten nanoseconds a request; some fail.
    struct Even<'a> {
        clock: &'a Virtual,
        fails: fn(u32) -> bool,
        served: u32,
    }

    impl Server<&'static str> for Even<'_> {
        fn serve(&mut self) -> Result<Timeline, &'static str> {
            let (sent, number) = (self.clock.now(), self.served);
            self.served += 1;
            self.clock.spend(10);
            match (self.fails)(number) {
                true => Err("broken"),
                false => Ok(Timeline {
                    sent,
                    tokens: vec![self.clock.now()],
                    batch: 1,
                    ..Timeline::default()
                }),
            }
        }
    }

    const RULES: StreamRules = StreamRules { warmup: 1, detect: None, min: 3, max: 6, min_time: 0 };

    fn sound(clock: &Virtual) -> Even<'_> {
        Even { clock, fails: |_| false, served: 0 }
    }

    fn observed((requests, sending): (Vec<Timeline>, Sending)) -> Observed {
        Observed {
            load: 0,
            first_call: Timeline::default(),
            requests,
            peak_memory: None,
            steady_memory: None,
            cpu_time: None,
            sending: Some(sending),
            ..Observed::default()
        }
    }

    #[test]
    fn all_at_once_takes_as_long_as_all_of_them() {
        let clock = Virtual::default();
        let o = observed(offline(&mut sound(&clock), 8, &clock).unwrap());
        assert_eq!(load::latencies(&o), [80e-9]);
        assert!((load::throughput(&o).unwrap() - 1e8).abs() < 1.0);
        assert_eq!(load::check(&o), Ok(()));
    }

    #[test]
    fn a_query_ends_with_its_last_sample() {
        let clock = Virtual::default();
        let o = observed(multi_stream(&mut sound(&clock), 4, RULES, &clock).unwrap());
        assert_eq!(o.requests.len(), 4 * 4, "one query that does not count and three that do");
        assert_eq!(load::latencies(&o), [40e-9; 3]);
    }

    #[test]
    fn users_wait_for_each_other_and_are_handed_over() {
        let clock = Virtual::default();
        let o = observed(concurrency(&mut sound(&clock), 4, RULES, &clock).unwrap());
        let early: Vec<bool> = o.requests.iter().map(|t| t.warmup).collect();
        assert_eq!(early, [true, true, true, true, false, false, false, false]);
        // One of four is served, and the other three before it: N = λW.
        assert_eq!(load::latencies(&o), [40e-9; 4]);
        let rate = load::throughput(&o).unwrap();
        assert!((rate * 40e-9 - 4.0).abs() < 1e-9);
        assert_eq!(o.requests[4].scheduled, Some(10), "asked again when it was answered");
        assert_eq!(o.requests[4].sent, 40);
    }

    #[test]
    fn one_request_in_a_thousand_may_fail() {
        let clock = Virtual::default();
        let mut once = Even { clock: &clock, fails: |number| number == 7, served: 0 };
        assert_eq!(offline(&mut once, 999, &clock).unwrap_err(), "broken");
        once.served = 0;
        let (timelines, sending) = offline(&mut once, 1000, &clock).unwrap();
        assert_eq!((sending.failed, timelines.len()), (1, 1000));
        assert!(timelines[7].tokens.is_empty());
        let mut twice = Even { clock: &clock, fails: |number| number > 997, served: 0 };
        assert!(offline(&mut twice, 1000, &clock).is_err());
    }
}
