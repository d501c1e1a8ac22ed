//! Recorded inputs of a data set, item after item, as the step that read them left them.
//!
//! Two files: where every tensor lies, and the bytes of all of them. So whoever runs a graph on
//! the items holds one at a time.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ElementType, Tensor};

/// Name of the list of a recorded data set.
pub const ITEMS_FILE: &str = "items.json";

/// Name of the file with the bytes of all tensors.
const BYTES_FILE: &str = "items.bin";

/// Where a tensor lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    name: String,
    dtype: ElementType,
    shape: Vec<usize>,
    offset: u64,
    /// Bytes of a tensor of texts, which its shape does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
}

/// The items of a recorded data set, on disk.
#[derive(Debug)]
pub struct ItemFile {
    path: PathBuf,
    bytes: File,
    items: Vec<Vec<Place>>,
}

impl ItemFile {
    /// Writes `items`, each a list of tensors with names, into `folder`.
    pub fn write<'a>(
        folder: &Path,
        items: impl Iterator<Item = &'a [(String, Tensor)]>,
    ) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(folder.join(BYTES_FILE))?);
        let mut offset = 0;
        let mut places = Vec::new();
        for item in items {
            let mut tensors = Vec::new();
            for (name, tensor) in item {
                let (name, dtype, shape) = (name.clone(), tensor.dtype, tensor.shape.clone());
                let stored = tensor.bytes.len() as u64;
                let length = dtype.is_text().then_some(stored);
                tensors.push(Place { name, dtype, shape, offset, length });
                out.write_all(&tensor.bytes)?;
                offset += stored;
            }
            places.push(tensors);
        }
        out.flush()?;
        let text = serde_json::to_string(&places).expect("names and numbers always serialize");
        fs::write(folder.join(ITEMS_FILE), text)
    }

    /// The items that were written into `folder`.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let path = folder.join(ITEMS_FILE);
        let failed = |path: &Path, error| format!("cannot read `{}`: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
        let items = serde_json::from_str(&text)
            .map_err(|error| format!("`{}` is damaged: {error}", path.display()))?;
        let path = folder.join(BYTES_FILE);
        let bytes = File::open(&path).map_err(|error| failed(&path, error))?;
        Ok(Self { path, bytes, items })
    }

    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// Whether every item has a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.items.iter().all(|item| item.iter().any(|place| place.name == name))
    }

    /// The tensors of item `at`, which is less than [`ItemFile::count`].
    pub fn item(&self, at: usize) -> Result<Vec<(String, Tensor)>, String> {
        let damaged = |what: String| format!("`{}` is damaged: {what}", self.path.display());
        let size = self.bytes.metadata().map_err(|error| damaged(error.to_string()))?.len();
        let read = |place: &Place| {
            let needed = match place.length {
                Some(length) => usize::try_from(length).ok(),
                None => {
                    place.shape.iter().try_fold(place.dtype.bytes(), |n, &dim| n.checked_mul(dim))
                }
            };
            let length = needed
                .filter(|&n| place.offset.checked_add(n as u64).is_some_and(|end| end <= size));
            let length = length.ok_or_else(|| damaged(format!("it ends within item {at}")))?;
            let mut bytes = vec![0; length];
            let read = self.bytes.read_exact_at(&mut bytes, place.offset);
            read.map_err(|error| damaged(error.to_string()))?;
            let tensor = Tensor::new(place.dtype, place.shape.clone(), bytes);
            let tensor = tensor.ok_or_else(|| {
                damaged(format!("`{}` of item {at} is not what its shape says", place.name))
            })?;
            Ok((place.name.clone(), tensor))
        };
        self.items[at].iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_one_by_one_and_a_cut_file_is_an_error() {
        let folder = std::env::temp_dir().join(format!("engine-items-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let item = |first: f32| {
            let x = Tensor::of_f32(vec![1, 2], &[first, 2.0]);
            let words = Tensor::of_texts(vec![2], &["fox", &"geese ".repeat(first.abs() as usize)]);
            vec![
                ("x".to_owned(), x),
                ("words".to_owned(), words.unwrap()),
                ("n".to_owned(), Tensor::of_i64(vec![], &[7])),
            ]
        };
        let items = [item(1.0), item(-3.0)];
        ItemFile::write(&folder, items.iter().map(Vec::as_slice)).unwrap();
        let file = ItemFile::open(&folder).unwrap();
        assert_eq!((file.count(), file.has("n"), file.has("y")), (2, true, false));
        // In any order, as often as asked.
        for at in [1, 0, 1] {
            assert_eq!(file.item(at).unwrap(), items[at]);
        }
        let path = folder.join(BYTES_FILE);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let cut = ItemFile::open(&folder).unwrap();
        assert_eq!(cut.item(0).unwrap(), items[0]);
        let told = cut.item(1).unwrap_err();
        assert!(told.contains("items.bin") && told.contains("ends within item 1"), "{told}");
        fs::write(folder.join(ITEMS_FILE), "[[{}]]").unwrap();
        assert!(ItemFile::open(&folder).unwrap_err().contains("is damaged"));
        fs::remove_dir_all(folder).unwrap();
    }
}
