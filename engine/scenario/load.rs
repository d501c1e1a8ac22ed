//! Which scenario a launch follows, and its way from there to timelines.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Arrivals, Clock, Monotonic, OpenRules, Patience, Positive, Server, StreamRules, concurrency,
    live, multi_stream, offline, open_loop, schedule,
};
use crate::measure::{Sending, Timeline};

/// A scenario with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Load {
    #[default]
    SingleStream,
    /// Queries of so many samples.
    MultiStream { samples: u32 },
    /// So many samples at once.
    Offline { samples: u32 },
    /// So many users.
    Concurrency { users: u32 },
    /// So many requests per second; `requests` of them count.
    Server { rate: Positive, arrivals: Arrivals, requests: u32 },
}

/// Time between making the schedule and its beginning, in nanoseconds: threads have to start.
pub(super) const HEAD_START: u64 = 10_000_000;

/// One early request of a schedule for so many that count.
const EARLY: u32 = 10;

impl Load {
    /// As specs and records call the scenario.
    pub fn id(self) -> &'static str {
        match self {
            Self::SingleStream => "single_stream",
            Self::MultiStream { .. } => "multi_stream",
            Self::Offline { .. } => "offline",
            Self::Concurrency { .. } => "concurrency",
            Self::Server { .. } => "server",
        }
    }

    pub fn is_single_stream(&self) -> bool {
        *self == Self::SingleStream
    }

    /// What tells settings of the scenario apart, by name.
    pub fn axis(self) -> Option<(&'static str, Value)> {
        match self {
            Self::SingleStream => None,
            Self::MultiStream { samples } | Self::Offline { samples } => {
                Some(("samples", json!(samples)))
            }
            Self::Concurrency { users } => Some(("users", json!(users))),
            Self::Server { rate, .. } => Some(("rate", json!(rate))),
        }
    }

    /// Requests of a launch, its first call not included, at most.
    pub fn most_requests(self, rules: StreamRules, batch: u32) -> u32 {
        let own = match self {
            Self::SingleStream => rules.warmup.max(1).saturating_add(rules.max),
            Self::MultiStream { samples } => {
                samples.saturating_mul(rules.max.saturating_add(rules.warmup))
            }
            Self::Offline { samples } => samples.div_ceil(batch.max(1)),
            Self::Concurrency { users } => {
                users.max(rules.warmup).saturating_add(rules.max.max(users))
            }
            Self::Server { requests, .. } => requests.saturating_add(early(requests)),
        };
        own.saturating_add(rules.warmup)
    }
}

/// Requests of a schedule before those that count: while the queue builds up from nothing they are
/// answered sooner than later ones.
fn early(requests: u32) -> u32 {
    requests.div_ceil(EARLY)
}

/// First call, warm-up one by one, then the requests of `load`, on a server and the machine's clock.
/// `batch` is the samples of one request; `seed` seeds arrivals.
pub fn under_load<E: From<io::Error>>(
    load: Load,
    server: &mut dyn Server<E>,
    rules: StreamRules,
    (batch, seed): (u32, u64),
    clock: Monotonic,
) -> Result<(Timeline, Vec<Timeline>, Sending), E> {
    let first_call = server.serve()?;
    let mut requests = Vec::new();
    for _ in 0..rules.warmup {
        requests.push(Timeline { warmup: true, ..server.serve()? });
    }
    let (own, sending) = match load {
        // One user is one stream; its first request is one more that does not count.
        Load::SingleStream => concurrency(server, 1, rules, &clock)?,
        Load::MultiStream { samples } => multi_stream(server, samples, rules, &clock)?,
        Load::Offline { samples } => offline(server, samples.div_ceil(batch.max(1)), &clock)?,
        Load::Concurrency { users } => concurrency(server, users, rules, &clock)?,
        Load::Server { rate, arrivals, requests } => {
            let early = early(requests);
            let gaps = arrivals.unit_gaps(seed, (requests + early) as usize);
            let instants = schedule(&gaps, rate.get(), clock.now() + HEAD_START);
            let rules = OpenRules { early, patience: Patience::default() };
            live(&instants, clock, |queue| open_loop(server, queue, rules, &clock))??
        }
    };
    let planned = sending.planned + requests.len() as u32;
    let sending = Sending { planned, ..sending };
    requests.extend(own);
    Ok((first_call, requests, sending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Admission, Observed, load::check};

    struct Sleepy(Monotonic);

    impl Server<io::Error> for Sleepy {
        fn serve(&mut self) -> io::Result<Timeline> {
            let sent = self.0.now();
            self.0.sleep_until(sent + 200_000);
            Ok(Timeline { sent, tokens: vec![self.0.now()], batch: 2, ..Timeline::default() })
        }
    }

    #[test]
    fn every_scenario_makes_the_requests_that_it_promises() {
        let rules = StreamRules { warmup: 2, detect: None, min: 3, max: 3, min_time: 0 };
        let rate = Positive::new(500.0).unwrap();
        for (load, admission, made) in [
            (Load::MultiStream { samples: 2 }, Admission::Queries, 2 + 2 * 2 + 3 * 2),
            (Load::Offline { samples: 8 }, Admission::AtOnce, 2 + 4),
            (Load::Concurrency { users: 4 }, Admission::Closed, 2 + 4 + 4),
            (
                Load::Server { rate, arrivals: Arrivals::Constant, requests: 10 },
                Admission::Scheduled,
                2 + 1 + 10,
            ),
        ] {
            let clock = Monotonic::start();
            let (first_call, requests, sending) =
                under_load(load, &mut Sleepy(clock), rules, (2, 7), clock).unwrap();
            assert_eq!(sending.admission, admission);
            assert_eq!((requests.len(), sending.planned as usize), (made, made), "{load:?}");
            assert_eq!(load.most_requests(rules, 2) as usize, made, "{load:?}");
            let observed = Observed {
                load: 0,
                first_call,
                requests,
                peak_memory: None,
                steady_memory: None,
                cpu_time: None,
                sending: Some(sending),
                ..Observed::default()
            };
            if admission != Admission::Scheduled {
                assert_eq!(check(&observed), Ok(()), "{load:?}");
            }
        }
    }

    #[test]
    fn a_scenario_is_written_by_its_name() {
        let rate = Positive::new(2.5).unwrap();
        let server = Load::Server { rate, arrivals: Arrivals::Poisson, requests: 100 };
        assert_eq!(
            serde_json::to_value(server).unwrap(),
            json!({"server": {"rate": 2.5, "arrivals": "poisson", "requests": 100}})
        );
        assert_eq!(serde_json::to_value(Load::SingleStream).unwrap(), json!("single_stream"));
        assert_eq!(server.axis(), Some(("rate", json!(2.5))));
    }
}
