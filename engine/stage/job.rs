//! Jobs: the work of a step, described so that a fresh process can carry it out.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use super::job_error::JobError;
use super::matching::{self, MatchingJudge};
use super::meter::Meter;
use super::profile::{Subject, profile};
use super::soak::{self, SoakJob};
use super::tensors::{self, TensorBench, TensorJudge};
use super::{Artifact, Pin, Sabotage, Setting, hub, items, text_jobs, wheel};
use crate::backend::{
    self, Assigned, Backend, Generator, OpenOptions, Runner, RuntimeFacts, onnxruntime,
};
use crate::base::Digest;
use crate::data::{TextChoice, Texts, TokenFile};
use crate::machine::{self, PeakRates};
use crate::measure::{Energy, Observed, Resident, Sending, Timeline, WarmupEnd};
use crate::model::{Kind, RandomModel};
use crate::pass::{self, PassJob};
use crate::record::{Phase, Reading};
use crate::scenario::{
    Clock, Load, Monotonic, Request, StreamRules, TextServer, single_stream, under_load,
};
use crate::task::{JudgeJob, Judged, PromptSource, Prompts, Sampling, TensorInputs};

/// What one process does. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Job {
    /// Writes a checkpoint with random weights into the folder `out`.
    Generate { uri: String, out: PathBuf },
    /// Makes sure that the hub's cache has a checkpoint.
    Fetch { repository: String, revision: Option<String> },
    /// Fetches the wheel of ONNX Runtime that `pin` names and leaves its library in `out`.
    FetchRuntime { pin: Pin, out: PathBuf },
    /// Opens a library of ONNX Runtime and looks at it; `providers` also opens a session with each.
    Inspect { library: PathBuf, providers: bool },
    /// Opens a session with one node where `backend` runs.
    Probe { backend: Runner, runtime: Option<PathBuf> },
    /// Opens an artifact and tells where its nodes run.
    Place { artifact: Artifact, backend: Runner, runtime: Option<PathBuf> },
    /// Turns texts into token sequences, in the folder `out`.
    Tokenize {
        model: Artifact,
        data: PathBuf,
        digest: Digest,
        field: String,
        #[serde(default)]
        split: Option<String>,
        take: Option<u64>,
        seed: Option<u64>,
        tokens: Option<u32>,
        out: PathBuf,
    },
    /// Splits recorded tensors into items, or makes them from texts or pictures as `model` asks, in
    /// the folder `out`.
    ReadItems { inputs: TensorInputs, model: Option<Artifact>, out: PathBuf },
    Pass {
        pass: String,
        params: serde_json::Value,
        input: Artifact,
        /// Folder with the data set that the pass calibrates with.
        data: Option<PathBuf>,
        /// Shared library of the runtime, for passes that run it.
        runtime: Option<PathBuf>,
        out: PathBuf,
    },
    Judge {
        variant: Artifact,
        backend: Runner,
        /// `None` when the variant is its own reference.
        reference: Option<(Artifact, Runner)>,
        /// Folder with the tokens of the data set.
        tokens: PathBuf,
        /// Shared library of the runtime, where a backend needs one.
        runtime: Option<PathBuf>,
        judge: JudgeJob,
    },
    Bench {
        artifact: Artifact,
        backend: Runner,
        /// Folder with the tokens of the prompts; synthetic tokens when absent.
        tokens: Option<PathBuf>,
        runtime: Option<PathBuf>,
        setting: Setting,
        rules: StreamRules,
        seed: u64,
        /// Seeds arrivals: the same for every variant and rate.
        arrivals: u64,
    },
    /// Measures a graph.
    BenchTensors(TensorBench),
    /// One of the two above in a process that stays, see [`super::reside`].
    Reside(Box<Job>),
    /// Judges a graph.
    JudgeTensors(TensorJudge),
    /// Judges pictures against texts.
    JudgeMatching(Box<MatchingJudge>),
    /// Finds out where the time goes, and writes a trace into the folder `out`.
    Profile {
        artifact: Artifact,
        backend: Runner,
        /// As for [`Job::Bench`].
        tokens: Option<PathBuf>,
        /// Of a graph: what its requests are.
        inputs: Option<TensorInputs>,
        runtime: Option<PathBuf>,
        setting: Setting,
        seed: u64,
        out: PathBuf,
    },
    /// Keeps a variant at work for a long time.
    Soak(Box<SoakJob>),
    /// Measures what the machine can do at most.
    Roofline { threads: u32 },
    /// Continues a text.
    Continue {
        artifact: Artifact,
        backend: Runner,
        runtime: Option<PathBuf>,
        prompt: String,
        new_tokens: usize,
        sampling: Sampling,
    },
    /// Dies in a chosen way: proves that isolation works on this machine.
    Sabotage(Sabotage),
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, on its way through a file")]
pub enum Done {
    Artifact {
        kind: Kind,
        notes: Vec<String>,
    },
    Fetched {
        path: PathBuf,
    },
    /// A library of ONNX Runtime of this version.
    Runtime {
        version: String,
    },
    Inspected(RuntimeFacts),
    Placed(Vec<Assigned>),
    Tokenized {
        documents: usize,
        tokens: usize,
    },
    ItemsRead {
        items: usize,
    },
    /// Scores, and what became of the data.
    Judged {
        judged: Vec<Judged>,
        notes: Vec<String>,
    },
    Benched {
        observed: Observed,
        prompts: PromptSource,
    },
    Profiled {
        phases: Vec<Phase>,
        peak_memory: Option<u64>,
    },
    Peaks(PeakRates),
    /// Readings; of arrivals on a schedule how many were planned, and how many waited when the
    /// server was given up.
    Soaked {
        readings: Vec<Reading>,
        schedule: Option<(u32, Option<u32>)>,
    },
    /// The new text, its number of tokens, and whether the model itself ended it.
    Continued {
        text: String,
        tokens: usize,
        stopped: bool,
    },
    Nothing,
}

impl Job {
    /// Carries the job out in this process. `progress` is told the share that is done, never
    /// inside a timed region.
    pub fn perform(&self, progress: &dyn Fn(f64)) -> Result<Done, JobError> {
        match self {
            Self::Generate { uri, out } => {
                RandomModel::parse(uri)?.generate(out)?;
                Ok(Done::Artifact { kind: Kind::Checkpoint, notes: vec![format!("made as {uri}")] })
            }
            Self::Fetch { repository, revision } => {
                let path = hub::fetch(repository, revision.as_deref(), progress)?;
                Ok(Done::Fetched { path })
            }
            Self::FetchRuntime { pin, out } => {
                wheel::fetch(pin, out, progress)?;
                let version = onnxruntime::version(&out.join(super::LIBRARY_FILE))?;
                Ok(Done::Runtime { version })
            }
            Self::Inspect { library, providers: true } => {
                Ok(Done::Inspected(onnxruntime::describe(library)?))
            }
            Self::Inspect { library, providers: false } => {
                Ok(Done::Runtime { version: onnxruntime::version(library)? })
            }
            Self::Probe { backend, runtime } => {
                let how = OpenOptions { runtime: runtime.clone(), ..OpenOptions::default() };
                find_backend(backend)?.probe(&how.on(backend))?;
                Ok(Done::Nothing)
            }
            Self::Place { artifact, backend, runtime } => {
                let how = OpenOptions { runtime: runtime.clone(), ..OpenOptions::default() };
                let (found, how) = (find_backend(backend)?, how.on(backend));
                Ok(Done::Placed(found.place(&artifact.path, artifact.kind, &how)?))
            }
            Self::Tokenize { model, data, digest, field, split, take, seed, tokens, out } => {
                let (split, take, seed) = (split.as_deref(), *take, *seed);
                let choice = TextChoice { field, pair: None, split, take, seed };
                let texts = Texts::choose(data, &choice)?;
                if texts.digest != *digest {
                    let path = data.display();
                    return Err(JobError::new(format!("`{path}` changed while it was used")));
                }
                text_jobs::tokenize(model, &texts, *tokens, out)
            }
            Self::ReadItems { inputs, model, out } => items::read(inputs, model.as_ref(), out),
            Self::Pass { pass, params, input, data, runtime, out } => {
                let found = pass::pass(pass, params)
                    .ok_or_else(|| JobError::new(format!("there is no pass `{pass}`")))?;
                let (data, runtime) = (data.as_deref(), runtime.as_deref());
                let (input, kind) = (&input.path, input.kind);
                let job = PassJob { input, kind, params, out, data, runtime, progress };
                let notes = found.apply(&job)?;
                Ok(Done::Artifact { kind: notes.kind, notes: notes.notes })
            }
            Self::Judge { variant, backend, reference, tokens, runtime, judge } => {
                let capacity = judge.window;
                let runtime = runtime.clone();
                let threads = threads();
                let how = OpenOptions { capacity, threads, runtime, ..OpenOptions::default() };
                text_jobs::judge(
                    variant,
                    backend,
                    reference.as_ref(),
                    tokens,
                    judge,
                    &how,
                    progress,
                )
            }
            Self::Bench { artifact, backend, tokens, runtime, setting, rules, seed, arrivals } => {
                let positions = |request: Request| request.prompt_tokens + request.new_tokens;
                let how = OpenOptions {
                    capacity: setting.request().map_or(0, positions),
                    threads: Some(setting.threads),
                    runtime: runtime.clone(),
                    ..OpenOptions::default()
                };
                let (tokens, seeds) = (tokens.as_deref(), (*seed, *arrivals));
                run_bench(artifact, backend, tokens, setting, *rules, seeds, &how)
            }
            Self::BenchTensors(bench) => tensors::bench(bench),
            Self::Reside(_) => Err(JobError::new("a process that stays must be told when")),
            Self::JudgeTensors(judge) => tensors::judge(judge, progress),
            Self::JudgeMatching(judge) => matching::judge(judge, progress),
            Self::Profile { artifact, backend, tokens, inputs, runtime, setting, seed, out } => {
                let (tokens, seed) = (tokens.as_deref(), *seed);
                let (inputs, runtime) = (inputs.as_ref(), runtime.as_deref());
                let subject =
                    Subject { artifact, backend, tokens, inputs, runtime, setting, seed, out };
                profile(&subject)
            }
            Self::Soak(job) => soak::perform(job),
            Self::Roofline { threads } => Ok(Done::Peaks(PeakRates::measure(*threads))),
            Self::Continue { artifact, backend, runtime, prompt, new_tokens, sampling } => {
                let runtime = runtime.clone();
                let threads = threads();
                let how = OpenOptions { threads, runtime, ..OpenOptions::default() };
                text_jobs::continuation(artifact, backend, prompt, *new_tokens, *sampling, how)
            }
            Self::Sabotage(how) => {
                how.perform();
                Ok(Done::Nothing)
            }
        }
    }
}

/// Threads this process was started with; the kernels' own choice when nobody said.
pub(super) fn threads() -> Option<u32> {
    std::env::var("RAYON_NUM_THREADS").ok()?.parse().ok().filter(|&threads| threads > 0)
}

pub(super) fn find_backend(runner: &Runner) -> Result<&'static dyn Backend, JobError> {
    let id = &runner.backend;
    backend::of(runner).ok_or_else(|| JobError::new(format!("there is no backend `{id}`")))
}

/// Opens an artifact for generation where `runner` runs.
pub(super) fn generator(
    artifact: &Artifact,
    runner: &Runner,
    how: &OpenOptions,
) -> Result<Box<dyn Generator>, JobError> {
    Ok(find_backend(runner)?.open(&artifact.path, artifact.kind, &how.on(runner))?)
}

fn run_bench(
    artifact: &Artifact,
    backend: &Runner,
    tokens: Option<&Path>,
    setting: &Setting,
    rules: StreamRules,
    (seed, arrivals): (u64, u64),
    how: &OpenOptions,
) -> Result<Done, JobError> {
    let (found, how) = (find_backend(backend)?, how.on(backend));
    let Some(request) = setting.request() else {
        return Err(JobError::new("a setting without tokens is measured as a graph"));
    };
    let texts = match tokens {
        Some(folder) => Some(TokenFile::read(folder).map_err(JobError::new)?.documents),
        None => None,
    };
    let clock = Monotonic::start();
    let begin = clock.now();
    let mut generator = found.open(&artifact.path, artifact.kind, &how)?;
    let load = clock.now() - begin;

    let memory = Memory::after_load();
    let mut meter = Meter::start();
    let length = request.prompt_tokens;
    let mut prompts = match texts {
        Some(texts) => Prompts::from_texts(texts, length, seed)?,
        None => Prompts::synthetic(generator.vocab(), length, seed),
    };
    let source = prompts.source();
    let mut next = || {
        meter.note(clock.now());
        prompts.next_batch(request.batch)
    };
    let (first_call, requests, end, sending) = match setting.load {
        Load::SingleStream => {
            let (first_call, requests, end) =
                single_stream(generator.as_mut(), &mut next, request, rules, &clock)?;
            (first_call, requests, end, None)
        }
        scenario => {
            let count = scenario.most_requests(rules, setting.batch).saturating_add(1);
            let mut server = TextServer::new(generator.as_mut(), &mut next, request, count, &clock);
            let seeds = (setting.batch, arrivals);
            let (first_call, requests, sending) =
                under_load::<JobError>(scenario, &mut server, rules, seeds, clock)?;
            (first_call, requests, WarmupEnd::Fixed, Some(sending))
        }
    };
    let energy = match sending {
        None => meter.end(clock.now(), &requests),
        Some(_) => meter.none(),
    };
    let observed = memory.observed(load, first_call, requests, (end, energy, sending));
    Ok(Done::Benched { observed, prompts: source })
}

/// Readings of memory: the mark is reset once the model is loaded, so that serving has its own.
pub(super) struct Memory {
    load_peak: Option<u64>,
    marked: bool,
    /// Highest mark before the last reset, where there was one since the load.
    served: Option<u64>,
}

impl Memory {
    pub fn after_load() -> Self {
        let (load_peak, served) = (machine::peak_memory(), None);
        Self { load_peak, marked: machine::reset_peak_memory(), served }
    }

    /// Begins another stretch of serving: what was held since the last one ended, whose mark was
    /// `seen`, does not count.
    pub fn go_on(&mut self, seen: Option<u64>) {
        self.served = seen;
        self.marked &= machine::reset_peak_memory();
    }

    pub fn observed(
        &self,
        load: u64,
        first_call: Timeline,
        requests: Vec<Timeline>,
        (end, energy, sending): (WarmupEnd, Energy, Option<Sending>),
    ) -> Observed {
        let steady = machine::peak_memory().into_iter().chain(self.served).max();
        let kinds = machine::resident_kinds();
        Observed {
            load,
            first_call,
            requests,
            peak_memory: self.load_peak.into_iter().chain(steady).max(),
            steady_memory: steady.filter(|_| self.marked),
            cpu_time: machine::cpu_time(),
            resident: kinds.map(|kinds| Resident {
                anonymous: kinds.anonymous,
                mapped: kinds.mapped,
                proportional: kinds.proportional,
            }),
            energy: Some(energy),
            warmup_end: Some(end),
            sending,
            ..Observed::default()
        }
    }
}
