//! A model on disk, as stages hand it to each other.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::Digest;
use crate::model::onnx::GRAPH_FILE;
use crate::model::{self, Checkpoint, Kind, ModelError, OnnxModel};
use crate::pass::GGUF_FILE;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    pub kind: Kind,
    /// A checkpoint folder, a GGUF file or an ONNX graph.
    pub path: PathBuf,
    /// Over names and contents of the files that belong to it.
    pub digest: Digest,
    /// Bytes of those files.
    pub bytes: u64,
    /// Of a model outside the store: device, inode, size and change time of its files when they
    /// were hashed.
    #[serde(default)]
    pub stamp: Option<Digest>,
}

impl Artifact {
    /// A model outside the store. Only the files that belong to the model count: a README beside
    /// the weights changes nothing.
    pub fn outside(path: &Path) -> Result<Self, ModelError> {
        let (kind, files) = files_of(path)?;
        let root = match kind {
            Kind::Onnx => path.parent().unwrap_or(Path::new("")),
            Kind::Checkpoint | Kind::Gguf => path,
        };
        // Before hashing: a change in between shows as a difference later.
        let stamp = stamp(&files);
        let mut digests = Map::new();
        let mut bytes = 0;
        for file in files {
            let read = |source| ModelError::Read { path: file.clone(), source };
            let name = match kind {
                Kind::Gguf => GGUF_FILE.to_owned(),
                // No data file is called like this, whatever the graph names.
                Kind::Onnx if file == path => format!("/{GRAPH_FILE}"),
                _ => file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned(),
            };
            bytes += std::fs::metadata(&file).map_err(read)?.len();
            let digest = Digest::of_file(&file)
                .map_err(|source| ModelError::Read { path: file.clone(), source })?;
            digests.insert(name, Value::String(digest.hex()));
        }
        let digest = Digest::of_json(&Value::Object(digests));
        Ok(Self { kind, path: path.to_owned(), digest, bytes, stamp })
    }

    /// False when a model outside the store is no longer what was hashed. What was made from it
    /// meanwhile must not be kept under its digest.
    pub fn is_unchanged(&self) -> bool {
        self.stamp.is_none() || files_of(&self.path).is_ok_and(|(_, f)| stamp(&f) == self.stamp)
    }

    /// A model in the store, whose folder is `folder`.
    pub fn stored(kind: Kind, folder: &Path, digest: Digest, bytes: u64) -> Self {
        let path = match kind {
            Kind::Checkpoint => folder.to_owned(),
            Kind::Gguf => folder.join(GGUF_FILE),
            Kind::Onnx => folder.join(GRAPH_FILE),
        };
        Self { kind, path, digest, bytes, stamp: None }
    }
}

fn files_of(path: &Path) -> Result<(Kind, Vec<PathBuf>), ModelError> {
    let kind = model::kind(path)?;
    let files = match kind {
        Kind::Checkpoint => Checkpoint::open(path)?.files,
        Kind::Gguf => vec![path.to_owned()],
        Kind::Onnx => OnnxModel::read(path)?.all_files()?,
    };
    Ok((kind, files))
}

/// `None` when a file cannot be looked at.
fn stamp(files: &[PathBuf]) -> Option<Digest> {
    let mut text = String::new();
    for file in files {
        let m = std::fs::metadata(file).ok()?;
        let (changed, nanos) = (m.ctime(), m.ctime_nsec());
        text.push_str(&format!("{} {} {} {changed} {nanos};", m.dev(), m.ino(), m.size()));
    }
    Some(Digest::of_bytes(text.as_bytes()))
}
