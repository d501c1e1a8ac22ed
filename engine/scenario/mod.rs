//! Scenarios: the order in which requests are made, and the instants that are kept.
//!
//! A scenario sees a [`Server`] and a [`Clock`], and returns raw timelines; what they mean is
//! computed elsewhere. The servers are real backends or simulated ones, and the clock is the
//! machine's or a virtual one, so that the very code that measures is proved against queueing
//! theory (`prove`).
//!
//! A server answers one request at a time: our backends run one request per session, so requests
//! that come together stand in one queue, first come, first served, and their wait is part of their
//! latency. There is no pool of workers and no batching on the fly. Deliberately absent: processes,
//! files, statistics.

mod arrivals;
mod bursts;
mod clock;
mod closed;
mod load;
mod open;
mod servers;
mod single_stream;
mod soak;
mod warmup;

pub use arrivals::{Arrivals, Positive, schedule};
pub use bursts::{burst, settle};
pub use clock::{Clock, Monotonic, Virtual};
pub use closed::{concurrency, multi_stream, offline};
pub use load::{Load, under_load};
pub use open::{Arrival, OpenRules, Patience, Queue, Timetable, live, open_loop};
pub use servers::{GraphServer, TextServer};
pub use single_stream::{
    Given, Request, StreamRules, complete, run_once, single_stream, single_stream_of_runs,
};
pub use soak::{Scheduled, SoakRules, soak, soak_of_runs, soak_under_load};

use crate::measure::Timeline;

/// A scenario as `engine list` shows it.
pub struct Scenario {
    pub id: &'static str,
    pub about: &'static str,
}

pub static SCENARIOS: &[Scenario] = &[
    Scenario {
        id: "single_stream",
        about: "closed loop, one request outstanding, a fresh input for each",
    },
    Scenario {
        id: "multi_stream",
        about: "closed loop, queries of several samples one after the other",
    },
    Scenario { id: "offline", about: "all samples at once; samples per second" },
    Scenario {
        id: "concurrency",
        about: "closed loop, users who each ask again as soon as they are answered",
    },
    Scenario {
        id: "server",
        about: "open loop, a seeded schedule of arrivals; latency from the scheduled instant",
    },
    Scenario {
        id: "soak",
        about: "closed loop, or a schedule of arrivals, for a long time; memory and descriptors read every second",
    },
];

/// What answers requests, one at a time.
pub trait Server<E> {
    /// Serves one request and returns when it was handed over and when its answers were there.
    /// Inputs are ready before: making them is no part of serving.
    fn serve(&mut self) -> Result<Timeline, E>;
}
