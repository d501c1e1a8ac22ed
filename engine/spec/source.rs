//! The text of one document and the places in it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{MAX_BYTES, MAX_LINE};
use crate::base::{Place, Problem, Problems};

/// A stretch of one line. Line and column count characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub line: usize,
    pub column: usize,
    pub width: usize,
}

/// Lines longer than this are not quoted in messages.
const LONGEST_QUOTE: usize = 4096;

/// A document with the offsets of its lines.
#[derive(Debug)]
pub(crate) struct Source {
    pub file: PathBuf,
    pub text: String,
    /// Byte offset of the start of each line.
    starts: Vec<usize>,
    /// Command-line values have no lines worth naming.
    has_lines: bool,
}

impl Source {
    pub fn file(file: &Path, text: &str) -> Result<Self, Problems> {
        Self::new(file.to_owned(), text, true)
    }

    /// The value of an option; problems are placed at `option`, without a line.
    pub fn option(option: &str, text: &str) -> Result<Self, Problems> {
        Self::new(option.into(), text, false)
    }

    /// Checks sizes and refuses characters that hide or that readers take for different line
    /// breaks. A byte order mark at the start is left out.
    fn new(file: PathBuf, text: &str, has_lines: bool) -> Result<Self, Problems> {
        if text.len() > MAX_BYTES {
            return Err(too_large(&file, text.len() as u64).into());
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1))
            .collect();
        let source = Self { file, text: text.to_owned(), starts, has_lines };
        let lines = (1..=source.starts.len()).filter_map(|n| Some((n, source.line(n)?.len())));
        if let Some((line, length)) = lines.into_iter().find(|(_, length)| *length > MAX_LINE) {
            let what = format!("a line is at most {MAX_LINE} bytes, found {length}");
            let place = source.place("", Mark { line, column: 1, width: 1 });
            return Err(Problem::new("spec/limit", place, what).into());
        }
        match text
            .char_indices()
            .find(|(i, c)| is_refused(*c, text[i + c.len_utf8()..].starts_with('\n')))
        {
            None => Ok(source),
            Some((offset, c)) => {
                let what = format!("the character U+{:04X} is not allowed in a spec", u32::from(c));
                let place = source.place("", source.mark_at(offset));
                let hint = "inside quotes, write it as an escape such as `\\u0007`";
                Err(Problem::new("spec/yaml", place, what).hint(hint).into())
            }
        }
    }

    fn mark_at(&self, offset: usize) -> Mark {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        Mark { line, column: self.text[start..offset].chars().count() + 1, width: 1 }
    }

    pub fn place(&self, pointer: &str, mark: Mark) -> Place {
        let place = Place {
            file: self.file.clone(),
            pointer: pointer.into(),
            width: 1,
            ..Place::default()
        };
        if !self.has_lines {
            return place;
        }
        let source = self.line(mark.line).filter(|l| l.len() <= LONGEST_QUOTE).map(str::to_owned);
        Place {
            line: Some(mark.line),
            column: Some(mark.column),
            width: mark.width.max(1),
            source,
            ..place
        }
    }

    /// The text of line `number`, counted from 1, without its break.
    pub fn line(&self, number: usize) -> Option<&str> {
        let start = *self.starts.get(number.checked_sub(1)?)?;
        let end = self.starts.get(number).map_or(self.text.len(), |next| next - 1);
        Some(self.text[start..end].trim_end_matches('\r'))
    }
}

/// Control characters, and the line breaks that only some YAML versions know.
fn is_refused(c: char, before_newline: bool) -> bool {
    match c {
        '\n' | '\t' => false,
        '\r' => !before_newline,
        '\u{2028}' | '\u{2029}' | '\u{feff}' => true,
        c => c.is_control(),
    }
}

fn too_large(file: &Path, found: u64) -> Problem {
    let what = format!("a spec is at most {MAX_BYTES} bytes (1 MiB), found {found}");
    Problem::new("spec/limit", file_place(file), what)
}

fn file_place(file: &Path) -> Place {
    Place { file: file.to_owned(), width: 1, ..Place::default() }
}

/// Reads a spec file, never more than the limit of 1 MiB of it.
///
/// # Errors
/// One problem: the file cannot be read, is too large, or is not UTF-8.
pub fn read(file: &Path) -> Result<String, Problems> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|f| f.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    if let Err(why) = read {
        let what = format!("the spec cannot be read: {}", why.to_string().to_lowercase());
        return Err(Problem::new("spec/unreadable", file_place(file), what).into());
    }
    if bytes.len() > MAX_BYTES {
        let size = std::fs::metadata(file).map_or(0, |m| m.len()).max(bytes.len() as u64);
        return Err(too_large(file, size).into());
    }
    decode(bytes, file)
}

/// The text of `bytes`.
///
/// # Errors
/// One problem with the line of the first byte that is not UTF-8.
pub fn decode(bytes: Vec<u8>, file: &Path) -> Result<String, Problems> {
    if bytes.len() > MAX_BYTES {
        return Err(too_large(file, bytes.len() as u64).into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|b| *b == b'\n').count();
        let last_line = valid.rsplit(|b| *b == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(last_line).chars().count() + 1;
        let place = Place { line: Some(line), column: Some(column), ..file_place(file) };
        let byte = error.as_bytes()[valid.len()];
        Problem::new(
            "spec/yaml",
            place,
            format!("a spec is UTF-8 text, found the byte 0x{byte:02X}"),
        )
        .hint("save the file as UTF-8")
        .into()
    })
}
