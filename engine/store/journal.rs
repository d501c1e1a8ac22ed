//! Journals: what a run has finished, one line each, on disk before anybody is told.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;

use super::{StoreError, frame, locked};
use crate::base::files;

/// Longest journal in bytes that is read.
const LIMIT: u64 = 4 << 30;

/// An append-only file of framed JSON lines.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// Keeps lines of this process whole even where the system splits a write.
    turn: Mutex<()>,
}

/// What a journal holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replay {
    /// In the order they were written. An entry may occur twice, when a crash came between the
    /// write and the news of it: the later one counts.
    pub entries: Vec<Value>,
    /// Lines that were not whole, such as the last one after a crash.
    pub dropped: usize,
}

impl Journal {
    /// The journal at `path`, which need not exist yet; its folder must.
    pub fn open(path: &Path) -> Self {
        Self { path: path.to_owned(), turn: Mutex::default() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an entry. When this returns `Ok`, the entry survives a power cut.
    pub fn append<T: Serialize>(&self, entry: &T) -> Result<(), StoreError> {
        let encode = |source| StoreError::Encode { path: self.path.clone(), source };
        let line = frame::wrap(entry).map_err(encode)?;
        let _turn = locked(&self.turn);
        Ok(files::append_line(&self.path, line.as_bytes())?)
    }

    /// All whole entries; nothing when the journal does not exist.
    pub fn read(&self) -> Result<Replay, StoreError> {
        let bytes = match files::read_bounded(&self.path, LIMIT) {
            Err(e) if e.is_not_found() => return Ok(Replay::default()),
            bytes => bytes?,
        };
        let mut replay = Replay::default();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match frame::unwrap(line) {
                Some(entry) => replay.entries.push(entry),
                None => replay.dropped += 1,
            }
        }
        Ok(replay)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::base::files::seam::{Fault, Scratch, watch};

    fn filled(path: &Path, entries: usize) -> (Journal, Vec<Value>) {
        let journal = Journal::open(path);
        let entry = |i| json!({"step": i, "samples": [0.1, 1e-9, i], "note": "ü\n{}"});
        let entries: Vec<_> = (0..entries).map(entry).collect();
        for entry in &entries {
            journal.append(entry).unwrap();
        }
        (journal, entries)
    }

    #[test]
    fn a_cut_anywhere_in_the_tail_loses_at_most_one_entry_and_the_next_append_none() {
        let dir = Scratch::new();
        let path = dir.join("journal.jsonl");
        let (journal, entries) = filled(&path, 20);
        let whole = fs::read(&path).unwrap();
        let line = whole.len() / entries.len();
        for cut in whole.len() - 400..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let read = journal.read().unwrap();
            let kept = read.entries.len();
            assert_eq!(read.entries, entries[..kept], "cut at {cut}");
            assert!(read.dropped <= 1 && (kept + 1) * (line + 2) > cut, "cut at {cut}: {kept}");

            journal.append(&json!("next")).unwrap();
            let read = journal.read().unwrap();
            assert_eq!(read.entries.len(), kept + 1, "cut at {cut}");
            assert_eq!(read.entries[kept], "next");
        }
    }

    #[test]
    fn a_garbage_tail_is_dropped_and_counted_and_a_double_tail_is_read_twice() {
        let dir = Scratch::new();
        let path = dir.join("journal.jsonl");
        let (journal, entries) = filled(&path, 3);
        let whole = fs::read(&path).unwrap();
        for garbage in [&b"\0\0\0\0"[..], b"{\"len\":2", b"\xff\xfe", &whole[..40]] {
            fs::write(&path, [&whole[..], garbage].concat()).unwrap();
            assert_eq!(journal.read().unwrap(), Replay { entries: entries.clone(), dropped: 1 });
        }
        fs::write(&path, [&whole[..], &whole[..]].concat()).unwrap();
        let twice = journal.read().unwrap();
        assert_eq!((twice.entries.len(), twice.dropped), (6, 0));
    }

    #[test]
    fn an_entry_that_did_not_reach_the_disk_is_an_error() {
        let dir = Scratch::new();
        let journal = Journal::open(&dir.join("journal.jsonl"));
        let full = Fault::Once { at: 0, code: libc::ENOSPC };
        let (failed, _) = watch(full, || journal.append(&json!(1)));
        assert!(failed.unwrap_err().is_full());
        assert_eq!(journal.read().unwrap(), Replay::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn arbitrary_bytes_never_panic_and_never_hide_the_entries_around_them(
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let dir = Scratch::new();
            let path = dir.join("journal.jsonl");
            let (journal, mut entries) = filled(&path, 2);
            fs::write(&path, [&fs::read(&path).unwrap()[..], &noise].concat()).unwrap();
            journal.append(&json!("last")).unwrap();
            entries.push(json!("last"));
            prop_assert_eq!(journal.read().unwrap().entries, entries);
        }
    }
}
