//! Handcrafted bad files: every field of a header hostile in turn, every length of a sound file.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

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

/// A file with this JSON and `data` bytes behind it.
fn safetensors(json: &str, data: usize) -> Vec<u8> {
    let mut out = (json.len() as u64).to_le_bytes().to_vec();
    out.extend(json.as_bytes());
    out.resize(out.len() + data, 0);
    out
}

fn entry(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn hostile_safetensors_headers_are_refused_with_the_field() {
    let good = entry("F32", "[2]", "[0,8]");
    let one = |e: &str| format!(r#"{{"a":{e}}}"#);
    let two = |a: &str, b: &str| format!(r#"{{"a":{a},"b":{b}}}"#);
    let file = |json: String| safetensors(&json, 8);
    let length = |n: u64| {
        let mut file = safetensors(&one(&good), 8);
        file[..8].copy_from_slice(&n.to_le_bytes());
        file
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty file", vec![], "header length"),
        ("seven bytes", vec![0; 7], "header length"),
        ("header of nothing", length(0), "does not start"),
        ("header one byte short", length(one(&good).len() as u64 - 1), "EOF"),
        ("header one byte long", length(one(&good).len() as u64 + 1), "trailing"),
        ("header beyond the file", length(10_000), "remain"),
        ("header beyond the limit", length(HEADER_LIMIT + 1), "limit is 25000000"),
        ("header of 2^63", length(1 << 63), "limit"),
        ("header of 2^64 - 1", length(u64::MAX), "limit"),
        ("list", file("[]".into()), "does not start"),
        ("white space first", file(format!(" {}", one(&good))), "does not start"),
        ("two objects", file(format!("{}{{}}", one(&good))), "trailing"),
        (
            "not UTF-8",
            file(one(&good)).iter().map(|b| if *b == b'a' { 0xff } else { *b }).collect(),
            "header",
        ),
        ("nesting", file(format!("{{\"a\":{}", "[".repeat(10_000))), "tensor `a`"),
        (
            "duplicate name",
            safetensors(&format!(r#"{{"a":{good},"a":{good}}}"#), 8),
            "`a` appears twice",
        ),
        (
            "duplicate escaped name",
            safetensors(&format!(r#"{{"a":{good},"\u0061":{good}}}"#), 8),
            "`a` appears twice",
        ),
        (
            "duplicate field",
            file(one(r#"{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}"#)),
            "duplicate field",
        ),
        (
            "duplicate metadata",
            file(format!(r#"{{"__metadata__":{{}},"__metadata__":{{}},"a":{good}}}"#)),
            "twice",
        ),
        (
            "duplicate metadata key",
            file(format!(r#"{{"__metadata__":{{"k":"1","k":"2"}},"a":{good}}}"#)),
            "twice",
        ),
        ("metadata number", file(format!(r#"{{"__metadata__":{{"k":1}},"a":{good}}}"#)), "string"),
        (
            "unknown field",
            file(one(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}"#)),
            "unknown field",
        ),
        ("no dtype", file(one(r#"{"shape":[2],"data_offsets":[0,8]}"#)), "missing field `dtype`"),
        ("no shape", file(one(r#"{"dtype":"F32","data_offsets":[0,8]}"#)), "missing field `shape`"),
        ("no offsets", file(one(r#"{"dtype":"F32","shape":[2]}"#)), "missing field `data_offsets`"),
        ("unknown dtype", file(one(&entry("F7", "[2]", "[0,8]"))), "unknown dtype `F7`"),
        ("small dtype", file(one(&entry("f32", "[2]", "[0,8]"))), "unknown dtype"),
        (
            "dtype of many bytes",
            file(one(&entry(&"F".repeat(9000), "[2]", "[0,8]"))),
            "unknown dtype",
        ),
        ("negative dimension", file(one(&entry("F32", "[-2]", "[0,8]"))), "tensor `a`"),
        ("broken dimension", file(one(&entry("F32", "[2.0]", "[0,8]"))), "tensor `a`"),
        ("dimension of 0", file(one(&entry("F32", "[0]", "[0,0]"))), "dimension of 0"),
        (
            "dimension of 2^63",
            file(one(&entry("F32", "[9223372036854775808]", "[0,8]"))),
            "overflows",
        ),
        (
            "dimension of 2^64",
            file(one(&entry("F32", "[18446744073709551616]", "[0,8]"))),
            "tensor `a`",
        ),
        (
            "product of 2^64",
            file(one(&entry("U8", "[4294967296,4294967296]", "[0,8]"))),
            "overflows",
        ),
        (
            "product wraps to 8",
            file(one(&entry("F32", "[4611686018427387906]", "[0,8]"))),
            "overflows",
        ),
        (
            "nine dimensions",
            file(one(&entry("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"))),
            "more than 8",
        ),
        ("shape too large", file(one(&entry("F32", "[3]", "[0,8]"))), "do not span the 12 bytes"),
        ("shape too small", file(one(&entry("F32", "[1]", "[0,8]"))), "do not span the 4 bytes"),
        ("end before start", file(one(&entry("F32", "[2]", "[8,0]"))), "do not span"),
        ("end beyond the file", file(one(&entry("F32", "[3]", "[0,12]"))), "which has 8"),
        ("one offset", file(one(&entry("F32", "[2]", "[0]"))), "tensor `a`"),
        ("three offsets", file(one(&entry("F32", "[2]", "[0,8,8]"))), "tensor `a`"),
        (
            "offsets near 2^64",
            file(one(&entry("F32", "[2]", "[18446744073709551607,18446744073709551615]"))),
            "gap",
        ),
        ("gap before", safetensors(&one(&entry("F32", "[2]", "[4,12]")), 12), "gap"),
        ("gap between", safetensors(&two(&good, &entry("F32", "[1]", "[12,16]")), 16), "gap"),
        ("overlap", safetensors(&two(&good, &entry("F32", "[1]", "[4,8]")), 8), "overlaps"),
        ("same range twice", safetensors(&two(&good, &good), 8), "overlaps"),
        ("bytes behind", safetensors(&one(&good), 9), "the tensors end at 8"),
        ("bytes missing", safetensors(&one(&good), 7), "which has 7"),
        ("bytes without tensors", safetensors("{}", 1), "the tensors end at 0"),
    ];
    assert!(cases.len() >= 40);
    for (name, bytes, told) in cases {
        let fault = read_safetensors(&bytes).expect_err(name).to_string();
        assert!(fault.contains(told), "{name}: {fault}");
        assert!(fault.len() < 400, "{name}: {fault}");
    }
    assert_eq!(read_safetensors(&safetensors(&one(&good), 8)).unwrap().tensors["a"].bytes(), 8);
}

/// A file of one key and one tensor, piece by piece, so that a test can spoil any of them.
#[derive(Clone)]
struct Parts {
    magic: Vec<u8>,
    version: u32,
    tensor_count: u64,
    key_count: u64,
    keys: Vec<u8>,
    tensors: Vec<u8>,
    /// Bytes after the header and its padding to 32.
    data: usize,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(name)[..], &kind.to_le_bytes(), value].concat()
}

fn array(kind: u32, count: u64, items: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes(), items].concat()
}

fn tensor(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut out = text(name);
    out.extend((dims.len() as u32).to_le_bytes());
    for dim in dims {
        out.extend(dim.to_le_bytes());
    }
    out.extend(kind.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out
}

impl Parts {
    fn sound() -> Self {
        Self {
            magic: b"GGUF".to_vec(),
            version: 3,
            tensor_count: 1,
            key_count: 1,
            keys: key("k", 4, &7_u32.to_le_bytes()),
            tensors: tensor("t", &[32], 0, 0),
            data: 128,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = self.magic.clone();
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensor_count.to_le_bytes());
        out.extend(self.key_count.to_le_bytes());
        out.extend(&self.keys);
        out.extend(&self.tensors);
        out.resize(out.len().next_multiple_of(32) + self.data, 0);
        out
    }

    fn with_key(kind: u32, value: &[u8]) -> Vec<u8> {
        Self { keys: key("k", kind, value), ..Self::sound() }.bytes()
    }

    fn with_tensor(dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
        Self { tensors: tensor("t", dims, kind, offset), ..Self::sound() }.bytes()
    }

    fn with_alignment(kind: u32, value: &[u8]) -> Vec<u8> {
        Self { keys: key("general.alignment", kind, value), ..Self::sound() }.bytes()
    }

    fn with_two(a: Vec<u8>, b: Vec<u8>) -> Vec<u8> {
        Self { tensor_count: 2, tensors: [a, b].concat(), data: 256, ..Self::sound() }.bytes()
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn hostile_gguf_headers_are_refused_with_the_field() {
    let sound = Parts::sound();
    let long = |n: u64| n.to_le_bytes().to_vec();
    let nested = |depth: usize| {
        let mut value = Vec::new();
        (0..depth).for_each(|_| value.extend(array(9, 1, &[])));
        value.extend(array(0, 0, &[]));
        value
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty file", vec![], "magic"),
        ("magic", Parts { magic: b"GGML".to_vec(), ..sound.clone() }.bytes(), "magic"),
        ("version 0", Parts { version: 0, ..sound.clone() }.bytes(), "version 0"),
        ("version 1", Parts { version: 1, ..sound.clone() }.bytes(), "obsolete"),
        ("version 4", Parts { version: 4, ..sound.clone() }.bytes(), "version 4"),
        ("big endian", Parts { version: 3 << 24, ..sound.clone() }.bytes(), "big-endian"),
        (
            "2^64 - 1 tensors",
            Parts { tensor_count: u64::MAX, ..sound.clone() }.bytes(),
            "tensor count",
        ),
        ("1000 tensors", Parts { tensor_count: 1000, ..sound.clone() }.bytes(), "tensor count"),
        (
            "2 tensors",
            Parts { tensor_count: 2, ..sound.clone() }.bytes(),
            "tensor name at byte 74: is empty",
        ),
        ("2^64 - 1 keys", Parts { key_count: u64::MAX, ..sound.clone() }.bytes(), "key count"),
        ("2^60 keys", Parts { key_count: 1 << 60, ..sound.clone() }.bytes(), "key count"),
        (
            "70000 keys",
            Parts { key_count: 70_000, data: 1 << 20, ..sound.clone() }.bytes(),
            "limit is 65536",
        ),
        (
            "70000 tensors",
            Parts { tensor_count: 70_000, data: 3 << 20, ..sound.clone() }.bytes(),
            "limit is 65536",
        ),
        ("key of 2^64 - 1", Parts { keys: long(u64::MAX), ..sound.clone() }.bytes(), "limit"),
        ("key of 1000", Parts { keys: long(1000), ..sound.clone() }.bytes(), "remain"),
        ("empty key", Parts { keys: key("", 4, &[0; 4]), ..sound.clone() }.bytes(), "empty"),
        (
            "key of 70000 bytes",
            Parts { keys: key(&"k".repeat(70_000), 4, &[0; 4]), ..sound.clone() }.bytes(),
            "65535",
        ),
        (
            "key not UTF-8",
            Parts {
                keys: [&long(1)[..], &[0xff], &[4, 0, 0, 0], &[0; 4]].concat(),
                ..sound.clone()
            }
            .bytes(),
            "UTF-8",
        ),
        (
            "duplicate key",
            Parts {
                key_count: 2,
                keys: [key("k", 0, &[1]), key("k", 0, &[2])].concat(),
                ..sound.clone()
            }
            .bytes(),
            "key `k` at byte",
        ),
        ("value type 13", Parts::with_key(13, &[0; 8]), "value type 13"),
        ("bool of 2", Parts::with_key(7, &[2]), "neither 0 nor 1"),
        ("string of 2^63", Parts::with_key(8, &long(1 << 63)), "limit is 10000000"),
        ("string beyond the file", Parts::with_key(8, &long(5000)), "remain"),
        ("string not UTF-8", Parts::with_key(8, &[&long(2)[..], &[0xc3, 0x28]].concat()), "UTF-8"),
        ("array of type 13", Parts::with_key(9, &array(13, 1, &[0; 8])), "value type 13"),
        ("array of 2^64 - 1 bytes", Parts::with_key(9, &array(0, u64::MAX, &[])), "remain"),
        ("array of 2^61 u64", Parts::with_key(9, &array(10, 1 << 61, &[])), "remain"),
        ("array of 2^61 strings", Parts::with_key(9, &array(8, 1 << 61, &[])), "remain"),
        ("array with a bool of 9", Parts::with_key(9, &array(7, 3, &[0, 1, 9])), "neither 0 nor 1"),
        (
            "array with half a character",
            Parts::with_key(
                9,
                &array(8, 2, &[&long(1)[..], &[0xc3], &long(1)[..], &[0xa4]].concat()),
            ),
            "UTF-8",
        ),
        ("array of 2^60 arrays", Parts::with_key(9, &array(9, 1 << 60, &[])), "remain"),
        (
            "array of 20000 arrays",
            Parts { data: 1 << 20, keys: key("k", 9, &array(9, 20_000, &[])), ..sound.clone() }
                .bytes(),
            "limit is 16384",
        ),
        ("arrays 4 deep", Parts::with_key(9, &nested(4)), "deeper than 4"),
        ("arrays 9000 deep", Parts::with_key(9, &nested(9000)), "deeper than 4"),
        ("alignment 0", Parts::with_alignment(4, &[0; 4]), "power of two"),
        ("alignment 3", Parts::with_alignment(4, &[3, 0, 0, 0]), "power of two"),
        ("alignment 2^31", Parts::with_alignment(4, &[0, 0, 0, 0x80]), "power of two"),
        (
            "alignment of another type",
            Parts::with_alignment(10, &[32, 0, 0, 0, 0, 0, 0, 0]),
            "32-bit",
        ),
        (
            "empty tensor name",
            Parts { tensors: tensor("", &[32], 0, 0), ..sound.clone() }.bytes(),
            "empty",
        ),
        ("no dimension", Parts::with_tensor(&[], 0, 0), "0 dimensions"),
        ("five dimensions", Parts::with_tensor(&[2, 2, 2, 2, 2], 0, 0), "5 dimensions"),
        (
            "2^32 - 1 dimensions",
            Parts { tensors: [text("t"), vec![0xff; 4], vec![0; 20]].concat(), ..sound.clone() }
                .bytes(),
            "dimensions",
        ),
        ("dimension of 0", Parts::with_tensor(&[32, 0], 0, 0), "contain 0"),
        ("dimension of 2^63", Parts::with_tensor(&[1 << 63], 0, 0), "overflow"),
        ("product wraps", Parts::with_tensor(&[1 << 32, 1 << 32, 32], 0, 0), "overflow"),
        ("product wraps in bytes", Parts::with_tensor(&[(1 << 61) + 8], 0, 0), "overflow"),
        ("unknown type", Parts::with_tensor(&[32], 99, 0), "storage type 99"),
        ("removed type", Parts::with_tensor(&[32], 4, 0), "storage type 4"),
        ("half a block", Parts::with_tensor(&[48], 8, 0), "blocks of 32"),
        ("half a super-block", Parts::with_tensor(&[128], 12, 0), "blocks of 256"),
        ("offset not aligned", Parts::with_tensor(&[16], 0, 16), "multiple of the alignment"),
        ("offset beyond the file", Parts::with_tensor(&[32], 0, 1 << 20), "leave the file"),
        ("offset near 2^64", Parts::with_tensor(&[32], 0, u64::MAX - 31), "leave the file"),
        ("one block too many", Parts::with_tensor(&[33], 0, 0), "leave the file"),
        ("terabyte in a small file", Parts::with_tensor(&[1 << 38], 0, 0), "leave the file"),
        (
            "duplicate tensor",
            Parts::with_two(tensor("t", &[32], 0, 0), tensor("t", &[32], 0, 128)),
            "tensor `t` at byte",
        ),
        (
            "overlap",
            Parts::with_two(tensor("t", &[32], 0, 0), tensor("u", &[32], 0, 96)),
            "the tensor before ends",
        ),
        (
            "same range twice",
            Parts::with_two(tensor("t", &[32], 0, 32), tensor("u", &[32], 0, 32)),
            "the tensor before ends",
        ),
        (
            "inside another",
            Parts::with_two(tensor("t", &[64], 0, 0), tensor("u", &[8], 0, 64)),
            "the tensor before ends",
        ),
    ];
    assert!(cases.len() >= 40);
    for (name, bytes, told) in cases {
        let fault = read_gguf(&bytes).expect_err(name).to_string();
        assert!(fault.contains(told), "{name}: {fault}");
        assert!(fault.len() < 400, "{name}: {fault}");
    }
    assert_eq!(read_gguf(&sound.bytes()).unwrap().tensors["t"].bytes, 128);
}

#[test]
fn a_header_larger_than_the_limit_is_refused_before_it_is_read() {
    // Only the length is claimed: memory of that size would be noticed on a small machine.
    let bytes = Parts::with_key(9, &array(0, 200 << 20, &[]));
    let fault = Gguf::parse(&bytes[..], 1 << 40).unwrap_err().to_string();
    assert!(fault.contains("larger than the limit of 67108864 bytes"), "{fault}");
    let fault = Header::parse(&(1_u64 << 30).to_le_bytes()[..], 1 << 40, HEADER_LIMIT).unwrap_err();
    assert!(fault.to_string().contains("limit is 25000000"), "{fault}");
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
