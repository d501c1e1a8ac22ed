//! Hostile headers of safetensors.

use super::read_safetensors;
use crate::model::safetensors::{HEADER_LIMIT, Header};

/// A file with this JSON and `data` bytes behind it.
pub fn safetensors(json: &str, data: usize) -> Vec<u8> {
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

#[test]
fn a_header_larger_than_the_limit_is_refused_before_it_is_read() {
    let fault = Header::parse(&(1_u64 << 30).to_le_bytes()[..], 1 << 40, HEADER_LIMIT).unwrap_err();
    assert!(fault.to_string().contains("limit is 25000000"), "{fault}");
}
