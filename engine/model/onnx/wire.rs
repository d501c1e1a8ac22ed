//! Walking over the wire format: every length is compared with what is there before a byte of it
//! is kept, and large weights are stepped over.
//!
//! What is left is a message without its large weights, small enough to be decoded as a whole,
//! and the places where the weights lie. Fields that `onnx.proto` does not have are stepped over
//! too, as protobuf readers do.

use std::io::{BufReader, Read, Seek};

use super::schema::{GRAPH, Holds, MODEL, MOST_FIELDS, Message, TENSOR};
use crate::model::{Fault, shown};

/// Messages of protobuf are shorter than this, by its own rules.
const MESSAGE_LIMIT: u64 = i32::MAX as u64;

/// What one graph may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of the file that are no large weights.
    pub kept: u64,
    /// Bytes that the decoded message takes in memory.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { kept: 256 << 20, memory: 1 << 30 }
    }
}

/// How deep messages may be nested; a graph in a node in a graph is three levels.
const DEPTH_LIMIT: usize = 64;

/// Weights of more bytes stay in the file.
pub(super) const INLINE: u64 = 1024;

/// Fields of which the first one too is told with its number.
const REPEATED: &[&str] = &[
    "attribute",
    "functions",
    "initializer",
    "input",
    "node",
    "opset_import",
    "output",
    "sparse_initializer",
    "value_info",
];

/// A model's message without its large weights.
pub(super) struct Slim {
    pub bytes: Vec<u8>,
    pub cuts: Vec<Cut>,
}

/// Weights that were left out of an initializer of the main graph.
pub(super) struct Cut {
    /// Counted from 0.
    pub initializer: usize,
    /// `raw_data`, `float_data` or `double_data`; all are little-endian elements in a row.
    pub field: &'static str,
    pub offset: u64,
    pub bytes: u64,
}

/// Walks over the whole of `reader`, which holds `len` bytes.
pub(super) fn walk<R: Read + Seek>(reader: R, len: u64, limits: Limits) -> Result<Slim, Fault> {
    if len > MESSAGE_LIMIT {
        let what = format!(
            "{len} bytes, and a protobuf message has at most {MESSAGE_LIMIT}: larger models keep \
             their weights in data files"
        );
        return Err(Fault::new("model", what));
    }
    let mut walker = Walker {
        input: BufReader::with_capacity(1 << 16, reader),
        at: 0,
        out: Vec::new(),
        left: limits,
        limits,
        path: Vec::new(),
        cuts: Vec::new(),
        initializers: 0,
    };
    walker.message(&MODEL, len)?;
    Ok(Slim { bytes: walker.out, cuts: walker.cuts })
}

struct Walker<R> {
    input: BufReader<R>,
    /// Offset of the next byte.
    at: u64,
    out: Vec<u8>,
    limits: Limits,
    /// What of the limits is left.
    left: Limits,
    /// Where the walk is: fields from the outermost message to the innermost field.
    path: Vec<Step>,
    cuts: Vec<Cut>,
    /// Initializers of the main graph that have begun.
    initializers: usize,
}

/// A field that the walk is in.
struct Step {
    field: &'static str,
    /// How many fields of this number came before it in its message.
    index: u32,
    /// What it holds, when that is a message.
    shape: Option<&'static Message>,
    /// Where in `out` its name stands, once that was read.
    name: Option<(usize, usize)>,
}

impl<R: Read + Seek> Walker<R> {
    fn message(&mut self, shape: &'static Message, end: u64) -> Result<(), Fault> {
        if self.path.len() > DEPTH_LIMIT {
            return Err(self.fault(format!("messages are nested deeper than {DEPTH_LIMIT}")));
        }
        self.remember(shape.size as u64)?;
        let mut seen = [0_u32; MOST_FIELDS];
        while self.at < end {
            let key = self.varint(end)?;
            let (number, wire) = (key >> 3, key & 7);
            if number == 0 || number >= 1 << 29 {
                return Err(self.fault(format!("{number} is not the number of a field")));
            }
            let Some(place) = shape.fields.iter().position(|field| field.0 == number) else {
                self.step_over(wire, end)?;
                continue;
            };
            let (_, field, holds) = shape.fields[place];
            let of = if let Holds::Message(shape) = holds { Some(shape) } else { None };
            self.path.push(Step { field, index: seen[place], shape: of, name: None });
            seen[place] += 1;
            self.field(key, field, holds, end)?;
            self.path.pop();
        }
        Ok(())
    }

    fn field(
        &mut self,
        key: u64,
        field: &'static str,
        holds: Holds,
        end: u64,
    ) -> Result<(), Fault> {
        use Holds::{Bytes, Doubles, Float, Floats, Int, Ints, Message, Text};
        match (holds, key & 7) {
            (Int | Ints, 0) => {
                let value = self.varint(end)?;
                self.remember(8)?;
                put_varint(&mut self.out, key);
                put_varint(&mut self.out, value);
                self.keep(2)
            }
            (Float | Floats, 5) => self.copy(key, None, 4, end),
            (Doubles, 1) => self.copy(key, None, 8, end),
            (Ints | Floats | Doubles | Text | Bytes, 2) => {
                let bytes = self.length(end)?;
                if bytes > INLINE && self.may_cut(field) {
                    let initializer = self.initializers - 1;
                    self.cuts.push(Cut { initializer, field, offset: self.at, bytes });
                    return self.skip(bytes);
                }
                self.copy(key, Some(bytes), bytes, end)?;
                self.check(field, holds, bytes as usize)
            }
            (Message(shape), 2) => {
                let bytes = self.length(end)?;
                if self.path.len() == 2
                    && std::ptr::eq(shape, &raw const TENSOR)
                    && self.in_main_graph()
                {
                    self.initializers += usize::from(field == "initializer");
                }
                put_varint(&mut self.out, key);
                // The length is known when the message is complete: room for 35 bits, filled then.
                let start = self.out.len();
                self.out.extend([0; 5]);
                self.keep(2)?;
                self.message(shape, self.at + bytes)?;
                let length = self.out.len() - start - 5;
                for (i, byte) in self.out[start..start + 5].iter_mut().enumerate() {
                    *byte = (length >> (7 * i)) as u8 & 0x7f | if i < 4 { 0x80 } else { 0 };
                }
                Ok(())
            }
            (_, wire) => Err(self.fault(format!("wire type {wire} does not belong to this field"))),
        }
    }

    fn in_main_graph(&self) -> bool {
        self.path[0].shape.is_some_and(|shape| std::ptr::eq(shape, &raw const GRAPH))
    }

    /// True in an initializer of the main graph, for the fields that hold elements as they are.
    fn may_cut(&self, field: &str) -> bool {
        self.path.len() == 3
            && self.path[1].field == "initializer"
            && self.in_main_graph()
            && matches!(field, "raw_data" | "float_data" | "double_data")
    }

    /// Looks at `bytes` bytes that were copied last.
    fn check(&mut self, field: &str, holds: Holds, bytes: usize) -> Result<(), Fault> {
        let start = self.out.len() - bytes;
        let content = &self.out[start..];
        match holds {
            Holds::Ints => {
                let count = content.iter().filter(|byte| **byte < 0x80).count();
                let whole = content.last().is_none_or(|byte| *byte < 0x80);
                let long = content.split(|byte| *byte < 0x80).any(|number| number.len() > 9);
                if !whole || long {
                    return Err(self.fault("is no row of whole numbers"));
                }
                self.remember(8 * count as u64)
            }
            Holds::Floats if !bytes.is_multiple_of(4) => Err(self.fault("is no row of whole f32")),
            Holds::Doubles if !bytes.is_multiple_of(8) => Err(self.fault("is no row of whole f64")),
            Holds::Text => {
                if std::str::from_utf8(content).is_err() {
                    return Err(self.fault("is not UTF-8"));
                }
                if field == "name"
                    && let [.., owner, _] = &mut self.path[..]
                {
                    owner.name = Some((start, bytes));
                }
                self.remember(24 + bytes as u64)
            }
            _ => self.remember(24 + bytes as u64),
        }
    }

    /// Copies a field with its key, and its length if it has one.
    fn copy(&mut self, key: u64, length: Option<u64>, bytes: u64, end: u64) -> Result<(), Fault> {
        if bytes > end - self.at {
            return Err(self.short(bytes, end));
        }
        self.keep(bytes)?;
        if length.is_none() {
            self.remember(bytes)?;
        }
        put_varint(&mut self.out, key);
        if let Some(length) = length {
            put_varint(&mut self.out, length);
        }
        let start = self.out.len();
        self.out.resize(start + bytes as usize, 0);
        if let Err(error) = self.input.read_exact(&mut self.out[start..]) {
            return Err(self.fault(format!("cannot be read: {error}")));
        }
        self.at += bytes;
        Ok(())
    }

    /// Steps over a field that is not known.
    fn step_over(&mut self, wire: u64, end: u64) -> Result<(), Fault> {
        let bytes = match wire {
            0 => return self.varint(end).map(drop),
            1 => 8,
            2 => self.length(end)?,
            5 => 4,
            other => return Err(self.fault(format!("wire type {other} is not used by ONNX"))),
        };
        if bytes > end - self.at {
            return Err(self.short(bytes, end));
        }
        self.skip(bytes)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Fault> {
        if let Err(error) = self.input.seek_relative(bytes as i64) {
            return Err(self.fault(format!("cannot be read: {error}")));
        }
        self.at += bytes;
        Ok(())
    }

    fn length(&mut self, end: u64) -> Result<u64, Fault> {
        let length = self.varint(end)?;
        if length > end - self.at { Err(self.short(length, end)) } else { Ok(length) }
    }

    fn varint(&mut self, end: u64) -> Result<u64, Fault> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            if self.at == end {
                return Err(self.fault("ends within a number"));
            }
            let mut byte = [0];
            if let Err(error) = self.input.read_exact(&mut byte) {
                return Err(self.fault(format!("cannot be read: {error}")));
            }
            self.at += 1;
            if shift == 63 && byte[0] > 1 {
                break;
            }
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(self.fault("a number has more than 64 bits"))
    }

    fn keep(&mut self, bytes: u64) -> Result<(), Fault> {
        match self.left.kept.checked_sub(bytes) {
            Some(left) => self.left.kept = left,
            None => {
                return Err(self.fault(format!(
                    "the graph has more than {} bytes beside the weights of its initializers",
                    self.limits.kept
                )));
            }
        }
        Ok(())
    }

    fn remember(&mut self, bytes: u64) -> Result<(), Fault> {
        if let Some(left) = self.left.memory.checked_sub(bytes) {
            self.left.memory = left;
        } else {
            let most = self.limits.memory;
            let what = format!("the graph would take more than {most} bytes of memory");
            return Err(self.fault(what));
        }
        Ok(())
    }

    fn short(&self, bytes: u64, end: u64) -> Fault {
        self.fault(format!("{bytes} bytes announced, {} remain", end - self.at))
    }

    /// A fault at the place of the walk.
    fn fault(&self, what: impl Into<String>) -> Fault {
        let mut place = String::new();
        for (depth, step) in self.path.iter().enumerate() {
            // The middle of a long way down says nothing.
            if depth == 6 && self.path.len() > 9 {
                place.push_str(", …");
            }
            if depth >= 6 && depth + 3 < self.path.len() {
                continue;
            }
            place.push_str(if depth == 0 { "" } else { ", " });
            place.push_str(step.field);
            if let Some((start, bytes)) = step.name {
                let name = String::from_utf8_lossy(&self.out[start..start + bytes]);
                place.push_str(&format!(" `{}`", shown(&name)));
            } else if step.index > 0 || REPEATED.contains(&step.field) {
                place.push_str(&format!(" {}", step.index));
            }
        }
        let field = if place.is_empty() { "model".to_owned() } else { place };
        Fault::new(field, what).at(self.at)
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
