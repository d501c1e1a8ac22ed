//! Scenarios: the order in which requests are made, and the instants that are kept.
//!
//! A scenario sees a generator or a session, its inputs and a clock, and returns raw timelines; what they mean is
//! computed elsewhere. Deliberately absent: processes, files, statistics.

use std::time::Instant;

mod single_stream;

pub use single_stream::{Given, Request, StreamRules, single_stream, single_stream_of_runs};

/// A scenario as `engine list` shows it.
pub struct Scenario {
    pub id: &'static str,
    pub about: &'static str,
}

pub static SCENARIOS: &[Scenario] = &[Scenario {
    id: "single_stream",
    about: "closed loop, one request outstanding, a fresh input for each",
}];

/// Nanoseconds since some fixed instant; never runs backwards.
pub trait Clock {
    fn now(&self) -> u64;
}

/// The operating system's monotonic clock, counted from its making.
pub struct Monotonic(Instant);

impl Monotonic {
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Monotonic {
    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
