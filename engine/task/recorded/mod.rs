//! Recorded inputs, and the outputs that were recorded with them.
//!
//! A set is everything one run of the graph took and gave: an .npz archive with arrays named like
//! inputs and outputs; an .npy, .pb or idx file for a graph with one input; a folder with
//! `input_0.pb`, `output_0.pb` and so on in the order of the graph, as ONNX keeps its test data; or
//! a folder of such sets ([`files`]). Sound is another matter: [`super::sounds`]. Where the graph
//! leaves its batch free, or fixes it to 1 and more rows were recorded, every row of a set is one
//! item; otherwise the set is ([`rows`]).

mod files;
mod fitted;
mod rows;

use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde_json::json;

use self::files::Found;
use super::inputs::{InputPort, Named, OutputPort};
use super::origin::RecordedFile;
use crate::base::Digest;
use crate::data::{
    Excluded, IdxError, NpyError, RecordingsError, SplitError, Tensor, first_recording,
    split_folder,
};

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
            files::only_sound(path, &sound)?;
            return super::sounds::read(path, what.samples, inputs);
        }
        if what.samples.is_some() {
            return Err(RecordedError::NoSound { path: shown(path) });
        }
        let Found { sets, digest, notes } = files::read(path, inputs, outputs)?;
        let mut items = Vec::new();
        for (path, set) in sets {
            rows::split(&path, set, inputs, outputs, &mut items)?;
        }
        Ok(Self { digest, items, excluded: Vec::new(), notes })
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

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::super::inputs::Size;
    use super::super::inputs::tests::input;
    use super::*;
    use crate::data::ElementType::F32;

    pub fn folder(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("engine-recorded-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// `x` of two columns and a `scale`, which make a `y`.
    pub fn ports() -> (Vec<InputPort>, Vec<OutputPort>) {
        let inputs =
            vec![input("x", F32, &[Size::Batch, Size::Fixed(2)]), input("scale", F32, &[])];
        (inputs, vec![OutputPort { name: "y".into(), batched: true }])
    }

    /// `x`, `scale` and `y` of three rows.
    pub fn arrays() -> (Tensor, Tensor, Tensor) {
        let x = Tensor::of_f32(vec![3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        (x, Tensor::of_f32(vec![], &[2.0]), Tensor::of_f32(vec![3, 1], &[6.0, 14.0, 22.0]))
    }
}
