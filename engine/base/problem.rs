//! A mistake in an input, with the place it was made and the way out.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Where in an input a problem sits. Line and column count from 1; column counts characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file as the user named it, or `--set path=value` for an override on the command line.
    pub file: PathBuf,
    /// JSON pointer into the document, `""` for the document itself.
    pub pointer: String,
    pub line: Option<usize>,
    pub column: Option<usize>,
    /// Number of characters the caret line underlines, at least 1.
    pub width: usize,
    /// The text of the line, without its line break.
    pub source: Option<String>,
}

/// One mistake: what is wrong, where, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable id such as `spec/unknown-key`, for editors and searches.
    pub code: &'static str,
    pub at: Place,
    /// Lowercase, no final period, names in backticks.
    pub what: String,
    /// Shown beside the caret, e.g. "did you mean `new_tokens`?".
    pub hint: Option<String>,
    /// Further lines such as `allowed: a, b, c`.
    pub notes: Vec<String>,
}

impl Problem {
    pub fn new(code: &'static str, at: Place, what: impl Into<String>) -> Self {
        Self { code, at, what: what.into(), hint: None, notes: Vec::new() }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// All problems of one document, never empty when returned as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}: {}", p.code, p.what)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(p: Problem) -> Self {
        Self(vec![p])
    }
}

/// The message of an error with those of all its sources that it does not repeat already.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}
