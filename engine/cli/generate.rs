//! `engine generate`: what a model says.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::Shared;
use super::common;
use super::exit::{Exit, Failure};
use crate::backend::opener;
use crate::base::chain;
use crate::base::text::inert_lines;
use crate::run::{Interrupt, Launch, Launcher, Limits, RunError};
use crate::stage::{Artifact, Done, Job};
use crate::task::Sampling;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine generate examples/models/story_llama --prompt 'Tom was new in town.'
  engine generate model.gguf --prompt 'Once upon a time' --temperature 0.8 --seed 3")]
pub struct Generate {
    /// A checkpoint folder or a .gguf file.
    #[arg(value_name = "MODEL")]
    model: String,
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Most tokens to add; the model may end earlier.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    new_tokens: u32,
    /// 0 always takes the most likely token.
    #[arg(long, default_value_t = 0.0, value_parser = temperature)]
    temperature: f32,
    /// Draw from this many of the most likely tokens; 0 for all.
    #[arg(long, default_value_t = 0)]
    top_k: u32,
    /// Draw from the most likely tokens that together have this probability.
    #[arg(long, default_value_t = 1.0, value_parser = share)]
    top_p: f32,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    library: common::Library,
}

fn temperature(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|t: &f32| t.is_finite() && *t >= 0.0);
    value.ok_or_else(|| "expected a number from 0".into())
}

fn share(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|p: &f32| *p > 0.0 && *p <= 1.0);
    value.ok_or_else(|| "expected a number above 0 and up to 1".into())
}

impl Generate {
    pub fn execute(self, shared: &Shared) -> Result<Exit, Failure> {
        let path = self.model.strip_prefix("file://").unwrap_or(&self.model);
        let path = std::path::absolute(Path::new(path))?;
        let artifact = Artifact::outside(&path).map_err(|error| {
            let failure = Failure::invalid(chain(&error));
            match error.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        let store = common::open_store(shared)?;
        let launcher =
            Launcher { program: std::env::current_exe()?, interrupt: Interrupt::listen()? };
        let backend = opener(artifact.kind).ok_or_else(|| {
            Failure::invalid(format!("no backend opens a {}", artifact.kind.name()))
        })?;
        let runtime = match backend.runtime() {
            Some(_) => match self.library.provide(&store, &launcher) {
                Err(RunError::Interrupted) => {
                    return Ok(Exit::Interrupted(launcher.interrupt.exit_code()));
                }
                provided => Some(provided??),
            },
            None => None,
        };
        let job = Job::Continue {
            artifact,
            backend: backend.id().into(),
            runtime,
            prompt: self.prompt.clone(),
            new_tokens: self.new_tokens as usize,
            sampling: Sampling {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                seed: self.seed,
            },
        };
        let scratch = store.begin()?;
        let launch = Launch {
            job: &job,
            scratch: scratch.path(),
            limits: Limits::within(Duration::from_secs(3600), None),
            threads: None,
            padding: 0,
        };
        let ended = match launcher.launch(&launch, &|_| {}).map_err(RunError::from) {
            Err(RunError::Interrupted) => {
                return Ok(Exit::Interrupted(launcher.interrupt.exit_code()));
            }
            ended => ended?,
        };
        match ended.result {
            Ok(Done::Continued { text, tokens, stopped }) => {
                println!("{}{}", inert_lines(&self.prompt), inert_lines(&text));
                let end = if stopped { "the model ended the text" } else { "limit reached" };
                eprintln!("{tokens} tokens, {end}");
                Ok(Exit::Done)
            }
            Ok(other) => Err(Failure::broken(format!("the job gave something else: {other:?}"))),
            Err(failure) => Err(Failure::broken(crate::run::describe(&failure))),
        }
    }
}
