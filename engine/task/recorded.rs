//! Recorded inputs, and the outputs that were recorded with them.
//!
//! A set is everything one run of the graph took and gave: an .npz archive with arrays named like
//! inputs and outputs; an .npy, .pb or idx file for a graph with one input; a folder with
//! `input_0.pb`, `output_0.pb` and so on in the order of the graph, as ONNX keeps its test data; or
//! a folder of such sets. Sound is another matter: [`super::sounds`]. Where the graph leaves its batch free, or fixes it to 1 and more rows were
//! recorded, every row of a set is one item; otherwise the set is.

use std::fs;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde_json::{Map, Value, json};

use super::inputs::{InputPort, Named, OutputPort, Size};
use super::origin::RecordedFile;
use crate::base::text::inert;
use crate::base::{Bytes, Digest};
use crate::data::ElementType::{Bf16, F16, F32, F64, I8, I16, U8};
use crate::data::{
    Excluded, IdxError, NpyError, RecordingsError, SplitError, Tensor, first_recording, is_hidden,
    is_idx, read_idx, read_npy, read_npz, split_folder,
};
use crate::model::onnx::tensor_from_pb;

/// Largest .pb file that is read: its numbers may take eight times as many bytes in memory.
const LIMIT: u64 = 64 << 20;

/// Most bytes of all files of a data set, which is read whole.
const BUDGET: u64 = 4 << 30;

/// Most files of one data set.
const MAX_FILES: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    #[error(transparent)]
    Npy(#[from] NpyError),
    #[error(transparent)]
    Idx(#[from] IdxError),
    #[error(transparent)]
    Recordings(#[from] RecordingsError),
    #[error(transparent)]
    Split(#[from] SplitError),
    #[error("`{path}` holds no sound, and `samples` cuts sound into windows")]
    NoSound { path: String },
    #[error("sound does not fit this graph: {0}; record all inputs in an .npz file")]
    Sound(String),
    #[error("cannot read `{path}`: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("`{path}` {what}")]
    File { path: String, what: String },
    #[error("`{path}` has nothing for input `{input}`; found: {found}")]
    Missing { path: String, input: String, found: String },
    #[error("`{path}` does not fit input `{input}`: {what}")]
    Unfit { path: String, input: String, what: String },
    #[error("`{path}` changed while it was used")]
    Changed { path: String },
    #[error("item {item} cannot share a request with item 0: they differ in input `{input}`")]
    Unlike { input: String, item: usize },
    #[error("input `{input}` would take more than 4 GiB")]
    Large { input: String },
}

/// One item: what goes in, and what came out when it was recorded, if that is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Item {
    /// In the order of the signature.
    pub inputs: Named,
    pub expected: Named,
    /// Of a picture: the class it belongs to, by its number in the set and by its name.
    pub class: Option<usize>,
    pub label: Option<String>,
    /// The text it was made from; of a picture, what was said of it.
    pub texts: Vec<String>,
    /// Its text was too long and lost some of its tokens.
    pub cut: bool,
}

impl Item {
    /// Of what goes in: equal wherever and however it was recorded.
    pub fn digest(&self) -> Digest {
        let tensor = |(name, tensor): &(String, Tensor)| {
            let bytes = Digest::of_bytes(&tensor.bytes).hex();
            json!([name, tensor.dtype, tensor.shape, bytes])
        };
        Digest::of_json(&self.inputs.iter().map(tensor).collect())
    }
}

/// What the files of a data set hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Over all files that were read.
    pub digest: Digest,
    pub(super) items: Vec<Item>,
    /// Files that cannot be used.
    pub excluded: Vec<Excluded>,
    /// What became of the files, where that is not plain.
    pub notes: Vec<String>,
}

/// Which part of a data set is read, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extract<'a> {
    /// The folder at the top that is read.
    pub split: Option<&'a str>,
    /// Length of the windows that sound is cut into.
    pub samples: Option<usize>,
}

impl Recorded {
    /// Reads all of `path`, as [`Recorded::extract`] does.
    pub fn read(
        path: &Path,
        inputs: &[InputPort],
        outputs: &[OutputPort],
    ) -> Result<Self, RecordedError> {
        Self::extract(path, Extract::default(), inputs, outputs)
    }

    /// Reads `path` for a graph with these inputs and outputs; everything is compared with them.
    pub fn extract(
        path: &Path,
        what: Extract<'_>,
        inputs: &[InputPort],
        outputs: &[OutputPort],
    ) -> Result<Self, RecordedError> {
        let folder = what.split.map(|split| split_folder(path, split)).transpose()?;
        let path = folder.as_deref().unwrap_or(path);
        if let Some(sound) = first_recording(path) {
            only_sound(path, &sound)?;
            return super::sounds::read(path, what.samples, inputs);
        }
        if what.samples.is_some() {
            return Err(RecordedError::NoSound { path: shown(path) });
        }
        let (digests, notes) = (Map::new(), Vec::new());
        let mut reader = Reader { root: path, inputs, outputs, digests, left: BUDGET, notes };
        let sets = reader.sets(path)?;
        if sets.is_empty() {
            let what =
                "holds no recorded inputs; expected .npz, .npy, .pb, idx, .wav or .flac files"
                    .to_owned();
            return Err(RecordedError::File { path: shown(path), what });
        }
        let mut items = Vec::new();
        for (path, set) in sets {
            split(&path, set, inputs, outputs, &mut items)?;
        }
        let digest = Digest::of_json(&Value::Object(reader.digests));
        Ok(Self { digest, items, excluded: Vec::new(), notes: reader.notes })
    }

    /// Reads a file whose digest is known.
    pub(super) fn open(
        file: &RecordedFile,
        inputs: &[InputPort],
        outputs: &[OutputPort],
    ) -> Result<Self, RecordedError> {
        let what = Extract { split: file.split.as_deref(), samples: file.samples };
        let recorded = Self::extract(&file.path, what, inputs, outputs)?;
        match recorded.digest == file.digest {
            true => Ok(recorded),
            false => Err(RecordedError::Changed { path: shown(&file.path) }),
        }
    }

    /// The items that `file` asks for: all, the first so many, or so many chosen with its seed.
    pub fn items(mut self, file: &RecordedFile) -> Vec<Item> {
        if let Some(seed) = file.seed {
            self.items.shuffle(&mut Pcg64::seed_from_u64(seed));
        }
        if let Some(take) = file.take {
            self.items.truncate(usize::try_from(take).unwrap_or(usize::MAX));
        }
        debug_assert!(!self.items.is_empty(), "every set is an item at least");
        self.items
    }

    /// Whether every item has recorded outputs to compare with.
    pub fn has_expected(&self) -> bool {
        self.items.iter().all(|item| !item.expected.is_empty())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Whether a file holds tensors by its name.
fn is_tensors(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    matches!(suffix, "npz" | "npy" | "pb") || is_idx(path)
}

/// Refuses a folder with recordings, of which `sound` is one, and tensors: either might be meant.
fn only_sound(path: &Path, sound: &Path) -> Result<(), RecordedError> {
    if !path.is_dir() {
        return Ok(());
    }
    let named = |path: &Path| inert(&path.file_name().unwrap_or_default().to_string_lossy());
    match Reader::entries(path)?.iter().find(|entry| is_tensors(entry)) {
        None => Ok(()),
        Some(tensors) => {
            let (sound, tensors) = (named(sound), named(tensors));
            let what = format!(
                "holds sound such as `{sound}` and tensors such as `{tensors}`, and either may be meant; put them into folders of their own"
            );
            Err(RecordedError::File { path: shown(path), what })
        }
    }
}

/// Tensors of one set under the names of inputs and outputs.
type Set = (Named, Named);

struct Reader<'a> {
    root: &'a Path,
    inputs: &'a [InputPort],
    outputs: &'a [OutputPort],
    digests: Map<String, Value>,
    /// Bytes that may still be read.
    left: u64,
    notes: Vec<String>,
}

impl Reader<'_> {
    fn sets(&mut self, path: &Path) -> Result<Vec<(PathBuf, Set)>, RecordedError> {
        if !path.is_dir() {
            return Ok(vec![(path.to_owned(), self.file(path)?)]);
        }
        let entries = Self::entries(path)?;
        let is_input = |file: &PathBuf| number(file, "input_").is_some();
        if entries.iter().any(is_input) {
            return Ok(vec![(path.to_owned(), self.folder(&entries, path)?)]);
        }
        let mut sets = Vec::new();
        for entry in entries {
            if entry.is_dir() {
                let files = Self::entries(&entry)?;
                if files.iter().any(is_input) {
                    let set = self.folder(&files, &entry)?;
                    sets.push((entry, set));
                }
            } else if is_tensors(&entry) {
                let set = self.file(&entry)?;
                sets.push((entry, set));
            }
        }
        Ok(sets)
    }

    /// What is in a folder, by number where names end in one, else by name.
    fn entries(folder: &Path) -> Result<Vec<PathBuf>, RecordedError> {
        let failed = |source| RecordedError::Read { path: shown(folder), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?.path();
            if is_hidden(&entry) {
                continue;
            }
            found.push(entry);
            if found.len() > MAX_FILES {
                let what = format!("holds more than {MAX_FILES} files");
                return Err(RecordedError::File { path: shown(folder), what });
            }
        }
        found.sort_by_cached_key(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let stem = name.split('.').next().unwrap_or_default();
            let digits = stem.trim_start_matches(|c: char| !c.is_ascii_digit());
            (digits.parse::<u64>().ok(), name)
        });
        Ok(found)
    }

    fn note(&mut self, path: &Path) -> Result<(), RecordedError> {
        let failed = |source| RecordedError::Read { path: shown(path), source };
        let name = path.strip_prefix(self.root).unwrap_or(path).to_string_lossy().into_owned();
        // Of a lone file only the suffix counts, which decides how it is read.
        let suffix = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        let name = if name.is_empty() { suffix } else { name };
        let size = fs::metadata(path).map_err(failed)?.len();
        self.left = self.left.checked_sub(size).ok_or_else(|| RecordedError::File {
            path: shown(path),
            what: format!("is one file too many: a data set has at most {}", Bytes(BUDGET)),
        })?;
        let digest = Digest::of_file(path).map_err(failed)?;
        self.digests.insert(name, Value::String(digest.hex()));
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<Set, RecordedError> {
        self.note(path)?;
        let only = |tensor: Tensor| match self.inputs {
            [port] => Ok((vec![(port.name.clone(), tensor)], Vec::new())),
            ports => {
                let what = format!("holds one array, and the graph has {} inputs", ports.len());
                Err(RecordedError::File { path: shown(path), what })
            }
        };
        match path.extension().and_then(|suffix| suffix.to_str()) {
            Some("npz") => {
                let arrays = read_npz(path)?;
                let of = |names: Vec<&String>| -> Named {
                    let named = |name: &String| arrays.iter().find(|(known, _)| known == name);
                    names.into_iter().filter_map(named).cloned().collect()
                };
                let inputs = of(self.inputs.iter().map(|port| &port.name).collect());
                if let Some(port) = self
                    .inputs
                    .iter()
                    .find(|port| inputs.iter().all(|(name, _)| *name != port.name))
                {
                    let found: Vec<String> = arrays
                        .iter()
                        .take(10)
                        .map(|(name, _)| format!("`{}`", inert(name)))
                        .collect();
                    return Err(RecordedError::Missing {
                        path: shown(path),
                        input: port.name.clone(),
                        found: found.join(", "),
                    });
                }
                Ok((inputs, of(self.outputs.iter().map(|port| &port.name).collect())))
            }
            Some("npy") => only(read_npy(path)?),
            Some("pb") => only(read_pb(path)?),
            _ if is_idx(path) => {
                let (tensor, note) = fitted(read_idx(path)?, self.inputs);
                self.notes.extend(note.filter(|note| !self.notes.contains(note)));
                only(tensor)
            }
            _ => {
                let what = "is no record of inputs; expected .npz, .npy, .pb, idx, .wav, .flac or a folder of them";
                Err(RecordedError::File { path: shown(path), what: what.to_owned() })
            }
        }
    }

    /// The files that begin so, under the name that stands at their number.
    fn numbered(
        &mut self,
        entries: &[PathBuf],
        begin: &str,
        names: &[&str],
    ) -> Result<Named, RecordedError> {
        let mut out = Vec::new();
        for path in entries {
            let Some(number) = number(path, begin) else { continue };
            let Some(name) = names.get(number) else {
                let what = format!("has number {number}, and the graph has {}", names.len());
                return Err(RecordedError::File { path: shown(path), what });
            };
            self.note(path)?;
            out.push(((*name).to_owned(), read_pb(path)?));
        }
        Ok(out)
    }

    fn folder(&mut self, entries: &[PathBuf], folder: &Path) -> Result<Set, RecordedError> {
        let names: Vec<&str> = self.inputs.iter().map(|port| port.name.as_str()).collect();
        let inputs = self.numbered(entries, "input_", &names)?;
        let names: Vec<&str> = self.outputs.iter().map(|port| port.name.as_str()).collect();
        let outputs = self.numbered(entries, "output_", &names)?;
        match self.inputs.get(inputs.len()) {
            None => Ok((inputs, outputs)),
            Some(port) => Err(RecordedError::Missing {
                path: shown(folder),
                input: port.name.clone(),
                found: format!("{} files", inputs.len()),
            }),
        }
    }
}

/// The array of an idx file as a graph with one input takes it, and what was done to it: numbers
/// become floats of the same value, and where the graph has one channel between or behind the
/// dimensions of the file, it is put there. What does not fit so stays as it is.
fn fitted(tensor: Tensor, ports: &[InputPort]) -> (Tensor, Option<String>) {
    let [port] = ports else { return (tensor, None) };
    let (dtype, shape) = (tensor.dtype, tensor.shape.clone());
    let channel = [1, port.shape.len().saturating_sub(1)].into_iter().find(|&at| {
        port.shape.len() == shape.len() + 1 && port.shape.get(at) == Some(&Size::Fixed(1))
    });
    let mut out = tensor;
    if let Some(at) = channel {
        out.shape.insert(at, 1);
    }
    let exact = match port.dtype {
        F64 => true,
        F32 => matches!(dtype, U8 | I8 | I16),
        F16 | Bf16 => matches!(dtype, U8 | I8),
        _ => false,
    };
    if exact && dtype != port.dtype {
        out = Tensor::of_f64(port.dtype, out.shape.clone(), &out.to_f64());
    }
    let same = (out.dtype, &out.shape) == (dtype, &shape);
    let note = format!(
        "{dtype} of shape {shape:?} is given as {} of shape {:?}, value by value",
        out.dtype, out.shape
    );
    (out, (!same).then_some(note))
}

/// The number of a file such as `input_3.pb`.
fn number(path: &Path, begin: &str) -> Option<usize> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(begin)?.strip_suffix(".pb")?.parse().ok()
}

fn read_pb(path: &Path) -> Result<Tensor, RecordedError> {
    let failed = |source| RecordedError::Read { path: shown(path), source };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > LIMIT {
        let what = "is larger than 64 MiB".to_owned();
        return Err(RecordedError::File { path: shown(path), what });
    }
    let bytes = fs::read(path).map_err(failed)?;
    let (_, tensor) =
        tensor_from_pb(&bytes).map_err(|what| RecordedError::File { path: shown(path), what })?;
    Ok(tensor)
}

/// The items of a set, each with a batch of one where the batch is free.
fn split(
    path: &Path,
    (inputs, outputs): Set,
    ports: &[InputPort],
    wanted: &[OutputPort],
    items: &mut Vec<Item>,
) -> Result<(), RecordedError> {
    let mut rows: Option<usize> = None;
    for (port, (_, tensor)) in ports.iter().zip(&inputs) {
        let unfit =
            |what| RecordedError::Unfit { path: shown(path), input: port.name.clone(), what };
        fits(port, tensor).map_err(unfit)?;
        if port.has_inner_batch() && rows.is_some_and(|rows| rows != 1) {
            return Err(unfit(
                "its batch is not its first dimension, so items cannot be told apart".into(),
            ));
        }
        if has_rows(port, tensor) {
            let found = tensor.shape[0];
            if rows.is_some_and(|rows| rows != found) {
                return Err(unfit(format!("it has {found} items, and an input before has others")));
            }
            rows = Some(found);
        }
    }
    // With one item a run, outputs have one row for each run, whatever the graph calls them.
    let one = !ports.iter().any(InputPort::is_batched);
    // Without a byte, nothing but the header bounds the number of rows.
    let is_bounded = |(port, (_, tensor)): (&InputPort, &(String, Tensor))| {
        has_rows(port, tensor) && !tensor.bytes.is_empty()
    };
    let bounded = ports.iter().zip(&inputs).any(is_bounded);
    // An empty batch is an item too: the graph was run on it.
    let Some(rows) = rows.filter(|&rows| rows > 0 && bounded) else {
        items.push(Item { inputs, expected: outputs, ..Item::default() });
        return Ok(());
    };
    let inputs = ports.iter().zip(inputs).map(|(port, (name, tensor))| {
        let share =
            if has_rows(port, &tensor) { Share::rows(&tensor) } else { Share::Whole(tensor) };
        (name, share)
    });
    let mut inputs: Vec<(String, Share)> = inputs.collect();
    let of = |name: &str| wanted.iter().find(|port| port.name == name);
    let outputs = outputs.into_iter().filter_map(|(name, tensor)| {
        let batched = (of(&name)?.batched || one) && tensor.shape.first() == Some(&rows);
        let share = match (batched, rows) {
            (true, _) => Share::rows(&tensor),
            (false, 1) => Share::Whole(tensor),
            // Nobody knows which part of it belongs to an item.
            (false, _) => return None,
        };
        Some((name, share))
    });
    let mut outputs: Vec<(String, Share)> = outputs.collect();
    for _ in 0..rows {
        let (taken, expected) = (next(&mut inputs), next(&mut outputs));
        items.push(Item { inputs: taken, expected, ..Item::default() });
    }
    Ok(())
}

/// Whether rows of the tensor belong to different items.
fn has_rows(port: &InputPort, tensor: &Tensor) -> bool {
    port.is_batched()
        || port.shape.first() == Some(&Size::Fixed(1)) && tensor.shape.first() > Some(&1)
}

fn fits(port: &InputPort, tensor: &Tensor) -> Result<(), String> {
    if port.dtype != tensor.dtype {
        return Err(format!("it is {}, the graph takes {}", tensor.dtype, port.dtype));
    }
    if port.shape.len() != tensor.shape.len() {
        let (found, wanted) = (tensor.shape.len(), port.shape.len());
        return Err(format!("it has {found} dimensions, the graph takes {wanted}"));
    }
    let wrong = port.shape.iter().zip(&tensor.shape).enumerate().position(|(at, (size, found))| {
        let rows = at == 0 && *size == Size::Fixed(1) && *found > 1;
        matches!(size, Size::Fixed(size) if size != found) && !rows
    });
    match wrong {
        None => Ok(()),
        Some(at) => {
            Err(format!("its shape is {:?}, and the graph fixes dimension {at}", tensor.shape))
        }
    }
}

/// What each item of a set gets of a tensor.
enum Share {
    /// A row, one after the other.
    Rows(std::vec::IntoIter<Tensor>),
    Whole(Tensor),
}

impl Share {
    fn rows(tensor: &Tensor) -> Self {
        Self::Rows(tensor.rows().into_iter())
    }
}

/// What the next item gets of every tensor.
fn next(shares: &mut [(String, Share)]) -> Named {
    let taken = shares.iter_mut().filter_map(|(name, share)| {
        let tensor = match share {
            Share::Rows(rows) => rows.next()?,
            Share::Whole(tensor) => tensor.clone(),
        };
        Some((name.clone(), tensor))
    });
    taken.collect()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::inputs::tests::{input, nowhere};
    use super::super::{InputError, Origin, Requests, TensorInputs};
    use super::*;
    use crate::data::{ElementType, archive_of, npy_of};
    use crate::model::onnx::TensorProto;

    fn folder(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("engine-recorded-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn pb(tensor: &Tensor) -> Vec<u8> {
        let proto = TensorProto {
            dims: tensor.shape.iter().map(|&dim| dim as i64).collect(),
            data_type: Some(1),
            raw_data: Some(tensor.bytes.clone()),
            ..TensorProto::default()
        };
        proto.encode_to_vec()
    }

    fn ports() -> (Vec<InputPort>, Vec<OutputPort>) {
        let inputs =
            vec![input("x", F32, &[Size::Batch, Size::Fixed(2)]), input("scale", F32, &[])];
        (inputs, vec![OutputPort { name: "y".into(), batched: true }])
    }

    fn arrays() -> (Tensor, Tensor, Tensor) {
        let x = Tensor::of_f32(vec![3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        (x, Tensor::of_f32(vec![], &[2.0]), Tensor::of_f32(vec![3, 1], &[6.0, 14.0, 22.0]))
    }

    #[test]
    fn rows_of_an_archive_are_items_with_their_expected_outputs() {
        let (x, scale, y) = arrays();
        let entries = [("x.npy", npy_of(&x)), ("scale.npy", npy_of(&scale)), ("y.npy", npy_of(&y))];
        let entries: Vec<(&str, &[u8])> = entries.iter().map(|(n, b)| (*n, b.as_slice())).collect();
        let path = archive_of("io.npz", &entries);
        let (inputs, outputs) = ports();
        let recorded = Recorded::read(&path, &inputs, &outputs).unwrap();
        assert_eq!(recorded.items.len(), 3);
        assert_eq!(recorded.items[1].inputs[0].1, Tensor::of_f32(vec![1, 2], &[3.0, 4.0]));
        assert_eq!(recorded.items[1].inputs[1].1, scale);
        assert_eq!(recorded.items[2].expected, [("y".into(), Tensor::of_f32(vec![1, 1], &[22.0]))]);
        assert!(recorded.has_expected());
        let (digest, take, seed) = (recorded.digest, Some(2), None);
        let (split, samples) = (None, None);
        let file = RecordedFile { path: path.clone(), digest, split, samples, take, seed };
        let all = TensorInputs { inputs, outputs, origin: Origin::Recorded(file) };
        assert_eq!(all.items(nowhere(), 0, 0).unwrap().len(), 2);
        let mut requests = Requests::open(&all, nowhere(), 4, 1).unwrap();
        let request = requests.draw(&|| 0).unwrap().inputs;
        assert_eq!(
            (request[0].1.shape.as_slice(), request[1].1.shape.as_slice()),
            (&[4, 2][..], &[][..])
        );
        assert!(request[0].1.to_f64().iter().all(|v| *v < 5.0), "only the first two items");
        fs::write(&path, b"other").unwrap();
        assert!(all.items(nowhere(), 0, 0).is_err());
    }

    #[test]
    fn folders_of_test_data_are_read_in_the_order_of_the_graph() {
        let (x, scale, y) = arrays();
        let root = folder("sets");
        for set in ["test_data_set_10", "test_data_set_9"] {
            let set = root.join(set);
            fs::create_dir_all(&set).unwrap();
            for (name, tensor) in [("input_0.pb", &x), ("input_1.pb", &scale), ("output_0.pb", &y)]
            {
                fs::write(set.join(name), pb(tensor)).unwrap();
            }
        }
        fs::write(root.join("model.onnx"), b"not looked at").unwrap();
        fs::write(root.join(".hidden.npz"), b"nor this").unwrap();
        fs::write(root.join("._sound.wav"), b"nor this").unwrap();
        let (inputs, outputs) = ports();
        let all = Recorded::read(&root, &inputs, &outputs).unwrap();
        assert_eq!(all.items.len(), 6);
        let one = Recorded::read(&root.join("test_data_set_9"), &inputs, &outputs).unwrap();
        assert_eq!(one.items[..], all.items[..3]);
        assert_ne!(one.digest, all.digest);
        let told =
            |inputs: &[InputPort]| Recorded::read(&root, inputs, &outputs).unwrap_err().to_string();
        let more = [inputs.clone(), vec![input("z", F32, &[])]].concat();
        assert!(told(&more).contains("nothing for input `z`"), "{}", told(&more));
        assert!(told(&inputs[..1]).contains("has number 1"), "{}", told(&inputs[..1]));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn rows_without_a_byte_are_one_item_however_many_a_header_claims() {
        let root = folder("bytes");
        let path = root.join("x.npy");
        let claim = Tensor { dtype: F32, shape: vec![1 << 50, 0], bytes: Vec::new() };
        fs::write(&path, npy_of(&claim)).unwrap();
        let ports = [input("x", F32, &[Size::Batch, Size::Any])];
        let items = Recorded::read(&path, &ports, &[]).unwrap().items;
        assert_eq!((items.len(), &items[0].inputs[0].1), (1, &claim));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn texts_are_told_apart_by_rows() {
        let root = folder("texts");
        let path = root.join("words.pb");
        let proto = TensorProto {
            dims: vec![2, 2],
            data_type: Some(8),
            string_data: ["a", "", "goose", "fox"].map(|text| text.as_bytes().to_vec()).to_vec(),
            ..TensorProto::default()
        };
        fs::write(&path, proto.encode_to_vec()).unwrap();
        let ports = [input("words", ElementType::String, &[Size::Batch, Size::Any])];
        let items = Recorded::read(&path, &ports, &[]).unwrap().items;
        let texts = |at: usize| items[at].inputs[0].1.texts().unwrap();
        assert_eq!((items.len(), texts(0), texts(1)), (2, vec!["a", ""], vec!["goose", "fox"]));
        assert_ne!(items[0].digest(), items[1].digest());
        let told = Recorded::read(&path, &[input("words", F32, &[Size::Batch, Size::Any])], &[]);
        assert!(told.unwrap_err().to_string().contains("it is string, the graph takes f32"));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_does_not_fit_the_graph_is_told_with_its_input() {
        let (x, ..) = arrays();
        let root = folder("unfit");
        let path = root.join("x.npy");
        fs::write(&path, npy_of(&x)).unwrap();
        let told =
            |inputs: &[InputPort]| Recorded::read(&path, inputs, &[]).unwrap_err().to_string();
        let wide = told(&[input("x", F32, &[Size::Batch, Size::Fixed(4)])]);
        assert!(wide.contains("input `x`") && wide.contains("fixes dimension 1"), "{wide}");
        assert!(
            told(&[input("x", ElementType::I64, &[Size::Any, Size::Any])]).contains("takes i64")
        );
        assert!(told(&[input("x", F32, &[Size::Any])]).contains("the graph takes 1"));
        assert!(told(&[]).contains("the graph has 0 inputs"));
        let fixed = [input("x", F32, &[Size::Fixed(3), Size::Fixed(2)])];
        assert_eq!(Recorded::read(&path, &fixed, &[]).unwrap().items.len(), 1);
        let single =
            Recorded::read(&path, &[input("x", F32, &[Size::Fixed(1), Size::Fixed(2)])], &[]);
        let items = single.unwrap().items;
        assert_eq!(items.len(), 3);
        assert_eq!(items[2].inputs[0].1, Tensor::of_f32(vec![1, 2], &[5.0, 6.0]));
        let text = root.join("x.txt");
        fs::write(&text, "1 2 3").unwrap();
        assert!(Recorded::read(&text, &fixed, &[]).unwrap_err().to_string().contains(".npz"));
        fs::remove_file(&path).unwrap();
        assert!(
            Recorded::read(&root, &fixed, &[]).unwrap_err().to_string().contains("no recorded")
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn an_idx_file_is_given_value_by_value_with_the_channel_of_the_graph() {
        let root = folder("idx");
        let path = root.join("all-idx3-ubyte");
        let header = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        fs::write(&path, [&header[..], &[0, 255, 7, 8]].concat()).unwrap();
        let grey = [Size::Fixed(1), Size::Fixed(1), Size::Fixed(1), Size::Fixed(2)];
        let recorded = Recorded::read(&path, &[input("x", F32, &grey)], &[]).unwrap();
        assert_eq!(recorded.items.len(), 2);
        let expected = Tensor::of_f32(vec![1, 1, 1, 2], &[0.0, 255.0]);
        assert_eq!(recorded.items[0].inputs[0].1, expected);
        assert!(recorded.notes[0].contains("u8 of shape [2, 1, 2] is given as f32"));
        let last = [Size::Batch, Size::Any, Size::Any, Size::Fixed(1)];
        let recorded = Recorded::read(&path, &[input("x", F16, &last)], &[]).unwrap();
        assert_eq!(recorded.items[1].inputs[0].1.shape, [1, 1, 2, 1]);
        let plain = Recorded::read(&root, &[input("x", U8, &last[..3])], &[]).unwrap();
        assert_eq!((plain.items.len(), plain.notes.len()), (2, 0));
        let told = |ports: &[InputPort]| Recorded::read(&path, ports, &[]).unwrap_err().to_string();
        let wide = [Size::Batch, Size::Fixed(3), Size::Any, Size::Any];
        assert!(told(&[input("x", F32, &wide)]).contains("it has 3 dimensions, the graph takes 4"));
        assert!(told(&[input("x", I8, &last[..3])]).contains("it is u8, the graph takes i8"));
        let what = Extract { samples: Some(4), split: None };
        let told = Recorded::extract(&path, what, &[], &[]).unwrap_err().to_string();
        assert!(told.contains("holds no sound"), "{told}");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_folder_of_sound_and_tensors_is_refused() {
        let root = folder("mixed");
        fs::write(root.join("a.wav"), b"").unwrap();
        fs::write(root.join("x.npy"), npy_of(&Tensor::of_f32(vec![1], &[1.0]))).unwrap();
        let told = Recorded::read(&root, &[input("x", F32, &[Size::Any])], &[]).unwrap_err();
        let told = told.to_string();
        assert!(told.contains("sound such as `a.wav` and tensors such as `x.npy`"), "{told}");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_split_is_read_alone() {
        let root = folder("split");
        for (split, value) in [("calib", 1.0), ("heldout", 2.0)] {
            fs::create_dir(root.join(split)).unwrap();
            let x = Tensor::of_f32(vec![1, 1], &[value]);
            fs::write(root.join(split).join("x.npy"), npy_of(&x)).unwrap();
        }
        let ports = [input("x", F32, &[Size::Batch, Size::Any])];
        let of = |split| {
            Recorded::extract(&root, Extract { split: Some(split), samples: None }, &ports, &[])
        };
        assert_eq!(of("heldout").unwrap().items[0].inputs[0].1.to_f64(), [2.0]);
        let told = of("test").unwrap_err().to_string();
        assert!(told.contains("no split `test`; found: `calib`, `heldout`"), "{told}");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn items_of_different_shapes_do_not_share_a_request() {
        let root = folder("shapes");
        for (name, width) in [("a.npy", 2), ("b.npy", 3)] {
            let x = Tensor::of_f32(vec![1, width], &vec![0.0; width]);
            fs::write(root.join(name), npy_of(&x)).unwrap();
        }
        let inputs = vec![input("x", F32, &[Size::Batch, Size::Any])];
        let recorded = Recorded::read(&root, &inputs, &[]).unwrap();
        let file = RecordedFile {
            path: root.clone(),
            digest: recorded.digest,
            split: None,
            samples: None,
            take: None,
            seed: None,
        };
        let all = TensorInputs { inputs, outputs: Vec::new(), origin: Origin::Recorded(file) };
        assert!(Requests::open(&all, nowhere(), 1, 0).is_ok());
        let unlike = Requests::open(&all, nowhere(), 2, 0).err().unwrap();
        assert!(matches!(unlike, InputError::Recorded(RecordedError::Unlike { item: 1, .. })));
        fs::remove_dir_all(root).unwrap();
    }
}
