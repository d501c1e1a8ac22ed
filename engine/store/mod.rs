//! The store: finished work that is never wrong, never lost and never silently replaced.
//!
//! An artifact is a folder of plain files, named by the digest of its content. An action record
//! says which recipe gave which artifact. Both appear by atomic rename, so a reader sees all or
//! nothing whatever happened to the writer; two writers of the same content both succeed; and
//! every file is compared with its digest before a process first uses it. Locks are absent on
//! purpose: on some shared file systems they succeed without locking anything.
//!
//! ```text
//! layout                                version of this layout
//! objects/<2 hex>/<digest>/manifest.json, files/…
//! actions/<2 hex>/<key>.json            recipe -> artifact, replaced whole
//! history/<2 hex>/<slot digest>.json    last recipe of each slot, to explain a miss
//! runs/<id>/owner.json, pins/, journal.jsonl
//! tmp/<place>-<pid>-<random>/           unfinished work, same file system
//! quarantine/                           what did not match its digest, with the reason
//! ```
//!
//! Deliberately absent: any knowledge of what a recipe or an artifact means.

mod action;
mod error;
mod frame;
mod journal;
mod key;
mod lookup;
mod object;
mod prune;
mod root;
mod run;
mod seal;
mod stamp;
mod survey;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use error::StoreError;
pub use journal::{Journal, Replay};
pub use key::{Input, Recipe};
pub use lookup::{Lookup, Reason};
pub use object::{Manifest, ManifestEntry};
pub use prune::{Collected, Policy};
pub use root::default_root;
pub use run::Run;
pub use seal::Workspace;
pub use survey::{Fault, KindUsage, Usage};

use crate::base::{Digest, files};
use stamp::Memory;

/// When the files of an artifact are compared with their digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verify {
    /// At every use.
    Always,
    /// At the first use in this process, and again when a file changed since.
    #[default]
    First,
    /// Never: names and sizes only. For file systems that verify by themselves.
    Never,
}

/// An open store. Shared between threads by reference.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    verify: Verify,
    memory: Mutex<Memory>,
    /// Where the run of this process pins the artifacts it uses.
    pins: Mutex<Option<PathBuf>>,
}

/// A sound artifact in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub digest: Digest,
    /// The folder with the artifact's files; read-only for everybody.
    pub path: PathBuf,
    /// What the maker called it, such as `checkpoint`, `gguf` or `observation`.
    pub kind: String,
    /// Remarks of the maker, in the maker's shape.
    pub notes: serde_json::Value,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Seconds its making took, whenever that was.
    pub seconds: f64,
}

impl Stored {
    /// Reads a JSON file of the artifact: the way back for [`Workspace::write_json`].
    pub fn read_json(&self, name: &str) -> Result<serde_json::Value, StoreError> {
        let path = self.path.join(name);
        let bytes = files::read_bounded(&path, frame::LIMIT)?;
        serde_json::from_slice(&bytes).map_err(|source| StoreError::Json { path, source })
    }
}

impl Store {
    /// Opens the store under `root`, creating it (mode 0700) if it is missing.
    ///
    /// Refuses a root that belongs to another user, one that others may write to, and one with a
    /// newer layout.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        root::prepare(root)?;
        Ok(Self {
            root: root.to_owned(),
            verify: Verify::default(),
            memory: Mutex::default(),
            pins: Mutex::default(),
        })
    }

    /// The same store with another policy for comparing files with their digests.
    pub fn verifying(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn object_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("objects").join(&digest.hex()[..2]).join(digest.hex())
    }

    fn record_path(&self, room: &str, key: &Digest) -> PathBuf {
        self.root.join(room).join(&key.hex()[..2]).join(format!("{}.json", key.hex()))
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
}

/// Seconds since 1970 by the wall clock: for people and for `gc`, never for correctness.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Takes a lock whose data is valid at every moment, even after a panic elsewhere.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
