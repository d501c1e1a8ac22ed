//! Problems on a terminal and as data.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::base::text::inert;
use crate::base::{Place, Problem, Problems};

/// Most problems that are shown in full.
const MOST_SHOWN: usize = 20;
/// Longest stretch of a source line that is quoted, in characters.
const WIDEST: usize = 160;

const RED: &str = "\u{1b}[1;31m";
const BLUE: &str = "\u{1b}[1;34m";
const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";

/// The problems as text for people, the first twenty in full, with a count at the end. Escape
/// sequences appear only with `colour`, and none of them comes from the input.
pub fn text(problems: &Problems, colour: bool) -> String {
    let paint = Paint { colour };
    let mut out = String::new();
    for problem in problems.0.iter().take(MOST_SHOWN) {
        one(&mut out, problem, paint);
        out.push('\n');
    }
    let count = problems.0.len();
    if count > MOST_SHOWN {
        let _ = writeln!(out, "and {} more\n", count - MOST_SHOWN);
    }
    let noun = if count == 1 { "error" } else { "errors" };
    let _ = writeln!(out, "{count} {noun}; nothing was run");
    out
}

/// The problems as data for editors and CI: `{"problems": [{code, message, file, pointer, line,
/// column, width, hint, notes}]}`. Line and column count from 1 and are null for options.
pub fn json(problems: &Problems) -> Value {
    let one = |p: &Problem| {
        json!({
            "code": p.code,
            "message": p.what,
            "file": p.at.file.to_string_lossy(),
            "pointer": p.at.pointer,
            "line": p.at.line,
            "column": p.at.column,
            "width": p.at.width,
            "hint": p.hint,
            "notes": p.notes,
        })
    };
    json!({"problems": problems.0.iter().map(one).collect::<Vec<_>>()})
}

#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn with(self, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }
}

fn one(out: &mut String, problem: &Problem, paint: Paint) {
    let Problem { code, at, what, hint, notes } = problem;
    let head = paint.with(RED, &format!("error[{code}]"));
    let _ = writeln!(out, "{head}{}", paint.with(BOLD, &format!(": {}", inert(what))));
    let number = at.line.map(|line| line.to_string()).unwrap_or_default();
    let gutter = " ".repeat(number.len().max(1));
    let bar = paint.with(BLUE, &format!("{gutter} |"));
    let _ = writeln!(out, "{gutter}{} {}", paint.with(BLUE, "-->"), position(at));
    let mut notes: Vec<String> = notes.iter().map(|n| inert(n)).collect();
    let hint = hint.as_deref().map(inert);
    if let (Some(source), Some(column)) = (&at.source, at.column) {
        let (quoted, before, width) = quote(source, column, at.width);
        let quoted = format!(" {quoted}");
        let numbered = paint.with(BLUE, &format!("{number} |"));
        let _ = writeln!(out, "{bar}\n{numbered}{}", quoted.trim_end());
        let caret = format!("{} {}", "^".repeat(width), hint.unwrap_or_default());
        let _ = writeln!(out, "{bar} {}{}", " ".repeat(before), paint.with(RED, caret.trim_end()));
        if !notes.is_empty() {
            let _ = writeln!(out, "{bar}");
        }
    } else if let Some(hint) = hint {
        notes.insert(0, format!("hint: {hint}"));
    }
    for note in notes {
        let _ = writeln!(out, "{gutter} {} {note}", paint.with(BLUE, "="));
    }
}

fn position(at: &Place) -> String {
    let file = inert(&at.file.to_string_lossy());
    match (at.line, at.column) {
        (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
        (Some(line), None) => format!("{file}:{line}"),
        _ => file,
    }
}

/// The visible part of a source line, the number of characters before the caret, and the number
/// of carets. Characters that are escaped take the room of their escape.
fn quote(source: &str, column: usize, width: usize) -> (String, usize, usize) {
    let start = column.saturating_sub(1);
    let skipped = if start + width.min(40) > WIDEST { start.saturating_sub(WIDEST / 2) } else { 0 };
    let mut shown = String::new();
    let (mut before, mut marked) = (0, 0);
    if skipped > 0 {
        shown.push('…');
        before = 1;
    }
    let length = source.chars().count();
    for (i, c) in source.chars().enumerate().skip(skipped).take(WIDEST) {
        let visible = if c == '\t' { " ".to_owned() } else { inert(c.encode_utf8(&mut [0; 4])) };
        let room = visible.chars().count();
        if i < start {
            before += room;
        } else if i < start + width {
            marked += room;
        }
        shown.push_str(&visible);
    }
    if skipped + WIDEST < length {
        shown.push('…');
    }
    (shown, before, marked.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        let at = Place {
            file: "specs/llama_int8.yaml".into(),
            pointer: "/bench/matrix/new_token".into(),
            line: Some(47),
            column: Some(50),
            width: 9,
            source: Some(
                "  matrix: {batch: [1], prompt_tokens: [32, 128], new_token: [32]}".into(),
            ),
        };
        Problem::new("spec/unknown-key", at, "`new_token` is not a key of `bench.matrix`")
            .hint("did you mean `new_tokens`?")
            .note("allowed: batch, prompt_tokens, new_tokens, threads")
    }

    #[test]
    fn a_problem_looks_as_the_language_promises() {
        let expected = "\
error[spec/unknown-key]: `new_token` is not a key of `bench.matrix`
  --> specs/llama_int8.yaml:47:50
   |
47 |   matrix: {batch: [1], prompt_tokens: [32, 128], new_token: [32]}
   |                                                  ^^^^^^^^^ did you mean `new_tokens`?
   |
   = allowed: batch, prompt_tokens, new_tokens, threads

1 error; nothing was run
";
        assert_eq!(text(&problem().into(), false), expected);
        let coloured = text(&problem().into(), true);
        assert!(coloured.starts_with("\u{1b}[1;31merror[spec/unknown-key]\u{1b}[0m"));
    }

    #[test]
    fn an_option_has_no_line_and_shows_its_hint_below() {
        let at = Place { file: "--set bench.x=1".into(), width: 1, ..Place::default() };
        let shown = text(&Problem::new("spec/x", at, "wrong").hint("do this").into(), false);
        assert_eq!(
            shown,
            "error[spec/x]: wrong\n --> --set bench.x=1\n  = hint: do this\n\n1 error; nothing was run\n"
        );
    }

    #[test]
    fn hostile_text_cannot_reach_the_terminal() {
        let mut hostile = problem();
        hostile.at.source = Some("\u{1b}[2J\u{202e}x".into());
        hostile.at.column = Some(6);
        hostile.what = "a\u{1b}[31m".into();
        let shown = text(&hostile.into(), false);
        assert!(!shown.contains(['\u{1b}', '\u{202e}']));
    }

    #[test]
    fn carets_stay_under_what_they_mean_in_long_and_tabbed_lines() {
        let line = format!("{}\tBAD tail", "x".repeat(300));
        let (shown, before, width) = quote(&line, 302, 3);
        let marked: String = shown.chars().skip(before).take(width).collect();
        assert_eq!(marked, "BAD");
        assert!(shown.chars().count() <= WIDEST + 2);
    }

    #[test]
    fn more_than_twenty_problems_are_counted() {
        let shown = text(&Problems(vec![problem(); 23]), false);
        assert_eq!(shown.matches("error[").count(), 20);
        assert!(shown.ends_with("and 3 more\n\n23 errors; nothing was run\n"));
        assert_eq!(json(&Problems(vec![problem()]))["problems"][0]["line"], 47);
    }
}
