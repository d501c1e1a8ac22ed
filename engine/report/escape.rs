//! Text that came from outside, made inert for each format that is not HTML.
//!
//! HTML is escaped by the template engine. Every function here first makes control characters
//! and bidirectional overrides visible, so that no format can be used to disguise text.

use crate::base::text;

/// One line of Markdown that shows exactly `raw`: no markup, no link, no mention, no HTML, and
/// no new block when it stands at the start of a line or in a table cell. Plain names and
/// numbers with their interval stay as they are, so that the source reads well too.
pub fn markdown(raw: &str) -> String {
    let chars: Vec<char> = text::inert(raw).chars().collect();
    let at = |i: usize| chars.get(i).copied();
    let mut out = String::with_capacity(raw.len() + 8);
    let mut i = 0;
    while let Some(c) = at(i) {
        let before = i.checked_sub(1).and_then(at);
        let after = at(i + 1);
        let inside_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match c {
            '[' if let Some(length) = interval(&chars[i..]) => {
                out.extend(&chars[i..i + length]);
                i += length;
                continue;
            }
            '_' if inside_word(before) && inside_word(after) => out.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '|' | '~' | '#' | '$' => {
                out.push('\\');
                out.push(c);
            }
            // A sign before a digit is a number; before anything else it may begin a block.
            '-' | '+' | '=' | ':'
                if before.is_none() && !after.is_some_and(|c| c.is_ascii_digit()) =>
            {
                out.push('\\');
                out.push(c);
            }
            // "1. " at the start of a line would begin a list; "www." would become a link.
            '.' | ')'
                if ends_list_number(&chars[..i], after)
                    || before == Some('w')
                    || before == Some('W') =>
            {
                out.push('\\');
                out.push(c);
            }
            ':' if after == Some('/') => out.push_str("\\:"),
            // A comment parts the text, so that neither a mail address nor a mention is found.
            '@' => out.push_str("@<!-- -->"),
            ' ' if before.is_none() => out.push_str("&nbsp;"),
            _ => out.push(c),
        }
        i += 1;
    }
    out
}

/// Length of a bracketed list of numbers at the start of `chars` that no link can grow from.
fn interval(chars: &[char]) -> Option<usize> {
    let end = chars.iter().position(|c| *c == ']')?;
    let numeric = |c: &char| c.is_ascii_digit() || matches!(c, '.' | ',' | ' ' | '\u{2212}');
    let inert = chars[1..end].iter().all(numeric) && end > 1;
    let link = matches!(chars.get(end + 1), Some('(' | '[' | ':'));
    (inert && !link && chars.get(1) != Some(&' ')).then_some(end + 1)
}

fn ends_list_number(before: &[char], after: Option<char>) -> bool {
    !before.is_empty()
        && before.iter().all(char::is_ascii_digit)
        && after.is_none_or(char::is_whitespace)
}

/// A fence of backticks longer than any run of backticks in `body`.
pub fn fence(body: &str) -> String {
    let mut longest = 0;
    let mut run = 0;
    for c in body.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    "`".repeat(longest.max(2) + 1)
}

/// A field of a CSV file by RFC 4180, with a quote before what a spreadsheet would compute
/// (OWASP ASVS 1.2.10). Numbers are not fields of this kind: they are written as they are.
pub fn csv(raw: &str) -> String {
    let shown = text::inert(raw);
    let guarded = match shown.chars().next() {
        Some('=' | '+' | '-' | '@') => format!("'{shown}"),
        // Tabs and line breaks are visible escapes by now and start with a backslash.
        _ => shown,
    };
    if guarded.contains(['"', ',', '\'', ';', ' ']) || guarded != raw {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

/// One line of a terminal.
pub fn terminal(raw: &str) -> String {
    text::inert(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_shows_markup_instead_of_obeying_it() {
        for (raw, safe) in [
            ("plain q8_0", "plain q8_0"),
            ("_em_", "\\_em\\_"),
            ("[x](javascript:alert(1))", "\\[x\\](javascript:alert(1))"),
            ("<img src=x>", "\\<img src=x\\>"),
            ("a|b\nc", "a\\|b\\\\u{a}c"),
            ("1. list", "1\\. list"),
            ("- item", "\\- item"),
            ("1.82× [1.79, 1.85]", "1.82× [1.79, 1.85]"),
            ("[1](x) [2]: y", "\\[1\\](x) \\[2\\]: y"),
            ("v1.82", "v1.82"),
            ("https://evil.example", "https\\://evil.example"),
            ("www.evil.example", "www\\.evil.example"),
            ("me@evil.example", "me@<!-- -->evil.example"),
        ] {
            assert_eq!(markdown(raw), safe, "{raw}");
        }
    }

    #[test]
    fn a_fence_outgrows_the_backticks_inside() {
        assert_eq!(fence("none"), "```");
        assert_eq!(fence("a ````` b"), "``````");
    }

    #[test]
    fn csv_starts_no_formula_and_breaks_no_line() {
        for raw in ["=1+1", "+1", "-1", "@SUM(A1)"] {
            assert!(csv(raw).starts_with("\"'"), "{raw}");
        }
        assert_eq!(csv("\t=1"), "\"\\u{9}=1\"");
        assert_eq!(csv("a\r\nb"), "\"a\\u{d}\\u{a}b\"");
        assert_eq!(csv("say \"hi\", twice"), "\"say \"\"hi\"\", twice\"");
        assert_eq!(csv("q8"), "q8");
    }
}
