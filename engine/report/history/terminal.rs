//! A comparison of two runs for the terminal.

use super::compared::Compared;
use super::text::{Page, page};
use crate::report::columns::Columns;
use crate::report::escape;
use crate::report::page::{Shown, sign};
use crate::report::terminal::{bold, line, wrapped};
use crate::report::view::Tone;

/// What differs, the verdicts and what moved beside them, as plain lines.
pub fn terminal(found: &Compared, colour: bool, width: usize) -> String {
    let page = page(found);
    let mut out = String::new();
    let title = format!("{}: {} against {}", page.title, page.after, page.before);
    line(&mut out, &bold(&escape::terminal(&title), colour));
    wrapped(&mut out, &page.summary, page.tone, page.sign, colour, width);
    for warning in &page.warnings {
        wrapped(&mut out, warning, Tone::Unsure, sign(Tone::Unsure), colour, width);
    }
    out.push('\n');
    if page.differences.is_empty() {
        line(&mut out, "engine, runtimes, model, artifacts and spec are the same");
    }
    for d in &page.differences {
        let text = format!("{} {}: {} → {}", d.topic, d.what, d.before, d.after);
        wrapped(&mut out, &text, Tone::Plain, sign(Tone::Plain), colour, width);
    }
    if !page.more_differences.is_empty() {
        line(&mut out, &page.more_differences);
    }
    out.push('\n');
    cells(&mut out, &page, colour, width);
    wrapped(&mut out, &page.legend, Tone::Plain, "", colour, width);
    for c in &page.memory {
        let text = format!(
            "{} of {} at {}: {} → {}; historical {}, paired {}: {}",
            c.metric,
            c.variant,
            c.setting,
            number(&c.before),
            number(&c.after),
            number(&c.historical),
            number(&c.paired),
            c.chip.text
        );
        wrapped(&mut out, &text, c.chip.tone, c.chip.sign, colour, width);
    }
    if !page.quality.is_empty() {
        out.push('\n');
    }
    for q in &page.quality {
        let text = format!(
            "{} of {} on {}: {} → {}, loss {}: {}",
            q.metric,
            q.variant,
            q.data,
            number(&q.before),
            number(&q.after),
            number(&q.loss),
            q.chip.text
        );
        wrapped(&mut out, &text, q.chip.tone, q.chip.sign, colour, width);
    }
    if !page.others.is_empty() {
        out.push('\n');
        line(&mut out, &bold("other metrics that moved (not corrected, not judged)", colour));
    }
    for c in &page.others {
        let text = format!(
            "{} of {} at {}: {} → {}; historical {}, paired {}",
            c.metric,
            c.variant,
            c.setting,
            number(&c.before),
            number(&c.after),
            number(&c.historical),
            number(&c.paired)
        );
        wrapped(&mut out, &text, Tone::Plain, sign(Tone::Plain), colour, width);
    }
    for text in &page.unmatched {
        wrapped(&mut out, text, Tone::Unsure, sign(Tone::Unsure), colour, width);
    }
    out
}

fn cells(out: &mut String, page: &Page, colour: bool, width: usize) {
    let mut table =
        Columns::new(&["variant", "setting", "before", "now", "historical", "paired", "verdict"]);
    for c in &page.cells {
        let cells = [
            c.variant.clone(),
            c.setting.clone(),
            short(&c.before),
            short(&c.after),
            number(&c.historical),
            number(&c.paired),
            format!("{} {}", c.chip.sign, c.chip.text),
        ];
        table.row(&cells, c.chip.tone);
    }
    if page.cells.is_empty() {
        return;
    }
    line(out, &bold(&escape::terminal(&page.primary), colour));
    table.write(out, colour, width);
    for c in &page.cells {
        for remark in &c.remarks {
            let text = format!("{} at {}: {remark}", c.variant, c.setting);
            wrapped(out, &text, Tone::Plain, sign(Tone::Plain), colour, width);
        }
    }
    out.push('\n');
}

/// A number with its interval, or that there is none.
pub(super) fn number(shown: &Shown) -> String {
    if shown.gap || shown.bounds.is_empty() {
        return short(shown);
    }
    format!("{} {}", short(shown), shown.bounds)
}

fn short(shown: &Shown) -> String {
    shown.text.replace('\u{a0}', " ")
}
