//! The one environment that ONNX Runtime allows per process, and sessions in it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::onnxruntime::ID;
use super::operators::OpEvent;
use super::ort_work::Hints;
use super::{BackendError, OpenOptions, ort_profile};

/// The library that was loaded, and its environment, or why it cannot be used. A process cannot
/// load another one later: ONNX Runtime keeps state of its own.
type Loaded = Result<(PathBuf, Environment), String>;

static LOADED: OnceLock<Loaded> = OnceLock::new();

/// The environment of `library`.
pub fn environment(library: &Path) -> Result<&'static Environment, BackendError> {
    let loaded = LOADED.get_or_init(|| load(library));
    let unusable = |why: String| BackendError::Runtime {
        backend: ID,
        library: library.display().to_string(),
        why,
    };
    match loaded {
        Ok((path, environment)) if path == library => Ok(environment),
        Ok((path, _)) => Err(unusable(format!("this process uses `{}` already", path.display()))),
        Err(why) => Err(unusable(why.clone())),
    }
}

fn load(library: &Path) -> Loaded {
    // The loader would search other folders for a relative name.
    if !library.is_absolute() {
        return Err("its path is not absolute".to_owned());
    }
    let environment = ort::init_from(library)
        .map_err(|error| error.to_string())?
        .with_name("engine")
        .with_telemetry(false)
        .build()
        .map_err(|error| error.to_string())?;
    environment.set_log_level(LogLevel::Error);
    Ok((library.to_owned(), environment))
}

/// Begins a session as `how` says, all graph optimizations on.
pub fn builder(artifact: &Path, how: &OpenOptions) -> Result<SessionBuilder, BackendError> {
    let library = how.runtime.as_deref().ok_or_else(|| BackendError::Runtime {
        backend: ID,
        library: "libonnxruntime.so".to_owned(),
        why: "no library was found".to_owned(),
    })?;
    let environment = environment(library)?;
    let failed = |why: String| open_error(artifact, why);
    let mut builder = Session::builder(environment)
        .map_err(|error| failed(error.to_string()))?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(|error| failed(error.to_string()))?;
    if let Some(threads) = how.threads {
        builder = builder
            .with_intra_threads(threads as usize)
            .map_err(|error| failed(error.to_string()))?;
    }
    if let Some(folder) = &how.profile {
        builder = builder
            .with_profiling(folder.join("operators"))
            .map_err(|error| failed(error.to_string()))?;
    }
    Ok(builder)
}

/// Opens the graph at `artifact`.
pub fn session(artifact: &Path, how: &OpenOptions) -> Result<Session, BackendError> {
    builder(artifact, how)?
        .commit_from_file(artifact)
        .map_err(|error| open_error(artifact, error.to_string()))
}

/// Ends profiling of a session opened with [`OpenOptions::profile`].
pub fn end_profile(session: &mut Session, hints: &Hints) -> Result<Vec<OpEvent>, BackendError> {
    let file = session.end_profiling().map_err(run_error)?;
    ort_profile::read(Path::new(&file), hints).map_err(run_error)
}

pub fn open_error(artifact: &Path, why: String) -> BackendError {
    BackendError::Open { backend: ID, path: artifact.display().to_string(), why }
}

pub fn run_error(why: impl ToString) -> BackendError {
    BackendError::Run { backend: ID, why: why.to_string() }
}
