//! What a launch under load says: times from the instants at which requests were to be sent, rates
//! over a window, and whether any of it may be shown.
//!
//! The latency of a request is its completion minus its *scheduled* instant. Counting from the
//! instant at which it was sent would leave out the time in which a busy server kept it from being
//! sent, which is most of what a user of that server would feel. Dispatch delay (`queued −
//! scheduled`), which is the generator's and not the server's, the wait in the queue (`sent −
//! queued`) and the time of service (`done − sent`) are kept apart.

use std::fmt;

use super::quantile::{median, quantile};
use super::sample::{Admission, Observed, Timeline};
use super::saturation::{Seen, growing};
use super::summary::{counted, e2e, rate, seconds, span};
use super::tokens;

/// Dispatch delay that is always allowed, in seconds.
const LEAST_DELAY: f64 = 1e-3;
/// Dispatch delay that is allowed as a share of the median latency.
const DELAY_SHARE: f64 = 0.01;
/// Share of requests that may fail.
pub const MOST_ERRORS: f64 = 0.001;

/// Why a launch under load gives no number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Invalid {
    /// Requests came faster than they were served; so many waited at the end.
    Saturated {
        waiting: u32,
    },
    /// Whoever sends was late.
    Late {
        p99: f64,
        allowed: f64,
    },
    Unsent {
        planned: u32,
        sent: u32,
    },
    Errors {
        failed: u32,
        planned: u32,
    },
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Saturated { waiting } => write!(
                f,
                "saturated: requests came faster than they were served, {waiting} waited at the end"
            ),
            Self::Late { p99, allowed } => write!(
                f,
                "the generator was late: p99 dispatch delay {:.3} ms, allowed {:.3} ms",
                p99 * 1e3,
                allowed * 1e3
            ),
            Self::Unsent { planned, sent } => {
                write!(f, "{sent} of {planned} scheduled requests were sent")
            }
            Self::Errors { failed, planned } => {
                write!(f, "{failed} of {planned} requests failed, allowed 0.1 %")
            }
        }
    }
}

/// Whether a launch may be used. One without load always may.
///
/// With a schedule: p99 of the dispatch delay is at most the larger of 1 ms and 1 % of the median
/// latency; every scheduled request was sent; and the server kept up. Under any load at most 0.1 %
/// failed, answers that never came included.
pub fn check(observed: &Observed) -> Result<(), Invalid> {
    let Some(sending) = observed.sending else { return Ok(()) };
    if let Some(waiting) = sending.saturated {
        return Err(Invalid::Saturated { waiting });
    }
    let planned = sending.planned;
    // An answer that never came is a failure, whether the server told or not.
    let lost = observed.requests.iter().filter(|t| t.tokens.is_empty()).count();
    let failed = sending.failed.max(u32::try_from(lost).unwrap_or(u32::MAX));
    let sent = u32::try_from(observed.requests.len()).unwrap_or(u32::MAX);
    if sent < planned {
        return Err(Invalid::Unsent { planned, sent });
    }
    if f64::from(failed) > MOST_ERRORS * f64::from(planned) {
        return Err(Invalid::Errors { failed, planned });
    }
    if sending.admission != Admission::Scheduled {
        return Ok(());
    }
    let typical = median(&latencies(observed)).unwrap_or(0.0);
    let allowed = allowed_delay(typical);
    if let Some(found) = quantile(&dispatch_delays(observed), 0.99, 0.95)
        && found.point > allowed
    {
        return Err(Invalid::Late { p99: found.point, allowed });
    }
    let seen = trace(observed);
    match seen.last() {
        Some(last) if growing(&seen) => Err(Invalid::Saturated { waiting: last.waiting as u32 }),
        _ => Ok(()),
    }
}

/// Seconds that the p99 of dispatch delays may be, with a median latency of `typical`.
pub fn allowed_delay(typical: f64) -> f64 {
    LEAST_DELAY.max(DELAY_SHARE * typical)
}

/// What the server looked like at each answer that counts, while requests still arrived.
pub fn trace(observed: &Observed) -> Vec<Seen> {
    let scheduled: Vec<u64> = observed.requests.iter().filter_map(|t| t.scheduled).collect();
    let mut before = 0;
    let mut out = Vec::new();
    let on_schedule = observed.requests.iter().filter(|t| t.scheduled.is_some());
    for (served, t) in (1..).zip(on_schedule) {
        let (Some(done), Some(latency), Some(queued)) = (t.tokens.last(), e2e(t), t.queued) else {
            continue;
        };
        let idle = queued > before;
        before = *done;
        if !t.warmup && scheduled.last().is_some_and(|last| done <= last) {
            let come = scheduled.partition_point(|at| at <= done);
            let waiting = come.saturating_sub(served) as f64;
            out.push(Seen { at: seconds(*done), waiting, latency, idle });
        }
    }
    out
}

/// Seconds from the scheduled instant to the end of each request that counts; of each query where
/// requests come in queries, and of all of them where they come at once.
pub fn latencies(observed: &Observed) -> Vec<f64> {
    match observed.sending.map(|sending| sending.admission) {
        None | Some(Admission::Closed | Admission::Scheduled) => {
            counted(observed).filter_map(e2e).collect()
        }
        Some(Admission::Queries) => {
            let all: Vec<&Timeline> = counted(observed).collect();
            let queries = all.chunk_by(|a, b| a.scheduled == b.scheduled);
            queries
                .filter_map(|query| query.iter().filter_map(|t| e2e(t)).reduce(f64::max))
                .collect()
        }
        Some(Admission::AtOnce) => {
            counted(observed).filter_map(e2e).reduce(f64::max).into_iter().collect()
        }
    }
}

/// Seconds by which each request that counts was queued later than scheduled.
pub fn dispatch_delays(observed: &Observed) -> Vec<f64> {
    counted(observed).filter_map(|t| span(t.scheduled?, t.queued?)).collect()
}

/// Seconds that each request that counts stood in the queue.
pub fn queue_waits(observed: &Observed) -> Vec<f64> {
    counted(observed).filter_map(|t| span(t.queued?, t.sent)).collect()
}

/// Seconds for which each request that counts was with the backend.
pub fn service_times(observed: &Observed) -> Vec<f64> {
    counted(observed).filter_map(|t| span(t.sent, tokens::last(t)?)).collect()
}

/// The window over which rates count, in nanoseconds: it begins where work is already under way,
/// after its beginning, and ends with the last answer that counts.
///
/// Closed loops begin with the last answer that does not count (slots are handed over, nothing is
/// drained); schedules with the first answer that does; queries and requests at once where they
/// begin.
fn window(observed: &Observed) -> Option<(u64, u64)> {
    let done = || counted(observed).filter_map(tokens::last);
    let scheduled = || counted(observed).filter_map(|t| t.scheduled).min();
    let handed_over = || {
        let early = observed.requests.iter().filter(|t| t.warmup);
        early.filter_map(tokens::last).max()
    };
    let begin = match observed.sending?.admission {
        Admission::Closed => handed_over().or_else(scheduled)?,
        Admission::Scheduled => done().min()?,
        Admission::Queries | Admission::AtOnce => scheduled()?,
    };
    Some((begin, done().max()?))
}

/// Requests that count by second, of which `keeps` holds; each item of a batch counts.
fn rate_of(observed: &Observed, keeps: impl Fn(&Timeline) -> bool) -> Option<f64> {
    let (begin, end) = window(observed)?;
    let inside = |t: &&Timeline| tokens::last(t).is_some_and(|done| begin < done && done <= end);
    let items: f64 =
        counted(observed).filter(inside).filter(|t| keeps(t)).map(|t| f64::from(t.batch)).sum();
    let time = seconds(end.saturating_sub(begin));
    (time > 0.0).then(|| items / time)
}

/// Items answered per second of the window. `None` without load.
pub fn throughput(observed: &Observed) -> Option<f64> {
    rate_of(observed, |_| true)
}

/// The same of requests that keep what is asked of them.
pub fn goodput(observed: &Observed, slo: &super::slo::Slo) -> Option<f64> {
    rate_of(observed, |t| slo.keeps(t))
}

/// Tokens that arrived in the window, by its length; every sequence of a batch counts.
pub fn output_tps(observed: &Observed) -> Option<f64> {
    let (begin, end) = window(observed)?;
    let tokens: f64 = observed
        .requests
        .iter()
        .filter(|t| t.prompt_tokens.is_some())
        .map(|t| f64::from(t.batch) * tokens::between(t, begin, end))
        .sum();
    rate(tokens, seconds(end.saturating_sub(begin)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Sending, slo::Slo};

    const MS: u64 = 1_000_000;

    /// Scheduled, queued, sent and done in milliseconds.
    fn request(scheduled: u64, queued: u64, sent: u64, done: u64) -> Timeline {
        Timeline {
            scheduled: Some(scheduled * MS),
            queued: Some(queued * MS),
            sent: sent * MS,
            tokens: vec![done * MS],
            batch: 1,
            ..Timeline::default()
        }
    }

    fn launch(admission: Admission, requests: Vec<Timeline>) -> Observed {
        let planned = requests.len() as u32;
        Observed {
            load: 0,
            first_call: request(0, 0, 0, 1),
            requests,
            peak_memory: None,
            steady_memory: None,
            cpu_time: None,
            sending: Some(Sending { admission, planned, failed: 0, saturated: None }),
            ..Observed::default()
        }
    }

    fn even(n: u64, delay: u64) -> Observed {
        let one = |i: u64| request(100 * i, 100 * i + delay, 100 * i + delay, 100 * i + 80);
        launch(Admission::Scheduled, (1..=n).map(one).collect())
    }

    #[test]
    fn times_of_a_request_are_kept_apart_and_add_up() {
        let o = launch(Admission::Scheduled, vec![request(100, 101, 110, 150)]);
        assert_eq!(latencies(&o), [0.050]);
        assert_eq!(dispatch_delays(&o), [0.001]);
        assert_eq!(queue_waits(&o), [0.009]);
        assert_eq!(service_times(&o), [0.040]);
    }

    #[test]
    fn rates_count_over_the_window_of_their_scenario() {
        let answers = |admission| {
            let mut early = request(0, 0, 0, 10);
            early.warmup = true;
            let rest = [(10, 20), (20, 30), (30, 50)].map(|(s, d)| request(10, 10, s, d));
            launch(admission, [vec![early], rest.to_vec()].concat())
        };
        let rate = |admission| throughput(&answers(admission)).unwrap();
        // Three answers from the hand-over at 10 ms to 50 ms.
        assert_eq!(rate(Admission::Closed), 3.0 / 0.040);
        // Two answers after the first one at 20 ms.
        assert_eq!(rate(Admission::Scheduled), 2.0 / 0.030);
        assert_eq!(rate(Admission::AtOnce), 3.0 / 0.040);
        assert_eq!(latencies(&answers(Admission::AtOnce)), [0.040]);
        assert_eq!(latencies(&answers(Admission::Queries)), [0.040], "one query of three");
        assert_eq!(latencies(&answers(Admission::Closed)).len(), 3);
        let slo = Slo { share: 0.99, latency: Some(0.025), ttft: None, tpot: None };
        assert_eq!(goodput(&answers(Admission::Closed), &slo), Some(2.0 / 0.040));
    }

    #[test]
    fn tokens_in_the_window_count_whosever_they_are() {
        let text = |begin: u64, warmup| Timeline {
            tokens: (1..=4).map(|i| (begin + 10 * i) * MS).collect(),
            prompt_tokens: Some(8),
            warmup,
            ..request(begin, begin, begin, 0)
        };
        let o = launch(Admission::Closed, vec![text(0, true), text(40, false), text(80, false)]);
        assert_eq!(output_tps(&o), Some(8.0 / 0.080));
    }

    #[test]
    fn a_launch_that_went_as_planned_is_valid() {
        assert_eq!(check(&even(50, 0)), Ok(()));
        assert_eq!(check(&even(50, 1)), Ok(()), "one millisecond is allowed");
        assert_eq!(check(&Observed { sending: None, ..even(50, 90) }), Ok(()));
    }

    #[test]
    fn whatever_breaks_the_rules_gives_no_number() {
        let late = check(&even(50, 2)).unwrap_err();
        assert!(matches!(late, Invalid::Late { .. }));
        assert_eq!(
            late.to_string(),
            "the generator was late: p99 dispatch delay 2.000 ms, allowed 1.000 ms"
        );
        let mut lost = even(50, 0);
        lost.requests.pop();
        assert_eq!(check(&lost), Err(Invalid::Unsent { planned: 50, sent: 49 }));
        let mut broken = even(50, 0);
        broken.requests[7].tokens.clear();
        broken.sending.as_mut().unwrap().failed = 1;
        assert_eq!(check(&broken), Err(Invalid::Errors { failed: 1, planned: 50 }));
        let mut given_up = even(50, 0);
        given_up.sending.as_mut().unwrap().saturated = Some(17);
        assert!(check(&given_up).unwrap_err().to_string().contains("17 waited"));
    }

    #[test]
    fn lost_answers_count_as_failures_that_nobody_told() {
        let mut o = even(50, 0);
        for t in o.requests.iter_mut().take(3) {
            t.tokens.clear();
        }
        assert_eq!(check(&o), Err(Invalid::Errors { failed: 3, planned: 50 }));
    }

    #[test]
    fn a_server_that_cannot_keep_up_is_saturated_although_all_were_sent() {
        let one = |i: u64| request(100 * i, 100 * i, 100 + 150 * (i - 1), 100 + 150 * i);
        let o = launch(Admission::Scheduled, (1..=60).map(one).collect());
        assert!(matches!(check(&o), Err(Invalid::Saturated { .. })), "{:?}", check(&o));
    }
}
