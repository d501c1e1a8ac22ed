//! Backends: what opens an artifact on a device and runs it.
//!
//! A backend *tries* a device; compiled in is not available. Tasks see only the traits below, so
//! the same prompts and the same judging serve every backend. Deliberately absent: timing (the
//! cell's business) and optimization (the passes' business).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::Tensor;
use crate::model::{Kind, Signature};

pub mod candle;
mod candle_network;
mod candle_quantize;
mod candle_weights;
mod device;
mod mock;
pub mod onnxruntime;
mod operators;
mod ort_bound;
mod ort_environment;
mod ort_facts;
mod ort_generator;
mod ort_optimize;
mod ort_placement;
mod ort_profile;
mod ort_providers;
mod ort_session;
mod ort_value;
mod ort_work;
mod spans;

pub use candle_quantize::{QuantizeError, quantize_rows};
pub use device::{Assigned, Device, Placement, Runner, TensorRt, Unavailable};
pub use operators::{Arithmetic, OpEvent, Work};
pub use ort_facts::RuntimeFacts;
pub use ort_optimize::optimize;
pub use ort_providers::built_in;

/// Every backend, in the order of preference.
pub static BACKENDS: &[&dyn Backend] = &[&candle::Candle, &onnxruntime::OnnxRuntime];

/// The backend named `id`.
pub fn backend(id: &str) -> Option<&'static dyn Backend> {
    BACKENDS.iter().copied().find(|b| b.id() == id)
}

/// What `runner` names. On a mock device every backend is the mock.
pub fn of(runner: &Runner) -> Option<&'static dyn Backend> {
    match runner.placement.device {
        Device::Mock(_) => Some(&mock::Mock),
        Device::Cpu | Device::Cuda(_) => backend(&runner.backend),
    }
}

/// The backend that opens artifacts of `kind` when the spec names none.
pub fn opener(kind: Kind) -> Option<&'static dyn Backend> {
    BACKENDS.iter().copied().find(|b| b.opens().contains(&kind))
}

pub trait Backend: Sync {
    /// Name in specs.
    fn id(&self) -> &'static str;

    /// One line for `engine list`.
    fn about(&self) -> &'static str;

    /// Library versions that decide what comes out; part of every key.
    fn version(&self) -> String;

    /// Artifact kinds it opens.
    fn opens(&self) -> &'static [Kind];

    /// Name of the runtime whose shared library [`OpenOptions::runtime`] must lead to.
    fn runtime(&self) -> Option<&'static str> {
        None
    }

    /// Execution providers that its sessions register. With a single one no node can run
    /// elsewhere.
    fn providers(&self) -> &'static [&'static str];

    /// Opens an artifact for generation.
    ///
    /// `artifact` is a checkpoint folder or a GGUF file. Headers have been checked by the model
    /// room's bounded readers before any weight is read.
    fn open(
        &self,
        artifact: &Path,
        kind: Kind,
        how: &OpenOptions,
    ) -> Result<Box<dyn Generator>, BackendError>;

    /// Opens an artifact for plain runs of named tensors.
    fn session(
        &self,
        _artifact: &Path,
        kind: Kind,
        _how: &OpenOptions,
    ) -> Result<Box<dyn Session>, BackendError> {
        Err(BackendError::Kind { backend: self.id(), kind })
    }

    /// Whether it opens anything at all where `how` says; the error is the reason why not.
    fn probe(&self, how: &OpenOptions) -> Result<(), BackendError> {
        match how.placement.device {
            Device::Cpu => Ok(()),
            device => {
                let why = format!("backend `{}` runs on the CPU only", self.id());
                Err(BackendError::Device { device, why })
            }
        }
    }

    /// Opens an artifact and tells which provider runs how many of its nodes.
    fn place(
        &self,
        _artifact: &Path,
        kind: Kind,
        _how: &OpenOptions,
    ) -> Result<Vec<Assigned>, BackendError> {
        Err(BackendError::Kind { backend: self.id(), kind })
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenOptions {
    /// Positions one sequence may hold, prompt and generated tokens together. Sessions that run
    /// plain tensors do not read it.
    pub capacity: usize,
    /// Threads the kernels may use; the library's own choice when absent.
    pub threads: Option<u32>,
    /// Part of the model, such as `image`; for models of several.
    #[serde(default)]
    pub part: Option<String>,
    /// Shared library of the runtime, absolute and verified; for backends that need one.
    pub runtime: Option<PathBuf>,
    /// Folder for what a runtime writes about the time of its operators. Whoever is opened with it
    /// is somewhat slower, and must not be timed for anything else.
    #[serde(default)]
    pub profile: Option<PathBuf>,
    #[serde(default)]
    pub placement: Placement,
}

impl OpenOptions {
    /// The same where `runner` runs.
    pub fn on(&self, runner: &Runner) -> Self {
        Self { placement: runner.placement.clone(), ..self.clone() }
    }
}

/// A graph that is run with named tensors and keeps nothing between runs.
pub trait Session {
    /// What goes in and what comes out.
    fn signature(&self) -> &Signature;

    /// Hands over the inputs of the next run, named as in the signature.
    fn give(&mut self, inputs: &[(String, Tensor)]) -> Result<(), BackendError>;

    /// Runs once on what was given. This alone is timed: copies into and out of a backend's own
    /// values are the harness's business.
    fn execute(&mut self) -> Result<(), BackendError>;

    /// The outputs of the last run, in the order of the signature.
    fn take(&mut self) -> Result<Vec<(String, Tensor)>, BackendError>;

    /// All three.
    fn run(&mut self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, BackendError> {
        self.give(inputs)?;
        self.execute()?;
        self.take()
    }

    /// As [`Generator::operators`].
    fn operators(&mut self) -> Result<Vec<OpEvent>, BackendError> {
        Err(BackendError::Unprofiled { backend: "this" })
    }
}

/// A model with a KV cache that continues token sequences.
pub trait Generator {
    /// Number of logits per position.
    fn vocab(&self) -> usize;

    /// Forgets everything, runs `batch` prompts of equal length (row by row in `tokens`) and
    /// returns the logits of their last positions.
    fn prefill(&mut self, tokens: &[u32], batch: usize) -> Result<Logits, BackendError>;

    /// Appends one token to each sequence and returns the next logits.
    fn decode(&mut self, tokens: &[u32]) -> Result<Logits, BackendError>;

    /// Forgets everything, runs one sequence and returns the logits of every position.
    fn score(&mut self, tokens: &[u32]) -> Result<Logits, BackendError>;

    /// Ends profiling and returns every operator of every call since opening, for a generator that
    /// was opened with [`OpenOptions::profile`].
    fn operators(&mut self) -> Result<Vec<OpEvent>, BackendError> {
        Err(BackendError::Unprofiled { backend: "this" })
    }
}

/// Logits row by row; all rows have the length of the vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    pub values: Vec<f32>,
    pub vocab: usize,
}

impl Logits {
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.vocab)
    }

    /// The most likely token of each row; the lowest id wins a tie.
    pub fn argmax(&self) -> Vec<u32> {
        self.rows().map(argmax).collect()
    }
}

/// Index of the largest value; the first of equals.
pub fn argmax(row: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, &value) in row.iter().enumerate() {
        if value > best.1 {
            best = (i, value);
        }
    }
    best.0 as u32
}

#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    #[error("backend `{backend}` cannot open `{path}`: {why}")]
    Open { backend: &'static str, path: String, why: String },
    #[error("backend `{backend}` does not open a model of kind `{}`", .kind.name())]
    Kind { backend: &'static str, kind: Kind },
    #[error("backend `{backend}` cannot use `{library}`: {why}")]
    Runtime { backend: &'static str, library: String, why: String },
    #[error("device `{device}` cannot be used: {why}")]
    Device { device: Device, why: String },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("backend `{backend}` failed while running: {why}")]
    Run { backend: &'static str, why: String },
    #[error("{needed} positions are needed, the session was opened for {capacity}")]
    Capacity { needed: usize, capacity: usize },
    #[error("backend `{backend}` was not opened to be profiled, or cannot be")]
    Unprofiled { backend: &'static str },
    #[error("the model's logits are not numbers: its weights or its arithmetic are broken")]
    NotANumber,
    #[error("token {token} is outside the vocabulary of {vocab}")]
    Token { token: u32, vocab: usize },
}
