//! What one measured launch saw, before anything is summed up.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::steady::Remembered;
use super::warmup::WarmupEnd;

/// One request's course in nanoseconds since the launch's clock started.
///
/// `tokens` holds one instant per chunk of the answer. Our backends emit one token at a time, so a
/// chunk is a token; `counts` says otherwise. The count of tokens is counted here, never taken from
/// the spec. A request that is not about tokens has a single instant, at which all its outputs were
/// there. One that failed has none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeline {
    /// When it was to be sent: by an arrival schedule, or because a user's request before it was
    /// answered. Latency counts from here. `None` where nothing but the backend decides, which is
    /// `single_stream`: there it is `sent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<u64>,
    /// When it really stood in the queue of the server; later than `scheduled` by the delay of
    /// whoever sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// When the request was handed to the backend.
    pub sent: u64,
    /// Instants at which each chunk, or the whole answer, was known to the host, ascending.
    pub tokens: Vec<u64>,
    /// Tokens of each chunk, 0 for one that carries none; one each when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Vec<u32>>,
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
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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
    /// How the requests came, where a scenario puts load on the server; `None` of `single_stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending: Option<Sending>,
    /// Why the requests that are flagged as warm-up were as many; none in records of earlier
    /// engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_end: Option<WarmupEnd>,
    /// How the times went, found when it is first asked for; follows from the requests and is never
    /// stored.
    #[serde(skip)]
    pub course: Remembered,
    /// Of which kind its memory was after the last request; none in records of earlier engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident: Option<Resident>,
    /// What the machine took meanwhile; none in records of earlier engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
}

/// What whoever sends set out to do, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sending {
    pub admission: Admission,
    /// Requests that were to be sent, those that do not count included.
    pub planned: u32,
    /// Requests that ended in an error.
    pub failed: u32,
    /// Sending was ended because the server fell behind for good; so many requests were waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated: Option<u32>,
}

/// What lets a request in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// The answer to an earlier one (closed loop).
    Closed,
    /// The end of the query before; requests of one query share their scheduled instant.
    Queries,
    /// A schedule that knows nothing of the server (open loop).
    Scheduled,
    /// Nothing: all are there from the start.
    AtOnce,
}

/// The resident set of a process by what stands behind it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resident {
    pub anonymous: u64,
    /// Backed by files or shared memory: pages that can be dropped and read again.
    pub mapped: u64,
    /// The whole, with shared pages counted by their share.
    pub proportional: Option<u64>,
}

/// What the counters of the whole machine say about the requests that count, from before the first
/// one's input is made until after the last one's end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Energy {
    Counted {
        /// Joules by counter, such as `package-0`.
        zones: IndexMap<String, f64>,
        /// Nanoseconds between the two readings.
        window: u64,
    },
    /// Why there is no number.
    Unmeasured(String),
}
