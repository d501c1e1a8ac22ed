//! Sets of pictures: a folder with one folder for each label, a table with their paths, or an idx
//! file of all of them.
//!
//! Listing names every item and gives the digest; decoding is left to whoever uses an item, so that
//! it can be timed. What cannot be used is named in [`Images::excluded`], never left out in silence.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::image_folder::list_folder;
use super::image_table::list_table;
use super::{IdxError, IdxSet, Picture, PictureError};
use crate::base::{Digest, chain};

/// Largest file of one picture.
const FILE_LIMIT: u64 = 256 << 20;

/// Most items of a set.
pub(super) const MAX_ITEMS: usize = 1_000_000;

#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    #[error("cannot read `{path}`: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("`{path}` is of a kind the engine does not read; expected a folder, .csv or .jsonl")]
    Kind { path: String },
    #[error("`{path}` is larger than 1 GiB")]
    TooLarge { path: String },
    #[error("`{path}` lists more than {MAX_ITEMS} pictures")]
    Many { path: String },
    #[error("`{path}` holds no pictures")]
    Empty { path: String },
    #[error("none of the {count} pictures of `{path}` can be used; `{first}` {why}")]
    NoneUsable { path: String, count: usize, first: String, why: String },
    #[error("`{path}` has no split `{split}`; found: {found}")]
    Split { path: String, split: String, found: String },
    #[error("`{path}` holds the folder `{inner}`, and folders of labels hold pictures only")]
    Nested { path: String, inner: String },
    #[error("`{path}:{line}` {what}")]
    Row { path: String, line: u64, what: String },
    #[error(transparent)]
    Idx(#[from] IdxError),
    #[error("`{path}` holds {shape} of {dtype}, and pictures are rows of u8")]
    Pixels { path: String, shape: String, dtype: String },
    #[error("`{path}` is one file of all its pictures, without splits")]
    OneFile { path: String },
    #[error("`{path}` has no column `{column}`; found: {found}")]
    Column { path: String, column: String, found: String },
}

impl ImagesError {
    /// The way out, where there is one.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Nested { .. } => Some("name a `split` if the folders at the top are splits"),
            Self::Column { .. } => Some("name the columns of the table"),
            Self::OneFile { .. } => Some("name the file of the split"),
            _ => None,
        }
    }
}

/// Columns of a table. Those of labels and captions are optional under their usual names `label`
/// and `caption`, and must be there when they are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageColumns {
    /// Paths relative to the folder of the table.
    pub image: String,
    pub label: Option<String>,
    /// One text, or in JSON lines also a list of texts.
    pub caption: Option<String>,
    /// Looked at only when a split is asked for.
    pub split: String,
}

impl Default for ImageColumns {
    fn default() -> Self {
        Self { image: "image".into(), label: None, caption: None, split: "split".into() }
    }
}

/// Where the pixels of a picture are.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    File(PathBuf),
    /// At a place of a file that is in memory.
    Idx(Arc<IdxSet>, usize),
}

/// One picture of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageItem {
    /// Path below the folder of the set, with `/` between its parts; of an idx file its number.
    pub name: String,
    pub pixels: Pixels,
    /// Place in [`Images::labels`].
    pub label: Option<usize>,
    pub captions: Vec<String>,
    /// Of its file, where every byte of that was looked at.
    pub(super) seen: Option<Digest>,
}

impl ImageItem {
    /// Of the bytes of its file or row, which are read only if nobody has looked at them before.
    pub fn digest(&self) -> Result<Digest, String> {
        self.seen.map_or_else(|| self.bytes().map(|bytes| Digest::of_bytes(&bytes)), Ok)
    }

    /// The bytes of its file or row, or what is wrong with them.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let failed = |error: std::io::Error| format!("cannot be read: {error}");
        let path = match &self.pixels {
            Pixels::File(path) => path,
            Pixels::Idx(set, place) => return Ok(set.item(*place).bytes),
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
        match bytes.len() as u64 > FILE_LIMIT {
            true => Err("is larger than 256 MiB".to_owned()),
            false => Ok(bytes),
        }
    }

    /// The decoded picture, or what is wrong with it.
    pub fn picture(&self) -> Result<Picture, String> {
        if let Pixels::Idx(set, place) = &self.pixels {
            return set.picture(*place).ok_or_else(|| "is no picture".to_owned());
        }
        Picture::decode(&self.bytes()?).map_err(|error: PictureError| chain(&error))
    }
}

/// An item that is not used, and why; the reason reads on from the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    pub name: String,
    pub why: String,
}

/// How closely the files of a set are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Every byte is read.
    Bytes,
    /// Sizes, and when a file was last changed: a file that was written to again has another time.
    Stamps,
}

/// A set of pictures in the order in which it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Images {
    pub path: PathBuf,
    pub items: Vec<ImageItem>,
    /// Names of all labels of all splits: by number when all are numbers, else by name.
    pub labels: Vec<String>,
    /// Labels of which this split has no picture.
    pub empty_labels: Vec<String>,
    /// In the order in which they were met.
    pub excluded: Vec<Excluded>,
    /// Over the names of all pictures of the split, the labels, the table, and of the pictures what
    /// the look saw: those of different looks differ.
    pub digest: Digest,
}

/// What a folder or a table says, before files are looked at.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub rows: Vec<Row>,
    pub labels: BTreeSet<String>,
    pub excluded: Vec<Excluded>,
    /// Digest of the table.
    pub table: Option<Digest>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub name: String,
    pub path: PathBuf,
    pub label: Option<String>,
    pub captions: Vec<String>,
}

impl Images {
    /// Lists the pictures of a folder or of a .csv or .jsonl table in its order, and digests what
    /// `look` sees of their files. Nothing is decoded. Without `split` a table is taken whole.
    pub fn list(
        path: &Path,
        split: Option<&str>,
        columns: &ImageColumns,
        look: Look,
    ) -> Result<Self, ImagesError> {
        let shown = path.display().to_string();
        let meta =
            fs::metadata(path).map_err(|source| ImagesError::Read { path: shown, source })?;
        let listing = match meta.is_dir() {
            true => list_folder(path, split)?,
            false => list_table(path, split, columns)?,
        };
        Self::assemble(path, listing, look)
    }

    fn assemble(path: &Path, listing: Listing, look: Look) -> Result<Self, ImagesError> {
        let Listing { rows, labels, mut excluded, table } = listing;
        let shown = path.display().to_string();
        if rows.len() > MAX_ITEMS {
            return Err(ImagesError::Many { path: shown });
        }
        if rows.is_empty() {
            return Err(ImagesError::Empty { path: shown });
        }
        let mut labels: Vec<String> = labels.into_iter().collect();
        sort_labels(&mut labels);
        let places: HashMap<&str, usize> =
            labels.iter().enumerate().map(|(place, label)| (label.as_str(), place)).collect();
        let mut used = vec![false; labels.len()];
        let mut files = Map::new();
        let mut items = Vec::with_capacity(rows.len());
        for Row { name, path, label, captions } in rows {
            let label = label.and_then(|label| places.get(label.as_str()).copied());
            if let Some(label) = label {
                used[label] = true;
            }
            let (fact, seen) = match seen(&path, look) {
                Ok(seen) => seen,
                Err(why) => {
                    excluded.push(Excluded { name: name.clone(), why });
                    files.insert(name, Value::Null);
                    continue;
                }
            };
            files.insert(name.clone(), fact);
            items.push(ImageItem { name, pixels: Pixels::File(path), label, captions, seen });
        }
        let empty = labels.iter().zip(used).filter(|(_, used)| !used);
        let empty_labels = empty.map(|(label, _)| label.clone()).collect();
        let table = table.map(|digest| digest.hex());
        let digest = Digest::of_json(&json!({"files": files, "labels": labels, "table": table}));
        let path = path.to_owned();
        Ok(Self { path, items, labels, empty_labels, excluded, digest })
    }

    /// Keeps the first `take` pictures that can be decoded and that `fits` accepts, in the order of
    /// the set or of a shuffle with `seed`. Those met on the way that cannot be used are excluded
    /// with the reason. Every kept picture was decoded once.
    pub fn choose(
        mut self,
        take: Option<u64>,
        seed: Option<u64>,
        fits: impl Fn(&Picture) -> Result<(), String>,
    ) -> Result<Self, ImagesError> {
        self.order(seed);
        let most = take.map_or(usize::MAX, |take| usize::try_from(take).unwrap_or(usize::MAX));
        let mut kept = Vec::new();
        for item in std::mem::take(&mut self.items) {
            if kept.len() >= most {
                break;
            }
            match item.picture().and_then(|picture| fits(&picture)) {
                Ok(()) => kept.push(item),
                Err(why) => self.excluded.push(Excluded { name: item.name, why }),
            }
        }
        if let (true, Some(first)) = (kept.is_empty(), self.excluded.first()) {
            return Err(ImagesError::NoneUsable {
                path: self.path.display().to_string(),
                count: self.excluded.len(),
                first: first.name.clone(),
                why: first.why.clone(),
            });
        }
        self.items = kept;
        Ok(self)
    }
}

impl Images {
    /// What [`Images::choose`] chose before, whose excluded pictures are `left_out`: nothing is
    /// decoded.
    pub fn chosen(mut self, take: Option<u64>, seed: Option<u64>, left_out: &[String]) -> Self {
        self.order(seed);
        let left_out: HashSet<&str> = left_out.iter().map(String::as_str).collect();
        self.items.retain(|item| !left_out.contains(item.name.as_str()));
        let most = take.and_then(|take| usize::try_from(take).ok()).unwrap_or(usize::MAX);
        self.items.truncate(most);
        self
    }

    fn order(&mut self, seed: Option<u64>) {
        if let Some(seed) = seed {
            self.items.shuffle(&mut Pcg64::seed_from_u64(seed));
        }
    }
}

/// What `look` sees of a file, and its digest where that is every byte. A pipe or a device would be
/// waited for, so only files are opened.
pub(super) fn seen(path: &Path, look: Look) -> Result<(Value, Option<Digest>), String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    let about = fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        return Err("is no file".to_owned());
    }
    Ok(match look {
        Look::Bytes => {
            let digest = Digest::of_file(path).map_err(failed)?;
            (Value::String(digest.hex()), Some(digest))
        }
        Look::Stamps => {
            let (written, changed) = (about.mtime_nsec(), about.ctime_nsec());
            let times = [about.mtime(), written, about.ctime(), changed];
            (json!([about.ino(), about.size(), times]), None)
        }
    })
}

fn sort_labels(labels: &mut [String]) {
    let number = |label: &String| label.parse::<u64>().ok();
    match labels.iter().all(|label| number(label).is_some()) {
        true => labels.sort_by(|a, b| match number(a).cmp(&number(b)) {
            Ordering::Equal => a.cmp(b),
            other => other,
        }),
        false => labels.sort(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicU32, Ordering as Atomic};

    use super::super::picture::tests::png;
    use super::*;

    /// A new folder with these files.
    pub fn tree(files: &[(&str, &[u8])]) -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = COUNT.fetch_add(1, Atomic::Relaxed);
        let name = format!("engine-images-{}-{unique}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        for (name, bytes) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    pub fn names(images: &Images) -> Vec<&str> {
        images.items.iter().map(|item| item.name.as_str()).collect()
    }

    #[test]
    fn a_seeded_choice_is_filled_up_and_names_what_it_left_out() {
        let any = |_: &Picture| Ok(());
        let red = png(2, 2, [255, 0, 0]);
        let names_of: Vec<String> = (0..20).map(|n| format!("a/{n:02}.png")).collect();
        let bad = b"\x89PNG\r\n\x1a\nrubbish".to_vec();
        let files = names_of.iter().enumerate();
        let files: Vec<(&str, &[u8])> = files
            .map(|(n, name)| (name.as_str(), if n % 2 == 0 { &*red } else { &*bad }))
            .collect();
        let root = tree(&files);
        let listed = || Images::list(&root, None, &ImageColumns::default(), Look::Bytes).unwrap();
        assert_eq!(listed().items.len(), 20);
        let first = listed().choose(Some(3), None, any).unwrap();
        assert_eq!(names(&first), ["a/00.png", "a/02.png", "a/04.png"]);
        let left: Vec<&str> = first.excluded.iter().map(|out| out.name.as_str()).collect();
        assert_eq!(left, ["a/01.png", "a/03.png"]);
        assert!(first.excluded[0].why.contains("cannot be decoded"), "{:?}", first.excluded);
        let chosen = listed().choose(Some(5), Some(7), any).unwrap();
        assert_eq!(chosen, listed().choose(Some(5), Some(7), any).unwrap());
        assert_ne!(names(&chosen), names(&listed().choose(Some(5), Some(8), any).unwrap()));
        assert_eq!(chosen.digest, first.digest);
        let all = listed().choose(None, Some(1), any).unwrap();
        assert_eq!((all.items.len(), all.excluded.len()), (10, 10));
        let none = listed().choose(None, None, |_| Err("is too plain".to_owned())).unwrap_err();
        let none = none.to_string();
        assert!(none.contains("none of the 20") && none.contains("`a/00.png` is too"), "{none}");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_digest_knows_names_bytes_and_labels() {
        let red = png(2, 2, [255, 0, 0]);
        let digest = |files: &[(&str, &[u8])]| {
            let root = tree(files);
            let listed = Images::list(&root, None, &ImageColumns::default(), Look::Bytes).unwrap();
            fs::remove_dir_all(root).unwrap();
            listed.digest
        };
        let one = digest(&[("a/x.png", &red)]);
        assert_eq!(one, digest(&[("a/x.png", &red)]), "wherever it lies");
        assert_ne!(one, digest(&[("a/y.png", &red)]));
        assert_ne!(one, digest(&[("b/x.png", &red)]));
        assert_ne!(one, digest(&[("a/x.png", &png(2, 2, [254, 0, 0]))]));
        assert_ne!(one, digest(&[("a/x.png", &red), ("b/.keep", b"")]), "a label without pictures");
    }

    #[test]
    fn a_stamp_tells_a_file_that_was_written_again() {
        let red = png(2, 2, [255, 0, 0]);
        let root = tree(&[("a/x.png", &red), ("a/y.png", &red)]);
        let list = |look| Images::list(&root, None, &ImageColumns::default(), look).unwrap();
        let (stamp, digest) = (list(Look::Stamps).digest, list(Look::Bytes).digest);
        assert_eq!(stamp, list(Look::Stamps).digest);
        assert_ne!(stamp, digest);
        // Clocks of file systems are coarse, so the time is set: other bytes of the same length.
        let other = File::create(root.join("a/y.png")).unwrap();
        std::io::Write::write_all(&mut &other, &red).unwrap();
        other.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_ne!(stamp, list(Look::Stamps).digest);
        assert_eq!(digest, list(Look::Bytes).digest, "the same bytes");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn numbers_are_sorted_as_numbers_and_names_as_names() {
        let sorted = |labels: &[&str]| {
            let mut labels: Vec<String> = labels.iter().map(|&label| label.into()).collect();
            sort_labels(&mut labels);
            labels
        };
        assert_eq!(sorted(&["10", "9", "0"]), ["0", "9", "10"]);
        assert_eq!(sorted(&["10", "9", "cat"]), ["10", "9", "cat"]);
    }
}
