//! What the store holds, and whether all of it is sound.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::action::{Slot, read_action};
use super::frame::{self, Found};
use super::object::{Depth, State};
use super::run::{entries, subfolders};
use super::{Store, StoreError};
use crate::base::Digest;
use crate::base::files::FileError;

/// Something in the store that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub path: PathBuf,
    /// Completes the sentence that starts with the path.
    pub what: String,
}

/// Space in use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// By kind of artifact; `unreferenced` where no record leads to it.
    pub kinds: BTreeMap<String, KindUsage>,
    /// Bytes of unfinished work.
    pub temporary: u64,
    /// Bytes in quarantine.
    pub quarantine: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindUsage {
    pub artifacts: usize,
    pub bytes: u64,
}

impl Store {
    /// Hashes every file of every artifact and reads every record. Changes nothing: what is
    /// unsound goes to quarantine when it is next asked for.
    pub fn verify(&self) -> Result<Vec<Fault>, StoreError> {
        let mut faults = Vec::new();
        let mut fault = |path: PathBuf, what: &str| faults.push(Fault { path, what: what.into() });
        for (digest, path) in self.named("objects")? {
            match digest {
                None => fault(path, "is not named by a digest"),
                Some(digest) => match self.examine(&digest, Depth::Full)? {
                    State::Sound { .. } => {}
                    State::Absent if path == self.object_path(&digest) => {}
                    State::Absent => fault(path, "lies in the wrong folder"),
                    State::Damaged { path, what } => fault(path, &what),
                },
            }
        }
        for (key, path) in self.named("actions")? {
            let Some(key) = key else {
                fault(path, "is not named by a digest");
                continue;
            };
            match read_action(&path, &key)? {
                Found::Sound(action) if self.object_path(&action.output).is_dir() => {}
                Found::Sound(action) => {
                    let short = action.output.short();
                    fault(path, &format!("leads to artifact {short}, which is missing"));
                }
                Found::Damaged => fault(path, "is not as it was written"),
                Found::Absent => {}
            }
        }
        for (slot, path) in self.named("history")? {
            let is_sound = match frame::read::<Slot>(&path)? {
                Found::Sound(found) => slot == Some(Digest::of_bytes(found.slot.as_bytes())),
                Found::Absent => true,
                Found::Damaged => false,
            };
            if !is_sound {
                fault(path, "is not as it was written");
            }
        }
        Ok(faults)
    }

    /// How much space is used, and by what.
    pub fn du(&self) -> Result<Usage, StoreError> {
        let mut kind_of = BTreeMap::new();
        for (key, path) in self.named("actions")? {
            let Some(key) = key else { continue };
            if let Found::Sound(action) = read_action(&path, &key)? {
                kind_of.insert(action.output, action.kind);
            }
        }
        let mut usage = Usage {
            temporary: bytes_below(&self.tmp()),
            quarantine: bytes_below(&self.root().join("quarantine")),
            ..Usage::default()
        };
        for (digest, path) in self.named("objects")? {
            let kind = digest.and_then(|digest| kind_of.get(&digest).cloned());
            let kind =
                usage.kinds.entry(kind.unwrap_or_else(|| "unreferenced".into())).or_default();
            kind.artifacts += 1;
            kind.bytes = kind.bytes.saturating_add(bytes_below(&path));
        }
        Ok(usage)
    }

    /// What a room holds by digest, with the digest that the name states if it states one.
    pub(super) fn named(&self, room: &str) -> Result<Vec<(Option<Digest>, PathBuf)>, FileError> {
        let mut found = Vec::new();
        for shard in subfolders(&self.root().join(room))? {
            for path in entries(&shard)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let digest = Digest::parse(name.strip_suffix(".json").unwrap_or(name));
                found.push((digest, path));
            }
        }
        Ok(found)
    }
}

/// Bytes of all files below a path; what vanishes meanwhile counts nothing.
pub(super) fn bytes_below(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let below = entries(path).unwrap_or_default();
            below.iter().fold(0, |sum, path| sum.saturating_add(bytes_below(path)))
        }
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}
