//! Artifacts on disk: their manifest, their digest, and whether they still are what they were.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::frame::{self, Found};
use super::{Store, StoreError};
use crate::base::Digest;
use crate::base::files::FileError;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const FILES: &str = "files";

/// What an artifact consists of, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub files: Vec<ManifestEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestEntry {
    /// Relative to the artifact's folder, with `/` between the parts.
    pub path: String,
    /// In bytes.
    pub size: u64,
    pub sha256: Digest,
}

impl Manifest {
    /// The digest of the artifact: SHA-256 over path, size and SHA-256 of each file. Times, modes
    /// and empty folders are no content.
    pub fn digest(&self) -> Digest {
        let files = self.files.iter().map(|f| serde_json::json!([f.path, f.size, f.sha256.hex()]));
        Digest::of_json(&files.collect())
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }
}

/// How closely an artifact is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    Sizes,
    /// Every file is hashed unless this process hashed it before and it did not change since.
    Remembered,
    Full,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Sound { bytes: u64 },
    Absent,
    Damaged { path: PathBuf, what: String },
}

/// A plain file below a folder.
pub(super) struct Plain {
    pub(super) relative: String,
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

/// All files below `folder` sorted by relative path; anything but files and folders is refused.
pub(super) fn walk(folder: &Path) -> Result<Vec<Plain>, StoreError> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), String::new())];
    while let Some((dir, prefix)) = open.pop() {
        for entry in fs::read_dir(&dir).map_err(|e| FileError::new("list", &dir, e))? {
            let path = entry.map_err(|e| FileError::new("list", &dir, e))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| StoreError::Name { path: path.clone() })?;
            let relative = format!("{prefix}{name}");
            let metadata = metadata(&path)?;
            if metadata.is_dir() {
                open.push((path, relative + "/"));
            } else if metadata.is_file() {
                found.push(Plain { relative, path, size: metadata.len() });
            } else {
                return Err(StoreError::NotPlain { path });
            }
        }
    }
    found.sort_by(|a, b| a.relative.cmp(&b.relative));
    Ok(found)
}

pub(super) fn metadata(path: &Path) -> Result<Metadata, FileError> {
    fs::symlink_metadata(path).map_err(|e| FileError::new("read", path, e))
}

impl Store {
    /// Hashes all files below `folder`.
    pub(super) fn manifest_of(&self, folder: &Path) -> Result<Manifest, StoreError> {
        let mut files = Vec::new();
        for Plain { relative, path, size } in walk(folder)? {
            let sha256 = self.digest_of(&path, Depth::Full)?;
            files.push(ManifestEntry { path: relative, size, sha256 });
        }
        Ok(Manifest { files })
    }

    /// Compares an artifact with its digest. An error means that it could not be read, which
    /// says nothing about it; damage is an answer.
    pub(super) fn examine(&self, digest: &Digest, depth: Depth) -> Result<State, StoreError> {
        let object = self.object_path(digest);
        let vanished = |object: &Path| fs::symlink_metadata(object).is_err();
        if vanished(&object) {
            return Ok(State::Absent);
        }
        match self.compare(&object, digest, depth) {
            // Between two looks somebody removed the file, or `gc` the whole artifact.
            Err(StoreError::File(e)) if e.is_not_found() => Ok(if vanished(&object) {
                State::Absent
            } else {
                State::Damaged { path: e.path, what: "is missing".into() }
            }),
            Err(StoreError::NotPlain { path } | StoreError::Name { path }) => {
                Ok(State::Damaged { path, what: "is not a plain file".into() })
            }
            other => other,
        }
    }

    fn compare(&self, object: &Path, digest: &Digest, depth: Depth) -> Result<State, StoreError> {
        let damaged = |path: PathBuf, what: &str| State::Damaged { path, what: what.to_owned() };
        let path = object.join(MANIFEST);
        let manifest = match frame::read::<Manifest>(&path)? {
            Found::Sound(manifest) if manifest.digest() == *digest => manifest,
            Found::Sound(_) => return Ok(damaged(path, "describes another artifact")),
            Found::Damaged => return Ok(damaged(path, "is not as it was written")),
            Found::Absent => return Ok(damaged(path, "is missing")),
        };
        let mut there: BTreeMap<_, _> =
            walk(object)?.into_iter().map(|file| (file.relative.clone(), file)).collect();
        there.remove(MANIFEST);
        let mut pairs = Vec::with_capacity(manifest.files.len());
        for entry in &manifest.files {
            let Some(file) = there.remove(&format!("{FILES}/{}", entry.path)) else {
                return Ok(damaged(object.join(FILES).join(&entry.path), "is missing"));
            };
            if file.size != entry.size {
                let what = format!("has {} bytes instead of {}", file.size, entry.size);
                return Ok(State::Damaged { path: file.path, what });
            }
            pairs.push((file, entry));
        }
        if let Some(file) = there.into_values().next() {
            return Ok(damaged(file.path, "does not belong to the artifact"));
        }
        if depth != Depth::Sizes {
            for (file, entry) in pairs {
                if self.digest_of(&file.path, depth)? != entry.sha256 {
                    return Ok(damaged(file.path, "does not have the content it was stored with"));
                }
            }
        }
        Ok(State::Sound { bytes: manifest.bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_depends_on_every_name_and_every_content() {
        let entry = |path: &str, content: &[u8]| ManifestEntry {
            path: path.into(),
            size: content.len() as u64,
            sha256: Digest::of_bytes(content),
        };
        let digests: std::collections::BTreeSet<_> = [
            vec![entry("a", b"1")],
            vec![entry("b", b"1")],
            vec![entry("a", b"2")],
            vec![entry("a", b"1"), entry("b", b"2")],
            vec![entry("a", b"2"), entry("b", b"1")],
            vec![],
        ]
        .map(|files| Manifest { files }.digest())
        .into();
        assert_eq!(digests.len(), 6);
    }
}
