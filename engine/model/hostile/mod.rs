//! Bad files: every field of a header hostile in turn, every length and every bit of a sound file.

mod gguf;
mod safetensors;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use self::safetensors::safetensors;
use super::safetensors::{HEADER_LIMIT, Header};
use super::{Fault, GgmlType, Gguf, GgufArray, GgufValue, GgufWriter, Strings, Writer};

/// A fresh empty folder for one test.
pub(crate) fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let unique = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("engine-{name}-{}-{unique}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn read_safetensors(bytes: &[u8]) -> Result<Header, Fault> {
    Header::parse(bytes, bytes.len() as u64, HEADER_LIMIT)
}

fn read_gguf(bytes: &[u8]) -> Result<Gguf, Fault> {
    Gguf::parse(bytes, bytes.len() as u64)
}

fn small_safetensors() -> Vec<u8> {
    let tensors = [
        ("a".to_owned(), "F32".to_owned(), vec![2, 3]),
        ("b".to_owned(), "BF16".to_owned(), vec![5]),
        ("c".to_owned(), "I64".to_owned(), vec![]),
    ];
    let mut writer = Writer::new(Vec::new(), &tensors).unwrap();
    writer.append(&[1; 20]).unwrap();
    writer.append(&[1; 4]).unwrap();
    writer.append(&[2; 10]).unwrap();
    writer.append(&[3; 8]).unwrap();
    writer.finish().unwrap()
}

type GgufParts = (Vec<(String, GgufValue)>, Vec<(String, GgmlType, Vec<u64>)>);

fn small_gguf_parts() -> GgufParts {
    let array = GgufValue::Array;
    let metadata = [
        ("u8", GgufValue::U8(1)),
        ("i8", GgufValue::I8(-1)),
        ("u16", GgufValue::U16(300)),
        ("i16", GgufValue::I16(-300)),
        ("u32", GgufValue::U32(70_000)),
        ("i32", GgufValue::I32(-70_000)),
        ("f32", GgufValue::F32(0.5)),
        ("bool", GgufValue::Bool(true)),
        ("string", GgufValue::String("Grüße".to_owned())),
        ("u64", GgufValue::U64(1 << 40)),
        ("i64", GgufValue::I64(-(1 << 40))),
        ("f64", GgufValue::F64(0.25)),
        ("floats", array(GgufArray::F32(vec![1.0, -2.0]))),
        ("flags", array(GgufArray::Bool(vec![true, false]))),
        ("tokens", array(GgufArray::Strings(Strings::from_iter(["<s>", "", "ä"])))),
        (
            "nested",
            array(GgufArray::Arrays(vec![GgufArray::U16(vec![1]), GgufArray::Arrays(vec![])])),
        ),
    ];
    let tensors = vec![
        ("m".to_owned(), GgmlType::Q8_0, vec![64, 3]),
        ("v".to_owned(), GgmlType::F32, vec![3]),
        ("w".to_owned(), GgmlType::BF16, vec![16, 2]),
    ];
    (metadata.map(|(name, value)| (name.to_owned(), value)).to_vec(), tensors)
}

fn small_gguf() -> Vec<u8> {
    let (metadata, tensors) = small_gguf_parts();
    let mut writer = GgufWriter::new(Vec::new(), &metadata, &tensors).unwrap();
    writer.append(&[1; 204]).unwrap();
    writer.append(&[2; 12]).unwrap();
    writer.append(&[3; 60]).unwrap();
    writer.append(&[3; 4]).unwrap();
    writer.finish().unwrap()
}

#[test]
fn what_the_safetensors_writer_writes_reads_back() {
    let bytes = small_safetensors();
    let header = read_safetensors(&bytes).unwrap();
    assert_eq!(header.tensors.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    let (b, c) = (&header.tensors["b"], &header.tensors["c"]);
    assert_eq!((b.dtype.as_str(), &b.shape[..], b.bytes()), ("BF16", &[5][..], 10));
    assert_eq!((c.elements(), &bytes[c.start as usize..c.end as usize]), (1, &[3; 8][..]));
    assert_eq!(header.tensors["a"].start % 8, 0);
    assert_eq!(header.metadata["format"], "pt");
}

#[test]
fn what_the_gguf_writer_writes_reads_back() {
    let (metadata, tensors) = small_gguf_parts();
    let bytes = small_gguf();
    assert_eq!(bytes, small_gguf(), "equal input gives equal bytes");
    let gguf = read_gguf(&bytes).unwrap();
    assert_eq!((gguf.version, gguf.alignment), (3, 32));
    assert_eq!(gguf.metadata.into_iter().collect::<Vec<_>>(), metadata);
    for ((name, kind, dims), fill) in tensors.iter().zip(1_u8..) {
        let found = &gguf.tensors[name];
        assert_eq!((found.ggml_type, &found.dims), (*kind, dims));
        let data = &bytes[found.offset as usize..(found.offset + found.bytes) as usize];
        assert!(data.iter().all(|b| *b == fill), "{name}");
    }
}

#[test]
fn writers_refuse_pieces_that_do_not_fit() {
    let two =
        [("a".to_owned(), "U8".to_owned(), vec![4]), ("b".to_owned(), "U8".to_owned(), vec![4])];
    let mut writer = Writer::new(Vec::new(), &two).unwrap();
    assert!(writer.append(&[0; 5]).unwrap_err().to_string().contains("`a` misses 4 bytes"));
    let mut writer = Writer::new(Vec::new(), &two).unwrap();
    writer.append(&[0; 4]).unwrap();
    assert!(writer.finish().unwrap_err().to_string().contains("`b` misses 4 bytes"));
    let twice = [two[0].clone(), two[0].clone()];
    assert!(Writer::new(Vec::new(), &twice).is_err());

    let key = ("general.alignment".to_owned(), GgufValue::U32(24));
    assert!(GgufWriter::new(Vec::new(), &[key], &[]).is_err());
    let odd = [("t".to_owned(), GgmlType::Q4_0, vec![33])];
    assert!(GgufWriter::new(Vec::new(), &[], &odd).is_err());
    let mut writer = GgufWriter::new(Vec::new(), &[], &[]).unwrap();
    assert!(writer.append(&[0]).unwrap_err().to_string().contains("after the last tensor"));
}

#[test]
fn every_proper_prefix_of_a_sound_file_is_an_error() {
    let file = small_safetensors();
    for n in 0..file.len() {
        assert!(read_safetensors(&file[..n]).is_err(), "{n} bytes");
        // A file that shrinks after its length was asked.
        assert!(n >= 64 || Header::parse(&file[..n], file.len() as u64, HEADER_LIMIT).is_err());
    }
    read_safetensors(&file).unwrap();
    let file = small_gguf();
    for n in 0..file.len() {
        assert!(read_gguf(&file[..n]).is_err(), "{n} bytes");
    }
    read_gguf(&file).unwrap();
}

#[test]
fn every_flipped_bit_of_a_header_is_survived() {
    for (file, is_gguf) in [(small_safetensors(), false), (small_gguf(), true)] {
        let mut refused = 0;
        for bit in 0..file.len().min(512) * 8 {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let failed = if is_gguf {
                read_gguf(&bad).map(|gguf| check_gguf(&gguf, bad.len())).is_err()
            } else {
                read_safetensors(&bad).map(|header| check_header(&header, bad.len())).is_err()
            };
            refused += usize::from(failed);
        }
        assert!(refused > 500, "{refused}");
    }
}

/// What an accepted header promises to the code that trusts it.
fn check_header(header: &Header, len: usize) {
    let mut bytes = 0;
    for tensor in header.tensors.values() {
        assert!(tensor.start <= tensor.end && tensor.end <= len as u64);
        assert!(tensor.elements() <= tensor.bytes());
        bytes += tensor.bytes();
    }
    assert!(bytes <= len as u64);
}

fn check_gguf(gguf: &Gguf, len: usize) {
    let mut bytes = 0;
    for tensor in gguf.tensors.values() {
        assert!(tensor.offset >= gguf.data_start && tensor.offset + tensor.bytes <= len as u64);
        assert_eq!(tensor.ggml_type.bytes(&tensor.dims), Ok(tensor.bytes));
        bytes += tensor.bytes;
    }
    assert!(bytes <= len as u64);
}

pub(crate) fn mutated(file: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((0..file.len(), any::<u8>(), 0_u8..4), 1..12);
    edits.prop_map(move |edits| {
        let mut out = file.clone();
        for (at, byte, kind) in edits {
            let at = at.min(out.len().saturating_sub(1));
            match kind {
                0 => out.insert(at, byte),
                1 if !out.is_empty() => drop(out.remove(at)),
                2 => out.truncate(at),
                _ => out.iter_mut().skip(at).take(1).for_each(|b| *b = byte),
            }
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_safetensors_keep_their_promises_or_are_refused(bytes in mutated(small_safetensors())) {
        if let Ok(header) = read_safetensors(&bytes) {
            check_header(&header, bytes.len());
        }
    }

    #[test]
    fn mutated_ggufs_keep_their_promises_or_are_refused(bytes in mutated(small_gguf())) {
        if let Ok(gguf) = read_gguf(&bytes) {
            check_gguf(&gguf, bytes.len());
        }
    }

    #[test]
    fn any_json_header_is_survived(json in "\\{[\"a-zA-Z0-9_:\\[\\]{}, -]{0,200}\\}", data in 0_usize..64) {
        let bytes = safetensors(&json, data);
        if let Ok(header) = read_safetensors(&bytes) {
            check_header(&header, bytes.len());
        }
    }
}
