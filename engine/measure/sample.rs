//! What one measured launch saw, before anything is summed up.

use serde::{Deserialize, Serialize};

/// One request's course in nanoseconds since the launch's clock started.
///
/// Greedy generation on one stream emits one token at a time, so `tokens` holds one instant per
/// generated token. The count of tokens is counted here, never taken from the spec. A request that
/// is not about tokens has a single instant, at which all its outputs were there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeline {
    /// When the request was handed to the backend (closed loop: also its scheduled instant).
    pub sent: u64,
    /// Instants at which each new token, or the whole answer, was known to the host, ascending.
    pub tokens: Vec<u64>,
    /// Prompt tokens the prefill really processed, per sequence of the batch; `None` for a request
    /// that is not about tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u32>,
    /// Time spent on reading and decoding its pictures before it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<u64>,
    /// Time spent on resizing and normalizing them before it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<u64>,
    /// Sequences or other items side by side.
    pub batch: u32,
    /// Requests before the steady state; kept, shown, left out of the summaries.
    pub warmup: bool,
}

/// Everything a successful launch reports besides its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// Nanoseconds from the start of opening the artifact until it could serve a request.
    pub load: u64,
    /// The first request of the process, cold in every cache that the process owns.
    pub first_call: Timeline,
    /// Later requests in order, warm-up included.
    pub requests: Vec<Timeline>,
    /// Highest resident set size of the process, load included, in bytes.
    pub peak_memory: Option<u64>,
    /// Highest resident set size after load, in bytes; `None` where the kernel cannot reset the mark.
    pub steady_memory: Option<u64>,
    /// Processor time used by the process, user and system, in nanoseconds.
    pub cpu_time: Option<u64>,
}
