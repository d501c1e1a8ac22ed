//! The verdict table as `engine run` prints it.

use std::fmt::Write as _;

use super::escape;
use super::page::{self, Chip, HeadlineText, Sheet, Shown};
use super::view::{Report, Tone};

/// Columns between two fields.
const GAP: usize = 2;

/// Alarms, verdict table and gates as plain lines, at most `width` columns wide where the text
/// allows it. Escape sequences only where `colour` says so, and only our own.
pub fn terminal(report: &Report<'_>, colour: bool, width: usize) -> String {
    let page = page::page(report);
    let mut out = String::new();
    if let Some(warning) = &page.not_comparable {
        line(&mut out, &painted(&escape::terminal(warning), Tone::Bad, colour));
    }
    for (i, sheet) in page.studies.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        study(&mut out, sheet, colour, width.max(40));
    }
    out
}

fn study(out: &mut String, sheet: &Sheet, colour: bool, width: usize) {
    line(out, &bold(&escape::terminal(&format!("{}  ({})", sheet.title, sheet.id)), colour));
    for alarm in &sheet.alarms {
        wrapped(out, &alarm.text, alarm.tone, alarm.sign, colour, width);
    }
    out.push('\n');
    table(out, sheet, colour, width);
    let remarks =
        sheet.headline.iter().flat_map(|row| row.remarks.iter().map(move |remark| (row, remark)));
    let mut told = Vec::new();
    for (row, remark) in remarks {
        let setting =
            if sheet.several_settings { format!(", {}", row.setting) } else { String::new() };
        told.push(format!("{}{setting}: {remark}", row.variant));
    }
    if !told.is_empty() {
        out.push('\n');
    }
    for remark in told {
        wrapped(out, &remark, Tone::Plain, page::sign(Tone::Plain), colour, width);
    }
    if sheet.gates.is_empty() {
        return;
    }
    out.push('\n');
    for gate in &sheet.gates {
        let reason =
            if gate.reason.is_empty() { String::new() } else { format!(": {}", gate.reason) };
        let text = format!(
            "gate {}: {} ({} of {}, {}){reason}",
            gate.chip.text, gate.name, gate.metric, gate.on, gate.condition
        );
        wrapped(out, &text, gate.chip.tone, gate.chip.sign, colour, width);
    }
}

fn table(out: &mut String, sheet: &Sheet, colour: bool, width: usize) {
    let mut rows = vec![head(sheet)];
    rows.extend(sheet.headline.iter().map(|row| fields(row, sheet)));
    let columns = rows[0].len();
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let total = widths.iter().sum::<usize>() + GAP * (columns - 1) + 4;
    if total > width {
        return list(out, sheet, colour);
    }
    for (i, row) in rows.iter().enumerate() {
        let mut text = String::new();
        for (field, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{field:<width$}{:GAP$}", "");
        }
        let chip = i.checked_sub(1).map(|i| &sheet.headline[i].chip);
        match chip {
            Some(chip) => line(out, &format!("{text}{}", verdict(chip, colour))),
            None => line(out, &bold(&format!("{text}verdict"), colour)),
        }
    }
}

/// What does not fit side by side stands below each other.
fn list(out: &mut String, sheet: &Sheet, colour: bool) {
    let names = head(sheet);
    for row in &sheet.headline {
        let fields = fields(row, sheet);
        line(out, &format!("{}  {}", bold(&fields[0], colour), verdict(&row.chip, colour)));
        for (name, field) in names.iter().zip(&fields).skip(1) {
            line(out, &format!("  {name}: {field}"));
        }
    }
}

fn head(sheet: &Sheet) -> Vec<String> {
    let mut head = vec!["variant".to_owned()];
    if sheet.several_settings {
        head.push("setting".into());
    }
    head.extend([
        sheet.primary.clone(),
        "speed-up".into(),
        sheet.quality_title.clone(),
        "memory".into(),
        "size".into(),
    ]);
    head
}

fn fields(row: &HeadlineText, sheet: &Sheet) -> Vec<String> {
    let mut fields = vec![escape::terminal(&row.variant)];
    if sheet.several_settings {
        fields.push(escape::terminal(&row.setting));
    }
    fields.extend([&row.value, &row.speedup, &row.quality, &row.memory, &row.size].map(field));
    fields
}

/// Reasons of gaps are told below the table; here stands that there is one.
fn field(shown: &Shown) -> String {
    let text = if shown.gap { "unmeasured" } else { &shown.text };
    let text = text.replace('\u{a0}', " ");
    if shown.bounds.is_empty() {
        return escape::terminal(&text);
    }
    escape::terminal(&format!("{text} {}", shown.bounds.replace('\u{a0}', " ")))
}

fn verdict(chip: &Chip, colour: bool) -> String {
    painted(&format!("{} {}", chip.sign, chip.text), chip.tone, colour)
}

/// Words of `text` over as many lines as it takes, continued below its first word.
fn wrapped(out: &mut String, text: &str, tone: Tone, sign: &str, colour: bool, width: usize) {
    let safe = escape::terminal(&text.replace('\u{a0}', " "));
    let mut current = String::new();
    let mut first = true;
    let mut flush = |current: &mut String| {
        let start = if first { painted(sign, tone, colour) } else { " ".into() };
        first = false;
        line(out, &format!("{start} {current}"));
        current.clear();
    };
    for word in safe.split(' ') {
        if !current.is_empty() && current.chars().count() + 1 + word.chars().count() + 2 > width {
            flush(&mut current);
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    flush(&mut current);
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

fn bold(text: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}

fn painted(text: &str, tone: Tone, colour: bool) -> String {
    let code = match tone {
        Tone::Good => "32",
        Tone::Bad => "31",
        Tone::Unsure => "33",
        Tone::Plain => return text.to_owned(),
    };
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}
