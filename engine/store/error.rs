//! What can go wrong in the store.

use std::path::PathBuf;

use crate::base::Digest;
use crate::base::files::FileError;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "no place for the store: neither `ENGINE_STORE`, `XDG_CACHE_HOME` nor `HOME` is an absolute path"
    )]
    NoHome,
    #[error("the store `{path}` belongs to user {owner}, not to user {user}", path = path.display())]
    NotOwned { path: PathBuf, owner: u32, user: u32 },
    #[error("the store `{path}` is writable for others (mode {mode:o})", path = path.display())]
    Writable { path: PathBuf, mode: u32 },
    #[error("`{path}` has store layout {found}, this engine knows up to {known}: update the engine", path = path.display())]
    Newer { path: PathBuf, found: String, known: u32 },
    #[error("`{path}` is neither a file nor a folder, so it cannot be stored", path = path.display())]
    NotPlain { path: PathBuf },
    #[error("the name `{path}` is not UTF-8, so it cannot be stored", path = path.display())]
    Name { path: PathBuf },
    #[error("`{slot}` made no files, so there is nothing to store")]
    Empty { slot: String },
    #[error("`{path}` is not JSON", path = path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("the record for `{path}` cannot be written as JSON", path = path.display())]
    Encode { path: PathBuf, source: serde_json::Error },
    #[error("artifact {digest} was removed again and again while it was being stored", digest = digest.short())]
    Vanished { digest: Digest },
    #[error(
        "`{id}` cannot be a run id: expected 1 to 128 of `A-Z a-z 0-9 . _ -`, not starting with `.`"
    )]
    RunId { id: String },
    #[error("run `{id}` is in use by process {pid} on `{host}`")]
    RunBusy { id: String, pid: u32, host: String },
}

impl StoreError {
    /// True when the disk is full or a quota is used up.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::File(e) if e.is_full())
    }
}
