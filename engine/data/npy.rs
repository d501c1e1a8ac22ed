//! NumPy's files: one array in an .npy file, several by name in an .npz archive.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. The header is
//! the text of a Python dictionary with three known keys; nothing else is understood, and nothing
//! is evaluated. Texts are those of type `<U`. Arrays of Python objects are pickles and are refused.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Archive, ArchiveError, ElementType, Tensor};
use crate::base::text::inert;

/// Largest array that is read, in bytes: recorded inputs are small, and an accident should not
/// fill memory.
const LIMIT: u64 = 1 << 30;

/// Longest header. NumPy itself writes less than a hundred bytes.
const MAX_HEADER: usize = 1 << 16;

/// Most dimensions, as in NumPy.
const MAX_RANK: usize = 64;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    #[error("cannot read `{path}`: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("`{path}` is larger than 1 GiB")]
    TooLarge { path: String },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("array `{array}` of `{path}` {what}")]
    Array { path: String, array: String, what: String },
    #[error("`{path}` holds no array")]
    Empty { path: String },
}

/// The array of an .npy file.
pub fn read_npy(path: &Path) -> Result<Tensor, NpyError> {
    let shown = path.display().to_string();
    let failed = |source| NpyError::Read { path: shown.clone(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LIMIT {
        return Err(NpyError::TooLarge { path: shown });
    }
    let array = path.file_stem().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    parse(&bytes).map_err(|what| NpyError::Array { path: shown, array: inert(&array), what })
}

/// The arrays of an .npz archive by name, in its order. At most 1 GiB in all.
pub fn read_npz(path: &Path) -> Result<Vec<(String, Tensor)>, NpyError> {
    let shown = path.display().to_string();
    let mut archive = Archive::open(path)?;
    let mut left = LIMIT;
    let mut arrays = Vec::new();
    for entry in archive.names()? {
        let Some(name) = entry.strip_suffix(".npy").map(str::to_owned) else {
            let what = "is no array: only .npy entries are read".to_owned();
            return Err(NpyError::Array { path: shown, array: inert(&entry), what });
        };
        let bytes = archive.read(&entry, left)?;
        left -= bytes.len() as u64;
        let tensor = parse(&bytes).map_err(|what| NpyError::Array {
            path: shown.clone(),
            array: inert(&name),
            what,
        })?;
        arrays.push((name, tensor));
    }
    if arrays.is_empty() {
        return Err(NpyError::Empty { path: shown });
    }
    Ok(arrays)
}

/// The array in the bytes of an .npy file, or what is wrong with it.
fn parse(bytes: &[u8]) -> Result<Tensor, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("does not begin as an .npy file does")?;
    let cut = || "ends within its header".to_owned();
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        other => return Err(format!("has format version {other}, known are 1 to 3")),
    };
    if length > MAX_HEADER {
        return Err(format!("has a header of {length} bytes, more than {MAX_HEADER}"));
    }
    let (header, data) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| "has a header that is not text")?;
    let Header { descr, fortran, shape } = Header::parse(header)?;
    let (dtype, width) = element_type(&descr)?;
    if fortran && shape.iter().filter(|&&dim| dim > 1).count() > 1 {
        return Err("is stored column by column; save it with `numpy.ascontiguousarray`".to_owned());
    }
    let needed = shape.iter().try_fold(width, |n, &dim| n.checked_mul(dim));
    if needed != Some(data.len()) {
        return Err(format!(
            "has {} bytes of data, and shape {shape:?} of {dtype} needs {}",
            data.len(),
            needed.map_or_else(|| "more than there can be".to_owned(), |n| n.to_string())
        ));
    }
    let bytes = if dtype.is_text() { texts(data, width)? } else { data.to_vec() };
    Tensor::new(dtype, shape, bytes).ok_or_else(|| "has an impossible shape".to_owned())
}

/// Texts that are stored as characters of 4 bytes, `width` bytes each with zeros behind them, as a
/// tensor has them.
fn texts(data: &[u8], width: usize) -> Result<Vec<u8>, String> {
    let (mut out, mut text) = (Vec::new(), String::new());
    for stored in data.chunks_exact(width) {
        let (codes, _) = stored.as_chunks::<4>();
        let end = codes.iter().rposition(|code| *code != [0; 4]).map_or(0, |last| last + 1);
        text.clear();
        for code in &codes[..end] {
            let code = u32::from_le_bytes(*code);
            let character = char::from_u32(code);
            text.push(character.ok_or_else(|| format!("has a character with the number {code}"))?);
        }
        let length = u32::try_from(text.len()).map_err(|_| "has a text of more than 4 GiB")?;
        out.extend(length.to_le_bytes());
        out.extend(text.as_bytes());
    }
    Ok(out)
}

/// The type that a `descr` such as `<f4` or `<U8` stands for, and bytes of an element in the file.
fn element_type(descr: &str) -> Result<(ElementType, usize), String> {
    let (order, kind) = descr.split_at_checked(1).ok_or("has no element type")?;
    let characters = kind.strip_prefix('U').and_then(|digits| digits.parse::<usize>().ok());
    let found = match kind {
        _ if characters.is_some() => ElementType::String,
        "f8" => ElementType::F64,
        "f4" => ElementType::F32,
        "f2" => ElementType::F16,
        "i8" => ElementType::I64,
        "i4" => ElementType::I32,
        "i2" => ElementType::I16,
        "i1" => ElementType::I8,
        "u8" => ElementType::U64,
        "u4" => ElementType::U32,
        "u2" => ElementType::U16,
        "u1" => ElementType::U8,
        "b1" => ElementType::Bool,
        "O" => return Err("holds Python objects, which are pickles and are never loaded".into()),
        _ => {
            return Err(format!(
                "has elements of type `{}`, neither numbers nor texts",
                inert(descr)
            ));
        }
    };
    let width = characters.map_or(Some(found.bytes()), |n| n.checked_mul(4));
    // Without characters, no data would bound the number of texts.
    let width = width.filter(|&width| width > 0).ok_or("has texts of an impossible length")?;
    match order {
        "<" | "|" | "=" => Ok((found, width)),
        ">" if width == 1 => Ok((found, width)),
        _ => Err(format!("has elements of type `{}`; only little-endian is read", inert(descr))),
    }
}

struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, keys in any order.
    fn parse(text: &str) -> Result<Self, String> {
        let body = text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}'));
        let mut rest = body.ok_or("has a header that is no dictionary")?.trim_start();
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest)?;
            let value = after.trim_start().strip_prefix(':').ok_or("has a key without a value")?;
            let value = value.trim_start();
            rest = match key {
                "descr" if value.starts_with('\'') || value.starts_with('"') => {
                    let (text, rest) = quoted(value)?;
                    descr = Some(text.to_owned());
                    rest
                }
                "descr" => return Err("has elements of several fields".into()),
                "fortran_order" => {
                    let (word, flag) = match value.starts_with("True") {
                        true => ("True", true),
                        false => ("False", false),
                    };
                    fortran = Some(flag);
                    value
                        .strip_prefix(word)
                        .ok_or("has a `fortran_order` that is no truth value")?
                }
                "shape" => {
                    let inside = value.strip_prefix('(').and_then(|v| v.split_once(')'));
                    let (dims, rest) = inside.ok_or("has a `shape` that is no tuple")?;
                    shape = Some(dimensions(dims)?);
                    rest
                }
                other => return Err(format!("has an unknown header key `{}`", inert(other))),
            };
            rest = rest.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(more) => more.trim_start(),
                None if rest.is_empty() => rest,
                None => return Err("has a header that is no dictionary".into()),
            };
        }
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) => Ok(Self { descr, fortran, shape }),
            (None, ..) => Err("has no `descr` in its header".into()),
            (_, None, _) => Err("has no `fortran_order` in its header".into()),
            (.., None) => Err("has no `shape` in its header".into()),
        }
    }
}

/// The text in quotes at the beginning of `text`, and what follows it.
fn quoted(text: &str) -> Result<(&str, &str), String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let quote = quote.ok_or("has a header key without quotes")?;
    text[1..].split_once(quote).ok_or_else(|| "has a header text without an end".to_owned())
}

fn dimensions(text: &str) -> Result<Vec<usize>, String> {
    let mut dims = Vec::new();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    for part in parts {
        // Python 2 wrote long integers with a letter.
        let digits = part.strip_suffix('L').unwrap_or(part);
        let dim = digits.parse::<usize>().ok().filter(|&dim| i64::try_from(dim).is_ok());
        dims.push(dim.ok_or_else(|| format!("has a dimension `{}`", inert(part)))?);
        if dims.len() > MAX_RANK {
            return Err(format!("has more than {MAX_RANK} dimensions"));
        }
    }
    Ok(dims)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use super::super::archive_of;
    use super::*;

    /// The bytes of an .npy file with this header text.
    fn file_of(header: &str, data: &[u8]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([1, 0]);
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    /// A tensor as NumPy would save it.
    pub fn npy_of(tensor: &Tensor) -> Vec<u8> {
        let descr = match tensor.dtype {
            ElementType::F64 => "<f8",
            ElementType::F32 => "<f4",
            ElementType::F16 => "<f2",
            ElementType::I64 => "<i8",
            ElementType::I32 => "<i4",
            ElementType::U8 => "|u1",
            ElementType::Bool => "|b1",
            other => panic!("no test writes {other}"),
        };
        let dims: Vec<String> = tensor.shape.iter().map(|dim| format!("{dim}, ")).collect();
        let dims = dims.concat();
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}\n");
        file_of(&header, &tensor.bytes)
    }

    fn fault(bytes: &[u8]) -> String {
        parse(bytes).unwrap_err()
    }

    const HEADER: &str = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n";

    #[test]
    fn arrays_are_read_as_numpy_wrote_them() {
        let values = [1.0, -2.0, 0.5, 4.0, 5.0, 6.0];
        let tensor = Tensor::of_f32(vec![2, 3], &values);
        assert_eq!(parse(&file_of(HEADER, &tensor.bytes)).unwrap(), tensor);
        let scalar = "{\"shape\": (), \"descr\": \"<i8\", \"fortran_order\": False}";
        let read = parse(&file_of(scalar, &7_i64.to_le_bytes())).unwrap();
        assert_eq!(read, Tensor::of_i64(vec![], &[7]));
        let row = "{'descr': '|u1', 'fortran_order': True, 'shape': (3,), }";
        assert_eq!(parse(&file_of(row, &[1, 2, 3])).unwrap().to_f64(), [1.0, 2.0, 3.0]);
        let none = "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5), }";
        assert_eq!(parse(&file_of(none, &[])).unwrap().elements(), 0);
    }

    #[test]
    fn texts_lose_the_zeros_behind_them_and_no_others() {
        let codes = |text: &'static str| text.chars().flat_map(|c| u32::from(c).to_le_bytes());
        let data: Vec<u8> =
            ["fox", "gr\u{fc}", "\0a\0", "\0\0\0"].into_iter().flat_map(codes).collect();
        let header = "{'descr': '<U3', 'fortran_order': False, 'shape': (2, 2), }";
        let read = parse(&file_of(header, &data)).unwrap();
        assert_eq!(read.shape, [2, 2]);
        assert_eq!(read.texts().unwrap(), ["fox", "gr\u{fc}", "\0a", ""]);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let change = |from: &str, to: &str, data: usize| {
            fault(&file_of(&HEADER.replace(from, to), &vec![0; data]))
        };
        assert!(change("(2, 3)", "(2, 4)", 24).contains("shape [2, 4] of f32 needs 32"));
        assert!(change("(2, 3)", "(2, -3)", 24).contains("dimension `-3`"));
        let huge = "(9223372036854775807, 3)";
        assert!(change("(2, 3)", huge, 24).contains("more than there can be"));
        assert!(change("False", "True", 24).contains("ascontiguousarray"));
        assert!(change("False", "None", 24).contains("no truth value"));
        assert!(change("'<f4'", "'|O'", 24).contains("never loaded"));
        assert!(change("'<f4'", "'>f4'", 24).contains("little-endian"));
        assert!(change("'<f4'", "'|S8'", 24).contains("neither numbers nor texts"));
        assert!(change("'<f4'", "'<U8'", 24).contains("shape [2, 3] of string needs 192"));
        assert!(change("'<f4'", "'<U0'", 0).contains("impossible length"));
        assert!(change("'<f4'", "'>U1'", 24).contains("little-endian"));
        let surrogate = file_of(&HEADER.replace("<f4", "<U1"), &[0, 0xd8, 0, 0].repeat(6));
        assert!(fault(&surrogate).contains("character with the number 55296"));
        assert!(change("'<f4'", "[('a', '<f4')]", 24).contains("several fields"));
        assert!(change("'shape'", "'sharp'", 24).contains("unknown header key `sharp`"));
        assert!(change("'descr': '<f4', ", "", 24).contains("no `descr`"));
        assert!(change("(2, 3)", &format!("({})", "1,".repeat(65)), 4).contains("64 dimensions"));
        assert!(fault(b"PK\x03\x04").contains("does not begin"));
        let mut long = MAGIC.to_vec();
        long.extend([2, 0]);
        long.extend(u32::MAX.to_le_bytes());
        assert!(fault(&long).contains("more than 65536"));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_an_error_or_another_array_of_the_same_size() {
        let whole = file_of(HEADER, &[0; 24]);
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "cut at {length}");
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                if let Ok(tensor) = parse(&changed) {
                    assert_eq!(tensor.bytes.len(), 24, "changed at {at}");
                }
            }
        }
    }

    #[test]
    fn archives_give_their_arrays_by_name_and_faults_name_file_and_array() {
        let (x, n) = (Tensor::of_f32(vec![2], &[1.0, 2.0]), Tensor::of_i64(vec![1], &[3]));
        let path = archive_of("arrays", &[("x.npy", &npy_of(&x)), ("n.npy", &npy_of(&n))]);
        assert_eq!(read_npz(&path).unwrap(), [("x".to_owned(), x), ("n".to_owned(), n)]);
        let told = |path: &PathBuf| read_npz(path).unwrap_err().to_string();
        let path = archive_of("broken", &[("y.npy", b"\x93NUMPY\x01")]);
        assert!(told(&path).contains("array `y` of") && told(&path).contains("broken"));
        let path = archive_of("other", &[("readme.txt", b"hello")]);
        assert!(told(&path).contains("`readme.txt`"), "{}", told(&path));
        assert!(matches!(read_npz(&archive_of("none", &[])), Err(NpyError::Empty { .. })));
    }
}
