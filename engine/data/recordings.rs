//! Recordings as items: a wav or flac file, or a folder of them, whole or cut into windows.
//!
//! Windows follow each other without overlap, from the first sample on; what is left at the end of
//! a recording is no item and is counted. Files that cannot be decoded, or are shorter than one
//! window, are named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Audio, Excluded};
use crate::base::text::inert;
use crate::base::{Digest, chain};

/// Most files of one folder.
const MAX_FILES: usize = 10_000;

/// Most samples of a set, which is held in memory: 1 GiB of f32.
const MAX_SAMPLES: usize = 1 << 28;

#[derive(Debug, thiserror::Error)]
pub enum RecordingsError {
    #[error("cannot read `{path}`: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("`{path}` {why}")]
    File { path: String, why: String },
    #[error("`{path}` holds no recordings; expected .wav or .flac files")]
    Empty { path: String },
    #[error("`{path}` holds more than {MAX_FILES} files")]
    Many { path: String },
    #[error("`{path}` holds more than {MAX_SAMPLES} samples; name a folder with fewer recordings")]
    Long { path: String },
    #[error("none of the {count} recordings of `{path}` can be used; `{first}` {why}")]
    NoneUsable { path: String, count: usize, first: String, why: String },
    #[error(
        "`{first}` has {rate} samples per second and `{other}` {other_rate}, and nothing is resampled"
    )]
    Rates { first: String, rate: u32, other: String, other_rate: u32 },
    #[error(
        "`{short}` has {least} samples and `{long}` {most}; `samples` cuts recordings into windows of one length"
    )]
    Lengths { short: String, least: usize, long: String, most: usize },
}

/// A set of recordings of one rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Recordings {
    /// Samples per second.
    pub rate: u32,
    /// Recordings or windows of them, all of one length, in the order of names.
    pub items: Vec<Vec<f32>>,
    /// Recordings that are used.
    pub files: usize,
    /// Samples behind the last whole windows, of all recordings together.
    pub left: usize,
    pub excluded: Vec<Excluded>,
    /// Over rates and samples of all files, and their names where there are several.
    pub digest: Digest,
}

/// Whether a file is a recording by its name.
pub fn is_recording(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    ["wav", "flac"].iter().any(|known| suffix.eq_ignore_ascii_case(known))
}

/// Whether a file is hidden by its name: such files belong to tools, and are no items.
pub fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// `path` if it is a recording, or the first one of a folder.
pub fn first_recording(path: &Path) -> Option<PathBuf> {
    let is_one = |path: &PathBuf| is_recording(path) && !is_hidden(path);
    match fs::read_dir(path) {
        Ok(entries) => {
            entries.flatten().take(MAX_FILES + 1).map(|entry| entry.path()).filter(is_one).min()
        }
        Err(_) => Some(path.to_owned()).filter(|path| is_recording(path)),
    }
}

impl Recordings {
    /// Reads and decodes everything. With `window` recordings are cut into so many samples.
    pub fn read(path: &Path, window: Option<usize>) -> Result<Self, RecordingsError> {
        let shown = path.display().to_string();
        let files = files(path)?;
        if files.is_empty() {
            return Err(RecordingsError::Empty { path: shown });
        }
        let mut out = Self {
            rate: 0,
            items: Vec::new(),
            files: 0,
            left: 0,
            excluded: Vec::new(),
            digest: Digest::of_bytes(&[]),
        };
        // The names of the shortest and the longest recording that are used, and of the first.
        let mut lengths: Option<[(usize, String); 2]> = None;
        let (mut first, mut digests, mut total) = (String::new(), Map::new(), 0_usize);
        for (name, file) in files {
            let audio = match read(&file, window) {
                Ok((audio, digest)) => {
                    digests.insert(name.clone(), digest);
                    audio
                }
                Err(why) if path.is_dir() => {
                    digests.insert(name.clone(), Value::Null);
                    out.excluded.push(Excluded { name, why });
                    continue;
                }
                Err(why) => return Err(RecordingsError::File { path: shown, why }),
            };
            if out.files == 0 {
                (out.rate, first) = (audio.rate, name.clone());
            }
            if audio.rate != out.rate {
                let (rate, other_rate) = (out.rate, audio.rate);
                return Err(RecordingsError::Rates { first, rate, other: name, other_rate });
            }
            total += audio.samples.len();
            if total > MAX_SAMPLES {
                return Err(RecordingsError::Long { path: shown });
            }
            out.files += 1;
            let own = (audio.samples.len(), name);
            let [short, long] = lengths.unwrap_or_else(|| [own.clone(), own.clone()]);
            lengths = Some([
                if own.0 < short.0 { own.clone() } else { short },
                if own.0 > long.0 { own } else { long },
            ]);
            match window {
                None => out.items.push(audio.samples),
                Some(window) => {
                    let windows = audio.samples.chunks_exact(window);
                    out.left += windows.remainder().len();
                    out.items.extend(windows.map(<[f32]>::to_vec));
                }
            }
        }
        if let (true, Some(first)) = (out.items.is_empty(), out.excluded.first()) {
            let (count, first, why) = (out.excluded.len(), first.name.clone(), first.why.clone());
            return Err(RecordingsError::NoneUsable { path: shown, count, first, why });
        }
        if let (None, Some([(least, short), (most, long)])) = (window, lengths)
            && least != most
        {
            return Err(RecordingsError::Lengths { short, least, long, most });
        }
        out.digest = Digest::of_json(&json!(digests));
        Ok(out)
    }

    /// Samples of every item.
    pub fn length(&self) -> usize {
        self.items.first().map_or(0, Vec::len)
    }
}

/// A recording that has a window at least, with the digest of its samples.
fn read(path: &Path, window: Option<usize>) -> Result<(Audio, Value), String> {
    if !is_recording(path) {
        return Err("is no .wav or .flac file".to_owned());
    }
    // A pipe or a device would be waited for.
    let about = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !about.is_file() {
        return Err("is no file".to_owned());
    }
    let audio = Audio::read(path).map_err(|error| chain(&error))?;
    let found = audio.samples.len();
    if let Some(window) = window.filter(|&window| window > found) {
        return Err(format!("has {found} samples, fewer than the {window} of a window"));
    }
    let samples = Digest::of_bytes(bytemuck::cast_slice(&audio.samples));
    let facts = json!([audio.rate, found, samples]);
    Ok((audio, facts))
}

/// A file by itself, whose name says nothing, or what is in a folder by name, without what is
/// hidden.
fn files(path: &Path) -> Result<Vec<(String, PathBuf)>, RecordingsError> {
    let shown = || path.display().to_string();
    if !path.is_dir() {
        return Ok(vec![(String::new(), path.to_owned())]);
    }
    let failed = |source| RecordingsError::Read { path: shown(), source };
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if is_hidden(&entry.path()) {
            continue;
        }
        found.insert((inert(&entry.file_name().to_string_lossy()), entry.path()));
        if found.len() > MAX_FILES {
            return Err(RecordingsError::Many { path: shown() });
        }
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::super::audio::tests::plain_wav as wav;
    use super::*;

    fn folder(name: &str, files: &[(&str, Vec<u8>)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("engine-sound-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        for (name, bytes) in files {
            fs::write(root.join(name), bytes).unwrap();
        }
        root
    }

    fn ramp(count: i16) -> Vec<i16> {
        (0..count).collect()
    }

    #[test]
    fn a_folder_is_cut_into_windows_and_what_cannot_be_used_is_named() {
        let root = folder(
            "windows",
            &[
                ("b.wav", wav(8000, &ramp(9))),
                ("a.WAV", wav(8000, &ramp(7))),
                ("c.wav", wav(8000, &ramp(2))),
                ("d.flac", b"fLaC?".to_vec()),
                ("notes.txt", b"x".to_vec()),
                (".hidden", b"x".to_vec()),
            ],
        );
        assert_eq!(first_recording(&root), Some(root.join("a.WAV")));
        assert_eq!(first_recording(&root.join("notes.txt")), None);
        let found = Recordings::read(&root, Some(3)).unwrap();
        assert_eq!((found.rate, found.files, found.items.len(), found.left), (8000, 2, 5, 1));
        assert_eq!(found.items[1], [3.0, 4.0, 5.0].map(|x: f32| x / 32768.0));
        assert_eq!(found.items[2][0], 0.0, "the second file begins a window of its own");
        let named: Vec<&str> = found.excluded.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(named, ["c.wav", "d.flac", "notes.txt"]);
        assert!(found.excluded[0].why.contains("fewer than the 3"), "{:?}", found.excluded);
        assert_eq!(found, Recordings::read(&root, Some(3)).unwrap());
        fs::write(root.join("b.wav"), wav(8000, &ramp(10))).unwrap();
        assert_ne!(found.digest, Recordings::read(&root, Some(3)).unwrap().digest);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn whole_recordings_must_be_alike_and_say_how_they_differ() {
        let root =
            folder("whole", &[("a.wav", wav(8000, &ramp(4))), ("b.wav", wav(8000, &ramp(6)))]);
        let told = |window| Recordings::read(&root, window).unwrap_err().to_string();
        let text = told(None);
        assert!(text.contains("`a.wav` has 4 samples and `b.wav` 6; `samples`"), "{text}");
        let text = told(Some(100));
        assert!(text.contains("none of the 2") && text.contains("fewer than the 100"), "{text}");
        let one = Recordings::read(&root.join("a.wav"), None).unwrap();
        fs::copy(root.join("a.wav"), root.join("copy.flac")).unwrap();
        assert_eq!(one.digest, Recordings::read(&root.join("copy.flac"), None).unwrap().digest);
        fs::write(root.join("copy.flac"), wav(9000, &ramp(4))).unwrap();
        assert_ne!(one.digest, Recordings::read(&root.join("copy.flac"), None).unwrap().digest);
        fs::remove_file(root.join("copy.flac")).unwrap();
        assert_eq!((one.items.len(), one.length()), (1, 4));
        fs::write(root.join("b.wav"), wav(16000, &ramp(4))).unwrap();
        let text = told(None);
        assert!(text.contains("8000 samples per second and `b.wav` 16000"), "{text}");
        fs::write(root.join("b.wav"), b"RIFF").unwrap();
        let text = Recordings::read(&root.join("b.wav"), None).unwrap_err().to_string();
        assert!(text.contains("b.wav` ends before"), "{text}");
        fs::remove_dir_all(root).unwrap();
        let empty = folder("empty", &[]);
        assert!(matches!(Recordings::read(&empty, None), Err(RecordingsError::Empty { .. })));
        fs::remove_dir_all(empty).unwrap();
    }
}
