//! The files of a checkpoint that passes carry over unchanged.

use std::path::Path;

use serde_json::Value;

use super::{PassError, file_error};
use crate::model::checkpoint::SIDECARS;

/// Copies the sidecar files that `from` has.
pub fn copy_sidecars(from: &Path, to: &Path) -> Result<(), PassError> {
    SIDECARS.iter().try_for_each(|name| copy_file(from, to, name))
}

/// Copies the file `name`, if `from` has it.
pub fn copy_file(from: &Path, to: &Path, name: &str) -> Result<(), PassError> {
    let source = from.join(name);
    if source.is_file() {
        let target = to.join(name);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(file_error("create", folder))?;
        }
        std::fs::copy(&source, target).map_err(file_error("copy", &source))?;
    }
    Ok(())
}

/// Copies what travels with a graph: configuration and tokenizer, from the folder of the graph
/// `model`.
pub fn copy_beside(model: &Path, to: &Path) -> Result<(), PassError> {
    let from = model.parent().unwrap_or(model);
    copy_file(from, to, "config.json")?;
    copy_sidecars(from, to)
}

/// The parsed `config.json` of `folder`.
pub fn read_config(folder: &Path) -> Result<Value, PassError> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(file_error("read", &path))?;
    Ok(serde_json::from_str(&text)?)
}

/// Writes `config` as `config.json` of `folder`.
pub fn write_config(folder: &Path, config: &Value) -> Result<(), PassError> {
    let path = folder.join("config.json");
    let text = format!("{config:#}\n");
    std::fs::write(&path, text).map_err(file_error("write", &path))
}
