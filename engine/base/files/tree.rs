//! Whole folders: made, made durable, removed.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{FileError, attempt, parent, sync_folder, unique_name};

/// Creates a folder and its missing ancestors with the given mode, each made durable.
pub fn create_folder(path: &Path, mode: u32) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    create_folder(parent(path), mode)?;
    match attempt("create folder", path, || DirBuilder::new().mode(mode).create(path)) {
        Err(e) if e.source.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(e),
        Ok(()) => sync_folder(parent(path)),
    }
}

/// Creates a folder that nobody else has, inside `dir`, which must exist.
pub fn create_unique_folder(dir: &Path) -> Result<PathBuf, FileError> {
    let path = dir.join(unique_name());
    attempt("create folder", &path, || DirBuilder::new().mode(0o700).create(&path))?;
    Ok(path)
}

/// Makes every file below `folder` read-only and durable, then every folder, deepest first.
pub fn freeze(folder: &Path) -> Result<(), FileError> {
    let listing = |dir: &Path| -> io::Result<Vec<fs::DirEntry>> { fs::read_dir(dir)?.collect() };
    let mut folders = vec![folder.to_owned()];
    let mut next = 0;
    while next < folders.len() {
        let dir = folders[next].clone();
        next += 1;
        for entry in listing(&dir).map_err(|e| FileError::new("list", &dir, e))? {
            let path = entry.path();
            let kind = entry.file_type().map_err(|e| FileError::new("read", &path, e))?;
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let file = File::open(&path).map_err(|e| FileError::new("open", &path, e))?;
            attempt("make read-only", &path, || {
                file.set_permissions(Permissions::from_mode(0o444))
            })?;
            attempt("sync", &path, || file.sync_all())?;
        }
    }
    folders.iter().rev().try_for_each(|dir| sync_folder(dir))
}

/// Removes a file, or a folder with all it holds. What is not there needs no removing.
pub fn remove_tree(path: &Path) -> Result<(), FileError> {
    let gone = attempt("remove", path, || {
        let is_folder = fs::symlink_metadata(path)?.is_dir();
        if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    });
    match gone {
        Err(e) if e.is_not_found() => Ok(()),
        other => other,
    }
}
