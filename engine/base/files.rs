//! The only code that writes, renames or removes what others may read. Work in progress is written
//! by its maker into a folder nobody else knows, which this room then freezes and publishes.
//!
//! A file that readers may see is published: written under a temporary name in the same file
//! system, synced, renamed, and its folder synced. Whoever reads it sees all of it or nothing,
//! and what was reported as written is still there after the power went. Renaming *without*
//! replacing is what makes concurrent writers safe: no lock is involved.
//!
//! Every operation passes through one private function, `attempt`, which puts the operation and
//! the path into the error and which tests use to fail or to stop at any chosen operation.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

mod name;
mod rename;
#[cfg(test)]
pub(crate) mod seam;
mod tree;

pub use name::{host, place, unique_name};
pub use tree::{create_folder, create_unique_folder, freeze, remove_tree};

/// What could not be done, and to which path. The cause is the source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} `{path}`", path = path.display())]
pub struct FileError {
    pub operation: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

impl FileError {
    pub fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), source }
    }

    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// True for a full disk or an exhausted quota: freeing space helps, trying again does not.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Whether a publish put its own content in place or found something there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    New,
    Existed,
}

/// Publishes a read-only file (mode 0444) whose name nobody has taken yet.
///
/// `dir_tmp` must lie in the file system of `final_path`. An existing file is left as it is. On
/// an error nothing is visible under `final_path` and the temporary file is gone.
pub fn publish_file(
    dir_tmp: &Path,
    final_path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<Published, FileError> {
    let temp = Temp::written(dir_tmp, final_path, Some(0o444), write)?;
    let published = rename_new(&temp.0, final_path)?;
    if published == Published::New {
        temp.renamed();
    }
    Ok(published)
}

/// Publishes a folder that [`freeze`] has made durable. An existing target is left as it is,
/// and `folder` then stays where it was: compare the two, then remove it.
pub fn publish_folder(folder: &Path, final_path: &Path) -> Result<Published, FileError> {
    sync_folder(folder)?;
    rename_new(folder, final_path)
}

/// Replaces `path` as a whole, or creates it: for reports and other files outside the store.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_file_via(parent(path), path, bytes)
}

/// [`replace_file`] with the temporary file in `dir_tmp`, which lies in the same file system.
pub fn replace_file_via(dir_tmp: &Path, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(dir_tmp, path, |file| file.write_all(bytes))
}

/// [`replace_file`] by what `write` writes: for what is better never in memory as a whole.
pub fn replace_file_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    replace(parent(path), path, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        write(&mut out)?;
        out.flush()
    })
}

fn replace(
    dir_tmp: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let temp = Temp::written(dir_tmp, path, None, write)?;
    attempt("rename", path, || fs::rename(&temp.0, path))?;
    temp.renamed();
    sync_folder(parent(path))
}

/// Appends one line and syncs it. A line that an earlier crash left unfinished is ended first,
/// so that damage never reaches the line after it.
pub fn append_line(path: &Path, line: &[u8]) -> Result<(), FileError> {
    if line.contains(&b'\n') {
        let broken = io::Error::new(io::ErrorKind::InvalidInput, "a line break inside a line");
        return Err(FileError::new("append to", path, broken));
    }
    let is_first = attempt("append to", path, || {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let len = file.metadata()?.len();
        let mut bytes = Vec::with_capacity(line.len() + 2);
        if let Some(last) = len.checked_sub(1) {
            let mut end = [0];
            file.read_exact_at(&mut end, last)?;
            if end != *b"\n" {
                bytes.push(b'\n');
            }
        }
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        file.sync_data()?;
        Ok(len == 0)
    })?;
    if is_first { sync_folder(parent(path)) } else { Ok(()) }
}

/// Creates a file for writing that must not exist yet. Not durable before [`freeze`].
pub fn create_file(path: &Path) -> Result<File, FileError> {
    attempt("create", path, || File::create_new(path))
}

/// Copies a file's content to a name that must not exist yet. Not durable before [`freeze`].
pub fn copy_file(from: &Path, to: &Path) -> Result<u64, FileError> {
    let mut source = File::open(from).map_err(|e| FileError::new("open", from, e))?;
    let mut target = create_file(to)?;
    attempt("write", to, || io::copy(&mut source, &mut target))
}

/// Creates an empty file unless it exists. Not durable: for marks that only the living need.
pub fn mark(path: &Path) -> Result<(), FileError> {
    attempt("create", path, || OpenOptions::new().append(true).create(true).open(path).map(drop))
}

/// Renames a file or folder unless the target exists, and syncs the folder of the target: also
/// when it exists, because whoever renamed it there may not have come that far yet.
pub fn rename_new(from: &Path, to: &Path) -> Result<Published, FileError> {
    match attempt("rename", to, || rename::without_replacing(from, to)) {
        Ok(()) => sync_folder(parent(to)).map(|()| Published::New),
        Err(e) if rename::is_taken(&e.source) => {
            sync_folder(parent(to)).map(|()| Published::Existed)
        }
        Err(e) => Err(e),
    }
}

/// Sets the time of the last change to now: what `gc` reads as the last use.
pub fn touch(path: &Path) -> Result<(), FileError> {
    attempt("touch", path, || File::open(path)?.set_modified(SystemTime::now()))
}

/// Reads a file of at most `limit` bytes; a longer one is an error, not a long wait.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            let what = format!("over {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        Ok(bytes)
    };
    read().map_err(|e| FileError::new("read", path, e))
}

/// A temporary file that disappears unless it was renamed.
struct Temp(PathBuf);

impl Temp {
    fn written(
        dir: &Path,
        purpose: &Path,
        mode: Option<u32>,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<Self, FileError> {
        let path = dir.join(unique_name());
        let mut file = create_file(&path)?;
        let temp = Self(path);
        attempt("write", purpose, || write(&mut file))?;
        if let Some(mode) = mode {
            let mode = Permissions::from_mode(mode);
            attempt("make read-only", purpose, || file.set_permissions(mode))?;
        }
        attempt("sync", purpose, || file.sync_all())?;
        Ok(temp)
    }

    fn renamed(mut self) {
        self.0.clear();
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // The error that led here is the one worth telling; `gc` finds what stays behind.
            let _ = remove_tree(&self.0);
        }
    }
}

fn attempt<T>(
    operation: &'static str,
    path: &Path,
    act: impl FnOnce() -> io::Result<T>,
) -> Result<T, FileError> {
    #[cfg(test)]
    seam::before(operation, path).map_err(|e| FileError::new(operation, path, e))?;
    act().map_err(|e| FileError::new(operation, path, e))
}

fn sync_folder(path: &Path) -> Result<(), FileError> {
    attempt("sync folder", path, || match File::open(path)?.sync_all() {
        // Some network file systems have nothing to sync in a folder and say so.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    })
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
