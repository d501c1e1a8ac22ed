//! A row of runs as text.

use serde::Serialize;

use super::series::{Line, Past, Point};
use crate::measure::Estimate;
use crate::report::columns::Columns;
use crate::report::page::{metric_name, sign};
use crate::report::render::render;
use crate::report::terminal::{bold, line, wrapped};
use crate::report::view::{Reading, Tone};
use crate::report::{Options, ReportError, escape, format};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What stands for a run without a ratio.
const NOTHING: char = '·';

/// Ratios by time, each cell with its course in one line, for the terminal. `last` runs of each are
/// listed.
pub fn timeline(past: &Past, last: usize, colour: bool, width: usize) -> String {
    let mut out = String::new();
    let title = format!(
        "{}: speed-up over {}, paired within each run",
        metric_name(past.metric),
        past.reference
    );
    line(&mut out, &bold(&escape::terminal(&title), colour));
    if past.groups.len() > 1 {
        let text = format!("{} machines, never in one series", past.groups.len());
        wrapped(&mut out, &text, Tone::Unsure, sign(Tone::Unsure), colour, width);
    }
    for group in &past.groups {
        out.push('\n');
        let runs = if group.runs == 1 { "run" } else { "runs" };
        let head = format!("{} {runs} on {}", group.runs, group.machine);
        line(&mut out, &bold(&escape::terminal(&head), colour));
        for cell in &group.lines {
            out.push('\n');
            let name = escape::terminal(&format!("{}, {}", cell.variant, cell.setting));
            line(&mut out, &format!("{}  {}", bold(&name, colour), sparkline(cell)));
            for change in told(cell) {
                wrapped(&mut out, &change.text, change.tone, sign(change.tone), colour, width);
            }
            points(&mut out, cell, last, colour, width);
        }
    }
    out
}

/// The same as Markdown.
pub fn timeline_markdown(
    past: &Past,
    last: usize,
    options: &Options,
) -> Result<String, ReportError> {
    #[derive(Serialize)]
    struct Row {
        started: String,
        run: String,
        engine: String,
        artifact: String,
        ratio: String,
    }
    #[derive(Serialize)]
    struct Shown {
        name: String,
        course: String,
        changes: Vec<String>,
        earlier: usize,
        rows: Vec<Row>,
    }
    #[derive(Serialize)]
    struct Machine {
        name: String,
        runs: usize,
        lines: Vec<Shown>,
    }
    #[derive(Serialize)]
    struct Context {
        metric: String,
        reference: String,
        machines: Vec<Machine>,
    }
    let row = |point: &Point| Row {
        started: point.started.clone(),
        run: point.run.clone(),
        engine: point.engine.clone(),
        artifact: point.artifact.clone().unwrap_or_else(|| "–".into()),
        ratio: ratio(&point.ratio),
    };
    let course = |cell: &Line| {
        let earlier = cell.points.len().saturating_sub(last);
        Shown {
            name: format!("{}, {}", cell.variant, cell.setting),
            course: sparkline(cell),
            changes: told(cell).into_iter().map(|told| told.text).collect(),
            earlier,
            rows: cell.points[earlier..].iter().map(row).collect(),
        }
    };
    let machines = past.groups.iter().map(|group| Machine {
        name: group.machine.clone(),
        runs: group.runs,
        lines: group.lines.iter().map(course).collect(),
    });
    let context = Context {
        metric: metric_name(past.metric),
        reference: past.reference.clone(),
        machines: machines.collect(),
    };
    render("history.md.j2", &context, options.templates.as_deref())
}

struct Told {
    tone: Tone,
    text: String,
}

/// Changes in words, or why none was looked for.
fn told(cell: &Line) -> Vec<Told> {
    if let Some(why) = &cell.unsearched {
        return vec![Told { tone: Tone::Plain, text: why.clone() }];
    }
    if cell.changes.is_empty() {
        let text = format!("no change point in {} runs", cell.points.len());
        return vec![Told { tone: Tone::Plain, text }];
    }
    let one = |change: &super::series::Change| {
        let worse = change.after < change.before;
        let started = &cell.points[change.at].started;
        let text = format!(
            "{} from run {} ({started}) on: {} → {}, p = {}",
            if worse { "slower" } else { "faster" },
            change.run,
            format::ratio(change.before),
            format::ratio(change.after),
            format::rough(change.p_value)
        );
        Told { tone: if worse { Tone::Bad } else { Tone::Good }, text }
    };
    cell.changes.iter().map(one).collect()
}

/// One bar per run, from the smallest to the largest ratio of the line; `|` before a change.
fn sparkline(cell: &Line) -> String {
    let log = |point: &Point| Some(point.ratio.known()?.point.ln());
    let logs: Vec<f64> = cell.points.iter().filter_map(log).collect();
    let low = logs.iter().copied().fold(f64::INFINITY, f64::min);
    let high = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut out = String::new();
    for (i, point) in cell.points.iter().enumerate() {
        if cell.changes.iter().any(|change| change.at == i) {
            out.push('|');
        }
        out.push(match log(point) {
            None => NOTHING,
            Some(_) if high <= low => BARS[3],
            Some(x) => {
                let top = (BARS.len() - 1) as f64;
                BARS[((x - low) / (high - low) * top).round() as usize]
            }
        });
    }
    out
}

fn points(out: &mut String, cell: &Line, last: usize, colour: bool, width: usize) {
    let earlier = cell.points.len().saturating_sub(last);
    let mut table = Columns::new(&["started", "run", "engine", "artifact", "speed-up"]);
    for (i, point) in cell.points.iter().enumerate().skip(earlier) {
        let tone = match cell.changes.iter().find(|change| change.at == i) {
            Some(change) if change.after < change.before => Tone::Bad,
            Some(_) => Tone::Good,
            None => Tone::Plain,
        };
        let cells = [
            point.started.clone(),
            point.run.clone(),
            point.engine.clone(),
            point.artifact.clone().unwrap_or_else(|| "–".into()),
            ratio(&point.ratio),
        ];
        table.row(&cells, tone);
    }
    if earlier > 0 {
        let runs = if earlier == 1 { "run is" } else { "runs are" };
        line(out, &format!("{earlier} earlier {runs} not listed"));
    }
    table.write(out, colour, width);
}

fn ratio(reading: &Reading<Estimate>) -> String {
    match reading {
        Reading::Known(e) => format!("{} {}", format::times(e), format::times_bounds(e)),
        Reading::Unmeasured(why) => format!("unmeasured: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::record;
    use crate::report::history::past;

    #[test]
    fn runs_stand_by_time_with_their_intervals_and_hostile_names_are_inert() {
        let mut second = record();
        second.run.id = "20261123-000000-<b>".into();
        second.run.started = "2026-11-23T00:00:00Z".into();
        let records = [second, record()];
        let past = past(&records, None, None).unwrap().unwrap();
        let shown = timeline(&past, 20, false, 120);
        let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("{text} in {shown}"));
        assert!(at("20261122-143000-5f3a9c") < at("20261123-000000-<b>"));
        assert!(shown.contains("q8, batch 1, prompt 32, new 32, threads 2  ▄▄"), "{shown}");
        assert!(shown.contains("2 runs, 10 are needed"), "{shown}");
        let short = timeline(&past, 1, false, 120);
        assert!(short.contains("1 earlier run is not listed"), "{short}");
        let text = timeline_markdown(&past, 20, &Options::default()).unwrap();
        assert!(text.contains("1.6") && !text.contains("-<b>"), "{text}");
    }
}
