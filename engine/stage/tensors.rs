//! The work of measuring and judging graphs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::job::{Done, JobError, Memory, find_backend, threads};
use super::{Artifact, Setting};
use crate::backend::{OpenOptions, Runner, Session};
use crate::scenario::{Clock, Monotonic, StreamRules, single_stream_of_runs};
use crate::task::{
    MetricRequest, PromptSource, Requests, TensorInputs, in_types_of, judge_tensors,
};

/// One launch of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorBench {
    pub artifact: Artifact,
    pub backend: Runner,
    /// Shared library of the runtime, where the backend needs one.
    pub runtime: Option<PathBuf>,
    pub inputs: TensorInputs,
    pub setting: Setting,
    pub rules: StreamRules,
    pub seed: u64,
}

/// Quality of one graph against another, or against recorded outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorJudge {
    pub variant: Artifact,
    pub backend: Runner,
    /// `None` when the variant is its own reference.
    pub reference: Option<(Artifact, Runner)>,
    pub runtime: Option<PathBuf>,
    pub inputs: TensorInputs,
    /// Items to make where none are recorded, and their seed.
    pub synthetic: u64,
    pub seed: u64,
    pub metrics: Vec<MetricRequest>,
}

fn open(
    artifact: &Artifact,
    backend: &Runner,
    how: &OpenOptions,
) -> Result<Box<dyn Session>, JobError> {
    Ok(find_backend(backend)?.session(&artifact.path, artifact.kind, &how.on(backend))?)
}

pub(super) fn bench(job: &TensorBench) -> Result<Done, JobError> {
    let batch = job.setting.batch;
    // Recorded inputs are read before the clock starts and before memory is marked.
    let mut requests = Requests::open(&job.inputs, batch as usize, job.seed)?;
    let (threads, runtime) = (Some(job.setting.threads), job.runtime.clone());
    let how = OpenOptions { threads, runtime, ..OpenOptions::default() };
    let clock = Monotonic::start();
    let begin = clock.now();
    let mut session = open(&job.artifact, &job.backend, &how)?;
    let load = clock.now() - begin;
    let memory = Memory::after_load();
    let signature = session.signature().clone();
    let mut next = || in_types_of(&signature, requests.draw());
    let (first_call, rest) =
        single_stream_of_runs(session.as_mut(), &mut next, batch, job.rules, &clock)?;
    let observed = memory.observed(load, first_call, rest);
    let prompts = match job.inputs.recorded {
        Some(_) => PromptSource::Recorded,
        None => PromptSource::Synthetic,
    };
    Ok(Done::Benched { observed, prompts })
}

pub(super) fn judge(job: &TensorJudge, progress: &dyn Fn(f64)) -> Result<Done, JobError> {
    let items = job.inputs.items(job.synthetic, job.seed)?;
    let (threads, runtime) = (threads(), job.runtime.clone());
    let how = OpenOptions { threads, runtime, ..OpenOptions::default() };
    let mut own = open(&job.variant, &job.backend, &how)?;
    let mut other = match &job.reference {
        Some((artifact, backend)) => Some(open(artifact, backend, &how)?),
        None => None,
    };
    let judged = match &mut other {
        Some(other) => {
            judge_tensors(own.as_mut(), Some(other.as_mut()), &items, &job.metrics, progress)?
        }
        None => judge_tensors(own.as_mut(), None, &items, &job.metrics, progress)?,
    };
    Ok(Done::Judged(judged))
}
