//! `profile`: where the time of one variant goes under one setting, in a process of its own.
//!
//! Never part of a timed launch: what tells its time is slower for it. So the same requests are
//! made twice, without a profiler and with it, each time after one that warms up: the time of the
//! operators is held against that of their own calls, and those against the unwatched ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::job::{JobError, find_backend};
use super::operators::{Call, phases};
use super::trace;
use super::{Artifact, Done, Setting};
use crate::backend::{Generator, Logits, OpenOptions};
use crate::base::Digest;
use crate::data::TokenFile;
use crate::machine;
use crate::scenario::{Clock, Monotonic};
use crate::store::Recipe;
use crate::task::Prompts;

#[derive(Debug, Clone, PartialEq)]
pub struct ProfileStage {
    pub variant: String,
    pub backend: String,
    pub setting: Setting,
    /// Name of the data set the prompts come from.
    pub data: Option<String>,
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
    pub backend: &'a str,
    /// Folder with the tokens of the prompts; synthetic tokens when absent.
    pub tokens: Option<&'a Path>,
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
    let (calls, mut generator) = requests(subject, Some(subject.out))?;
    let peak_memory = machine::peak_memory();
    let events = generator.operators()?;
    std::fs::write(subject.out.join(trace::FILE), trace::chrome(&events, &calls))?;
    Ok(Done::Profiled { phases: phases(&events, &calls, &plain), peak_memory })
}

/// Opens the artifact, with a profiler that writes into `profile`, and makes requests.
fn requests(
    subject: &Subject<'_>,
    profile: Option<&Path>,
) -> Result<(Vec<Call>, Box<dyn Generator>), JobError> {
    let request = subject.setting.request();
    let how = OpenOptions {
        capacity: request.prompt_tokens + request.new_tokens,
        threads: Some(subject.setting.threads),
        runtime: subject.runtime.map(Path::to_owned),
        profile: profile.map(Path::to_owned),
    };
    let artifact = subject.artifact;
    let mut generator = find_backend(subject.backend)?.open(&artifact.path, artifact.kind, &how)?;
    let length = request.prompt_tokens;
    let mut prompts = match subject.tokens {
        Some(folder) => {
            let texts = TokenFile::read(folder).map_err(JobError::new)?.documents;
            Prompts::from_texts(texts, length, subject.seed)?
        }
        None => Prompts::synthetic(generator.vocab(), length, subject.seed),
    };
    let clock = Monotonic::start();
    let mut watch = Watch { clock: &clock, calls: Vec::new(), counted: false };
    let mut complete = |watch: &mut Watch<'_>, generator: &mut dyn Generator| {
        let prompt = prompts.next_batch(request.batch);
        let mut next = watch.call("prefill", || generator.prefill(&prompt, request.batch))?;
        for _ in 1..request.new_tokens {
            next = watch.call("decode", || generator.decode(&next))?;
        }
        Ok::<_, JobError>(())
    };
    complete(&mut watch, generator.as_mut())?;
    watch.counted = true;
    let begin = clock.now();
    for done in 0..MOST {
        let spent = Duration::from_nanos(clock.now() - begin);
        if done >= LEAST && spent >= ENOUGH {
            break;
        }
        complete(&mut watch, generator.as_mut())?;
    }
    Ok((watch.calls, generator))
}

/// Times calls.
struct Watch<'a> {
    clock: &'a dyn Clock,
    calls: Vec<Call>,
    counted: bool,
}

impl Watch<'_> {
    /// Runs one call and returns the most likely tokens; choosing them is part of its time, as it
    /// is in timed launches.
    fn call(
        &mut self,
        phase: &'static str,
        run: impl FnOnce() -> Result<Logits, crate::backend::BackendError>,
    ) -> Result<Vec<u32>, JobError> {
        let processor = machine::cpu_time();
        let begin = self.clock.now();
        let next = run()?.argmax();
        let nanos = self.clock.now() - begin;
        let cpu_time = machine::cpu_time().zip(processor).map(|(after, before)| after - before);
        self.calls.push(Call { phase, counted: self.counted, nanos, cpu_time });
        Ok(next)
    }
}

/// The file in a job's folder that holds the Chrome trace.
pub fn trace_file(out: &Path) -> PathBuf {
    out.join(trace::FILE)
}
