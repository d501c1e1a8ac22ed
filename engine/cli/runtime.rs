//! What `engine doctor` says about a runtime's library: where it is, and what really opens.

use std::path::PathBuf;
use std::time::Duration;

use super::common::Library;
use super::exit::Failure;
use crate::base::text::inert;
use crate::plan::{Output, output_of, read_library};
use crate::run::{Interrupt, Launcher, Provider, describe};
use crate::stage::{Done, Job, LoadRuntime, Stage};
use crate::store::{Lookup, Store};

/// Longest time of trying all providers.
const TRYING: Duration = Duration::from_secs(120);

/// One line per fact. Fetches nothing.
pub fn lines(library: &Library, store: &Store) -> Result<Vec<String>, Failure> {
    let load = library.load();
    let output = match (&load.library, load.recipe()) {
        (Some(path), _) => match read_library(path, None) {
            Ok(output) => output,
            Err(error) => return Ok(vec![format!("cannot read `{}`: {error}", path.display())]),
        },
        (None, None) => return Ok(vec![LoadRuntime::unsupported()]),
        (None, Some(recipe)) => match store.peek(LoadRuntime::STEP, &recipe)? {
            Lookup::Hit(stored) => match output_of(&Stage::LoadRuntime(load.clone()), &stored) {
                Some(output) => output,
                None => return Ok(vec!["the stored library cannot be read".into()]),
            },
            Lookup::Miss(_) => return Ok(vec![not_fetched(&load)]),
        },
    };
    let Output::Runtime { library, digest, .. } = output else {
        return Ok(vec!["the stored library cannot be read".into()]);
    };
    let mut out = vec![format!("{}", library.display()), format!("SHA-256 {digest}")];
    out.extend(inspected(library, store)?);
    Ok(out)
}

fn not_fetched(load: &LoadRuntime) -> String {
    let version = load.pin().map(|pin| pin.version).unwrap_or_default();
    format!(
        "{} {version} is not fetched yet: the first run that needs it does so with `python3 -m pip`, or now: `engine doctor --fetch`",
        load.name()
    )
}

/// Opens the library in a process of its own.
fn inspected(library: PathBuf, store: &Store) -> Result<Vec<String>, Failure> {
    let launcher = Launcher { program: std::env::current_exe()?, interrupt: Interrupt::never() };
    let provider = Provider { store, launcher: &launcher, slot: LoadRuntime::STEP };
    let job = Job::Inspect { library, providers: true };
    Ok(match provider.run(&job, TRYING, &|_| {})? {
        Ok(Done::Inspected(facts)) => {
            let mut out = vec![format!("version {}", inert(&facts.version)), inert(&facts.build)];
            out.extend(facts.providers.iter().map(|(name, opens)| match opens {
                Ok(()) => format!("{}: opens", inert(name)),
                Err(why) => format!("{}: does not open: {}", inert(name), inert(why)),
            }));
            out
        }
        Ok(other) => vec![format!("the job gave something else: {other:?}")],
        Err(failure) => vec![format!("does not open: {}", describe(&failure))],
    })
}
