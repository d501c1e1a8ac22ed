//! YAML text as a tree that knows where each key and value stands. The only door to `saphyr_parser`.
//!
//! The subset is JSON's data in YAML's clothes: one document, text keys, no anchors, aliases,
//! tags, merge keys or directives. Limits are checked while events arrive, so nothing grows first.

use indexmap::IndexMap;
use indexmap::map::Entry as Slot;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::locate::{below, dotted};
use super::scalar::{self, shortened};
use super::source::{Mark, Source};
use super::{MAX_DEPTH, MAX_NODES, MAX_PROBLEMS, MAX_TEXT};
use crate::base::text::inert;
use crate::base::{Problem, Problems};

/// One value.
#[derive(Debug)]
pub(crate) struct Node {
    pub mark: Mark,
    pub kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Scalar { text: String, plain: bool },
    List { block: bool, items: Vec<Node> },
    Map { block: bool, entries: IndexMap<String, Entry> },
}

/// A key's place and its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub key: Mark,
    pub value: Node,
}

/// Reads one document.
///
/// # Errors
/// Broken syntax, a construct outside the subset and a limit end reading at once; duplicate keys
/// and ambiguous scalars are collected.
pub(crate) fn read(source: &Source) -> Result<Node, Problems> {
    let mut reader =
        Reader { source, open: Vec::new(), root: None, nodes: 0, problems: Vec::new() };
    reader.directives()?;
    let mut parser = Parser::new_from_str(&source.text);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| reader.syntax(&error))?;
        reader.event(event, span)?;
        if reader.problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    if !reader.problems.is_empty() {
        return Err(Problems(reader.problems));
    }
    let start = Mark { line: 1, column: 1, width: 1 };
    let empty = reader.problem("spec/yaml", start, "the document is empty");
    reader.root.ok_or_else(|| empty.into())
}

/// A collection whose end has not been read yet.
struct Open {
    node: Node,
    /// The key whose value comes next.
    key: Option<(String, Mark)>,
}

struct Reader<'a> {
    source: &'a Source,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problems> {
        let mark = mark(span);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let what = "a spec is one YAML document, found a second one";
                Err(self.problem("spec/yaml", mark, what).into())
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(_) => Err(self.outside(mark, "aliases such as `*name`").into()),
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag)
                if anchor > 0 || tag.is_some() =>
            {
                Err(self.anchor_or_tag(anchor, mark).into())
            }
            Event::Scalar(text, style, _, _) => self.scalar(&text, style, mark),
            Event::SequenceStart(..) => {
                self.start(Kind::List { block: is_block(span), items: Vec::new() }, mark)
            }
            Event::MappingStart(..) => {
                self.start(Kind::Map { block: is_block(span), entries: IndexMap::new() }, mark)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
        }
    }

    /// The first line with content must not be a directive.
    fn directives(&self) -> Result<(), Problems> {
        let text = |line: &str| !line.trim_start().is_empty() && !line.starts_with('#');
        let first = self.source.text.lines().enumerate().find(|(_, line)| text(line));
        match first {
            Some((i, line)) if line.starts_with('%') => {
                let mark = Mark { line: i + 1, column: 1, width: 1 };
                Err(self.outside(mark, "directives such as `%YAML`").into())
            }
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, mut mark: Mark) -> Result<(), Problems> {
        if text.len() > MAX_TEXT {
            let what = format!("a text is at most {MAX_TEXT} bytes, found {}", text.len());
            return Err(self.problem("spec/limit", Mark { width: 1, ..mark }, what).into());
        }
        let plain = style == ScalarStyle::Plain;
        if let Some(Open { node: Node { kind: Kind::Map { entries, .. }, .. }, key: key @ None }) =
            self.open.last_mut()
        {
            if text == "<<" && plain {
                return Err(self.outside(mark, "merge keys (`<<`)").into());
            }
            let first = entries.get(text).map(|entry| entry.key);
            *key = Some((text.to_owned(), mark));
            if let Some(first) = first {
                let pointer = self.pointer();
                let what = format!("`{}` is given twice in {}", shortened(text), dotted(&pointer));
                let note = format!("first given at line {}, column {}", first.line, first.column);
                let place = self.source.place(&below(&pointer, text), mark);
                let problem = Problem::new("spec/duplicate-key", place, what);
                self.problems.push(problem.hint("remove one of the two").note(note));
            }
            return self.count(mark);
        }
        if let Err(trap) = scalar::resolve(text, plain) {
            let problem = self.problem("spec/ambiguous", mark, trap.what);
            self.problems.push(problem.hint(trap.hint));
        }
        if text.is_empty() && plain {
            // Nothing was written: the place of nothing is that of its key.
            if let Some((_, key)) = self.open.last().and_then(|open| open.key.as_ref()) {
                mark = *key;
            }
        }
        self.count(mark)?;
        self.add(Node { mark, kind: Kind::Scalar { text: text.to_owned(), plain } });
        Ok(())
    }

    fn start(&mut self, kind: Kind, mark: Mark) -> Result<(), Problems> {
        self.count(mark)?;
        if let Some(Open { node: Node { kind: Kind::Map { .. }, .. }, key: None }) =
            self.open.last()
        {
            return Err(self
                .problem("spec/yaml", mark, "a key must be text, found a map or a list")
                .into());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(mark).into());
        }
        self.open.push(Open { node: Node { mark, kind }, key: None });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Problems> {
        let Some(Open { mut node, .. }) = self.open.pop() else {
            return Err(self
                .problem("spec/yaml", mark(span), "a map or a list ends that never began")
                .into());
        };
        let last_column = span.end.col() + 1;
        match &node.kind {
            Kind::Map { block: true, entries } => {
                node.mark.width = entries.values().next().map_or(1, |entry| entry.key.width);
            }
            Kind::List { block: true, .. } | Kind::Scalar { .. } => {}
            Kind::Map { .. } | Kind::List { .. } => {
                let same_line = span.end.line() == node.mark.line;
                node.mark.width =
                    if same_line { last_column.saturating_sub(node.mark.column).max(1) } else { 1 };
            }
        }
        self.add(node);
        Ok(())
    }

    /// Puts a finished value where it belongs. Of duplicate keys the first value stays.
    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { node: Node { kind, .. }, key }) => match (kind, key.take()) {
                (Kind::List { items, .. }, _) => items.push(node),
                (Kind::Map { entries, .. }, Some((name, mark))) => {
                    if let Slot::Vacant(slot) = entries.entry(name) {
                        slot.insert(Entry { key: mark, value: node });
                    }
                }
                (Kind::Map { .. }, None) | (Kind::Scalar { .. }, _) => {}
            },
        }
    }

    fn count(&mut self, mark: Mark) -> Result<(), Problems> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let what = format!("a spec has at most {MAX_NODES} keys and values, found more");
            return Err(self.problem("spec/limit", mark, what).into());
        }
        Ok(())
    }

    /// The pointer of the innermost open collection.
    fn pointer(&self) -> String {
        let around = self.open.iter().rev().skip(1).rev();
        around.fold(String::new(), |pointer, Open { node, key }| match (&node.kind, key) {
            (Kind::List { items, .. }, _) => below(&pointer, items.len()),
            (_, Some((key, _))) => below(&pointer, key),
            (_, None) => pointer,
        })
    }

    fn anchor_or_tag(&self, anchor: usize, mark: Mark) -> Problem {
        self.outside(
            mark,
            if anchor > 0 { "anchors such as `&name`" } else { "tags such as `!!str`" },
        )
    }

    fn outside(&self, mark: Mark, construct: &str) -> Problem {
        self.problem("spec/yaml", mark, format!("{construct} are not part of the spec language"))
            .hint("write the value out")
    }

    fn too_deep(&self, mark: Mark) -> Problem {
        let what = format!("maps and lists nest at most {MAX_DEPTH} deep, found more");
        self.problem("spec/limit", mark, what)
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let at = error.marker();
        let mark = Mark { line: at.line(), column: at.col() + 1, width: 1 };
        if error.info().contains("recursion limit") {
            return self.too_deep(mark);
        }
        if error.info().contains("unknown anchor") {
            return self.outside(mark, "aliases such as `*name`");
        }
        let line = self.source.line(mark.line).unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        if let Some(tab) = line[..indent].find('\t') {
            let mark = Mark { column: tab + 1, ..mark };
            return self.problem("spec/yaml", mark, "a tab cannot indent YAML").hint("use spaces");
        }
        let info = error.info().rsplit(", ").next().unwrap_or_default();
        let what = format!("this is not valid YAML: {}", inert(info));
        let mut problem = self.problem("spec/yaml", mark, what);
        if info.starts_with("mapping values are not allowed") {
            problem.hint = Some("put text that contains `: ` in quotes".into());
        }
        problem
    }

    fn problem(&self, code: &'static str, mark: Mark, what: impl Into<String>) -> Problem {
        Problem::new(code, self.source.place("", mark), what)
    }
}

fn mark(span: Span) -> Mark {
    let (line, column) = (span.start.line().max(1), span.start.col() + 1);
    let width = if span.start.line() == span.end.line() { span.len().max(1) } else { 1 };
    Mark { line, column, width }
}

/// A flow collection starts with its bracket, a block collection with nothing of its own.
fn is_block(span: Span) -> bool {
    span.is_empty()
}
