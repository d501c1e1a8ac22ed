//! A model on disk, as stages hand it to each other.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::Digest;
use crate::model::{Checkpoint, Kind, ModelError};
use crate::pass::GGUF_FILE;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    pub kind: Kind,
    /// A checkpoint folder or a GGUF file.
    pub path: PathBuf,
    /// Over names and contents of the files that belong to it.
    pub digest: Digest,
    /// Bytes of those files.
    pub bytes: u64,
}

impl Artifact {
    /// A model outside the store. Only the files that belong to the model count: a README beside
    /// the weights changes nothing.
    pub fn outside(path: &Path) -> Result<Self, ModelError> {
        let (kind, files) = if path.is_dir() {
            (Kind::Checkpoint, Checkpoint::open(path)?.files)
        } else {
            (Kind::Gguf, vec![path.to_owned()])
        };
        let mut digests = Map::new();
        let mut bytes = 0;
        for file in files {
            let read = |source| ModelError::Read { path: file.clone(), source };
            let name = file.strip_prefix(path).ok().filter(|name| !name.as_os_str().is_empty());
            let name = name.map_or(GGUF_FILE.into(), |name| name.to_string_lossy().into_owned());
            bytes += std::fs::metadata(&file).map_err(read)?.len();
            let digest = Digest::of_file(&file)
                .map_err(|source| ModelError::Read { path: file.clone(), source })?;
            digests.insert(name, Value::String(digest.hex()));
        }
        let digest = Digest::of_json(&Value::Object(digests));
        Ok(Self { kind, path: path.to_owned(), digest, bytes })
    }

    /// A model in the store, whose folder is `folder`.
    pub fn stored(kind: Kind, folder: &Path, digest: Digest, bytes: u64) -> Self {
        let path = match kind {
            Kind::Checkpoint => folder.to_owned(),
            Kind::Gguf => folder.join(GGUF_FILE),
        };
        Self { kind, path, digest, bytes }
    }
}
