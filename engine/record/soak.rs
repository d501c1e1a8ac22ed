//! A long run of one variant: what it held and what it did, at regular times.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Failure;
use crate::base::Digest;
use crate::machine::watch::Readings;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Soak {
    pub variant: String,
    /// The setting, in matrix order, as cells have it.
    pub axes: IndexMap<String, Value>,
    /// What ran: the same artifact that was timed.
    pub artifact: Option<Digest>,
    /// Nanoseconds that were asked for.
    pub duration: u64,
    /// How requests arrived; one after the other where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Why it was not tried, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmeasured: Option<String>,
    /// How it died, if it did: memory that keeps growing ends so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What else the machine did meanwhile; none where nobody watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Readings>,
    pub readings: Vec<Reading>,
}

/// Arrivals on a schedule, whatever the server does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Requests per second.
    pub rate: f64,
    /// The largest rate that was found to keep its bounds, where the soak is held to a share of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<f64>,
    /// Requests of the schedule.
    pub planned: u32,
    /// It was ended because the server fell behind for good; so many requests were waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated: Option<u32>,
}

/// What a process held at one moment, and the requests it answered since the reading before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Nanoseconds since the first request after the first call.
    pub at: u64,
    pub requests: u32,
    /// Nanoseconds that these requests took; the rest of the time went into their inputs and into
    /// readings.
    pub busy: u64,
    /// On a schedule: nanoseconds from the scheduled instant of each of these requests to its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latencies: Vec<u64>,
    /// Nanoseconds by which each was queued later than scheduled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delays: Vec<u64>,
    /// Bytes of resident memory; `None` where the kernel does not tell, as below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident: Option<u64>,
    /// The same with shared pages divided among those who share them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proportional: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<u64>,
}
