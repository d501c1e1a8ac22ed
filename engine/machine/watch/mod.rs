//! What else the machine did while something was measured.
//!
//! Counters of the kernel are read before and after a window and a few times in between
//! (`Sources`); what they say about the window is arithmetic (`Readings`), and what that means for
//! a measurement are rules over readings (`judge`). Only `Sources`, the canary loop and the
//! library of the GPUs touch the machine, so that recorded counters replay through everything else.
//! Nothing here changes a setting or another process. What cannot be read is absent, and
//! `Sources::unmeasured` says why, once; it is never 0. Deliberately absent: what follows from a
//! finding (`run`), and how it is told (`report`).

mod canary;
mod counters;
mod gpu;
mod processes;
mod readings;
mod rules;
mod signal;
mod snapshot;
mod sources;

pub(super) use counters::{counter, groups};

pub use canary::{Canary, CanaryLoop};
pub use gpu::{GpuReadings, GpuSample, GpuSource, Slowdown, Tenant};
pub use processes::{Hog, Process, family, name_of, process, running};
pub use readings::Readings;
pub use rules::{Finding, Level, Usual, judge, judge_block, most_left_out, values};
pub use signal::{SIGNALS, Signal, Unit};
pub use snapshot::Snapshot;
pub use sources::{Sources, Unseen};
