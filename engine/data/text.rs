//! Texts: JSON lines with a text field, or a plain text file as one document.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde_json::Value;

use super::split::listed;
use crate::base::Digest;
use crate::base::text::inert;

/// Largest data file that is read: held-out text is small, and an accident should not fill memory.
const LIMIT: u64 = 1 << 30;

/// The field that names the split a line belongs to.
const SPLIT: &str = "split";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The line's `id` field, or its line number.
    pub id: String,
    pub text: String,
    /// What belongs to it, where that was asked for.
    pub pairs: Vec<String>,
}

/// Which texts of a file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextChoice<'a> {
    /// The field of each JSON line that holds the text.
    pub field: &'a str,
    /// The field that holds what belongs to it: one text or a list of them.
    pub pair: Option<&'a str>,
    /// Only lines with this word in their field `split`.
    pub split: Option<&'a str>,
    /// The first so many, or so many chosen with `seed`.
    pub take: Option<u64>,
    pub seed: Option<u64>,
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
    #[error("`{path}` has no split `{split}`; found: {found}")]
    Split { path: PathBuf, split: String, found: String },
    #[error("`{path}` is one document; fields such as `{field}` need .jsonl")]
    Plain { path: PathBuf, field: String },
    #[error("`{path}` is not UTF-8 text (byte {at})")]
    Encoding { path: PathBuf, at: usize },
    #[error("`{path}` holds no documents")]
    Empty { path: PathBuf },
    #[error("`{path}` is of a kind the engine does not read; expected .jsonl or .txt")]
    Kind { path: PathBuf },
}

impl Texts {
    /// Reads `path` as [`Texts::choose`] does, without pairs and splits.
    pub fn read(
        path: &Path,
        field: &str,
        take: Option<u64>,
        seed: Option<u64>,
    ) -> Result<Self, DataError> {
        Self::choose(path, &TextChoice { field, pair: None, split: None, take, seed })
    }

    /// Reads `path`: `.jsonl` with one object per line, or `.txt` as a single document.
    pub fn choose(path: &Path, choice: &TextChoice<'_>) -> Result<Self, DataError> {
        let TextChoice { take, seed, .. } = *choice;
        let bytes = read_bounded(path)?;
        let digest = Digest::of_bytes(&bytes);
        let text = String::from_utf8(bytes).map_err(|error| DataError::Encoding {
            path: path.to_owned(),
            at: error.utf8_error().valid_up_to(),
        })?;
        let mut documents = match path.extension().and_then(|e| e.to_str()) {
            Some("jsonl") => parse_lines(path, &text, choice)?,
            Some("txt") => {
                if let Some(field) = choice.pair.or(choice.split.map(|_| SPLIT)) {
                    return Err(DataError::Plain { path: path.to_owned(), field: field.into() });
                }
                vec![Document { id: "1".into(), text, pairs: Vec::new() }]
            }
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

fn parse_lines(
    path: &Path,
    text: &str,
    choice: &TextChoice<'_>,
) -> Result<Vec<Document>, DataError> {
    let mut documents = Vec::new();
    let mut splits = BTreeSet::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let fault = |why: String| DataError::Line { path: path.to_owned(), line: number, why };
        let value: Value = serde_json::from_str(line).map_err(|e| fault(e.to_string()))?;
        let object = value.as_object().ok_or_else(|| fault("it is another JSON value".into()))?;
        let missing = |field: &str| {
            let found: Vec<_> = object.keys().take(10).map(|k| format!("`{k}`")).collect();
            DataError::Field {
                path: path.to_owned(),
                line: number,
                field: field.into(),
                found: if found.is_empty() { "none".into() } else { found.join(", ") },
            }
        };
        let string =
            |field: &str| object.get(field).and_then(Value::as_str).ok_or_else(|| missing(field));
        if let Some(wanted) = choice.split {
            let found = string(SPLIT)?;
            if found != wanted {
                splits.insert(found.to_owned());
                continue;
            }
        }
        let text = string(choice.field)?;
        let pairs = match choice.pair {
            Some(field) => pairs(object.get(field)).ok_or_else(|| missing(field))?,
            None => Vec::new(),
        };
        let id = match object.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => number.to_string(),
        };
        documents.push(Document { id, text: text.to_owned(), pairs });
    }
    match choice.split {
        Some(split) if documents.is_empty() && !splits.is_empty() => Err(DataError::Split {
            path: path.to_owned(),
            split: inert(split),
            found: listed(splits.iter().map(String::as_str)),
        }),
        _ => Ok(documents),
    }
}

/// One text or a list of texts; none of them blank.
fn pairs(value: Option<&Value>) -> Option<Vec<String>> {
    let texts = match value? {
        Value::Array(texts) => texts.as_slice(),
        one => std::slice::from_ref(one),
    };
    let said = |text: &Value| text.as_str().filter(|t| !t.trim().is_empty()).map(str::to_owned);
    texts.iter().map(said).collect::<Option<Vec<_>>>().filter(|texts| !texts.is_empty())
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
    fn lines_have_splits_and_pairs() {
        let path = file(
            "split.jsonl",
            b"{\"text\":\"one\",\"split\":\"calib\",\"to\":\"1\"}\n{\"text\":\"two\",\"split\":\"heldout\",\"to\":[\"2\",\"zwei\"]}\n{\"text\":\"three\",\"split\":\"calib\",\"to\":\" \"}\n",
        );
        let choice = TextChoice { field: "text", pair: None, split: None, take: None, seed: None };
        let of = |choice: TextChoice<'_>| Texts::choose(&path, &choice);
        let calib = of(TextChoice { split: Some("calib"), ..choice }).unwrap();
        let texts: Vec<&str> = calib.documents.iter().map(|d| d.text.as_str()).collect();
        assert_eq!(texts, ["one", "three"]);
        let paired = TextChoice { split: Some("heldout"), pair: Some("to"), ..choice };
        assert_eq!(of(paired).unwrap().documents[0].pairs, ["2", "zwei"]);
        let told = |choice| of(choice).unwrap_err().to_string();
        let text = told(TextChoice { split: Some("test"), ..choice });
        assert!(text.contains("no split `test`; found: `calib`, `heldout`"), "{text}");
        let text = told(TextChoice { pair: Some("to"), ..choice });
        assert!(text.contains("split.jsonl:3` has no text field `to`"), "{text}");
        let plain = file("split.txt", b"words");
        let told = Texts::choose(&plain, &TextChoice { split: Some("calib"), ..choice });
        assert!(told.unwrap_err().to_string().contains("`split` need .jsonl"));
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
