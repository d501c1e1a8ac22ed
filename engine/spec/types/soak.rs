//! A long run of each variant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Nanos, Percent};

/// Keeps every variant at work for a while, one after the other and after everything else is timed, and looks for memory that keeps growing and for throughput that falls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Soak {
    /// How long each variant works, under the first setting of the matrix. Ten minutes find what is steep; an hour finds half a megabyte per hour in a process of 200 MiB.
    pub duration: Nanos,
    /// Requests per second that arrive on a schedule, whatever the server does; latency counts from the scheduled instant. Left out, as `load`: one request after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 100_000.0))]
    pub rate: Option<f64>,
    /// The same, as a share of the largest rate at which the variant was found to keep its bounds by the `search` of scenario `server`, from 1% to 100%; `80%` is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Percent>,
}

/// Requests that a soak on a schedule has at least and at most: fewer tell nothing, and the time of
/// each is kept.
const REQUESTS: [f64; 2] = [100.0, 2e6];

impl Soak {
    /// Why arrivals at `rate` per second for its duration make no soak, if so.
    pub fn unfit(&self, rate: f64) -> Option<String> {
        let requests = rate * self.duration.as_secs();
        let told = format!("{rate:.3} requests per second for {} are {requests:.0}", self.duration);
        let [least, most] = REQUESTS;
        if requests < least {
            return Some(format!("{told}, and fewer than {least} tell nothing"));
        }
        (requests > most).then(|| format!("{told}, more than the {most} that are kept"))
    }
}

impl Default for Soak {
    fn default() -> Self {
        Self { duration: Nanos::seconds(600), rate: None, load: None }
    }
}
