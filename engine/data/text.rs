//! Texts: JSON lines with a text field, or a plain text file as one document.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde_json::Value;

use crate::base::Digest;

/// Largest data file that is read: held-out text is small, and an accident should not fill memory.
const LIMIT: u64 = 1 << 30;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The line's `id` field, or its line number.
    pub id: String,
    pub text: String,
}

/// The documents of one file, in file order or in the order of a seeded choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    pub documents: Vec<Document>,
    /// Digest of the whole file, whatever part of it is used.
    pub digest: Digest,
}

#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("cannot read data file `{path}`: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("data file `{path}` is larger than 1 GiB")]
    TooLarge { path: PathBuf },
    #[error("`{path}:{line}` is not a JSON object: {why}")]
    Line { path: PathBuf, line: usize, why: String },
    #[error("`{path}:{line}` has no text field `{field}`; fields found: {found}")]
    Field { path: PathBuf, line: usize, field: String, found: String },
    #[error("`{path}` is not UTF-8 text (byte {at})")]
    Encoding { path: PathBuf, at: usize },
    #[error("`{path}` holds no documents")]
    Empty { path: PathBuf },
    #[error("`{path}` is of a kind the engine does not read; expected .jsonl or .txt")]
    Kind { path: PathBuf },
}

impl Texts {
    /// Reads `path`: `.jsonl` with one object per line whose `field` is the text, or `.txt` as a
    /// single document. `take` keeps the first so many, or so many chosen with `seed`.
    pub fn read(
        path: &Path,
        field: &str,
        take: Option<u64>,
        seed: Option<u64>,
    ) -> Result<Self, DataError> {
        let bytes = read_bounded(path)?;
        let digest = Digest::of_bytes(&bytes);
        let text = String::from_utf8(bytes).map_err(|error| DataError::Encoding {
            path: path.to_owned(),
            at: error.utf8_error().valid_up_to(),
        })?;
        let mut documents = match path.extension().and_then(|e| e.to_str()) {
            Some("jsonl") => parse_lines(path, &text, field)?,
            Some("txt") => vec![Document { id: "1".into(), text }],
            _ => return Err(DataError::Kind { path: path.to_owned() }),
        };
        documents.retain(|document| !document.text.trim().is_empty());
        if documents.is_empty() {
            return Err(DataError::Empty { path: path.to_owned() });
        }
        if let Some(seed) = seed {
            documents.shuffle(&mut Pcg64::seed_from_u64(seed));
        }
        if let Some(take) = take {
            documents.truncate(take as usize);
        }
        Ok(Self { documents, digest })
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, DataError> {
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LIMIT {
        return Err(DataError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

fn parse_lines(path: &Path, text: &str, field: &str) -> Result<Vec<Document>, DataError> {
    let mut documents = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let fault = |why: String| DataError::Line { path: path.to_owned(), line: number, why };
        let value: Value = serde_json::from_str(line).map_err(|e| fault(e.to_string()))?;
        let object = value.as_object().ok_or_else(|| fault("it is another JSON value".into()))?;
        let Some(text) = object.get(field).and_then(Value::as_str) else {
            let found: Vec<_> = object.keys().take(10).map(|k| format!("`{k}`")).collect();
            return Err(DataError::Field {
                path: path.to_owned(),
                line: number,
                field: field.into(),
                found: if found.is_empty() { "none".into() } else { found.join(", ") },
            });
        };
        let id = match object.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => number.to_string(),
        };
        documents.push(Document { id, text: text.to_owned() });
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("engine-data-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn lines_become_documents_and_blank_texts_are_left_out() {
        let path = file(
            "a.jsonl",
            b"{\"text\":\"one\",\"id\":\"x\"}\n\n{\"text\":\" \"}\n{\"text\":\"two\"}\n",
        );
        let texts = Texts::read(&path, "text", None, None).unwrap();
        let ids: Vec<_> =
            texts.documents.iter().map(|d| (d.id.as_str(), d.text.as_str())).collect();
        assert_eq!(ids, [("x", "one"), ("4", "two")]);
    }

    #[test]
    fn a_seeded_choice_is_the_same_twice_and_differs_from_the_head() {
        let lines: Vec<String> = (0..100).map(|i| format!("{{\"text\":\"{i}\"}}")).collect();
        let path = file("b.jsonl", lines.join("\n").as_bytes());
        let first = Texts::read(&path, "text", Some(10), Some(7)).unwrap();
        assert_eq!(first, Texts::read(&path, "text", Some(10), Some(7)).unwrap());
        assert_ne!(first.documents, Texts::read(&path, "text", Some(10), None).unwrap().documents);
    }

    #[test]
    fn a_wrong_field_names_line_and_fields() {
        let path = file("c.jsonl", b"{\"text\":\"one\"}\n{\"story\":\"two\"}\n");
        let error = Texts::read(&path, "text", None, None).unwrap_err().to_string();
        assert!(error.contains("c.jsonl:2") && error.contains("`story`"), "{error}");
    }

    #[test]
    fn broken_files_are_errors_not_panics() {
        for (name, content) in [
            ("d.jsonl", &b"[1,2]\n"[..]),
            ("e.jsonl", b"{\"text\":"),
            ("f.txt", b"\xff\xfe"),
            ("g.jsonl", b""),
            ("h.csv", b"a,b"),
        ] {
            assert!(Texts::read(&file(name, content), "text", None, None).is_err(), "{name}");
        }
    }
}
