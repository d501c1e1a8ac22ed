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
use super::{BackendError, OpenOptions, ort_profile, ort_providers};
use crate::model::OnnxModel;
use crate::model::onnx::session_options::{Execution, GraphLevel, SessionOptions};

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

/// The environment of the library that `how` leads to.
pub fn environment_of(how: &OpenOptions) -> Result<&'static Environment, BackendError> {
    let library = how.runtime.as_deref().ok_or_else(|| BackendError::Runtime {
        backend: ID,
        library: "libonnxruntime.so".to_owned(),
        why: "no library was found".to_owned(),
    })?;
    environment(library)
}

/// Begins a session as `how` says and as the graph itself asks (`engine.session` in its metadata);
/// all graph optimizations are on unless it asks otherwise.
pub fn builder(model: &OnnxModel, how: &OpenOptions) -> Result<SessionBuilder, BackendError> {
    let environment = environment_of(how)?;
    let asked = SessionOptions::of(model)?;
    let prepared = || {
        let level = match asked.graph_level {
            Some(GraphLevel::None) => GraphOptimizationLevel::Disable,
            Some(GraphLevel::Basic) => GraphOptimizationLevel::Level1,
            Some(GraphLevel::Extended) => GraphOptimizationLevel::Level2,
            Some(GraphLevel::All) | None => GraphOptimizationLevel::All,
        };
        let mut builder = Session::builder(environment)?.with_optimization_level(level)?;
        // What was asked for by the setting is what its numbers are shown under.
        if let Some(threads) = how.threads.or(asked.threads) {
            builder = builder.with_intra_threads(threads as usize)?;
        }
        if !asked.without.is_empty() {
            builder = builder.with_disabled_optimizers(asked.without.join(";"))?;
        }
        if let Some(threads) = asked.inter_threads {
            builder = builder.with_inter_threads(threads as usize)?;
        }
        if let Some(execution) = asked.execution {
            builder = builder.with_parallel_execution(execution == Execution::Parallel)?;
        }
        if let Some(pattern) = asked.memory_pattern {
            builder = builder.with_memory_pattern(pattern)?;
        }
        if let Some(spinning) = asked.spinning {
            builder = builder.with_intra_op_spinning(spinning)?.with_inter_op_spinning(spinning)?;
        }
        if asked.flush_denormals == Some(true) {
            builder = builder.with_flush_to_zero()?;
        }
        if let Some(folder) = &how.profile {
            builder = builder.with_profiling(folder.join("operators"))?;
        }
        Ok::<_, ort::Error>(builder)
    };
    let builder = prepared().map_err(|error| open_error(&model.path, error.to_string()))?;
    ort_providers::register(builder, &how.placement, asked.arena)
}

/// Opens a graph whose header was read.
pub fn session(model: &OnnxModel, how: &OpenOptions) -> Result<Session, BackendError> {
    builder(model, how)?
        .commit_from_file(&model.path)
        .map_err(|error| open_error(&model.path, error.to_string()))
}

/// Ends profiling of a session opened with [`OpenOptions::profile`]
/// that has made `runs` runs.
pub fn end_profile(
    session: &mut Session,
    hints: &Hints,
    runs: usize,
) -> Result<Vec<OpEvent>, BackendError> {
    let file = session.end_profiling().map_err(run_error)?;
    ort_profile::read(Path::new(&file), hints, runs).map_err(run_error)
}

pub fn open_error(artifact: &Path, why: String) -> BackendError {
    BackendError::Open { backend: ID, path: artifact.display().to_string(), why }
}

pub fn run_error(why: impl std::fmt::Display) -> BackendError {
    BackendError::Run { backend: ID, why: format!("{why}") }
}
