//! YAML text to a JSON value. The only door to `serde_yaml`.
//!
//! `serde_yaml` is archived and reads more than the spec language has (`0x1F`, `~`, aliases). So
//! [`super::tree`] reads the text first and refuses what is outside the language, and afterwards
//! both readers must agree on every key and every scalar. Where they do not, the text is refused.

use serde_json::Value;

use super::locate::below;
use super::scalar;
use super::source::{Mark, Source};
use super::tree::{Kind, Node};
use crate::base::{Problem, Problems};

/// The value of a document that [`super::tree::read`] accepted as `root`.
///
/// # Errors
/// One problem, at the first place where the two readers disagree.
pub(crate) fn value(source: &Source, root: &Node) -> Result<Value, Problems> {
    let value: Value = serde_yaml::from_str(&source.text).map_err(|error| {
        let mark = error.location().map_or(root.mark, |at| Mark {
            line: at.line(),
            column: at.column(),
            width: 1,
        });
        disagreement(source, "", mark)
    })?;
    match first_difference(root, &value, "") {
        None => Ok(value),
        Some((pointer, mark)) => Err(disagreement(source, &pointer, mark).into()),
    }
}

fn disagreement(source: &Source, pointer: &str, mark: Mark) -> Problem {
    let what = "two YAML readers do not agree on what this means";
    Problem::new("spec/ambiguous", source.place(pointer, mark), what)
        .hint("put text in quotes, or write it on one line")
}

fn first_difference(node: &Node, value: &Value, pointer: &str) -> Option<(String, Mark)> {
    let here = || Some((pointer.to_owned(), node.mark));
    match (&node.kind, value) {
        (Kind::Scalar { text, plain }, value) => match scalar::resolve(text, *plain) {
            Ok(meant) if meant == *value => None,
            _ => here(),
        },
        (Kind::List { items, .. }, Value::Array(values)) if items.len() == values.len() => items
            .iter()
            .zip(values)
            .enumerate()
            .find_map(|(i, (node, value))| first_difference(node, value, &below(pointer, i))),
        (Kind::Map { entries, .. }, Value::Object(map)) if entries.len() == map.len() => {
            entries.iter().zip(map).find_map(|((name, entry), (key, value))| {
                let pointer = below(pointer, name);
                if name == key {
                    first_difference(&entry.value, value, &pointer)
                } else {
                    Some((pointer, entry.key))
                }
            })
        }
        _ => here(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::spec::tree;

    fn read(text: &str) -> Result<Value, Problems> {
        let source = Source::file(Path::new("t.yaml"), text)?;
        let root = tree::read(&source)?;
        value(&source, &root)
    }

    #[test]
    fn both_readers_agree_on_ordinary_yaml() {
        let text = "\u{feff}a: {b: [1, -2.5, 1e3], 'c': null, d: }\ne: |\n  two\n  lines\nf: >-\n  folded\n  text\n\
                    g: \"q\\u00fc\\n\"\nh: plain text # comment\ni: 'it''s'\n1: key\ntrue: key\nno: on\n? j\n: k\n";
        let expected = json!({
            "a": {"b": [1, -2.5, 1000.0], "c": null, "d": null},
            "e": "two\nlines\n", "f": "folded text", "g": "qü\n", "h": "plain text",
            "i": "it's", "1": "key", "true": "key", "no": "on", "j": "k",
        });
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read("text").unwrap(), json!("text"));
        assert_eq!(read("--- {a: 1}\r\n...\r\n").unwrap(), json!({"a": 1}));
    }

    #[test]
    fn a_difference_between_the_readers_is_found_at_every_depth() {
        let source = Source::file(Path::new("t.yaml"), "a: [1, {b: no, c: 'x'}]").unwrap();
        let root = tree::read(&source).unwrap();
        let same = json!({"a": [1, {"b": "no", "c": "x"}]});
        assert_eq!(first_difference(&root, &same, ""), None);
        for (other, pointer) in [
            (json!({"a": [1, {"b": false, "c": "x"}]}), "/a/1/b"),
            (json!({"a": [1.0, {"b": "no", "c": "x"}]}), "/a/0"),
            (json!({"a": [1, {"c": "x", "b": "no"}]}), "/a/1/b"),
            (json!({"a": [1]}), "/a"),
            (json!([]), ""),
        ] {
            assert_eq!(first_difference(&root, &other, "").unwrap().0, pointer, "{other}");
        }
    }
}
