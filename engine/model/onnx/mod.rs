//! ONNX graphs: read with bounds, looked at, edited and written again.
//!
//! A graph and its weights are kept apart: [`OnnxModel::read`] leaves every large weight where it
//! lies, inside the file or in a data file beside it, and notes the place. So a graph of many
//! gigabytes is planned, refused or rewritten in a few megabytes of memory, and passes stream the
//! weights they change. Deliberately absent: running a graph (backend), and shape inference.

pub mod build;
pub mod edit;
mod element;
mod external;
pub mod facts;
mod packed;
pub mod proto;
mod reader;
mod schema;
mod scope;
pub mod session_options;
mod tables;
mod tensor;
mod tensor_file;
pub mod types;
pub mod upgrade;
mod view;
mod wire;
mod writer;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod hostile_files;
#[cfg(test)]
mod round_trip;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::ModelError;
use super::checkpoint::{Folder, SIDECARS};

pub use element::{element_type, type_code, type_name};
pub use facts::OnnxFacts;
pub use proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
pub use session_options::SessionOptions;
pub use tensor_file::tensor_from_pb;
pub use view::{attribute_f32, attribute_int, attribute_ints, attribute_text};
pub use writer::{GraphWriter, WEIGHTS_FILE, inline_bytes};

/// Name of the graph in an artifact's folder.
pub const GRAPH_FILE: &str = "model.onnx";

/// Keys of `metadata_props` that this engine writes: the task (`text_generation`), what the graph was made
/// from (`llama`), and `true` where weights were drawn, not trained.
pub const TASK_KEY: &str = "engine.task";
pub const ARCHITECTURE_KEY: &str = "engine.architecture";
/// Longest text in tokens.
pub const CONTEXT_KEY: &str = "engine.context";
/// The part of a model of several, such as `image`.
pub const PART_KEY: &str = "engine.part";
pub const RANDOM_KEY: &str = "engine.random_weights";

/// Value of [`TASK_KEY`] for graphs with `config.json` and a tokenizer beside them.
pub const TEXT_GENERATION: &str = "text_generation";

/// Value of `data_location` for a tensor whose bytes lie outside the message.
pub const EXTERNAL: i32 = 1;

/// An ONNX model whose large weights are still in their files.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxModel {
    /// The `.onnx` file.
    pub path: PathBuf,
    /// The graph. An initializer listed in `weights` has no bytes here, `data_location` is
    /// [`EXTERNAL`] and `external_data` is empty. Nodes come after those they depend on.
    pub proto: ModelProto,
    /// Where the bytes of large initializers of the main graph lie, by name; little-endian, row by
    /// row, exactly as many as type and shape demand, inside a regular file.
    pub weights: IndexMap<String, Stored>,
    /// All files the model consists of: the graph, then data files in order of first use.
    pub files: Vec<PathBuf>,
}

/// A range of bytes in a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stored {
    pub file: PathBuf,
    pub offset: u64,
    pub bytes: u64,
}

impl OnnxModel {
    pub fn graph(&self) -> &GraphProto {
        self.proto.graph.as_ref().expect("the reader refuses a model without a graph")
    }

    /// The folder it lies in.
    pub fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    /// Everything that belongs to the identity of the model: `files`, and what lies beside the graph
    /// and decides how texts and pictures become its inputs.
    pub fn all_files(&self) -> Result<Vec<PathBuf>, ModelError> {
        let mut files = self.files.clone();
        let folder = Folder::open(self.folder())?;
        for name in std::iter::once("config.json").chain(SIDECARS.iter().copied()) {
            files.extend(folder.file(name)?);
        }
        Ok(files)
    }

    /// The value of a `metadata_props` entry.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let entry = self.proto.metadata_props.iter().find(|e| e.key.as_deref() == Some(key))?;
        entry.value.as_deref()
    }
}

/// The folder that the file at `path` lies in.
fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}
