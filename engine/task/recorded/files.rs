//! Files of recorded tensors: which there are, and how each is read.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::fitted::fitted;
use super::{RecordedError, shown};
use crate::base::text::inert;
use crate::base::{Bytes, Digest};
use crate::data::{Tensor, is_hidden, is_idx, read_idx, read_npy, read_npz};
use crate::model::onnx::tensor_from_pb;
use crate::task::inputs::{InputPort, Named, OutputPort};

/// Largest .pb file that is read: its numbers may take eight times as many bytes in memory.
const LIMIT: u64 = 64 << 20;

/// Most bytes of all files of a data set, which is read whole.
const BUDGET: u64 = 4 << 30;

/// Most files of one data set.
const MAX_FILES: usize = 10_000;

/// Tensors of one set under the names of inputs and outputs.
pub(super) type Set = (Named, Named);

/// What was found below a path.
pub(super) struct Found {
    /// Each with the file or folder that it comes from; at least one.
    pub sets: Vec<(PathBuf, Set)>,
    /// Over all files that were read.
    pub digest: Digest,
    /// What became of arrays that were given in another form.
    pub notes: Vec<String>,
}

/// Reads all sets of `path` for a graph with these inputs and outputs.
pub(super) fn read(
    path: &Path,
    inputs: &[InputPort],
    outputs: &[OutputPort],
) -> Result<Found, RecordedError> {
    let (digests, notes) = (Map::new(), Vec::new());
    let mut reader = Reader { root: path, inputs, outputs, digests, left: BUDGET, notes };
    let sets = reader.sets(path)?;
    if sets.is_empty() {
        let what = "holds no recorded inputs; expected .npz, .npy, .pb, idx, .wav or .flac files";
        return Err(RecordedError::File { path: shown(path), what: what.to_owned() });
    }
    let digest = Digest::of_json(&Value::Object(reader.digests));
    Ok(Found { sets, digest, notes: reader.notes })
}

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

/// Whether a file holds tensors by its name.
fn is_tensors(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    matches!(suffix, "npz" | "npy" | "pb") || is_idx(path)
}

/// Refuses a folder with recordings, of which `sound` is one, and tensors: either might be meant.
pub(super) fn only_sound(path: &Path, sound: &Path) -> Result<(), RecordedError> {
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

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::tests::{arrays, folder, ports};
    use super::super::{Extract, Recorded};
    use super::*;
    use crate::data::ElementType::F32;
    use crate::data::npy_of;
    use crate::model::onnx::TensorProto;
    use crate::task::Size;
    use crate::task::inputs::tests::input;

    fn pb(tensor: &Tensor) -> Vec<u8> {
        let proto = TensorProto {
            dims: tensor.shape.iter().map(|&dim| dim as i64).collect(),
            data_type: Some(1),
            raw_data: Some(tensor.bytes.clone()),
            ..TensorProto::default()
        };
        proto.encode_to_vec()
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
}
