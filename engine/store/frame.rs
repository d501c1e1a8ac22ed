//! JSON that knows whether it is whole: `{"len":…,"sha":"…","entry":…}` in one line.
//!
//! `len` is the length of the entry's text in bytes and `sha` the first 16 hex digits of its
//! SHA-256. Reading accepts exactly what writing gives, so that no changed byte goes unnoticed.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::StoreError;
use crate::base::Digest;
use crate::base::files::{self, FileError};

/// Longest record and manifest in bytes that is read.
pub(super) const LIMIT: u64 = 64 << 20;

/// What was found where a record should be.
#[derive(Debug, PartialEq)]
pub(super) enum Found<T> {
    Sound(T),
    Absent,
    Damaged,
}

/// The line for an entry, without its line break.
pub(super) fn wrap<T: Serialize>(entry: &T) -> serde_json::Result<String> {
    Ok(framed(&serde_json::to_string(entry)?))
}

/// The value of a line; `None` when any byte is not as it was written.
pub(super) fn unwrap(line: &[u8]) -> Option<Value> {
    let line = std::str::from_utf8(line).ok()?;
    let (_, rest) = line.split_once(",\"entry\":")?;
    let entry = rest.strip_suffix('}')?;
    if framed(entry) != line {
        return None;
    }
    serde_json::from_str(entry).ok()
}

fn framed(entry: &str) -> String {
    let sha = Digest::of_bytes(entry.as_bytes()).hex();
    format!("{{\"len\":{},\"sha\":\"{}\",\"entry\":{entry}}}", entry.len(), &sha[..16])
}

/// Replaces a one-line record file.
pub(super) fn write<T: Serialize>(tmp: &Path, path: &Path, record: &T) -> Result<(), StoreError> {
    let line =
        wrap(record).map_err(|source| StoreError::Encode { path: path.to_owned(), source })?;
    if let Some(folder) = path.parent() {
        files::create_folder(folder, 0o700)?;
    }
    Ok(files::replace_file_via(tmp, path, (line + "\n").as_bytes())?)
}

/// Reads a one-line record file. An error means that it could not be read, not that it is bad.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Found<T>, FileError> {
    let bytes = match files::read_bounded(path, LIMIT) {
        Ok(bytes) => bytes,
        Err(e) if e.is_not_found() => return Ok(Found::Absent),
        Err(e) if e.source.kind() == std::io::ErrorKind::FileTooLarge => return Ok(Found::Damaged),
        Err(e) => return Err(e),
    };
    let value = bytes.strip_suffix(b"\n").and_then(unwrap);
    let record = value.and_then(|value| serde_json::from_value(value).ok());
    Ok(record.map_or(Found::Damaged, Found::Sound))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_changed_byte_is_noticed() {
        let value = json!({"b": [1.5, "Grüße\n"], "a": null, "c": ",\"entry\":"});
        let line = wrap(&value).unwrap().into_bytes();
        assert_eq!(unwrap(&line), Some(value));
        for i in 0..line.len() {
            for bit in 0..8 {
                let mut bad = line.clone();
                bad[i] ^= 1 << bit;
                assert_eq!(unwrap(&bad), None, "bit {bit} of byte {i}");
            }
            assert_eq!(unwrap(&line[..i]), None, "cut at {i}");
        }
    }
}
