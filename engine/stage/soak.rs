//! `soak`: one variant at work for a long time, in a process of its own.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::job::{Done, JobError, generator};
use super::tensors::{beside, open};
use super::{Artifact, Setting};
use crate::backend::{OpenOptions, Runner};
use crate::data::TokenFile;
use crate::machine::{Holdings, holdings};
use crate::record::Reading;
use crate::scenario::{Clock, Given, Monotonic, Request, SoakRules, soak, soak_of_runs};
use crate::task::{Prompts, Requests, TensorInputs, in_types_of};

#[derive(Debug, Clone, PartialEq)]
pub struct SoakStage {
    pub variant: String,
    pub setting: Setting,
    /// Name of the data set the prompts come from.
    pub data: Option<String>,
    /// Of a graph: what its requests are.
    pub inputs: Option<TensorInputs>,
    /// Nanoseconds.
    pub duration: u64,
}

impl SoakStage {
    pub fn label(&self) -> String {
        format!("soak {}, {}", self.variant, self.setting)
    }
}

/// What the process does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoakJob {
    pub artifact: Artifact,
    pub backend: Runner,
    /// Folder with the tokens of the prompts; synthetic tokens when absent.
    pub tokens: Option<PathBuf>,
    /// Of a graph: what its requests are.
    pub inputs: Option<TensorInputs>,
    /// Shared library of the runtime, where the backend needs one.
    pub runtime: Option<PathBuf>,
    pub setting: Setting,
    pub seed: u64,
    /// Nanoseconds.
    pub duration: u64,
}

pub(super) fn perform(job: &SoakJob) -> Result<Done, JobError> {
    let clock = Monotonic::start();
    let rules = SoakRules::lasting(job.duration);
    let capacity = job.setting.request().map_or(0, |r| r.prompt_tokens + r.new_tokens);
    let how = OpenOptions {
        capacity,
        threads: Some(job.setting.threads),
        runtime: job.runtime.clone(),
        part: job.setting.part.clone(),
        ..OpenOptions::default()
    };
    let readings = match (&job.inputs, job.setting.request()) {
        (Some(inputs), _) => runs(job, inputs, rules, &how, &clock)?,
        (None, Some(request)) => generation(job, request, rules, &how, &clock)?,
        (None, None) => return Err(JobError::new("a run of a graph needs inputs")),
    };
    Ok(Done::Soaked(readings))
}

fn look() -> Reading {
    let Holdings { resident, proportional, descriptors } = holdings();
    Reading { resident, proportional, descriptors, ..Reading::default() }
}

fn runs(
    job: &SoakJob,
    inputs: &TensorInputs,
    rules: SoakRules,
    how: &OpenOptions,
    clock: &dyn Clock,
) -> Result<Vec<Reading>, JobError> {
    let batch = job.setting.batch;
    let mut requests = Requests::open(inputs, beside(&job.artifact), batch as usize, job.seed)?;
    let mut session = open(&job.artifact, &job.backend, how)?;
    let signature = session.signature().clone();
    let mut next = || {
        let drawn = requests.draw(&|| clock.now())?;
        let inputs = in_types_of(&signature, drawn.inputs);
        Ok::<_, JobError>(Given { inputs, decode: drawn.decode, preprocess: drawn.preprocess })
    };
    soak_of_runs(session.as_mut(), &mut next, batch, rules, clock, &mut look)
}

fn generation(
    job: &SoakJob,
    request: Request,
    rules: SoakRules,
    how: &OpenOptions,
    clock: &dyn Clock,
) -> Result<Vec<Reading>, JobError> {
    let texts = match &job.tokens {
        Some(folder) => Some(TokenFile::read(folder).map_err(JobError::new)?.documents),
        None => None,
    };
    let mut generator = generator(&job.artifact, &job.backend, how)?;
    let length = request.prompt_tokens;
    let mut prompts = match texts {
        Some(texts) => Prompts::from_texts(texts, length, job.seed)?,
        None => Prompts::synthetic(generator.vocab(), length, job.seed),
    };
    let mut next = || prompts.next_batch(request.batch);
    Ok(soak(generator.as_mut(), &mut next, request, rules, clock, &mut look)?)
}
