//! What a run would find: hits, misses and the reason of each miss. Changes nothing.

use std::path::Path;

use super::{ModelOutput, Output, Plan, recipe};
use crate::base::Digest;
use crate::model;
use crate::stage::{Artifact, LIBRARY_FILE, LoadRuntime, Source, Stage, hub};
use crate::store::{Lookup, Store, StoreError, Stored};

/// The one file of a stored judgement.
pub const JUDGED_FILE: &str = "judged.json";

/// What is known about one step before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The store has the result. Seconds its making took.
    Hit { seconds: u64 },
    /// The step will run.
    Miss { reason: String },
    /// Files that are read where they are.
    Read,
    /// The step will run, because a step it needs will.
    After { step: String },
    /// Measured anew in every run.
    Measured { launches_at_least: u64 },
    /// It is tried before anything is made for it.
    Tried,
    /// It is not done on this machine.
    Skipped { why: String },
    /// The source cannot be used.
    Broken { why: String },
}

pub struct Preview {
    /// One per step of the plan.
    pub states: Vec<State>,
}

/// Looks every step up without touching the store.
pub fn preview(
    plan: &Plan,
    store: &Store,
    spec: &str,
    min_blocks: u32,
) -> Result<Preview, StoreError> {
    let mut outputs: Vec<Option<Output>> = Vec::new();
    let mut states = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        let skipped = |need: &&usize| matches!(states[**need], State::Skipped { .. });
        let (state, output) = match &step.stage {
            // A device tells its digest even where it cannot be used: nothing else changes.
            Stage::OpenDevice(device) => {
                let output = Output::Device { digest: device.digest() };
                match device.missing() {
                    Some(why) => (State::Skipped { why }, Some(output)),
                    None => (State::Tried, Some(output)),
                }
            }
            Stage::Judge(_) | Stage::Profile(_) | Stage::Soak(_)
                if step.needs.iter().any(|n| skipped(&n)) =>
            {
                let need = step.needs.iter().find(skipped).map(|&n| plan.steps[n].id.as_str());
                let why = format!("`{}` cannot be used here", need.unwrap_or_default());
                (State::Skipped { why }, None)
            }
            Stage::Bench(bench) => {
                let launches = bench.variants.len() as u64 * u64::from(min_blocks);
                (State::Measured { launches_at_least: launches }, None)
            }
            Stage::Search(search) => {
                // Two probes at least: the answer is always tried again.
                let launches = 2 * search.bench.variants.len() as u64;
                (State::Measured { launches_at_least: launches }, None)
            }
            Stage::RateSearch(search) => {
                // One stream, one rate that is kept or not, and one on the other side.
                let launches = 3 * search.bench.variants.len() as u64;
                (State::Measured { launches_at_least: launches }, None)
            }
            Stage::Roofline(_) | Stage::Profile(_) | Stage::Soak(_) => {
                (State::Measured { launches_at_least: 1 }, None)
            }
            Stage::LoadModel(load) if load.recipe().is_none() => outside(&load.source),
            Stage::LoadRuntime(load) if load.recipe().is_none() => library(load),
            _ => match recipe(plan, index, &outputs) {
                Err(missing) => (State::After { step: missing.0 }, None),
                Ok(None) => (State::Read, None),
                Ok(Some(recipe)) => match store.peek(&slot(spec, &step.id), &recipe)? {
                    Lookup::Hit(stored) => {
                        let seconds = stored.seconds.round() as u64;
                        (State::Hit { seconds }, output_of(&step.stage, &stored))
                    }
                    Lookup::Miss(reason) => (State::Miss { reason: reason.to_string() }, None),
                },
            },
        };
        states.push(state);
        outputs.push(output);
    }
    Ok(Preview { states })
}

/// The name under which the store remembers what a step of a spec last used.
pub fn slot(spec: &str, step: &str) -> String {
    format!("{spec}/{step}")
}

/// A runtime that is not kept in the store.
fn library(load: &LoadRuntime) -> (State, Option<Output>) {
    let Some(path) = &load.library else {
        return (State::Broken { why: LoadRuntime::unsupported() }, None);
    };
    match read_library(path, None) {
        Ok(output) => (State::Read, Some(output)),
        Err(error) => {
            (State::Broken { why: format!("cannot read `{}`: {error}", path.display()) }, None)
        }
    }
}

/// A runtime's library as it lies there.
pub fn read_library(path: &Path, version: Option<String>) -> std::io::Result<Output> {
    let digest = Digest::of_file(path)?;
    Ok(Output::Runtime { library: path.to_owned(), digest, version })
}

fn outside(source: &Source) -> (State, Option<Output>) {
    let path = match source {
        Source::File(path) => path.clone(),
        Source::Hub { repository, revision } => {
            match hub::cached(repository, revision.as_deref().unwrap_or("main")) {
                Some(folder) => folder.to_string_lossy().into_owned(),
                None => return (State::Miss { reason: "not fetched yet".into() }, None),
            }
        }
        Source::Random(_) => return (State::Read, None),
    };
    match read_model(Path::new(&path)) {
        Ok(output) => (State::Read, Some(output)),
        Err(error) => (State::Broken { why: error.to_string() }, None),
    }
}

/// A model outside the store with its facts.
pub fn read_model(path: &Path) -> Result<Output, model::ModelError> {
    let facts = model::facts(path)?;
    let artifact = Artifact::outside(path)?;
    Ok(Output::Model(Box::new(ModelOutput { artifact, facts, notes: Vec::new() })))
}

/// What a stored result is to later steps; `None` when it cannot be read.
pub fn output_of(stage: &Stage, stored: &Stored) -> Option<Output> {
    match stage {
        Stage::LoadTokens(_) | Stage::LoadItems(_) => {
            Some(Output::Data { folder: stored.path.clone(), digest: stored.digest })
        }
        Stage::LoadRuntime(load) => {
            let version = load.pin().map(|pin| pin.version);
            read_library(&stored.path.join(LIBRARY_FILE), version).ok()
        }
        Stage::Judge(_) => {
            let value = stored.read_json(JUDGED_FILE).ok()?;
            let judged = serde_json::from_value(value).ok()?;
            let notes = serde_json::from_value(stored.notes.clone()).unwrap_or_default();
            Some(Output::Judged { judged, notes })
        }
        _ => {
            let kind = model::Kind::parse(&stored.kind)?;
            let artifact = Artifact::stored(kind, &stored.path, stored.digest, stored.bytes);
            let facts = model::facts(&artifact.path).ok()?;
            let notes = serde_json::from_value(stored.notes.clone()).unwrap_or_default();
            Some(Output::Model(Box::new(ModelOutput { artifact, facts, notes })))
        }
    }
}
