//! The library of a runtime: named by the user, found in the store, or fetched once.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::child::{Launch, Launcher};
use super::execute::RunError;
use super::{Limits, describe};
use crate::base::Digest;
use crate::plan::{Output, output_of, read_library};
use crate::record::{Failure, Verdict};
use crate::stage::{Done, Job, LoadRuntime, Pin, RUNTIME_KIND, Stage};
use crate::store::{Lookup, Recipe, Store};

/// Longest time of fetching and unpacking a wheel.
const FETCHING: Duration = Duration::from_secs(30 * 60);

/// Longest time of opening a library.
const OPENING: Duration = Duration::from_secs(60);

/// What became of the search for a runtime.
pub enum Provided {
    Ready {
        /// Always [`Output::Runtime`].
        output: Output,
        key: Digest,
        /// The store had it.
        hit: bool,
        /// Why it was fetched.
        why: Option<String>,
    },
    /// It cannot be had here: what needs it is left out, with this reason.
    Missing(String),
    /// It is there and does not work.
    Broken(String),
}

/// Where a runtime is looked for and how it is fetched.
pub struct Provider<'a> {
    pub store: &'a Store,
    pub launcher: &'a Launcher,
    /// The name under which the store remembers what was last used here.
    pub slot: &'a str,
}

impl Provider<'_> {
    /// Finds the library that `load` asks for, or fetches it. A library in the store is taken as
    /// it is even where everything else is made again: it was verified, not made.
    pub fn provide(&self, load: &LoadRuntime, share: &dyn Fn(f64)) -> Result<Provided, RunError> {
        if let Some(library) = &load.library {
            return self.named(library);
        }
        let (Some(pin), Some(recipe)) = (load.pin(), load.recipe()) else {
            return Ok(Provided::Missing(LoadRuntime::unsupported()));
        };
        let stage = Stage::LoadRuntime(load.clone());
        let why = match self.store.lookup(self.slot, &recipe)? {
            Lookup::Hit(stored) => match output_of(&stage, &stored) {
                Some(output) => {
                    let key = recipe.key();
                    return Ok(Provided::Ready { output, key, hit: true, why: None });
                }
                None => "the stored library cannot be read".to_owned(),
            },
            Lookup::Miss(reason) => reason.to_string(),
        };
        self.fetch(load, pin, &recipe, why, share)
    }

    fn named(&self, library: &Path) -> Result<Provided, RunError> {
        let job = Job::Inspect { library: library.to_owned(), providers: false };
        let version = match self.run(&job, OPENING, &|_| {})? {
            Ok(Done::Runtime { version }) => version,
            Ok(other) => return Ok(Provided::Broken(format!("unexpected {other:?}"))),
            Err(failure) => return Ok(Provided::Broken(describe(&failure))),
        };
        Ok(match read_library(library, Some(version)) {
            Ok(output) => {
                let key = output.digest().expect("a library has a digest");
                Provided::Ready { output, key, hit: false, why: None }
            }
            Err(error) => Provided::Broken(format!("cannot read `{}`: {error}", library.display())),
        })
    }

    fn fetch(
        &self,
        load: &LoadRuntime,
        pin: Pin,
        recipe: &Recipe,
        why: String,
        share: &dyn Fn(f64),
    ) -> Result<Provided, RunError> {
        let workspace = self.store.begin()?;
        let job = load.job(pin, workspace.path().to_owned());
        let version = match self.run(&job, FETCHING, share)? {
            Ok(Done::Runtime { version }) => version,
            Ok(other) => return Ok(Provided::Broken(format!("unexpected {other:?}"))),
            // Without network or Python nothing is wrong with the spec or with the engine.
            Err(failure) if matches!(failure.verdict, Verdict::Error | Verdict::Timeout) => {
                return Ok(Provided::Missing(describe(&failure)));
            }
            Err(failure) => return Ok(Provided::Broken(describe(&failure))),
        };
        let notes = json!([format!("{} {version}", load.name()), load.origin()]);
        let stored = self.store.seal(workspace, recipe, self.slot, RUNTIME_KIND, notes)?;
        Ok(match output_of(&Stage::LoadRuntime(load.clone()), &stored) {
            Some(output) => {
                let (key, why) = (recipe.key(), Some(why));
                Provided::Ready { output, key, hit: false, why }
            }
            None => Provided::Broken("the library cannot be read back".into()),
        })
    }

    /// Runs one job about a runtime in a process of its own.
    pub fn run(
        &self,
        job: &Job,
        time: Duration,
        share: &dyn Fn(f64),
    ) -> Result<Result<Done, Failure>, RunError> {
        let scratch = self.store.begin()?;
        let limits = Limits::within(time, None);
        let launch = Launch { job, scratch: scratch.path(), limits, threads: None, padding: 0 };
        Ok(self.launcher.launch(&launch, share)?.result)
    }
}
