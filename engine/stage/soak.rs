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
use crate::scenario::{
    Arrivals, Clock, Given, GraphServer, Monotonic, Positive, Request, Scheduled, SoakRules,
    TextServer, soak, soak_of_runs, soak_under_load,
};
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
    pub pace: Pace,
}

/// When the requests of a soak are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each as soon as the one before is answered.
    Closed,
    /// So many arrive per second.
    Rate(Positive, Arrivals),
    /// So many times the largest rate that a search the step needs has found to keep its bounds.
    Share(Positive, Arrivals),
}

impl SoakStage {
    pub fn label(&self) -> String {
        let pace = match self.pace {
            Pace::Closed => String::new(),
            Pace::Rate(rate, _) => format!(", {rate} requests per second"),
            Pace::Share(share, _) => format!(", {share} of its largest rate"),
        };
        format!("soak {}, {}{pace}", self.variant, self.setting)
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
    /// Seeds prompts and arrivals: the same for every variant.
    pub seed: u64,
    /// Nanoseconds.
    pub duration: u64,
    /// So many requests arrive per second, by this law; one after the other without.
    pub arriving: Option<(Positive, Arrivals)>,
}

/// Inputs that are made before requests arrive, at most, and used in turn.
const PREPARED: u32 = 1000;

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
    match (&job.inputs, job.setting.request()) {
        (Some(inputs), _) => runs(job, inputs, rules, &how, clock),
        (None, Some(request)) => generation(job, request, rules, &how, clock),
        (None, None) => Err(JobError::new("a run of a graph needs inputs")),
    }
}

fn in_turn(readings: Vec<Reading>) -> Done {
    Done::Soaked { readings, schedule: None }
}

fn scheduled(seen: Scheduled) -> Done {
    let Scheduled { readings, planned, saturated } = seen;
    Done::Soaked { readings, schedule: Some((planned, saturated)) }
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
    clock: Monotonic,
) -> Result<Done, JobError> {
    let batch = job.setting.batch;
    let mut requests = Requests::open(inputs, beside(&job.artifact), batch as usize, job.seed)?;
    let mut session = open(&job.artifact, &job.backend, how)?;
    let signature = session.signature().clone();
    let mut next = || {
        let drawn = requests.draw(&|| clock.now())?;
        let inputs = in_types_of(&signature, drawn.inputs);
        Ok::<_, JobError>(Given { inputs, decode: drawn.decode, preprocess: drawn.preprocess })
    };
    let Some((rate, arrivals)) = job.arriving else {
        let session = session.as_mut();
        return soak_of_runs(session, &mut next, batch, rules, &clock, &mut look).map(in_turn);
    };
    let mut server = GraphServer::new(session.as_mut(), &mut next, batch, PREPARED, &clock)?;
    let arriving = (rate, arrivals, job.seed);
    soak_under_load(&mut server, arriving, rules, clock, &mut look).map(scheduled)
}

fn generation(
    job: &SoakJob,
    request: Request,
    rules: SoakRules,
    how: &OpenOptions,
    clock: Monotonic,
) -> Result<Done, JobError> {
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
    let Some((rate, arrivals)) = job.arriving else {
        let readings = soak(generator.as_mut(), &mut next, request, rules, &clock, &mut look)?;
        return Ok(in_turn(readings));
    };
    let mut server = TextServer::new(generator.as_mut(), &mut next, request, PREPARED, &clock);
    let arriving = (rate, arrivals, job.seed);
    soak_under_load(&mut server, arriving, rules, clock, &mut look).map(scheduled)
}
