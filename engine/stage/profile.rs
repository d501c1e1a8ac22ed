//! `profile`: where the time of one variant goes under one setting, in a process of its own.
//!
//! Never part of a timed launch: what tells its time is slower for it. So the same requests are
//! made twice, without a profiler and with it, each time after one that warms up: the time of the
//! operators is held against that of their own calls, and those against the unwatched ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::job::{JobError, find_backend, generator};
use super::operators::{Call, phases};
use super::trace;
use super::{Artifact, Done, Setting};
use crate::backend::{BackendError, Logits, OpEvent, OpenOptions, Runner};
use crate::base::Digest;
use crate::data::TokenFile;
use crate::machine;
use crate::scenario::{Clock, Monotonic, Request};
use crate::store::Recipe;
use crate::task::{Beside, Prompts, Requests, TensorInputs, in_types_of};

#[derive(Debug, Clone, PartialEq)]
pub struct ProfileStage {
    pub variant: String,
    pub backend: Runner,
    pub setting: Setting,
    /// Name of the data set the prompts come from.
    pub data: Option<String>,
    /// Of a graph: what its requests are.
    pub inputs: Option<TensorInputs>,
    /// Whether operators are asked for.
    pub ops: bool,
    /// Whether they are held against the machine's peak rates.
    pub roofline: bool,
}

/// Peak rates of the machine with a number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roofline {
    pub threads: u32,
}

/// The one file of stored peak rates.
pub const PEAKS_FILE: &str = "peaks.json";

impl Roofline {
    /// An observation of one machine and one build, reused there until either changes.
    pub fn recipe(&self, fingerprint: Digest) -> Recipe {
        Recipe {
            facts: json!({
                "stage": "roofline",
                "machine": fingerprint,
                "threads": self.threads,
            }),
            inputs: Vec::new(),
            epoch: 1,
            versions: BTreeMap::from([(
                "compiled for".to_owned(),
                env!("ENGINE_TARGET_FEATURES").to_owned(),
            )]),
        }
    }
}

/// Requests after the warm-up: at least as many, then until the time is filled or there are most.
const LEAST: usize = 3;
const MOST: usize = 50;
const ENOUGH: Duration = Duration::from_secs(1);

/// What a profile job looks at.
pub(super) struct Subject<'a> {
    pub artifact: &'a Artifact,
    pub backend: &'a Runner,
    /// Folder with the tokens of the prompts; synthetic tokens when absent.
    pub tokens: Option<&'a Path>,
    /// Of a graph: what its requests are.
    pub inputs: Option<&'a TensorInputs>,
    /// Shared library of the runtime, for a backend that needs one.
    pub runtime: Option<&'a Path>,
    pub setting: &'a Setting,
    pub seed: u64,
    /// Folder for what the runtime writes and for the trace.
    pub out: &'a Path,
}

/// Carries the job out: the same requests first without a profiler, then with it.
pub(super) fn profile(subject: &Subject<'_>) -> Result<Done, JobError> {
    let (plain, _) = requests(subject, None)?;
    // Before the profiler, whose trace may be larger than a small model.
    let peak_memory = machine::peak_memory();
    let (calls, events) = requests(subject, Some(subject.out))?;
    std::fs::write(subject.out.join(trace::FILE), trace::chrome(&events, &calls))?;
    Ok(Done::Profiled { phases: phases(&events, &calls, &plain), peak_memory })
}

/// Opens the artifact, with a profiler that writes into `profile`, and makes requests. Gives the
/// calls and, with a profiler, what it has seen.
fn requests(
    subject: &Subject<'_>,
    profile: Option<&Path>,
) -> Result<(Vec<Call>, Vec<OpEvent>), JobError> {
    let capacity = subject.setting.request().map_or(0, |r| r.prompt_tokens + r.new_tokens);
    let how = OpenOptions {
        capacity,
        threads: Some(subject.setting.threads),
        runtime: subject.runtime.map(Path::to_owned),
        profile: profile.map(Path::to_owned),
        placement: subject.backend.placement.clone(),
        part: subject.setting.part.clone(),
    };
    let clock = Monotonic::start();
    let mut watch = Watch { clock: &clock, calls: Vec::new(), counted: false };
    let events = match (subject.inputs, subject.setting.request()) {
        (Some(inputs), _) => runs(subject, inputs, &how, &mut watch)?,
        (None, Some(request)) => generation(subject, request, &how, &mut watch)?,
        (None, None) => return Err(JobError::new("a run of a graph needs inputs")),
    };
    Ok((watch.calls, events))
}

/// Runs of a graph.
fn runs(
    subject: &Subject<'_>,
    inputs: &TensorInputs,
    how: &OpenOptions,
    watch: &mut Watch<'_>,
) -> Result<Vec<OpEvent>, JobError> {
    let artifact = subject.artifact;
    let beside = Beside { kind: artifact.kind, path: &artifact.path };
    let batch = subject.setting.batch as usize;
    let mut requests = Requests::open(inputs, beside, batch, subject.seed)?;
    let mut session = find_backend(subject.backend)?.session(&artifact.path, artifact.kind, how)?;
    let signature = session.signature().clone();
    watch.repeat(&mut |watch| {
        session.give(&in_types_of(&signature, requests.draw(&|| 0)?.inputs))?;
        watch.call("run", || session.execute())?;
        session.take()?;
        Ok(())
    })?;
    if how.profile.is_some() { Ok(session.operators()?) } else { Ok(Vec::new()) }
}

/// Prompts and what continues them.
fn generation(
    subject: &Subject<'_>,
    request: Request,
    how: &OpenOptions,
    watch: &mut Watch<'_>,
) -> Result<Vec<OpEvent>, JobError> {
    let artifact = subject.artifact;
    let mut generator = generator(artifact, subject.backend, how)?;
    let length = request.prompt_tokens;
    let mut prompts = match subject.tokens {
        Some(folder) => {
            let texts = TokenFile::read(folder).map_err(JobError::new)?.documents;
            Prompts::from_texts(texts, length, subject.seed)?
        }
        None => Prompts::synthetic(generator.vocab(), length, subject.seed),
    };
    watch.repeat(&mut |watch| {
        let prompt = prompts.next_batch(request.batch);
        // Choosing tokens is part of a call's time, as it is in timed launches.
        let choose = |logits: Logits| logits.argmax();
        let mut next =
            watch.call("prefill", || generator.prefill(&prompt, request.batch).map(choose))?;
        for _ in 1..request.new_tokens {
            next = watch.call("decode", || generator.decode(&next).map(choose))?;
        }
        Ok(())
    })?;
    if how.profile.is_some() { Ok(generator.operators()?) } else { Ok(Vec::new()) }
}

/// Times calls.
struct Watch<'a> {
    clock: &'a dyn Clock,
    calls: Vec<Call>,
    counted: bool,
}

impl Watch<'_> {
    /// One request to warm up, then as many as fill the time.
    fn repeat(
        &mut self,
        request: &mut dyn FnMut(&mut Self) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        request(self)?;
        self.counted = true;
        let begin = self.clock.now();
        for done in 0..MOST {
            let spent = Duration::from_nanos(self.clock.now() - begin);
            if done >= LEAST && spent >= ENOUGH {
                break;
            }
            request(self)?;
        }
        Ok(())
    }

    /// Runs one call.
    fn call<T>(
        &mut self,
        phase: &'static str,
        run: impl FnOnce() -> Result<T, BackendError>,
    ) -> Result<T, JobError> {
        let processor = machine::cpu_time();
        let begin = self.clock.now();
        let out = run()?;
        let nanos = self.clock.now() - begin;
        let cpu_time = machine::cpu_time().zip(processor).map(|(after, before)| after - before);
        self.calls.push(Call { phase, counted: self.counted, nanos, cpu_time });
        Ok(out)
    }
}

/// The file in a job's folder that holds the Chrome trace.
pub fn trace_file(out: &Path) -> PathBuf {
    out.join(trace::FILE)
}
