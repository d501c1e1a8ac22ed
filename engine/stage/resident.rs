//! A process that stays: it loads and warms up once, and makes a burst of requests whenever it is
//! told to.

use super::job::{Done, Job, JobError, Memory, generator};
use super::meter::Meter;
use super::tensors::{self, TensorBench};
use crate::backend::{Generator, OpenOptions, Session};
use crate::data::TokenFile;
use crate::measure::{Timeline, WarmupEnd};
use crate::model::Signature;
use crate::scenario::{
    Clock, Given, Load, Monotonic, Request, StreamRules, burst, complete, run_once, settle,
};
use crate::task::{PromptSource, Prompts, Requests, in_types_of};

/// Called when the process is ready for a burst, with what it saw in the last one. Gives the seed
/// of the next burst's inputs, or `None` when there is none.
pub type Turn<'a> = dyn FnMut(Option<Done>) -> Option<u64> + 'a;

/// Carries out the bench that `job` describes, burst by burst.
pub fn reside(job: &Job, turn: &mut Turn<'_>) -> Result<(), JobError> {
    match job {
        Job::Bench { setting, .. } | Job::BenchTensors(TensorBench { setting, .. })
            if setting.load != Load::SingleStream =>
        {
            Err(JobError::new("only one request after the other is made in bursts"))
        }
        Job::Bench { artifact, backend, tokens, runtime, setting, rules, seed, .. } => {
            let request = setting
                .request()
                .ok_or_else(|| JobError::new("a setting without tokens is measured as a graph"))?;
            let how = OpenOptions {
                capacity: request.prompt_tokens + request.new_tokens,
                threads: Some(setting.threads),
                runtime: runtime.clone(),
                ..OpenOptions::default()
            };
            let texts = match tokens {
                Some(folder) => Some(TokenFile::read(folder).map_err(JobError::new)?.documents),
                None => None,
            };
            let clock = Monotonic::start();
            let begin = clock.now();
            let generator = generator(artifact, backend, &how)?;
            let load = clock.now() - begin;
            let length = request.prompt_tokens;
            let prompts = match texts {
                Some(texts) => Prompts::from_texts(texts, length, *seed)?,
                None => Prompts::synthetic(generator.vocab(), length, *seed),
            };
            let source = prompts.source();
            let mut work = Text { generator, prompts, request, clock };
            stay(&mut work, &Stay { rules: *rules, clock, load, source }, turn)
        }
        Job::BenchTensors(job) => {
            let batch = job.setting.batch;
            let beside = tensors::beside(&job.artifact);
            let requests = Requests::open(&job.inputs, beside, batch as usize, job.seed)?;
            let clock = Monotonic::start();
            let begin = clock.now();
            let session = tensors::open(&job.artifact, &job.backend, &job.how())?;
            let load = clock.now() - begin;
            let signature = session.signature().clone();
            let mut work = Graph { session, requests, signature, batch, clock };
            let source = job.source();
            stay(&mut work, &Stay { rules: job.rules, clock, load, source }, turn)
        }
        _ => Err(JobError::new("only a bench is made in bursts")),
    }
}

/// What answers requests.
trait Work {
    /// Draws inputs from another seed from now on.
    fn reseed(&mut self, seed: u64);

    /// One request; `meter` reads while its input is made.
    fn answer(&mut self, meter: &mut Meter) -> Result<Timeline, JobError>;
}

struct Text {
    generator: Box<dyn Generator>,
    prompts: Prompts,
    request: Request,
    clock: Monotonic,
}

impl Work for Text {
    fn reseed(&mut self, seed: u64) {
        self.prompts.reseed(seed);
    }

    fn answer(&mut self, meter: &mut Meter) -> Result<Timeline, JobError> {
        meter.note(self.clock.now());
        let tokens = self.prompts.next_batch(self.request.batch);
        Ok(complete(self.generator.as_mut(), &tokens, self.request, &self.clock)?)
    }
}

struct Graph<'a> {
    session: Box<dyn Session>,
    requests: Requests<'a>,
    signature: Signature,
    batch: u32,
    clock: Monotonic,
}

impl Work for Graph<'_> {
    fn reseed(&mut self, seed: u64) {
        self.requests.reseed(seed);
    }

    fn answer(&mut self, meter: &mut Meter) -> Result<Timeline, JobError> {
        let Self { session, requests, signature, batch, clock } = self;
        let mut next = || {
            meter.note(clock.now());
            let drawn = requests.draw(&|| clock.now())?;
            let inputs = in_types_of(signature, drawn.inputs);
            Ok::<_, JobError>(Given { inputs, decode: drawn.decode, preprocess: drawn.preprocess })
        };
        run_once(session.as_mut(), &mut next, *batch, &*clock)
    }
}

/// What a process knows once it has loaded.
struct Stay {
    rules: StreamRules,
    clock: Monotonic,
    load: u64,
    source: PromptSource,
}

/// Settles, then makes bursts for as long as `turn` gives seeds. The first burst also tells of the
/// warm-up before it; processor time is that since the burst before.
fn stay(work: &mut dyn Work, stay: &Stay, turn: &mut Turn<'_>) -> Result<(), JobError> {
    let Stay { rules, clock, load, source } = *stay;
    let mut memory = Memory::after_load();
    let mut meter = Meter::start();
    let (first_call, warm, end) = settle(rules, &clock, &mut || work.answer(&mut meter))?;
    let mut before = Some((warm, end));
    let mut spent = 0;
    let (mut seen, mut mark) = (None, None);
    while let Some(seed) = turn(seen.take()) {
        if before.is_none() {
            // Answers are written down between bursts.
            memory.go_on(mark);
        }
        work.reseed(seed);
        let mut meter = Meter::start();
        // In the place of a first call.
        meter.note(clock.now());
        let own = burst(rules, &clock, &mut || work.answer(&mut meter))?;
        let energy = meter.end(clock.now(), &own);
        let (mut requests, end) = before.take().unwrap_or((Vec::new(), WarmupEnd::Fixed));
        requests.extend(own);
        let first_call = first_call.clone();
        let mut observed = memory.observed(load, first_call, requests, (end, energy, None));
        mark = observed.steady_memory;
        let total = observed.cpu_time;
        observed.cpu_time = total.map(|total| total.saturating_sub(spent));
        spent = total.unwrap_or(spent);
        seen = Some(Done::Benched { observed, prompts: source });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::RandomModel;
    use crate::stage::{Artifact, Setting};

    /// Bytes.
    const HELD: u64 = 512 << 20;

    #[test]
    fn a_process_loads_once_and_makes_a_burst_for_every_seed() {
        let folder = std::env::temp_dir().join(format!("engine-resident-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        RandomModel::parse("random://llama-tiny?seed=1").unwrap().generate(&folder).unwrap();
        let job = Job::Bench {
            artifact: Artifact::outside(&folder).unwrap(),
            backend: "candle".into(),
            tokens: None,
            runtime: None,
            setting: Setting::tokens(1, 4, 3, 1),
            rules: StreamRules { warmup: 2, detect: None, min: 2, max: 2, min_time: 0 },
            seed: 7,
            arrivals: 0,
        };
        let mut told = Vec::new();
        let mut seeds = vec![3, 2, 1];
        let end = reside(&job, &mut |done| {
            if done.is_some() {
                // As an answer of many requests is; other tests beside this one hold less.
                std::hint::black_box(&vec![1_u8; HELD as usize]);
            }
            told.extend(done);
            seeds.pop()
        });
        let stream = Job::Roofline { threads: 1 };
        let refused = reside(&stream, &mut |_| None);
        fs::remove_dir_all(&folder).unwrap();
        end.unwrap();
        assert!(refused.is_err());
        let seen: Vec<_> = told
            .iter()
            .map(|done| match done {
                Done::Benched { observed, .. } => observed,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seen.len(), 3);
        let flags = |at: usize| seen[at].requests.iter().map(|r| r.warmup).collect::<Vec<_>>();
        assert_eq!(
            flags(0),
            [true, true, true, false, false],
            "two of the process, one of the burst"
        );
        assert_eq!((flags(1), flags(2)), (vec![true, false, false], vec![true, false, false]));
        assert!(
            seen.iter().all(|own| own.load == seen[0].load && own.first_call == seen[0].first_call)
        );
        let marks: Vec<u64> = seen.iter().filter_map(|own| own.steady_memory).collect();
        let within = |mark: &u64| (marks[0]..marks[0] + HELD / 2).contains(mark);
        assert!(marks.iter().all(within), "what is held between bursts is not theirs: {marks:?}");
        let last = |at: usize| seen[at].requests.last().unwrap().tokens[2];
        assert!(last(0) < seen[1].requests[0].sent && last(1) < seen[2].requests[0].sent);
    }
}
