//! Stages: the kinds of step a plan is made of, and the work each of them is.
//!
//! A stage knows two things about itself: its recipe (every fact its output depends on) and its
//! job (a description that a fresh process of this program carries out). It never runs in the
//! process that plans and reports: loaders, tokenizers and kernels see foreign bytes, and their
//! death must be a row in the report. Deliberately absent: order (plan), caching (store),
//! processes (run).

mod artifact;
mod bench;
mod check;
mod check_graph;
mod device;
pub mod hub;
mod items;
mod job;
mod job_error;
mod judge;
mod load;
mod matching;
mod meter;
mod operators;
mod optimize;
mod profile;
mod rates;
mod resident;
mod runtime;
mod sabotage;
mod search;
mod soak;
mod source;
mod tensors;
mod text_jobs;
mod tokens;
mod trace;
mod wheel;

pub use artifact::Artifact;
pub use bench::{Bench, Setting, Work};
pub use check::{Placed, check};
pub use device::OpenDevice;
pub use items::LoadItems;
pub use job::{Done, Job, JobError};
pub use judge::{Judge, JudgeOn};
pub use load::LoadModel;
pub use matching::MatchingJudge;
pub use optimize::Optimize;
pub use profile::{PEAKS_FILE, ProfileStage, Roofline, trace_file};
pub use rates::RateSearch;
pub use resident::{Turn, reside};
pub use runtime::{LIBRARY_FILE, LoadRuntime, Pin, RUNTIME_KIND};
pub use sabotage::Sabotage;
pub use search::Search;
pub use soak::{Pace, SoakJob, SoakStage};
pub use source::{Source, SourceError, find_file};
pub use tensors::{TensorBench, TensorJudge};
pub use tokens::LoadTokens;

/// One kind of step with everything that is known about it before anything runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    LoadModel(LoadModel),
    LoadTokens(LoadTokens),
    LoadItems(LoadItems),
    LoadRuntime(LoadRuntime),
    OpenDevice(OpenDevice),
    Optimize(Optimize),
    Judge(Judge),
    Bench(Bench),
    Search(Search),
    RateSearch(RateSearch),
    Roofline(Roofline),
    Profile(ProfileStage),
    Soak(SoakStage),
}

/// What else may run meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Beside other shared steps.
    Shared,
    /// Alone: its timings are the result.
    Quiet,
}

impl Stage {
    /// `load`, `optimize`, `judge`, `bench`, `search`, `profile` or `soak`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::LoadModel(_)
            | Self::LoadTokens(_)
            | Self::LoadItems(_)
            | Self::LoadRuntime(_)
            | Self::OpenDevice(_) => "load",
            Self::Optimize(_) => "optimize",
            Self::Judge(_) => "judge",
            Self::Bench(_) => "bench",
            Self::Search(_) | Self::RateSearch(_) => "search",
            Self::Soak(_) => "soak",
            Self::Roofline(_) | Self::Profile(_) => "profile",
        }
    }

    pub fn label(&self) -> String {
        match self {
            Self::LoadModel(load) => format!("load {}", load.written),
            Self::LoadTokens(tokens) => format!("tokenize {}", tokens.data),
            Self::LoadItems(items) => format!("read {}", items.data),
            Self::LoadRuntime(runtime) => runtime.label(),
            Self::OpenDevice(device) => device.label(),
            Self::Optimize(optimize) => optimize.label(),
            Self::Judge(judge) => judge.label(),
            Self::Bench(bench) => format!("bench {}", bench.setting),
            Self::Search(search) => search.label(),
            Self::Soak(soak) => soak.label(),
            Self::RateSearch(search) => search.label(),
            Self::Roofline(roofline) => {
                let s = if roofline.threads == 1 { "" } else { "s" };
                format!("peak rates of the machine, {} thread{s}", roofline.threads)
            }
            Self::Profile(profile) => format!("profile {}, {}", profile.variant, profile.setting),
        }
    }

    pub fn lane(&self) -> Lane {
        match self {
            Self::Bench(_)
            | Self::Search(_)
            | Self::RateSearch(_)
            | Self::Roofline(_)
            | Self::Profile(_)
            | Self::Soak(_) => Lane::Quiet,
            _ => Lane::Shared,
        }
    }
}
