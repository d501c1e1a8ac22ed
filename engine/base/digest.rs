//! SHA-256 digests of bytes, files and canonical JSON.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, written as 64 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Digest of a file's content, read in 1 MiB pieces.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Self(hasher.finalize().into())),
                n => hasher.update(&buffer[..n]),
            }
        }
    }

    /// Digest of a JSON value that does not depend on the order of object keys.
    pub fn of_json(value: &Value) -> Self {
        Self::of_bytes(canonical(value).as_bytes())
    }

    pub fn hex(&self) -> String {
        let mut out = String::with_capacity(64);
        for byte in self.0 {
            out.push(char::from_digit(u32::from(byte >> 4), 16).expect("a nibble"));
            out.push(char::from_digit(u32::from(byte & 15), 16).expect("a nibble"));
        }
        out
    }

    /// The first twelve hex digits: for people, never for keys.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    /// The first eight bytes as a number: the seed of what depends on nothing else.
    pub fn seed(&self) -> u64 {
        self.0[..8].iter().fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
    }

    /// Reads 64 hex digits; `None` for anything else.
    pub fn parse(hex: &str) -> Option<Self> {
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        let mut out = [0; 32];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
        }
        (Self(out).hex() == hex).then_some(Self(out))
    }
}

/// JSON text with object keys sorted and no white space: equal values give equal text.
pub fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by(|a, b| a.0.cmp(b.0));
                Value::Object(entries.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("expected 64 lowercase hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_the_first_sixteen_hex_digits() {
        let digest = Digest::of_bytes(b"soak/b1/42");
        assert_eq!(format!("{:016x}", digest.seed()), digest.hex()[..16]);
    }

    #[test]
    fn empty_input_has_the_published_digest() {
        let known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of_bytes(b"").hex(), known);
        assert_eq!(Digest::parse(known), Some(Digest::of_bytes(b"")));
        assert_eq!(Digest::parse(&known.to_uppercase()), None);
    }

    #[test]
    fn key_order_does_not_change_the_digest() {
        let a: Value = serde_json::from_str(r#"{"b": [1, {"y": 2, "x": 3}], "a": null}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"a": null, "b": [1, {"x": 3, "y": 2}]}"#).unwrap();
        assert_eq!(Digest::of_json(&a), Digest::of_json(&b));
        assert_eq!(canonical(&a), r#"{"a":null,"b":[1,{"x":3,"y":2}]}"#);
    }
}
