//! From a JSON pointer back to the place where the user wrote the value.

use std::path::Path;
use std::sync::Arc;

use super::source::{Mark, Source};
use super::tree::{self, Kind, Node};
use crate::base::{Place, Problems};

/// Knows where each value of a spec was written: in its file, in a profile or on the command line.
#[derive(Debug, Clone)]
pub struct Locator {
    document: Arc<Document>,
    /// Values that replace those of the document, oldest first.
    overlays: Vec<Overlay>,
}

#[derive(Debug)]
pub(crate) struct Document {
    pub source: Source,
    pub root: Node,
}

#[derive(Debug, Clone)]
struct Overlay {
    pointer: String,
    place: Place,
}

/// What a pointer leads to in the document.
struct Found<'a> {
    /// The key that names the value; list items and the document itself have none.
    key: Option<Mark>,
    node: &'a Node,
}

impl Locator {
    /// # Errors
    /// Everything that makes `text` no document of the spec language; see [`tree::read`].
    pub(crate) fn read(text: &str, file: &Path) -> Result<Self, Problems> {
        let source = Source::file(file, text)?;
        let root = tree::read(&source)?;
        Ok(Self { document: Arc::new(Document { source, root }), overlays: Vec::new() })
    }

    pub(crate) fn document(&self) -> &Document {
        &self.document
    }

    /// From now on the value at `pointer` and all below it was written at `place`.
    pub(crate) fn overlay(&mut self, pointer: String, place: Place) {
        self.overlays.push(Overlay { pointer, place });
    }

    /// Where the value at `pointer` was written. A block map or list is shown at the key that
    /// names it; a value that was left out at the closest one around it.
    pub fn place(&self, pointer: &str) -> Place {
        self.overlaid(pointer).unwrap_or_else(|| {
            let Found { key, node } = self.find(pointer);
            let block =
                matches!(node.kind, Kind::Map { block: true, .. } | Kind::List { block: true, .. });
            let mark = key.filter(|_| block).unwrap_or(node.mark);
            self.document.source.place(pointer, mark)
        })
    }

    /// Where the key that names the value at `pointer` was written; the value itself when it has
    /// no key.
    pub fn place_of_key(&self, pointer: &str) -> Place {
        self.overlaid(pointer).unwrap_or_else(|| {
            let Found { key, node } = self.find(pointer);
            self.document.source.place(pointer, key.unwrap_or(node.mark))
        })
    }

    /// Was the value at `pointer` written by the user, or is it a default?
    pub(crate) fn is_written(&self, pointer: &str) -> bool {
        self.overlaid(pointer).is_some() || self.lookup(pointer).is_ok()
    }

    /// The plain text of a scalar as it stands in the document: `1.10`, not 1.1.
    pub(crate) fn written(&self, pointer: &str) -> Option<&str> {
        match &self.lookup(pointer).ok().filter(|_| self.overlaid(pointer).is_none())?.node.kind {
            Kind::Scalar { text, plain: true } => Some(text),
            _ => None,
        }
    }

    /// Pointers of keys and items after which the document has nothing at all, not even `null`.
    pub(crate) fn empty_values(&self) -> Vec<String> {
        fn visit(node: &Node, pointer: &str, out: &mut Vec<String>) {
            match &node.kind {
                Kind::Scalar { text, plain } => {
                    out.extend((text.is_empty() && *plain).then(|| pointer.to_owned()));
                }
                Kind::List { items, .. } => {
                    items.iter().enumerate().for_each(|(i, n)| visit(n, &below(pointer, i), out));
                }
                Kind::Map { entries, .. } => {
                    entries.iter().for_each(|(k, e)| visit(&e.value, &below(pointer, k), out));
                }
            }
        }
        let mut out = Vec::new();
        visit(&self.document.root, "", &mut out);
        out.retain(|pointer| self.overlaid(pointer).is_none());
        out
    }

    fn overlaid(&self, pointer: &str) -> Option<Place> {
        let covers = |o: &&Overlay| {
            pointer
                .strip_prefix(&o.pointer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let overlay = self.overlays.iter().rev().find(covers)?;
        Some(Place { pointer: pointer.into(), ..overlay.place.clone() })
    }

    fn find(&self, pointer: &str) -> Found<'_> {
        self.lookup(pointer).unwrap_or_else(|closest| closest)
    }

    /// The value at `pointer`, or the innermost one on the way to it.
    fn lookup(&self, pointer: &str) -> Result<Found<'_>, Found<'_>> {
        let mut found = Found { key: None, node: &self.document.root };
        for segment in segments(pointer) {
            let next = match &found.node.kind {
                Kind::Map { entries, .. } => {
                    entries.get(&segment).map(|e| Found { key: Some(e.key), node: &e.value })
                }
                Kind::List { items, .. } => segment
                    .parse::<usize>()
                    .ok()
                    .and_then(|i| items.get(i))
                    .map(|node| Found { key: None, node }),
                Kind::Scalar { .. } => None,
            };
            match next {
                Some(next) => found = next,
                None => return Err(found),
            }
        }
        Ok(found)
    }
}

/// The unescaped segments of a JSON pointer.
pub(crate) fn segments(pointer: &str) -> impl Iterator<Item = String> + '_ {
    pointer.split('/').skip(1).map(|s| s.replace("~1", "/").replace("~0", "~"))
}

/// `pointer` with one more segment.
pub(crate) fn below(pointer: &str, segment: impl std::fmt::Display) -> String {
    let segment = segment.to_string().replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{segment}")
}

/// How messages name the value at `pointer`: the dotted path that `--set` takes, in backticks.
pub(crate) fn dotted(pointer: &str) -> String {
    let segments: Vec<String> = segments(pointer).collect();
    if segments.is_empty() {
        return "the spec".into();
    }
    format!("`{}`", crate::base::text::inert(&segments.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: &Place) -> (usize, usize, usize) {
        (place.line.unwrap(), place.column.unwrap(), place.width)
    }

    #[test]
    fn keys_and_values_stand_where_the_user_wrote_them() {
        let text =
            "a: {b: [10, 'two', {c: 3}]}\nd:\n  e: x # why\n  f:\n    - g: 1\n    - ü: 22\nh:\n";
        let locator = Locator::read(text, Path::new("t.yaml")).unwrap();
        assert_eq!(at(&locator.place("/a/b")), (1, 8, 19));
        assert_eq!(at(&locator.place("/a/b/0")), (1, 9, 2));
        assert_eq!(at(&locator.place("/a/b/1")), (1, 13, 5));
        assert_eq!(at(&locator.place("/a/b/2/c")), (1, 24, 1));
        assert_eq!(at(&locator.place_of_key("/a/b/2/c")), (1, 21, 1));
        assert_eq!(at(&locator.place("/d")), (2, 1, 1), "a block map is shown at its key");
        assert_eq!(at(&locator.place("/d/e")), (3, 6, 1), "without the comment");
        assert_eq!(at(&locator.place("/d/f/0")), (5, 7, 1));
        assert_eq!(at(&locator.place("/d/f/1/ü")), (6, 10, 2), "columns count characters");
        assert_eq!(at(&locator.place("/h")), (7, 1, 1), "nothing is shown at its key");
        assert_eq!(at(&locator.place("/d/missing/deeper")), (2, 1, 1), "closest one around it");
        assert_eq!(locator.place("/d/e").source.as_deref(), Some("  e: x # why"));
    }

    #[test]
    fn pointers_with_slashes_and_tildes_survive() {
        let pointer = below(&below("", "a/b"), "c~d");
        assert_eq!(pointer, "/a~1b/c~0d");
        assert_eq!(segments(&pointer).collect::<Vec<_>>(), ["a/b", "c~d"]);
        assert_eq!(dotted(&pointer), "`a/b.c~d`");
    }

    #[test]
    fn a_later_overlay_hides_what_it_replaced() {
        let mut locator = Locator::read("a: {b: 1, c: 2}", Path::new("t.yaml")).unwrap();
        let on = |name: &str| Place { file: name.into(), ..Place::default() };
        locator.overlay("/a/b".into(), on("first"));
        locator.overlay("/a".into(), on("second"));
        locator.overlay("/a/c".into(), on("third"));
        assert_eq!(locator.place("/a/b").file, Path::new("second"));
        assert_eq!(locator.place("/a/c/d").file, Path::new("third"));
        assert_eq!(locator.place("/ab").file, Path::new("t.yaml"));
    }
}
