//! Models as files: what they are, whether they are sound, and what they hold.
//!
//! Everything here reads headers and configurations and never weights, so that a plan can be
//! shown, refused or priced before a byte of a large model is loaded. Three layouts are known: a
//! checkpoint folder as model hubs lay it out (`config.json` beside safetensors), a single GGUF
//! file, and an ONNX graph with its weights inside or in data files beside it.
//!
//! The files come from strangers. Nearly every published hole in a model loader is a length that
//! was believed before it was compared with the bytes that are really there, so all binary
//! headers go through `bounded.rs` (ONNX: `onnx/wire.rs`) and all arithmetic on their numbers is checked. A header that
//! passes promises to later code: names are unique, element counts fit an `i64`, every range
//! lies inside the file and no two ranges overlap. Then a memory map needs no further checks
//! while the file stays as it is.
//!
//! Deliberately absent: an unpickler in any form (pickles are refused by content, see
//! [`content`]), loading of weights (rooms above), downloads (stage `load`).

mod architecture;
mod bounded;
pub mod checkpoint;
pub mod config;
mod config_gguf;
mod configuration;
pub mod content;
pub mod family;
pub mod fields;
pub mod gguf;
pub mod gguf_names;
pub mod gguf_type;
pub mod gguf_value;
pub mod gguf_writer;
mod llama_tensors;
pub mod metadata;
pub mod network;
pub mod onnx;
pub mod random;
pub mod rope;
pub mod safetensors;
mod safetensors_writer;
pub mod signature;
mod tally;

#[cfg(test)]
pub(crate) mod hostile;

use std::fmt;
use std::path::{Path, PathBuf};

pub use architecture::Architecture;
pub use checkpoint::Checkpoint;
pub use config::LlamaConfig;
pub use configuration::{Configuration, model_types};
pub use gguf::{Gguf, GgufTensor};
pub use gguf_type::GgmlType;
pub use gguf_value::{GgufArray, GgufValue, Strings};
pub use gguf_writer::GgufWriter;
pub use metadata::{Kind, ModelFacts, facts, kind};
pub use onnx::OnnxModel;
pub use random::RandomModel;
pub use rope::RopeScaling;
pub use safetensors::{Header, TensorInfo, Writer};
pub use signature::Signature;

use crate::base::text::inert;

/// Decoders that can be loaded, as `model_type` of `config.json` names them.
pub const ARCHITECTURES: &[&str] = &["llama", "mistral", "qwen2"];

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("cannot read `{}`: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write `{}`: {source}", .path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot write a file of weights: {0}")]
    Append(#[from] std::io::Error),
    #[error("`{}` is not a sound {format} file: {fault}", .path.display())]
    Malformed { path: PathBuf, format: &'static str, fault: Fault },
    #[error("`{}` is {what}, found by its content", .path.display())]
    Refused { path: PathBuf, what: String, advice: &'static str },
    #[error("`{field}` in `{}` {what}", .path.display())]
    Config { path: PathBuf, field: String, what: String },
    #[error(
        "`{}` holds a `{found}` model, which this engine cannot load (known: {})",
        .path.display(),
        model_types().join(", ")
    )]
    UnknownArchitecture { path: PathBuf, found: String },
    #[error("`{}` {what}", .path.display())]
    Layout { path: PathBuf, what: String, advice: Option<&'static str> },
    #[error("the tensors of `{}` do not fit its configuration: {}", .path.display(), listed(.wrong))]
    Tensors { path: PathBuf, wrong: Vec<String> },
    #[error("`{}` holds a `{family}` model, and {what} takes decoders only", .path.display())]
    NoDecoder { path: PathBuf, family: String, what: &'static str },
    #[error("cannot make `{uri}`: {what}")]
    Random { uri: String, what: String },
}

impl ModelError {
    /// The way out, where there is one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { advice, .. } => Some(advice),
            Self::Layout { advice, .. } => *advice,
            _ => None,
        }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

/// What is wrong with a file, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field of the header, with the name of the tensor or key where there is one.
    pub field: String,
    /// Byte of the file at which the field starts, where that is known.
    pub offset: Option<u64>,
    pub what: String,
}

impl Fault {
    pub(crate) fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self { field: field.into(), offset: None, what: what.into() }
    }

    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// A name from a file, fit to be shown: inert and at most 80 characters long.
pub(crate) fn shown(name: &str) -> String {
    let mut short: String = name.chars().take(80).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    inert(&short)
}

fn listed(wrong: &[String]) -> String {
    const SHOWN: usize = 10;
    let text = wrong[..wrong.len().min(SHOWN)].join("; ");
    match wrong.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}
