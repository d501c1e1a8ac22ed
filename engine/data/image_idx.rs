//! The pictures of an idx file: rows of u8 in one file, their labels in another.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::images::{ImageItem, Images, ImagesError, Look, MAX_ITEMS, Pixels, seen};
use super::{IdxError, IdxSet};
use crate::base::Digest;

impl Images {
    /// The digest that [`Images::of_idx`] gives to a look at stamps; nothing is read.
    pub fn idx_stamp(path: &Path, labels: Option<&Path>) -> Result<Digest, ImagesError> {
        let stamp = |path: &Path| match seen(path, Look::Stamps) {
            Ok((stamp, _)) => Ok(stamp),
            Err(what) => Err(IdxError::File { path: path.display().to_string(), what }),
        };
        let stamps: Vec<Value> =
            [Some(path), labels].into_iter().flatten().map(stamp).collect::<Result<_, _>>()?;
        Ok(Digest::of_json(&stamps.into()))
    }

    /// The pictures of an idx file, with the labels of another. Both are read whatever the look,
    /// but only one at every byte digests them.
    pub fn of_idx(path: &Path, labels: Option<&Path>, look: Look) -> Result<Self, ImagesError> {
        // Before the bytes: a file that changes in between has another stamp later.
        let stamp = match look {
            Look::Stamps => Some(Self::idx_stamp(path, labels)?),
            Look::Bytes => None,
        };
        let set = Arc::new(IdxSet::read(path, labels)?);
        let shown = || path.display().to_string();
        if set.count() > MAX_ITEMS {
            return Err(ImagesError::Many { path: shown() });
        }
        if set.picture(0).is_none() {
            let (shape, dtype) = (format!("{:?}", set.data.shape), set.data.dtype.to_string());
            return Err(ImagesError::Pixels { path: shown(), shape, dtype });
        }
        let numbers: BTreeSet<u8> = set.labels.iter().flatten().copied().collect();
        let numbers: Vec<u8> = numbers.into_iter().collect();
        let item = |place: usize| ImageItem {
            name: place.to_string(),
            pixels: Pixels::Idx(Arc::clone(&set), place),
            label: set.labels.as_ref().and_then(|all| numbers.binary_search(&all[place]).ok()),
            captions: Vec::new(),
            seen: None,
        };
        Ok(Self {
            path: path.to_owned(),
            items: (0..set.count()).map(item).collect(),
            labels: numbers.iter().map(u8::to_string).collect(),
            empty_labels: Vec::new(),
            excluded: Vec::new(),
            digest: stamp.unwrap_or_else(|| set.digest()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::idx::tests::idx;
    use super::super::images::tests::{names, tree};
    use super::*;

    #[test]
    fn pictures_of_an_idx_file_have_the_labels_of_another() {
        let pixels: Vec<u8> = (0..12).collect();
        let (all, of) = (idx(8, &[3, 2, 2], &pixels), idx(8, &[3], &[10, 9, 10]));
        let root = tree(&[("all-idx3-ubyte", &all), ("of-idx1-ubyte", &of)]);
        let (path, labels) = (root.join("all-idx3-ubyte"), root.join("of-idx1-ubyte"));
        let set = Images::of_idx(&path, Some(&labels), Look::Bytes).unwrap();
        assert_eq!(
            (names(&set), set.labels.as_slice()),
            (vec!["0", "1", "2"], &["9", "10"].map(String::from)[..])
        );
        assert_eq!(
            set.items.iter().map(|item| item.label).collect::<Vec<_>>(),
            [Some(1), Some(0), Some(1)]
        );
        assert_eq!(set.items[1].picture().unwrap().rgb()[..3], [4; 3]);
        assert_eq!(set.items[1].bytes().unwrap(), [4, 5, 6, 7]);
        assert_eq!(set.items[1].digest().unwrap(), Digest::of_bytes(&[4, 5, 6, 7]));
        let alone = Images::of_idx(&path, None, Look::Bytes).unwrap();
        assert!(alone.items.iter().all(|item| item.label.is_none()) && alone.digest != set.digest);
        let stamped = Images::of_idx(&path, Some(&labels), Look::Stamps).unwrap();
        assert_eq!(stamped.digest, Images::idx_stamp(&path, Some(&labels)).unwrap());
        assert_eq!((stamped.items == set.items, stamped.digest == set.digest), (true, false));
        let told = Images::of_idx(&labels, None, Look::Bytes).unwrap_err().to_string();
        assert!(told.contains("[3] of u8, and pictures are rows"), "{told}");
        fs::remove_dir_all(root).unwrap();
    }
}
