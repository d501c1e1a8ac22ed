//! Hostile headers of GGUF.

use super::read_gguf;
use crate::model::Gguf;

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
}
