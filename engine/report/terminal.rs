//! The verdict table as `engine run` prints it.

use std::fmt::Write as _;

use super::escape;
use super::page::{self, Chip, GateText, HeadlineText, Sheet, Shown};
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
    out.push('\n');
    wrapped(out, &sheet.legend, Tone::Plain, "", colour, width);
    for floor in &sheet.floors {
        wrapped(out, floor, Tone::Plain, "", colour, width);
    }
    let remarks =
        sheet.headline.iter().flat_map(|row| row.remarks.iter().map(move |remark| (row, remark)));
    let mut told = Vec::new();
    for row in sheet.headline.iter() {
        told.extend(row.costs.iter().map(|cost| format!("{}: {cost}", row.variant)));
    }
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
    searches(out, sheet, colour, width);
    loads(out, sheet, colour, width);
    rates(out, sheet, colour, width);
    if sheet.gates.is_empty() {
        return;
    }
    out.push('\n');
    for gate in &sheet.gates {
        wrapped(out, &told_gate(gate), gate.chip.tone, gate.chip.sign, colour, width);
    }
}

/// Every variant under every load, one after the other: the table of the other reports is too wide.
fn loads(out: &mut String, sheet: &Sheet, colour: bool, width: usize) {
    let Some(loads) = &sheet.loads else { return };
    out.push('\n');
    line(out, &bold("Load", colour));
    for row in &loads.rows {
        let mut told = vec![
            format!("p50 {}", whole(&row.p50)),
            format!("p99 {}", whole(&row.p99)),
            whole(&row.throughput),
        ];
        told.extend(loads.has_tokens.then(|| whole(&row.output)));
        told.extend(row.chip.as_ref().map(|chip| format!("{}: {}", row.bounds, chip.text)));
        told.extend(row.remarks.iter().cloned());
        let text = format!("{}, {}: {}", row.variant, row.setting, told.join("; "));
        let (tone, sign) = match &row.chip {
            Some(chip) => (chip.tone, chip.sign),
            None => (Tone::Plain, page::sign(Tone::Plain)),
        };
        wrapped(out, &text, tone, sign, colour, width);
    }
}

/// The largest rate of every variant.
fn rates(out: &mut String, sheet: &Sheet, colour: bool, width: usize) {
    let Some(rates) = &sheet.rates else { return };
    out.push('\n');
    let title = escape::terminal(&rates.title).replace('\u{a0}', " ");
    line(out, &bold(&title, colour));
    for row in &rates.rows {
        let place = if rates.several_places { format!(" at {}", row.place) } else { String::new() };
        let told = match row.pass.gap {
            true => vec![row.pass.text.clone()],
            false => vec![
                format!("keeps {}, breaks {}", row.pass.text, row.fail.text),
                row.chip.text.clone(),
                row.effort.clone(),
            ],
        };
        let parts = told.into_iter().chain(row.remarks.iter().cloned()).collect::<Vec<_>>();
        let text = format!("{}{place}: {}", row.variant, parts.join("; "));
        wrapped(out, &text, row.chip.tone, row.chip.sign, colour, width);
    }
}

/// The largest batch of every variant, one after the other: few numbers, long remarks.
fn searches(out: &mut String, sheet: &Sheet, colour: bool, width: usize) {
    let Some(searches) = &sheet.searches else { return };
    out.push('\n');
    let title = escape::terminal(&searches.title).replace('\u{a0}', " ");
    line(out, &bold(&title, colour));
    for row in &searches.rows {
        let place = if searches.several_places && !row.place.is_empty() {
            format!(" at {}", row.place)
        } else {
            String::new()
        };
        let mut told = Vec::new();
        if row.has_batch {
            told.push(format!("batch {}", row.batch.text));
            told.push(format!("{} {}", searches.quantile, whole(&row.latency)));
            told.push(whole(&row.throughput));
        } else {
            told.push(row.batch.text.clone());
        }
        if !row.batch.gap {
            told.push(row.effort.clone());
        }
        let parts = told.into_iter().chain(row.remarks.iter().cloned()).collect::<Vec<_>>();
        let text = format!("{}{place}: {}", row.variant, parts.join("; "));
        wrapped(out, &text, row.chip.tone, row.chip.sign, colour, width);
    }
}

/// Cells of a gate told here; the written report has them all.
const MOST_SIGHTS: usize = 4;

/// A gate with what it found, the cells that decided it first.
fn told_gate(gate: &GateText) -> String {
    let decided = gate.found.iter().filter(|sight| sight.decides);
    let others = gate.found.iter().filter(|sight| !sight.decides);
    let told = decided.chain(others).take(MOST_SIGHTS).map(|sight| {
        let place =
            if sight.setting.is_empty() { String::new() } else { format!(" at {}", sight.setting) };
        let found = if sight.found.gap { sight.found.text.clone() } else { whole(&sight.found) };
        format!("{}{place}", found.replace("× [", "×\u{a0}[").replace(", ", ",\u{a0}"))
    });
    let mut text = format!(
        "gate {}: {} ({} of {}, {}): {}",
        gate.chip.text,
        gate.name,
        gate.metric,
        gate.on,
        gate.condition,
        told.collect::<Vec<_>>().join(", ")
    );
    if gate.found.len() > MOST_SIGHTS {
        let _ = write!(text, " and {} more", gate.found.len() - MOST_SIGHTS);
    }
    if !gate.reason.is_empty() {
        let _ = write!(text, "; {}", gate.reason);
    }
    text
}

/// The widest form of the table that fits, otherwise a list.
fn table(out: &mut String, sheet: &Sheet, colour: bool, width: usize) {
    let verdicts = sheet.headline.iter().map(|row| row.chip.text.chars().count() + 2);
    let verdicts = verdicts.max().unwrap_or(0);
    let fits = |columns: &Vec<Column>| {
        columns.iter().map(|column| column.width() + GAP).sum::<usize>() + verdicts <= width
    };
    let forms = FORMS.iter().map(|form| columns(sheet, *form));
    let Some(columns) = forms.filter(|_| width >= NARROW).find(fits) else {
        return list(out, sheet, colour);
    };
    let row = |cell: &dyn Fn(&Column) -> String| {
        let mut text = String::new();
        for column in &columns {
            let _ = write!(text, "{:<width$}{:GAP$}", cell(column), "", width = column.width());
        }
        text
    };
    line(out, &bold(&format!("{}verdict", row(&|column| column.head.clone())), colour));
    for (i, headline) in sheet.headline.iter().enumerate() {
        let text = row(&|column| column.cells[i].clone());
        line(out, &format!("{text}{}", verdict(&headline.chip, colour)));
    }
}

/// What does not fit side by side stands below each other.
fn list(out: &mut String, sheet: &Sheet, colour: bool) {
    let columns = columns(sheet, Form::Whole);
    for (i, row) in sheet.headline.iter().enumerate() {
        let name = bold(&columns[0].cells[i], colour);
        line(out, &format!("{name}  {}", verdict(&row.chip, colour)));
        for column in &columns[1..] {
            line(out, &format!("  {}: {}", column.head, column.cells[i]));
        }
    }
}

/// What gives way where columns are scarce; each form leaves out what the ones before it do. The
/// interval of the speed-up, which decides, never gives way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Whole,
    NoMemoryInterval,
    /// The size as a multiple of the baseline's, the unit of the primary metric in its head.
    ShortSize,
    NoOwnInterval,
    NoQualityInterval,
    NoSize,
    NoMemory,
}

const FORMS: &[Form] = &[
    Form::Whole,
    Form::NoMemoryInterval,
    Form::ShortSize,
    Form::NoOwnInterval,
    Form::NoQualityInterval,
    Form::NoSize,
    Form::NoMemory,
];

/// Terminals below this many columns get the list.
const NARROW: usize = 80;

struct Column {
    head: String,
    /// One per row of the verdict table.
    cells: Vec<String>,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(self.head.chars().count())
    }
}

fn columns(sheet: &Sheet, form: Form) -> Vec<Column> {
    let column = |head: &str, cell: &dyn Fn(&HeadlineText) -> String| Column {
        head: head.to_owned(),
        cells: sheet.headline.iter().map(|row| escape::terminal(&cell(row))).collect(),
    };
    let up_to = |last: Form, shown: &Shown| if form <= last { whole(shown) } else { short(shown) };
    let mut out = vec![column("variant", &|row| row.variant.clone())];
    if sheet.several_settings {
        out.push(column("setting", &|row| row.setting.clone()));
    }
    let mut own = column(&sheet.primary, &|row| up_to(Form::ShortSize, &row.value));
    if form >= Form::ShortSize {
        unit_in_head(&mut own);
    }
    out.push(own);
    out.push(column("speed-up", &|row| whole(&row.speedup)));
    let quality =
        if form < Form::NoQualityInterval { &sheet.quality_title } else { sheet.quality_short };
    out.push(column(quality, &|row| up_to(Form::NoOwnInterval, &row.quality)));
    if form < Form::NoMemory {
        out.push(column("memory", &|row| up_to(Form::Whole, &row.memory)));
    }
    if form < Form::NoSize {
        out.push(column("size", &|row| match &row.size {
            size if form < Form::ShortSize || size.gap => whole(size),
            _ if row.baseline => "1×".into(),
            size if size.bounds.is_empty() => size.text.clone(),
            size => size.bounds.clone(),
        }));
    }
    out
}

/// Moves the unit that all cells share into the head.
fn unit_in_head(column: &mut Column) {
    const UNIT: &str = " tok/s";
    let shared = |cell: &String| cell.contains(UNIT) || cell == GAP_TEXT;
    if column.cells.iter().all(shared) && column.cells.iter().any(|cell| cell != GAP_TEXT) {
        UNIT.trim_start().clone_into(&mut column.head);
        for cell in &mut column.cells {
            *cell = cell.replacen(UNIT, "", 1);
        }
    }
}

/// Reasons of gaps are told below the table; in it stands that there is one.
const GAP_TEXT: &str = "unmeasured";

/// A number with its interval.
fn whole(shown: &Shown) -> String {
    if shown.gap || shown.bounds.is_empty() {
        return short(shown);
    }
    format!("{} {}", short(shown), shown.bounds.replace('\u{a0}', " "))
}

/// A number without its interval.
fn short(shown: &Shown) -> String {
    if shown.gap {
        return GAP_TEXT.to_owned();
    }
    let text = shown.text.replace('\u{a0}', " ");
    // A margin that is kept needs no sign where columns are scarce.
    match shown.mark.as_ref().filter(|mark| mark.tone != Tone::Good) {
        Some(mark) => format!("{text} {}", mark.sign),
        None => text,
    }
}

fn verdict(chip: &Chip, colour: bool) -> String {
    painted(&format!("{} {}", chip.sign, chip.text), chip.tone, colour)
}

/// Words of `text` over as many lines as it takes, behind a sign or at the margin without one.
pub fn wrapped(out: &mut String, text: &str, tone: Tone, sign: &str, colour: bool, width: usize) {
    let safe = escape::terminal(text);
    let (lead, below) = match sign {
        "" => (String::new(), ""),
        sign => (format!("{} ", painted(sign, tone, colour)), "  "),
    };
    let mut current = String::new();
    let mut first = true;
    let mut flush = |current: &mut String| {
        line(out, &format!("{}{current}", if first { lead.as_str() } else { below }));
        first = false;
        current.clear();
    };
    let room = width - below.len();
    for word in safe.split(' ') {
        if !current.is_empty() && current.chars().count() + 1 + word.chars().count() > room {
            flush(&mut current);
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(&word.replace('\u{a0}', " "));
    }
    flush(&mut current);
}

pub fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

pub fn bold(text: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}

pub fn painted(text: &str, tone: Tone, colour: bool) -> String {
    let code = match tone {
        Tone::Good => "32",
        Tone::Bad => "31",
        Tone::Unsure => "33",
        Tone::Plain => return text.to_owned(),
    };
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}
