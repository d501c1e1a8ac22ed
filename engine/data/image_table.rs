//! Pictures listed in a table: CSV with a header, or JSON lines. The only door to the csv package.
//!
//! Paths are relative to the table's folder and stay below it. Rows of one picture are one item
//! with all their captions.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::image_folder::inner_name;
use super::images::{ImageColumns, ImagesError, Listing, MAX_ITEMS, Row};
use crate::base::Digest;
use crate::base::text::inert;

/// Largest table.
const LIMIT: u64 = 1 << 30;

/// A row by names of columns, with the line it begins on.
type Cells = (u64, Map<String, Value>);

pub(super) fn list_table(
    path: &Path,
    split: Option<&str>,
    columns: &ImageColumns,
) -> Result<Listing, ImagesError> {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    let parse = match suffix {
        Some("csv") => csv_rows,
        Some("jsonl") => json_rows,
        _ => return Err(ImagesError::Kind { path: path.display().to_string() }),
    };
    let bytes = read_bounded(path)?;
    let rows = parse(path, &bytes)?;
    let mut listing = Listing { table: Some(Digest::of_bytes(&bytes)), ..Listing::default() };
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut splits = BTreeSet::new();
    for (line, cells) in &rows {
        let table = Table { path, columns, line: *line, cells };
        let label = table.label()?;
        listing.labels.extend(label.clone());
        if let Some(wanted) = split {
            let found = table.needed(&columns.split)?;
            if found != wanted {
                splits.insert(found);
                continue;
            }
        }
        let image = table.needed(&columns.image)?;
        let Some(name) = inner_name(&image) else {
            let what = format!("has the path `{}`, which leaves the table's folder", inert(&image));
            return Err(table.fault(what));
        };
        let captions = table.captions()?;
        if let Some(&place) = places.get(&name) {
            let known: &mut Row = &mut listing.rows[place];
            if known.label != label {
                let what = format!("gives `{}` another label than a row before", inert(&name));
                return Err(table.fault(what));
            }
            known.captions.extend(captions);
        } else {
            places.insert(name.clone(), listing.rows.len());
            let path = path.parent().unwrap_or(Path::new("")).join(&name);
            listing.rows.push(Row { name, path, label, captions });
        }
        if listing.rows.len() > MAX_ITEMS {
            return Err(ImagesError::Many { path: path.display().to_string() });
        }
    }
    if let (Some(split), true, false) = (split, listing.rows.is_empty(), splits.is_empty()) {
        let found: Vec<String> =
            splits.iter().take(10).map(|name| format!("`{}`", inert(name))).collect();
        let path = path.display().to_string();
        return Err(ImagesError::Split { path, split: inert(split), found: found.join(", ") });
    }
    Ok(listing)
}

/// One row of a table, and what is asked of it.
struct Table<'a> {
    path: &'a Path,
    columns: &'a ImageColumns,
    line: u64,
    cells: &'a Map<String, Value>,
}

impl Table<'_> {
    fn fault(&self, what: String) -> ImagesError {
        ImagesError::Row { path: self.path.display().to_string(), line: self.line, what }
    }

    fn missing(&self, column: &str) -> ImagesError {
        let found: Vec<String> =
            self.cells.keys().take(10).map(|name| format!("`{}`", inert(name))).collect();
        ImagesError::Column {
            path: format!("{}:{}", self.path.display(), self.line),
            column: inert(column),
            found: if found.is_empty() { "none".into() } else { found.join(", ") },
        }
    }

    /// A text, or a whole number as text. An empty text is as good as none.
    fn text(&self, column: &str) -> Result<Option<String>, ImagesError> {
        match self.cells.get(column) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
            Some(_) => {
                Err(self.fault(format!("has neither text nor whole number in `{}`", inert(column))))
            }
        }
    }

    fn needed(&self, column: &str) -> Result<String, ImagesError> {
        match (self.text(column)?, self.cells.contains_key(column)) {
            (Some(text), _) => Ok(text),
            (None, true) => Err(self.fault(format!("has nothing in `{}`", inert(column)))),
            (None, false) => Err(self.missing(column)),
        }
    }

    fn label(&self) -> Result<Option<String>, ImagesError> {
        match &self.columns.label {
            Some(column) => self.needed(column).map(Some),
            None => self.text("label"),
        }
    }

    fn captions(&self) -> Result<Vec<String>, ImagesError> {
        let column = self.columns.caption.as_deref().unwrap_or("caption");
        if let Some(Value::Array(captions)) = self.cells.get(column) {
            let texts = captions.iter().map(|caption| caption.as_str().map(str::to_owned));
            let texts: Option<Vec<String>> = texts.collect();
            return texts.ok_or_else(|| {
                self.fault(format!("has other things than texts in `{}`", inert(column)))
            });
        }
        match &self.columns.caption {
            Some(column) => self.needed(column).map(|caption| vec![caption]),
            None => Ok(self.text(column)?.into_iter().collect()),
        }
    }
}

fn csv_rows(path: &Path, bytes: &[u8]) -> Result<Vec<Cells>, ImagesError> {
    let shown = || path.display().to_string();
    let failed = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        let what = format!("is no sound row: {}", inert(&error.to_string()));
        ImagesError::Row { path: shown(), line, what }
    };
    let mut reader = csv::Reader::from_reader(bytes);
    let headers = reader.headers().map_err(failed)?.clone();
    let mut known = BTreeSet::new();
    if let Some(twice) = headers.iter().find(|name| !known.insert(*name)) {
        let what = format!("names column `{}` twice", inert(twice));
        return Err(ImagesError::Row { path: shown(), line: 1, what });
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let line = record.position().map_or(0, csv::Position::line);
        let cells = headers.iter().zip(&record);
        let cells = cells.map(|(name, cell)| (name.to_owned(), Value::String(cell.to_owned())));
        rows.push((line, cells.collect()));
    }
    Ok(rows)
}

fn json_rows(path: &Path, bytes: &[u8]) -> Result<Vec<Cells>, ImagesError> {
    let mut rows = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let number = index as u64 + 1;
        let cells = serde_json::from_slice(line).map_err(|error| ImagesError::Row {
            path: path.display().to_string(),
            line: number,
            what: format!("is not a JSON object: {error}"),
        })?;
        rows.push((number, cells));
    }
    Ok(rows)
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, ImagesError> {
    let failed = |source| ImagesError::Read { path: path.display().to_string(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > LIMIT {
        true => Err(ImagesError::TooLarge { path: path.display().to_string() }),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::super::images::tests::{names, tree};
    use super::super::images::{Images, Look};
    use super::super::picture::tests::png;
    use super::*;

    /// Lists a table with this name and content beside a picture `p/a.png`.
    fn list(
        name: &str,
        content: &[u8],
        split: Option<&str>,
        columns: &ImageColumns,
    ) -> Result<Images, String> {
        let red = png(2, 2, [255, 0, 0]);
        let root = tree(&[(name, content), ("p/a.png", &red), ("p/b.png", &red)]);
        let listed = Images::list(&root.join(name), split, columns, Look::Bytes);
        fs::remove_dir_all(&root).unwrap();
        listed.map_err(|error| error.to_string())
    }

    #[test]
    fn rows_of_both_kinds_give_the_same_items() {
        let csv = "image,label,split,caption\n\
                   p/b.png,dog,train,\"a dog, brown\"\n\
                   ./p/a.png,cat,heldout,a cat\n\
                   p/a.png,cat,heldout,\"the \"\"cat\"\"\"\n";
        let jsonl = concat!(
            r#"{"image": "p/b.png", "label": "dog", "split": "train", "caption": "a dog, brown"}"#,
            "\n\n",
            r#"{"image": "p/a.png", "label": "cat", "split": "heldout", "#,
            r#""caption": ["a cat", "the \"cat\""]}"#
        );
        let columns = ImageColumns::default();
        for (name, text) in [("t.csv", csv), ("t.jsonl", jsonl)] {
            let all = list(name, text.as_bytes(), None, &columns).unwrap();
            assert_eq!(names(&all), ["p/b.png", "p/a.png"], "{name}");
            assert_eq!(all.items[0].captions, ["a dog, brown"]);
            assert_eq!(all.items[1].captions, ["a cat", "the \"cat\""]);
            let held = list(name, text.as_bytes(), Some("heldout"), &columns).unwrap();
            assert_eq!((names(&held), held.items[0].label), (vec!["p/a.png"], Some(0)), "{name}");
            assert_eq!((held.labels.len(), held.empty_labels.as_slice()), (2, &["dog".into()][..]));
            let told = list(name, text.as_bytes(), Some("test"), &columns).unwrap_err();
            assert!(told.contains("no split `test`; found: `heldout`, `train`"), "{told}");
        }
        let numbers =
            "{\"image\": \"p/a.png\", \"label\": 10}\n{\"image\": \"p/b.png\", \"label\": 9}";
        assert_eq!(
            list("t.jsonl", numbers.as_bytes(), None, &columns).unwrap().labels,
            ["9", "10"]
        );
    }

    #[test]
    fn files_that_are_not_there_are_named_and_other_columns_can_be_named() {
        let columns = ImageColumns {
            image: "file".into(),
            label: Some("class".into()),
            caption: Some("text".into()),
            split: "part".into(),
        };
        let csv = "file,class,text\np/a.png,x,one\np/none.png,y,two\np,z,three\n";
        let listed = list("t.csv", csv.as_bytes(), None, &columns).unwrap();
        assert_eq!(names(&listed), ["p/a.png"]);
        let out: Vec<_> = listed.excluded.iter().map(|out| out.name.as_str()).collect();
        assert_eq!(out, ["p/none.png", "p"]);
        assert!(listed.excluded[0].why.contains("cannot be read"));
        assert_eq!(listed.excluded[1].why, "is no file");
        let told = list("t.csv", b"file,class\np/a.png,x\n", None, &columns).unwrap_err();
        assert!(told.contains("t.csv:2` has no column `text`; found: `file`, `class`"), "{told}");
    }

    #[test]
    fn bad_rows_are_told_with_their_line() {
        let columns = ImageColumns::default();
        let cases: &[(&str, &str, &str)] = &[
            ("a.csv", "", "holds no pictures"),
            ("a.csv", "image\n", "holds no pictures"),
            ("a.csv", "path\np/a.png\n", "no column `image`"),
            ("a.csv", "image,image\na,b\n", "names column `image` twice"),
            ("a.csv", "image,label\np/a.png\n", ":2` is no sound row"),
            ("a.csv", "image,label\n,x\n", ":2` has nothing in `image`"),
            ("a.csv", "image\n../../secret.png\n", ":2` has the path"),
            ("a.csv", "image\n/etc/passwd\n", "leaves the table's folder"),
            ("a.csv", "image,label\np/a.png,x\np/a.png,y\n", ":3` gives `p/a.png` another label"),
            ("a.jsonl", "[1]", ":1` is not a JSON object"),
            ("a.jsonl", "{\"image\": 1.5}", "neither text nor whole number"),
            ("a.jsonl", "{\"image\": \"p/a.png\", \"caption\": [1]}", "other things than texts"),
            ("a.txt", "p/a.png", "expected a folder, .csv or .jsonl"),
        ];
        for (name, text, part) in cases {
            let told = list(name, text.as_bytes(), None, &columns).unwrap_err();
            assert!(told.contains(part), "{name} {text:?}: {told}");
        }
        let told = list("a.csv", b"image\n\xff\xfe.png\n", None, &columns).unwrap_err();
        assert!(told.contains(":2` is no sound row"), "{told}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_rows_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let path = Path::new("t");
            for rows in [csv_rows(path, &bytes), json_rows(path, &bytes)].into_iter().flatten() {
                prop_assert!(rows.len() <= bytes.len());
            }
        }
    }
}
