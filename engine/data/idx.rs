//! IDX files, in which MNIST and its kin are published: one array, packed with gzip or not.
//!
//! Format: <http://yann.lecun.com/exdb/mnist/>, section "the IDX file format". The only door to the
//! flate2 package.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use serde_json::json;

use super::{ElementType, Picture, Tensor};
use crate::base::Digest;

/// Largest array, in bytes.
const LIMIT: usize = 1 << 30;

/// Most dimensions; those published have at most four.
const MAX_RANK: u8 = 8;

#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    #[error("cannot read `{path}`: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("`{path}` {what}")]
    File { path: String, what: String },
}

/// The array of an idx file. Packed files are known by their first bytes, whatever their name.
pub fn read_idx(path: &Path) -> Result<Tensor, IdxError> {
    let shown = || path.display().to_string();
    let failed = |source| IdxError::Read { path: shown(), source };
    let fault = |what: String| IdxError::File { path: shown(), what };
    let mut start = Vec::new();
    File::open(path).map_err(failed)?.take(2).read_to_end(&mut start).map_err(failed)?;
    let file = BufReader::new(File::open(path).map_err(failed)?);
    let parsed = match start.as_slice() {
        [0x1F, 0x8B] => parse(MultiGzDecoder::new(file)),
        _ => parse(file),
    };
    parsed.map_err(fault)
}

/// Reads as many bytes as the header demands, and one more to see that there are no others.
fn parse(mut bytes: impl Read) -> Result<Tensor, String> {
    // Up to `count` bytes. Reading to the end of a packed file compares its checksum.
    let mut read = |count: usize| {
        let mut out = Vec::new();
        let read = bytes.by_ref().take(count as u64).read_to_end(&mut out);
        read.map_err(|error| format!("cannot be unpacked: {error}")).map(|_| out)
    };
    let mut take = |count: usize, what: &str| match read(count)? {
        out if out.len() == count => Ok(out),
        _ => Err(format!("ends within its {what}")),
    };
    let magic = take(4, "header")?;
    let (dtype, rank) = match magic.as_slice() {
        [0, 0, kind, rank] => (element_type(*kind)?, *rank),
        _ => return Err("does not begin as an idx file does".to_owned()),
    };
    if rank > MAX_RANK {
        return Err(format!("has {rank} dimensions, more than {MAX_RANK}"));
    }
    let sizes = take(4 * usize::from(rank), "header")?;
    let (sizes, _) = sizes.as_chunks::<4>();
    let shape: Vec<usize> = sizes.iter().map(|size| u32::from_be_bytes(*size) as usize).collect();
    let needed = shape.iter().try_fold(dtype.bytes(), |n, &dim| n.checked_mul(dim));
    let Some(needed) = needed.filter(|&needed| needed <= LIMIT) else {
        return Err(format!("claims shape {shape:?} of {dtype}, which is larger than 1 GiB"));
    };
    let mut data = take(needed, "data")?;
    if !read(1)?.is_empty() {
        return Err(format!("goes on after shape {shape:?} of {dtype} is full"));
    }
    // The highest byte comes first in the file and last in memory.
    if dtype.bytes() > 1 {
        data.chunks_exact_mut(dtype.bytes()).for_each(<[u8]>::reverse);
    }
    Tensor::new(dtype, shape, data).ok_or_else(|| "has an impossible shape".to_owned())
}

fn element_type(kind: u8) -> Result<ElementType, String> {
    Ok(match kind {
        0x08 => ElementType::U8,
        0x09 => ElementType::I8,
        0x0B => ElementType::I16,
        0x0C => ElementType::I32,
        0x0D => ElementType::F32,
        0x0E => ElementType::F64,
        _ => return Err(format!("has elements of unknown kind {kind:#04x}")),
    })
}

/// Whether a file is an idx file by its name: `…-idx3-ubyte`, `.idx` and the like, packed or not.
pub fn is_idx(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let marked = |mark: char| name.rsplit(mark).any(|part| part.starts_with("idx"));
    name.ends_with("ubyte") || marked('.') || marked('-')
}

/// A file of items and one of their labels, in file order.
#[derive(Debug, Clone, PartialEq)]
pub struct IdxSet {
    /// All items of the file; the first dimension counts them.
    pub data: Tensor,
    /// Labels of all items of the file.
    pub labels: Option<Vec<u8>>,
}

impl IdxSet {
    pub fn read(data: &Path, labels: Option<&Path>) -> Result<Self, IdxError> {
        let fault = |path: &Path, what: String| {
            Err(IdxError::File { path: path.display().to_string(), what })
        };
        let items = read_idx(data)?;
        let count = match items.shape.first() {
            Some(&count) if count > 0 && !items.bytes.is_empty() => count,
            _ => return fault(data, format!("holds no items: its shape is {:?}", items.shape)),
        };
        let mut known = None;
        if let Some(path) = labels {
            let found = read_idx(path)?;
            if found.dtype != ElementType::U8 || found.shape != [count] {
                let (dtype, shape) = (found.dtype, &found.shape);
                let what = format!("holds {dtype} of shape {shape:?}, not {count} labels of u8");
                return fault(path, what);
            }
            known = Some(found.bytes);
        }
        Ok(Self { data: items, labels: known })
    }

    /// Of what both files hold, packed or not.
    pub fn digest(&self) -> Digest {
        let of = |dtype: ElementType, shape: &[usize], bytes: &[u8]| {
            json!([dtype, shape, Digest::of_bytes(bytes).hex()])
        };
        let mut facts = vec![of(self.data.dtype, &self.data.shape, &self.data.bytes)];
        let labels = self.labels.iter();
        facts.extend(labels.map(|labels| of(ElementType::U8, &[labels.len()], labels)));
        Digest::of_json(&facts.into())
    }

    pub fn count(&self) -> usize {
        self.data.shape[0]
    }

    /// The item at a place of the file, as a batch of one. The caller gives a place below
    /// [`IdxSet::count`].
    pub fn item(&self, place: usize) -> Tensor {
        let mut shape = self.data.shape.clone();
        let count = std::mem::replace(&mut shape[0], 1);
        let length = self.data.bytes.len() / count;
        let bytes = self.data.bytes[place * length..(place + 1) * length].to_vec();
        Tensor { dtype: self.data.dtype, shape, bytes }
    }

    /// The item at a place of the file as a grey picture; `None` where items are no pictures.
    pub fn picture(&self, place: usize) -> Option<Picture> {
        match (self.data.dtype, self.data.shape.as_slice()) {
            (ElementType::U8, &[_, height, width]) => {
                Picture::from_grey(width, height, self.item(place).bytes)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    /// An idx file of elements of `kind`, such as 8 for u8.
    pub fn idx(kind: u8, shape: &[u32], data: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 0, kind, shape.len() as u8];
        for size in shape {
            out.extend(size.to_be_bytes());
        }
        out.extend(data);
        out
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::default());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn file(bytes: &[u8]) -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("engine-idx-{}-{unique}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn arrays_are_the_same_packed_or_not_and_in_every_type() {
        let bytes = idx(0x08, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let plain = read_idx(&file(&bytes)).unwrap();
        assert_eq!((plain.dtype, plain.shape.as_slice()), (ElementType::U8, &[2, 1, 3][..]));
        assert_eq!(plain.bytes, [1, 2, 3, 4, 5, 6]);
        assert_eq!(read_idx(&file(&packed(&bytes))).unwrap(), plain);
        let (ints, floats) = ((-2_i32).to_be_bytes(), 1.5_f64.to_be_bytes());
        assert_eq!(parse(&*idx(0x0C, &[1], &ints)).unwrap().to_f64(), [-2.0]);
        assert_eq!(parse(&*idx(0x0E, &[1], &floats)).unwrap().to_f64(), [1.5]);
        assert_eq!(parse(&*idx(0x0B, &[1], &[0xFF, 0xFE])).unwrap().to_f64(), [-2.0]);
    }

    #[test]
    fn hostile_headers_are_refused_before_memory_is_asked_for() {
        let cases: &[(Vec<u8>, &str)] = &[
            (vec![], "ends within its header"),
            (b"\x00\x00\x08".to_vec(), "ends within its header"),
            (idx(0x08, &[2], &[1]), "ends within its data"),
            (idx(0x08, &[2], &[1, 2, 3]), "goes on after"),
            (idx(0x08, &[u32::MAX; 8], &[]), "larger than 1 GiB"),
            (idx(0x0E, &[1 << 28], &[]), "larger than 1 GiB"),
            (idx(0x08, &[1; 9], &[1]), "has 9 dimensions"),
            (idx(0x0A, &[1], &[1]), "unknown kind 0x0a"),
            (b"hello".to_vec(), "does not begin"),
        ];
        for (bytes, part) in cases {
            for bytes in [bytes.clone(), packed(bytes)] {
                let told = read_idx(&file(&bytes)).unwrap_err().to_string();
                assert!(told.contains(part), "{told}");
            }
        }
        let mut damaged = packed(&idx(0x08, &[64], &[7; 64]));
        let last = damaged.len() - 5;
        damaged[last] ^= 1;
        let told = read_idx(&file(&damaged)).unwrap_err().to_string();
        assert!(told.contains("cannot be unpacked"), "{told}");
    }

    #[test]
    fn a_set_has_pictures_and_labels() {
        let data: Vec<u8> = (0..24).collect();
        let images = file(&idx(0x08, &[6, 2, 2], &data));
        let labels = file(&packed(&idx(0x08, &[6], &[0, 1, 2, 3, 4, 5])));
        let set = IdxSet::read(&images, Some(&labels)).unwrap();
        assert_eq!((set.count(), set.item(2).shape), (6, vec![1, 2, 2]));
        assert_eq!(set.picture(1).unwrap().rgb()[..6], [4, 4, 4, 5, 5, 5]);
        assert_eq!(set.labels.as_deref(), Some(&[0, 1, 2, 3, 4, 5][..]));
        assert_eq!(set, IdxSet::read(&images, Some(&labels)).unwrap());
        let alone = IdxSet::read(&images, None).unwrap();
        assert_ne!(alone.digest(), set.digest());
        let told = IdxSet::read(&labels, Some(&images)).unwrap_err().to_string();
        assert!(told.contains("not 6 labels of u8"), "{told}");
        let empty = file(&idx(0x08, &[0, 28, 28], &[]));
        assert!(IdxSet::read(&empty, None).is_err());
        assert!(IdxSet::read(&file(&idx(0x08, &[], &[1])), None).is_err());
    }

    #[test]
    fn names_of_idx_files_are_known() {
        for name in [
            "t10k-images-idx3-ubyte.gz",
            "train-images.idx3-ubyte",
            "digits.idx",
            "emnist-letters-test-images-idx3-ubyte",
            "x.IDX1.GZ",
        ] {
            assert!(is_idx(Path::new(name)), "{name}");
        }
        for name in ["a.npz", "my-index/a.npy", "pictures.csv", "a.gz", ""] {
            assert!(!is_idx(Path::new(name)), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_array_or_an_error(
            head in prop::collection::vec(0_u8..16, 0..12),
            rest in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let bytes = [head, rest].concat();
            let packed = parse(MultiGzDecoder::new(bytes.as_slice()));
            for tensor in [parse(bytes.as_slice()), packed].into_iter().flatten() {
                prop_assert!(tensor.bytes.len() <= bytes.len());
            }
        }
    }
}
