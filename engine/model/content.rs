//! What a file is by its content, whatever its name says.
//!
//! Loading a pickle runs code from the file, and every filter for harmless pickles has been
//! bypassed, so there is no unpickler here and none is called. Looking closely still pays: a
//! file that is a pickle, a web page or an LFS pointer deserves a better answer than "bad magic".
//! A file with sound safetensors or GGUF bytes is accepted even if it is also something else,
//! because nothing else in it is ever read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::{ModelError, bounded, gguf};

/// Formats of weights that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Gguf,
    Safetensors,
}

const CONVERT: &str = "convert the weights to safetensors with the model's own tools, on a machine \
    where running code from this file does no harm";
const FETCH: &str = "the download brought something else than the file: fetch it again";
const UNPACK: &str = "unpack it and name the model inside";

/// Refuses a file that is not `wanted`, with what it is instead; `None` stands for a format that
/// is not told by its first bytes.
///
/// A file that cannot be told passes: the reader of the wanted format then names its fault.
pub(crate) fn expect(path: &Path, wanted: Option<Content>) -> Result<(), ModelError> {
    let refused = |what: &str, advice| {
        Err(ModelError::Refused { path: path.to_owned(), what: what.to_owned(), advice })
    };
    match recognize(path)? {
        Found::Weights(found) if Some(found) == wanted => Ok(()),
        Found::Weights(Content::Gguf) => {
            refused("a GGUF file", "name it with the suffix `.gguf` and use it as the model itself")
        }
        Found::Weights(Content::Safetensors) => {
            refused("a safetensors file", "name the folder that holds it and `config.json`")
        }
        Found::Other(what, advice) => refused(what, advice),
        Found::Unknown => Ok(()),
    }
}

/// The format of a file of weights; `None` when it is none that can be told.
pub fn weights(path: &Path) -> Result<Option<Content>, ModelError> {
    match recognize(path)? {
        Found::Weights(content) => Ok(Some(content)),
        Found::Other(what, advice) => {
            Err(ModelError::Refused { path: path.to_owned(), what: what.to_owned(), advice })
        }
        Found::Unknown => Ok(None),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Weights(Content),
    Other(&'static str, &'static str),
    Unknown,
}

const HEAD: u64 = 4096;
/// A zip file ends with its directory, of which the last record is at most this long.
const TAIL: u64 = 65_557;

fn recognize(path: &Path) -> Result<Found, ModelError> {
    let (mut file, len) = bounded::open(path)?;
    let head = piece(&mut file, 0, HEAD).map_err(ModelError::read(path))?;
    let tail = piece(&mut file, len.saturating_sub(TAIL), TAIL).map_err(ModelError::read(path))?;
    Ok(tell(&head, &tail, len))
}

fn piece(file: &mut File, at: u64, n: u64) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(n).read_to_end(&mut out)?;
    Ok(out)
}

fn tell(head: &[u8], tail: &[u8], len: u64) -> Found {
    if head.is_empty() {
        return Found::Other("an empty file", FETCH);
    }
    if head.starts_with(&gguf::MAGIC) {
        return Found::Weights(Content::Gguf);
    }
    let header = head.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    if head.get(8) == Some(&b'{') && header.is_some_and(|size| size <= len - 8) {
        return Found::Weights(Content::Safetensors);
    }
    // Loaders skip none of these, but scanners and people looking at the first bytes do.
    let skipped = head.iter().take_while(|b| matches!(b, 0 | b' ' | b'\t' | b'\r' | b'\n'));
    let body = &head[skipped.count()..];
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if is_pickle(body) || head.get(8..).is_some_and(is_binary_pickle) {
        return Found::Other("a pickle, which runs code when it is loaded", CONVERT);
    }
    if head.starts_with(b"PK\x03\x04") || contains(tail, b"PK\x05\x06") {
        return if contains(head, b".pkl") || contains(tail, b".pkl") {
            Found::Other("a zip archive with a pickle, as `torch.save` writes it", CONVERT)
        } else {
            Found::Other("a zip archive", UNPACK)
        };
    }
    if head.get(257..262) == Some(b"ustar") {
        return Found::Other("a tar archive, which may hold pickles", UNPACK);
    }
    if head.starts_with(b"\x93NUMPY") {
        return if contains(&head[..head.len().min(512)], b"|O") {
            Found::Other("a numpy array of objects, which is a pickle", CONVERT)
        } else {
            Found::Other("a numpy array", CONVERT)
        };
    }
    let packed: [&[u8]; 5] =
        [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"];
    let zlib = matches!(head, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]);
    if zlib || packed.iter().any(|magic| head.starts_with(magic)) {
        return Found::Other("compressed, so what it holds cannot be checked", UNPACK);
    }
    if head.starts_with(b"\x89HDF\r\n\x1a\n") {
        return Found::Other("an HDF5 file", CONVERT);
    }
    tell_text(body)
}

fn tell_text(body: &[u8]) -> Found {
    let start = body[..body.len().min(64)].to_ascii_lowercase();
    if start.starts_with(b"version https://git-lfs") {
        return Found::Other(
            "a git-lfs pointer and not the file itself",
            "run `git lfs pull` in the repository it came from",
        );
    }
    if [b"<!doctype".as_slice(), b"<html", b"<?xml", b"<error"].iter().any(|t| start.starts_with(t))
    {
        return Found::Other("a web page, probably an error page", FETCH);
    }
    if matches!(start.first(), Some(b'{' | b'[')) {
        return Found::Other("JSON text and not weights", FETCH);
    }
    Found::Unknown
}

fn is_pickle(body: &[u8]) -> bool {
    is_binary_pickle(body) || is_text_pickle(body)
}

/// Protocols 2 to 5 start with `PROTO n`, torch's old files with a pickled magic number, and
/// protocol 1 with an empty container that is put into the memo at once.
fn is_binary_pickle(body: &[u8]) -> bool {
    matches!(body, [0x80, 2..=5, ..] | [b'}' | b']' | b')', b'q' | b'r', ..])
}

/// Protocol 0 has no header: it starts with a global, a mark before a container, or a literal on
/// a line of its own.
fn is_text_pickle(body: &[u8]) -> bool {
    let line = |from: usize| {
        let rest = body.get(from..)?;
        let end = rest.iter().take(256).position(|b| *b == b'\n')?;
        Some((&rest[..end], rest.get(end + 1..)?))
    };
    let is_name = |text: &[u8]| {
        !text.is_empty()
            && !text[0].is_ascii_digit()
            && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
    };
    match body {
        // `c` module \n name \n, alone or after a mark
        [b'c', ..] | [b'(', b'c' | b'i', ..] => {
            let from = if body[0] == b'c' { 1 } else { 2 };
            let Some((module, rest)) = line(from) else { return false };
            let end = rest.iter().take(256).position(|b| *b == b'\n');
            is_name(module) && end.is_some_and(|end| is_name(&rest[..end]))
        }
        // mark, container, put into the memo
        [b'(', b'd' | b'l' | b't', b'p', b'0'..=b'9', ..] => true,
        [b'(', b'S' | b'V' | b'I' | b'F' | b'L', ..] => line(2).is_some(),
        [b'S', b'\'' | b'"', ..] => body.ends_with(b".") || line(1).is_some(),
        _ => false,
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> Found {
        let (head, tail) =
            (bytes.len().min(HEAD as usize), bytes.len().saturating_sub(TAIL as usize));
        tell(&bytes[..head], &bytes[tail..], bytes.len() as u64)
    }

    fn zip(prefix: &[u8], name: &str) -> Vec<u8> {
        let mut out = prefix.to_vec();
        out.extend(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0");
        out.extend([0; 12]);
        out.extend([name.len() as u8, 0, 0, 0]);
        out.extend(name.as_bytes());
        out.extend(b"PK\x01\x02");
        out.extend([0; 42]);
        out.extend(name.as_bytes());
        out.extend(b"PK\x05\x06");
        out.extend([0; 18]);
        out
    }

    #[test]
    fn a_pickle_is_refused_in_every_disguise() {
        let tar = {
            let mut tar = vec![0; 1024];
            tar[..9].copy_from_slice(b"pickle/ab");
            tar[257..262].copy_from_slice(b"ustar");
            tar
        };
        let torch_legacy = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
        let disguises: Vec<(&str, Vec<u8>)> = vec![
            ("protocol 0, dict", b"(dp0\nS'w'\np1\nI1\ns.".to_vec()),
            ("protocol 0, call", b"cos\nsystem\n(S'true'\ntR.".to_vec()),
            ("protocol 0, instance", b"(ios\nsystem\nS'true'\n.".to_vec()),
            ("protocol 0, arguments first", b"(S'true'\nios\nsystem\n.".to_vec()),
            ("protocol 1", b"}q\x00(U\x01wq\x01K\x01u.".to_vec()),
            ("protocol 2", b"\x80\x02}q\x00X\x01\x00\x00\x00wq\x01K\x01s.".to_vec()),
            ("protocol 3", b"\x80\x03}q\x00.".to_vec()),
            ("protocol 4", b"\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94.".to_vec()),
            ("protocol 5", b"\x80\x05\x95\x0b\0\0\0\0\0\0\0}\x94.".to_vec()),
            ("torch zip", zip(b"", "archive/data.pkl")),
            ("torch zip behind other bytes", zip(&[7; 6000], "archive/data.pkl")),
            ("torch legacy", torch_legacy),
            ("tar", tar),
            ("gzip", b"\x1f\x8b\x08\0\0\0\0\0".to_vec()),
            ("zlib, as joblib writes it", b"\x78\x9c\x6b\x60\x9e".to_vec()),
            ("numpy objects", b"\x93NUMPY\x01\0v\0{'descr': '|O', 'shape': (1,)}".to_vec()),
            (
                "byte order mark before",
                b"\xef\xbb\xbf\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94.".to_vec(),
            ),
            ("white space before", b"\n\n  cos\nsystem\n(S'true'\ntR.".to_vec()),
            ("zeros before", b"\0\0\0\0\x80\x04\x95\x0b\0\0\0\0\0\0\0}.".to_vec()),
            ("a length before", b"\x10\x01\0\0\0\0\0\0\x80\x04\x95\x0b\0\0\0\0\0\0\0}.".to_vec()),
        ];
        for (name, bytes) in disguises {
            assert!(matches!(told(&bytes), Found::Other(..)), "{name}: {:?}", told(&bytes));
        }
    }

    #[test]
    fn a_suffix_does_not_make_a_pickle_weights() {
        let dir = crate::model::hostile::folder("pickle_suffix");
        for name in ["model.safetensors", "model.gguf"] {
            let path = dir.join(name);
            std::fs::write(&path, b"\x80\x02}q\x00.").unwrap();
            let error = match name {
                "model.gguf" => crate::model::Gguf::read(&path).unwrap_err(),
                _ => crate::model::Header::read(&path).unwrap_err(),
            };
            assert!(matches!(&error, ModelError::Refused { .. }), "{error}");
            assert!(error.hint().unwrap().contains("safetensors with the model's own tools"));
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn failed_downloads_are_named() {
        let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
        assert!(matches!(told(lfs), Found::Other(_, advice) if advice.contains("git lfs pull")));
        for page in
            [b"<!DOCTYPE html><html>".as_slice(), b"\n<html lang=en>", b"<?xml version='1.0'?>"]
        {
            assert!(matches!(told(page), Found::Other(what, _) if what.contains("web page")));
        }
        assert!(
            matches!(told(b"{\"error\": 404}"), Found::Other(what, _) if what.contains("JSON"))
        );
        assert!(matches!(told(b""), Found::Other(what, _) if what.contains("empty")));
    }

    #[test]
    fn weights_are_not_mistaken_for_pickles() {
        let mut file = 2_u64.to_le_bytes().to_vec();
        file.extend(b"{}");
        assert_eq!(told(&file), Found::Weights(Content::Safetensors));
        assert_eq!(told(b"GGUF\x03\0\0\0"), Found::Weights(Content::Gguf));
        assert_eq!(told(&[7; 100]), Found::Unknown);
    }
}
