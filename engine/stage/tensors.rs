//! The work of measuring and judging graphs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::job::{Done, JobError, Memory, find_backend, threads};
use super::meter::Meter;
use super::{Artifact, Setting};
use crate::backend::{OpenOptions, Runner, Session};
use crate::measure::WarmupEnd;
use crate::scenario::{
    Clock, Given, GraphServer, Load, Monotonic, StreamRules, single_stream_of_runs, under_load,
};
use crate::task::{
    Beside, MetricRequest, PromptSource, Requests, TensorInputs, depth, in_types_of, judge_pairs,
    judge_tensors,
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
    /// Seeds arrivals: the same for every variant and rate.
    pub arrivals: u64,
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
    /// Part of the model that is judged.
    pub part: Option<String>,
    pub inputs: TensorInputs,
    /// Items to make where none are recorded, and their seed.
    pub synthetic: u64,
    pub seed: u64,
    /// Names of the classes that the output has, where it has some.
    pub classes: Vec<String>,
    pub metrics: Vec<MetricRequest>,
}

impl TensorBench {
    pub(super) fn how(&self) -> OpenOptions {
        let (threads, runtime) = (Some(self.setting.threads), self.runtime.clone());
        let part = self.setting.part.clone();
        OpenOptions { threads, part, runtime, ..OpenOptions::default() }
    }

    pub(super) fn source(&self) -> PromptSource {
        match self.inputs.origin.is_synthetic() {
            false => PromptSource::Recorded,
            true => PromptSource::Synthetic,
        }
    }
}

pub(super) fn open(
    artifact: &Artifact,
    backend: &Runner,
    how: &OpenOptions,
) -> Result<Box<dyn Session>, JobError> {
    Ok(find_backend(backend)?.session(&artifact.path, artifact.kind, &how.on(backend))?)
}

pub(super) fn beside(artifact: &Artifact) -> Beside<'_> {
    Beside { kind: artifact.kind, path: &artifact.path }
}

pub(super) fn bench(job: &TensorBench) -> Result<Done, JobError> {
    let batch = job.setting.batch;
    // Recorded inputs are read before the clock starts and before memory is marked.
    let mut requests =
        Requests::open(&job.inputs, beside(&job.artifact), batch as usize, job.seed)?;
    let clock = Monotonic::start();
    let begin = clock.now();
    let mut session = open(&job.artifact, &job.backend, &job.how())?;
    let load = clock.now() - begin;
    let memory = Memory::after_load();
    let mut meter = Meter::start();
    let signature = session.signature().clone();
    let mut next = || {
        meter.note(clock.now());
        let drawn = requests.draw(&|| clock.now())?;
        let inputs = in_types_of(&signature, drawn.inputs);
        Ok::<_, JobError>(Given { inputs, decode: drawn.decode, preprocess: drawn.preprocess })
    };
    let (first_call, rest, end, sending) = match job.setting.load {
        Load::SingleStream => {
            let (first_call, rest, end) =
                single_stream_of_runs(session.as_mut(), &mut next, batch, job.rules, &clock)?;
            (first_call, rest, end, None)
        }
        scenario => {
            let requests = scenario.most_requests(job.rules, batch).saturating_add(1);
            let mut server =
                GraphServer::new(session.as_mut(), &mut next, batch, requests, &clock)?;
            let seeds = (batch, job.arrivals);
            let (first_call, rest, sending) =
                under_load::<JobError>(scenario, &mut server, job.rules, seeds, clock)?;
            (first_call, rest, WarmupEnd::Fixed, Some(sending))
        }
    };
    let energy = match sending {
        None => meter.end(clock.now(), &rest),
        Some(_) => meter.none(),
    };
    let observed = memory.observed(load, first_call, rest, (end, energy, sending));
    Ok(Done::Benched { observed, prompts: job.source() })
}

pub(super) fn judge(job: &TensorJudge, progress: &dyn Fn(f64)) -> Result<Done, JobError> {
    let (threads, runtime, part) = (threads(), job.runtime.clone(), job.part.clone());
    let how = OpenOptions { threads, part, runtime, ..OpenOptions::default() };
    let mut own = open(&job.variant, &job.backend, &how)?;
    let mut other = match &job.reference {
        Some((artifact, backend)) => Some(open(artifact, backend, &how)?),
        None => None,
    };
    let is_retrieval = |metric: &&MetricRequest| depth(&metric.metric).is_some();
    let (retrieval, outputs): (Vec<_>, Vec<_>) = job.metrics.iter().partition(is_retrieval);
    let of = |metrics: Vec<&MetricRequest>| metrics.into_iter().cloned().collect::<Vec<_>>();
    let (retrieval, outputs) = (of(retrieval), of(outputs));
    let (model, inputs) = (beside(&job.variant), &job.inputs);
    let (items, others) = match retrieval.is_empty() {
        true => (inputs.items(model, job.synthetic, job.seed)?, Vec::new()),
        false => inputs.pairs(model, job.synthetic, job.seed)?,
    };
    let mut notes: Vec<String> = job.inputs.cut_note(&items, "texts").into_iter().collect();
    let (mut by_output, mut by_pair) = (Vec::new(), Vec::new());
    if !outputs.is_empty() {
        let other = other.as_deref_mut().map(|other| other as &mut dyn Session);
        by_output = judge_tensors(own.as_mut(), other, &items, &job.classes, &outputs, progress)?;
    }
    if !retrieval.is_empty() {
        let other = other.as_deref_mut().map(|other| other as &mut dyn Session);
        by_pair = judge_pairs(own.as_mut(), other, &items, &others, &retrieval, progress)?;
        notes.extend(inputs.cut_note(others.iter().flatten(), "texts that belong to others"));
    }
    let (mut by_output, mut by_pair) = (by_output.into_iter(), by_pair.into_iter());
    let in_order = |metric| match is_retrieval(&metric) {
        true => by_pair.next(),
        false => by_output.next(),
    };
    Ok(Done::Judged { judged: job.metrics.iter().filter_map(in_order).collect(), notes })
}
