//! Passes: one optimization each, from artifact to artifact.
//!
//! A pass is pure: what comes out depends on its input, its parameters, its epoch and the library
//! versions it names, and on nothing else, so its result can be kept by content address. It reads
//! only what the model room's bounded readers have checked and streams: no pass holds a whole
//! model in memory. Deliberately absent: caching (store), order (plan), processes (run).

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use crate::backend::QuantizeError;
use crate::model::family::Description;
use crate::model::{Kind, ModelError};

mod blocks;
mod calibration;
mod cast;
mod cast_checkpoint;
mod cast_onnx;
mod export_onnx;
pub mod files;
mod fuse;
mod fuse_activation;
mod fuse_gqa;
mod fuse_level;
mod fuse_mha;
mod fuse_shape;
mod fuse_skip;
mod fuse_view;
mod gguf;
mod gguf_metadata;
mod linear;
mod matrix;
mod observe;
mod qdq;
mod qdq_gemm;
mod qdq_plan;
mod quantize_dynamic;
mod quantize_static;
mod quantize_weights;
pub mod rows;
mod samples;
mod session;

/// The engine's own passes, in the order in which the schema and `engine list` show them.
static PASSES: &[&dyn Pass] = &[
    &cast::Cast,
    &export_onnx::ExportOnnx,
    &fuse::Fuse,
    &gguf::QuantizeGguf,
    &quantize_dynamic::QuantizeDynamic,
    &quantize_static::QuantizeStatic,
    &quantize_weights::QuantizeWeights,
    &session::SetSession,
];

/// See [`add`].
static ADDED: OnceLock<&[&dyn Pass]> = OnceLock::new();

pub trait Pass: Sync {
    /// The stage's key in a spec, such as `quantize`.
    fn id(&self) -> &'static str;

    /// The value of `method` that selects this pass among those of one id.
    fn method(&self) -> Option<&'static str> {
        None
    }

    /// Raised whenever the output for the same input changes: old artifacts are then not used.
    fn epoch(&self) -> u32;

    /// One line for `engine list` and the schema.
    fn about(&self) -> &'static str;

    /// JSON schema of the parameters: an object, closed, every property described.
    fn params(&self) -> Value;

    /// Whether it takes one part out of a model of several, the one its parameter `part` names.
    fn takes_out_a_part(&self) -> bool {
        false
    }

    /// The kind that comes out of `kind`, or why the pass cannot take it.
    fn takes(&self, kind: Kind) -> Result<Kind, String>;

    /// Why it cannot take a checkpoint of `networks`, which keep nothing between calls, with these
    /// parameters. What [`Pass::takes`] says comes first.
    fn takes_networks(&self, _networks: &Description, _params: &Value) -> Result<(), String> {
        Ok(())
    }

    /// Facts about this machine and build that the output depends on; part of its key.
    fn facts(&self, _params: &Value) -> Value {
        Value::Null
    }

    /// Whether it runs ONNX Runtime with these parameters: [`PassJob::runtime`] is then set.
    fn runtime(&self, _params: &Value) -> bool {
        false
    }

    /// Of a pass outside the engine: what tells it from another program's of the same id in a store
    /// that both use. Part of its key.
    fn origin(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// Writes the new artifact into the empty folder `job.out`.
    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError>;
}

/// Name of the file that passes giving a GGUF file write into their folder.
pub const GGUF_FILE: &str = "model.gguf";

/// Every pass, the engine's own first.
pub fn passes() -> impl Iterator<Item = &'static dyn Pass> {
    PASSES.iter().chain(added()).copied()
}

/// The passes of the program around the engine.
fn added() -> &'static [&'static dyn Pass] {
    ADDED.get().copied().unwrap_or_default()
}

/// Adds the passes of the program around the engine. False, and nothing is added, where that was
/// done before. [`crate::catalog::Extensions`] checks them first.
pub(crate) fn add(passes: &'static [&'static dyn Pass]) -> bool {
    ADDED.set(passes).is_ok()
}

/// The pass that a stage `{id: params}` means.
pub fn pass(id: &str, params: &Value) -> Option<&'static dyn Pass> {
    passes().find(|pass| is_meant(*pass, id, params))
}

/// [`Pass::origin`] of the pass that a stage means, where it is not one of the engine's own.
pub fn foreign_origin(id: &str, params: &Value) -> Option<&'static str> {
    added().iter().find(|pass| is_meant(**pass, id, params)).map(|pass| pass.origin())
}

fn is_meant(pass: &dyn Pass, id: &str, params: &Value) -> bool {
    let method = params.get("method").and_then(Value::as_str);
    pass.id() == id && (pass.method().is_none() || pass.method() == method)
}

pub struct PassJob<'a> {
    pub input: &'a Path,
    pub kind: Kind,
    /// Checked against [`Pass::params`] before.
    pub params: &'a Value,
    pub out: &'a Path,
    /// Folder with the data set that the parameter `data` names, as an earlier step made it.
    pub data: Option<&'a Path>,
    /// Shared library of ONNX Runtime, for passes that need it.
    pub runtime: Option<&'a Path>,
    /// Told the share that is done, from 0 to 1.
    pub progress: &'a dyn Fn(f64),
}

/// What a pass has to say about its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassNotes {
    pub kind: Kind,
    /// The formula that was applied and every exception made from it.
    pub notes: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("cannot {action} `{path}`")]
    File { action: &'static str, path: String, source: std::io::Error },
    #[error("tensor `{tensor}` cannot be quantized")]
    Quantize { tensor: String, source: QuantizeError },
    #[error("the parameters do not fit: {0}")]
    Params(#[from] serde_json::Error),
    #[error("{0}")]
    Unfit(String),
    #[error("tensor `{tensor}` holds a value that is not finite (row {row})")]
    NotFinite { tensor: String, row: u64 },
    #[error("tensor `{tensor}` holds values beyond the range of {target}")]
    Overflow { tensor: String, target: &'static str },
    #[error("the graph of `{path}` cannot be changed: {what}")]
    Graph { path: String, what: String },
    #[error(transparent)]
    Backend(#[from] crate::backend::BackendError),
    #[error("{what} needs the shared library of ONNX Runtime, and there is none")]
    NoRuntime { what: &'static str },
    #[error("the data to calibrate with cannot be used: {0}")]
    Calibration(String),
    #[error("`tokenizer.json` cannot be carried over: {0}")]
    Tokenizer(String),
}

/// What passes over graphs take. `pass` is how the spec names it.
fn graph_only(pass: &str, kind: Kind) -> Result<Kind, String> {
    match kind {
        Kind::Onnx => Ok(Kind::Onnx),
        Kind::Checkpoint | Kind::Gguf => Err(format!(
            "`{pass}` takes an ONNX graph; the stages before it leave a model of kind `{}`: put `export: {{format: onnx}}` before it",
            kind.name()
        )),
    }
}

/// A path and an action as context for an I/O error.
pub fn file_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> PassError + 'a {
    move |source| PassError::File { action, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_every_pass_once() {
        for (i, a) in PASSES.iter().enumerate() {
            for b in &PASSES[i + 1..] {
                assert!((a.id(), a.method()) != (b.id(), b.method()), "{} twice", a.id());
            }
            assert_eq!(a.params()["additionalProperties"], false, "{} is open", a.id());
        }
    }
}
