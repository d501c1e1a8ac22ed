//! Finding stored runs: by folder, by file or by id.

use std::path::{Path, PathBuf};

use super::exit::Failure;
use crate::record::Record;

/// The record of the run that `run` names: a result folder, a `record.json`, or an id, or the
/// beginning of one, of a run in a folder below `results`.
pub fn stored(run: &Path, results: &Path) -> Result<Record, Failure> {
    if run.exists() {
        return Ok(Record::read(run)?);
    }
    let id = run.to_str().filter(|id| !id.is_empty() && !id.contains('/'));
    let found = id.map_or_else(Vec::new, |id| with_id(id, results));
    match found.as_slice() {
        [only] => Ok(Record::read(only)?),
        [] => Err(Failure::invalid(format!("there is no run `{}`", run.display())).hint(format!(
            "a result folder, a record.json, or an id below `{}`",
            results.display()
        ))),
        several => {
            let names = several.iter().map(|path| format!("`{}`", path.display()));
            Err(Failure::invalid(format!("`{}` is the beginning of several runs", run.display()))
                .hint(names.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// Folders two levels below `results` that are called `id`, or all whose name begins so.
fn with_id(id: &str, results: &Path) -> Vec<PathBuf> {
    let below = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let runs = below(results).into_iter().flat_map(|spec| below(&spec));
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(id) && path.join("record.json").is_file()
    };
    let runs: Vec<PathBuf> = runs.filter(named).collect();
    match runs.iter().find(|path| path.file_name().is_some_and(|name| name == id)) {
        Some(exact) => vec![exact.clone()],
        None => runs,
    }
}
