//! Zip archives with bounds: wheels and npz files. The only door to the zip package.
//!
//! Nothing an archive says about itself is believed before it is compared: the number of entries,
//! the size of each, and how far a few bytes expand. Names are compared, never joined to a path:
//! whoever reads an entry says where it goes.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

/// Most entries of an archive.
const MAX_ENTRIES: usize = 10_000;

/// An entry may expand this many times …
const MAX_RATIO: u64 = 200;

/// … counted after the first bytes, which may be as regular as they like.
const FREE: u64 = 1 << 20;

/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot read `{path}`")]
    Read { path: String, source: std::io::Error },
    #[error("`{path}` is not a sound zip archive: {what}")]
    Format { path: String, what: String },
    #[error("`{path}` has {found} entries, more than {MAX_ENTRIES}")]
    Entries { path: String, found: usize },
    #[error("`{path}` has no entry `{entry}`")]
    Missing { path: String, entry: String },
    #[error("entry `{entry}` of `{path}` is larger than {limit} bytes")]
    TooLarge { path: String, entry: String, limit: u64 },
    #[error("entry `{entry}` of `{path}` expands more than {MAX_RATIO} times")]
    Expands { path: String, entry: String },
    #[error("cannot write entry `{entry}` of `{path}`")]
    Write { path: String, entry: String, source: std::io::Error },
}

/// A zip archive on disk, open for reading.
pub struct Archive {
    zip: ZipArchive<BufReader<File>>,
    path: String,
}

impl Archive {
    /// Opens an archive and reads its list of entries.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let shown = path.display().to_string();
        let file = File::open(path)
            .map_err(|source| ArchiveError::Read { path: shown.clone(), source })?;
        let zip =
            ZipArchive::new(BufReader::new(file)).map_err(|error| format_of(&shown, error))?;
        if zip.len() > MAX_ENTRIES {
            return Err(ArchiveError::Entries { path: shown, found: zip.len() });
        }
        if zip.has_duplicate_names() {
            let what = "two entries have one name".to_owned();
            return Err(ArchiveError::Format { path: shown, what });
        }
        Ok(Self { zip, path: shown })
    }

    /// Names of the files in the archive, in its order. They are text to compare, not paths.
    pub fn names(&self) -> Result<Vec<String>, ArchiveError> {
        let names = self.zip.file_names();
        let names: Result<Vec<String>, _> = names.map(|name| name.map(Into::into)).collect();
        let names = names.map_err(|error| format_of(&self.path, error))?;
        Ok(names.into_iter().filter(|name| !name.ends_with('/')).collect())
    }

    /// The content of the entry `name`, of at most `limit` bytes.
    pub fn read(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        self.copy(name, limit, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes the entry `name`, of at most `limit` bytes, to `out` and returns its length. Its
    /// checksum has been compared when this succeeds.
    pub fn copy(
        &mut self,
        name: &str,
        limit: u64,
        out: &mut impl Write,
    ) -> Result<u64, ArchiveError> {
        let (path, entry) = (self.path.clone(), name.to_owned());
        let mut file = match self.zip.by_name(name) {
            Ok(file) => file,
            Err(ZipError::FileNotFound) => return Err(ArchiveError::Missing { path, entry }),
            Err(error) => return Err(format_of(&path, error)),
        };
        // Refused before a byte is read; what really comes out is counted all the same.
        if file.size() > limit {
            return Err(ArchiveError::TooLarge { path, entry, limit });
        }
        let most = FREE.saturating_add(file.compressed_size().saturating_mul(MAX_RATIO));
        let mut buffer = vec![0; CHUNK];
        let mut written = 0;
        loop {
            let count = file.read(&mut buffer).map_err(|error| ArchiveError::Format {
                path: path.clone(),
                what: format!("entry `{entry}`: {error}"),
            })?;
            if count == 0 {
                return Ok(written);
            }
            written += count as u64;
            if written > limit {
                return Err(ArchiveError::TooLarge { path, entry, limit });
            }
            if written > most {
                return Err(ArchiveError::Expands { path, entry });
            }
            out.write_all(&buffer[..count]).map_err(|source| ArchiveError::Write {
                path: path.clone(),
                entry: entry.clone(),
                source,
            })?;
        }
    }
}

fn format_of(path: &str, error: ZipError) -> ArchiveError {
    match error {
        ZipError::Io(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => {
            ArchiveError::Read { path: path.to_owned(), source }
        }
        other => ArchiveError::Format { path: path.to_owned(), what: other.to_string() },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    /// Writes an archive with `entries` into a file of this process and returns its path.
    pub fn archive(name: &str, entries: &[(&str, &[u8])]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("engine-zip-{}-{name}", std::process::id()));
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        let how = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        for (entry, bytes) in entries {
            zip.start_file(*entry, how).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    #[test]
    fn entries_come_out_as_they_went_in_and_hostile_names_are_only_names() {
        let path = archive("plain", &[("a/b.txt", b"one"), ("../../etc/passwd", b"two")]);
        let mut archive = Archive::open(&path).unwrap();
        assert_eq!(archive.names().unwrap(), ["a/b.txt", "../../etc/passwd"]);
        assert_eq!(archive.read("a/b.txt", 3).unwrap(), b"one");
        let error = archive.read("a/b.txt", 2).unwrap_err();
        assert!(matches!(error, ArchiveError::TooLarge { limit: 2, .. }), "{error}");
        let error = archive.read("b.txt", 9).unwrap_err();
        assert!(error.to_string().contains("has no entry `b.txt`"), "{error}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_bomb_is_left_after_its_first_bytes() {
        let path = archive("bomb", &[("zeros", &vec![0; 8 << 20])]);
        let mut out = Vec::new();
        let error = Archive::open(&path).unwrap().copy("zeros", u64::MAX, &mut out).unwrap_err();
        assert!(matches!(error, ArchiveError::Expands { .. }), "{error}");
        assert!(out.len() < 4 << 20, "{} bytes were written", out.len());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn cut_and_changed_archives_give_clean_errors() {
        let path = archive("whole", &[("a", b"some text that is long enough"), ("b", b"more")]);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let read = Archive::open(&path).and_then(|mut archive| archive.read("a", 100));
            assert!(read.is_err(), "cut at {length}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            std::fs::write(&path, &changed).unwrap();
            let read = Archive::open(&path).and_then(|mut archive| archive.read("a", 100));
            let text = b"some text that is long enough";
            assert!(read.is_err() || read.is_ok_and(|bytes| bytes == text), "changed at {at}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
