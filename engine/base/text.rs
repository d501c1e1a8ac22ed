//! Text that comes from outside, made inert before it reaches a terminal or a log.

/// `text` with control characters, bidirectional overrides and line breaks replaced by visible
/// escapes, so that it can neither move the cursor nor disguise itself (CWE-150).
pub fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Like [`inert`], but line breaks and tabs stay: for log tails and other multi-line text.
pub fn inert_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) && c != '\n' && c != '\t' {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_bidi_overrides_become_visible() {
        assert_eq!(inert("a\u{1b}[31mb\u{202e}c"), "a\\u{1b}[31mb\\u{202e}c");
        assert_eq!(inert("line\nnext"), "line\\u{a}next");
        assert_eq!(inert_lines("line\nnext\u{7}"), "line\nnext\\u{7}");
        assert_eq!(inert("Grüße, 世界"), "Grüße, 世界");
    }
}
