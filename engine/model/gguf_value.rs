//! Values of GGUF metadata and how they stand in a file.

use std::io::{Read, Write};

use super::bounded::Bounded;
use super::{Fault, shown};

/// Longest string, in bytes.
pub const STRING_LIMIT: u64 = 10_000_000;
/// Arrays may hold arrays up to this depth.
pub const DEPTH_LIMIT: u32 = 4;
/// Most arrays inside one array: they cost more memory than bytes in the file.
pub const NESTED_LIMIT: u64 = 16_384;

const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Both enums and their codec from one list of scalar types and their numbers in files.
macro_rules! values {
    ($($variant:ident, $type:ty, $bytes:literal, $id:literal;)*) => {
        #[derive(Debug, Clone, PartialEq)]
        pub enum GgufValue {
            $($variant($type),)*
            String(String),
            Array(GgufArray),
        }

        /// Elements of one type, stored as densely as in the file.
        #[derive(Debug, Clone, PartialEq)]
        pub enum GgufArray {
            $($variant(Vec<$type>),)*
            Strings(Strings),
            Arrays(Vec<GgufArray>),
        }

        impl GgufValue {
            pub(crate) fn read<R: Read>(file: &mut Bounded<R>, key: &str) -> Result<Self, Fault> {
                match file.u32(key)? {
                    $($id => {
                        let at = file.at();
                        let bytes = file.array::<$bytes>(key)?;
                        <$type>::decode(bytes).map(Self::$variant)
                            .ok_or_else(|| Fault::new(key, "a bool is neither 0 nor 1").at(at))
                    })*
                    STRING => read_string(file, key).map(Self::String),
                    ARRAY => GgufArray::read(file, key, 1).map(Self::Array),
                    other => Err(unknown_type(key, other).at(file.at() - 4)),
                }
            }

            pub(crate) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
                match self {
                    $(Self::$variant(value) => {
                        out.write_all(&u32::to_le_bytes($id))?;
                        out.write_all(&value.encode())
                    })*
                    Self::String(text) => {
                        out.write_all(&STRING.to_le_bytes())?;
                        write_string(out, text)
                    }
                    Self::Array(array) => {
                        out.write_all(&ARRAY.to_le_bytes())?;
                        array.write(out)
                    }
                }
            }
        }

        impl GgufArray {
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(items) => items.len(),)*
                    Self::Strings(items) => items.len(),
                    Self::Arrays(items) => items.len(),
                }
            }

            /// Recursion ends at [`DEPTH_LIMIT`].
            fn read<R: Read>(file: &mut Bounded<R>, key: &str, depth: u32) -> Result<Self, Fault> {
                let kind = file.u32(key)?;
                let count = file.u64(key)?;
                let start = file.at();
                match kind {
                    $($id => {
                        let bytes = file.demand(key, count, $bytes)?;
                        let bytes = file.bytes(key, bytes)?;
                        bytes.as_chunks::<$bytes>().0.iter().map(|b| <$type>::decode(*b))
                            .collect::<Option<_>>().map(Self::$variant)
                            .ok_or_else(|| Fault::new(key, "a bool is neither 0 nor 1").at(start))
                    })*
                    STRING => Strings::read(file, key, count).map(Self::Strings),
                    ARRAY if depth == DEPTH_LIMIT => {
                        let what = format!("arrays are nested deeper than {DEPTH_LIMIT}");
                        Err(Fault::new(key, what).at(start))
                    }
                    ARRAY => {
                        file.demand(key, count, 12)?;
                        if count > NESTED_LIMIT {
                            let what = format!("{count} nested arrays, the limit is {NESTED_LIMIT}");
                            return Err(Fault::new(key, what).at(start));
                        }
                        (0..count).map(|_| Self::read(file, key, depth + 1))
                            .collect::<Result<_, _>>().map(Self::Arrays)
                    }
                    other => Err(unknown_type(key, other).at(start - 12)),
                }
            }

            fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
                let kind: u32 = match self {
                    $(Self::$variant(_) => $id,)*
                    Self::Strings(_) => STRING,
                    Self::Arrays(_) => ARRAY,
                };
                out.write_all(&kind.to_le_bytes())?;
                out.write_all(&(self.len() as u64).to_le_bytes())?;
                match self {
                    $(Self::$variant(items) => {
                        items.iter().try_for_each(|item| out.write_all(&item.encode()))
                    })*
                    Self::Strings(items) => items.iter().try_for_each(|text| write_string(out, text)),
                    Self::Arrays(items) => items.iter().try_for_each(|item| item.write(out)),
                }
            }
        }
    };
}

values! {
    U8, u8, 1, 0;
    I8, i8, 1, 1;
    U16, u16, 2, 2;
    I16, i16, 2, 3;
    U32, u32, 4, 4;
    I32, i32, 4, 5;
    F32, f32, 4, 6;
    Bool, bool, 1, 7;
    U64, u64, 8, 10;
    I64, i64, 8, 11;
    F64, f64, 8, 12;
}

/// Little-endian bytes of a scalar; decoding fails only for a bool that is neither 0 nor 1.
trait Scalar<const N: usize>: Sized {
    fn decode(bytes: [u8; N]) -> Option<Self>;
    fn encode(&self) -> [u8; N];
}

macro_rules! scalars {
    ($($type:ty, $bytes:literal;)*) => {$(
        impl Scalar<$bytes> for $type {
            fn decode(bytes: [u8; $bytes]) -> Option<Self> {
                Some(Self::from_le_bytes(bytes))
            }

            fn encode(&self) -> [u8; $bytes] {
                self.to_le_bytes()
            }
        }
    )*};
}

scalars! { u8, 1; i8, 1; u16, 2; i16, 2; u32, 4; i32, 4; f32, 4; u64, 8; i64, 8; f64, 8; }

impl Scalar<1> for bool {
    fn decode([byte]: [u8; 1]) -> Option<Self> {
        (byte < 2).then_some(byte == 1)
    }

    fn encode(&self) -> [u8; 1] {
        [u8::from(*self)]
    }
}

impl GgufValue {
    /// Any integer that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::U64(n) => Some(n),
            Self::I8(n) => n.try_into().ok(),
            Self::I16(n) => n.try_into().ok(),
            Self::I32(n) => n.try_into().ok(),
            Self::I64(n) => n.try_into().ok(),
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(x) => Some(x.into()),
            Self::F64(x) => Some(x),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(flag) = *self { Some(flag) } else { None }
    }

    pub fn as_strings(&self) -> Option<&Strings> {
        if let Self::Array(GgufArray::Strings(items)) = self { Some(items) } else { None }
    }
}

impl GgufArray {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Many strings in one allocation: a vocabulary has a hundred thousand short ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strings {
    text: String,
    /// End of each string in `text`; always on a character's border.
    ends: Vec<usize>,
}

impl Strings {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.text[start..end])
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map_while(|i| self.get(i))
    }

    fn read<R: Read>(file: &mut Bounded<R>, key: &str, count: u64) -> Result<Self, Fault> {
        file.demand(key, count, 8)?;
        let mut ends = Vec::with_capacity(count as usize);
        let mut text = Vec::new();
        for _ in 0..count {
            append_string(file, key, &mut text)?;
            ends.push(text.len());
        }
        let text = String::from_utf8(text).expect("append_string checks every string");
        Ok(Self { text, ends })
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(items: I) -> Self {
        let mut out = Self::default();
        for item in items {
            out.text.push_str(item.as_ref());
            out.ends.push(out.text.len());
        }
        out
    }
}

pub(crate) fn read_string<R: Read>(file: &mut Bounded<R>, field: &str) -> Result<String, Fault> {
    let mut out = Vec::new();
    append_string(file, field, &mut out)?;
    Ok(String::from_utf8(out).expect("append_string checks the string"))
}

fn append_string<R: Read>(
    file: &mut Bounded<R>,
    field: &str,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let at = file.at();
    let n = file.u64(field)?;
    if n > STRING_LIMIT {
        let what = format!("a string of {n} bytes, the limit is {STRING_LIMIT}");
        return Err(Fault::new(field, what).at(at));
    }
    let start = out.len();
    file.append(field, n, out)?;
    match std::str::from_utf8(&out[start..]) {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::new(field, "a string is not UTF-8").at(at)),
    }
}

pub(crate) fn write_string(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(text.as_bytes())
}

fn unknown_type(key: &str, id: u32) -> Fault {
    Fault::new(shown(key), format!("unknown value type {id}"))
}
