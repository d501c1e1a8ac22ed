//! CSV: every request of every launch, raw instants included, for one's own analysis.

use std::fmt::Write as _;
use std::io::Write;

use indexmap::{IndexMap, IndexSet};
use serde_json::Value;

use super::evidence::Evidence;
use super::parallel::each;
use super::{Options, Report, ReportError, escape};
use crate::measure::tokens::generated;
use crate::measure::{Observed, Timeline, steady, summary};
use crate::record::{AGAIN, Launch, Outcome, Record};

const BEFORE: &[&str] = &["run", "variant", "scenario"];
const AFTER: &[&str] = &[
    "block",
    "position",
    "pid",
    "outcome",
    "request",
    "phase",
    "ttft_s",
    "itl_median_s",
    "e2e_s",
    "prefill_tps",
    "decode_tps",
    "tokens",
    "sent_ns",
    "first_token_ns",
    "last_token_ns",
    "load_ns",
    "peak_memory_bytes",
    "scheduled_ns",
    "queued_ns",
    "left_out",
];

/// The axis that a search has no one value of.
const BATCH: &str = "batch";

/// Scenario of the probes of a search, whose blocks number its launches.
const SEARCH: &str = "batch_search";

/// The axis of the probes of a search for a rate, and their scenario.
const RATE: &str = "rate";
const RATE_SEARCH: &str = "rate_search";

/// Cells whose text is in memory at once.
const AT_ONCE: usize = 256;

/// What stands in front of the launches of a cell or a probe.
struct Place<'a> {
    variant: &'a str,
    scenario: &'a str,
    axes: &'a IndexMap<String, Value>,
    /// The first request of a launch that may count.
    from: fn(&Observed) -> usize,
}

/// Requests of a probe count as they were flagged when they were made.
fn as_made(_: &Observed) -> usize {
    0
}

pub fn export(report: &Report<'_>, _: &Options, to: &mut dyn Write) -> Result<(), ReportError> {
    let cells = report.records.iter().flat_map(|record| &record.cells).map(|cell| &cell.axes);
    let searches =
        report.records.iter().flat_map(|record| &record.searches).map(|search| &search.axes);
    let mut axes: IndexSet<&str> =
        cells.chain(searches).flat_map(IndexMap::keys).map(String::as_str).collect();
    if report.records.iter().any(|record| !record.searches.is_empty()) {
        axes.insert(BATCH);
    }
    let rates = || report.records.iter().flat_map(|record| &record.rates);
    axes.extend(rates().flat_map(|search| search.axes.keys()).map(String::as_str));
    if rates().next().is_some() {
        axes.insert(RATE);
    }
    let heads = BEFORE.iter().chain(&axes).chain(AFTER);
    let mut out = heads.map(|head| escape::csv(head)).collect::<Vec<_>>().join(",");
    out.push('\n');
    for record in report.records {
        for cells in record.cells.chunks(AT_ONCE) {
            let texts = each(cells.len(), |i| {
                let cell = &cells[i];
                let (variant, scenario) = (cell.variant.as_str(), cell.scenario.as_str());
                let from = steady::counted_from;
                let at = Place { variant, scenario, axes: &cell.axes, from };
                let mut text = String::new();
                rows(&mut text, record, &at, &cell.launches, &axes, &|block| {
                    !cell.leaves_out(block)
                });
                text
            });
            out.extend(texts);
            to.write_all(out.as_bytes())?;
            out.clear();
        }
        let evidence = Evidence::of(record);
        for (first, conduct) in evidence.settings.iter().zip(&evidence.conduct) {
            let Some(conduct) = conduct else { continue };
            let (scenario, from) = (&conduct.scenario, steady::counted_from);
            let at = Place { variant: AGAIN, scenario, axes: &conduct.axes, from };
            rows(&mut out, record, &at, &conduct.again, &axes, &|block| !first.leaves_out(block));
        }
        for search in &record.searches {
            for probe in &search.probes {
                let mut own = search.axes.clone();
                own.insert(BATCH.to_owned(), probe.batch.into());
                let from = as_made;
                let at = Place { variant: &search.variant, scenario: SEARCH, axes: &own, from };
                rows(&mut out, record, &at, &probe.launches, &axes, &|_| true);
            }
        }
        for search in &record.rates {
            for probe in &search.probes {
                let mut own = search.axes.clone();
                own.extend(probe.rate.map(|rate| (RATE.to_owned(), rate.into())));
                let (variant, from) = (&search.variant, steady::counted_from);
                let at = Place { variant, scenario: RATE_SEARCH, axes: &own, from };
                rows(&mut out, record, &at, &probe.launches, &axes, &|_| true);
            }
        }
    }
    Ok(to.write_all(out.as_bytes())?)
}

fn rows(
    out: &mut String,
    record: &Record,
    at: &Place<'_>,
    launches: &[Launch],
    axes: &IndexSet<&str>,
    counts: &dyn Fn(u32) -> bool,
) {
    let mut prefix = [&record.run.id, at.variant, at.scenario].map(escape::csv).join(",");
    for axis in axes {
        prefix.push(',');
        prefix.push_str(&at.axes.get(*axis).map_or_else(String::new, axis_value));
    }
    for launch in launches {
        let pid = launch.pid.map_or_else(String::new, |pid| pid.to_string());
        let prefix = format!("{prefix},{},{},{pid}", launch.block, launch.position);
        let mark = if counts(launch.block) { "" } else { "yes" };
        launch_rows(out, &prefix, launch, at.from, mark);
    }
}

fn axis_value(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => escape::csv(text),
        other => escape::csv(&other.to_string()),
    }
}

/// One row per request; one without numbers for a launch that gave none.
fn launch_rows(
    out: &mut String,
    prefix: &str,
    launch: &Launch,
    from: fn(&Observed) -> usize,
    left_out: &str,
) {
    let outcome = match &launch.outcome {
        Outcome::Measured(observed) => {
            let first = &observed.first_call;
            row(out, prefix, observed, 0, "first_call", first, left_out);
            let from = from(observed);
            for (i, request) in observed.requests.iter().enumerate() {
                let early = request.warmup || i < from;
                let phase = if early { "warmup" } else { "counted" };
                row(out, prefix, observed, i + 1, phase, request, left_out);
            }
            return;
        }
        Outcome::Failed(failure) => format!("failed: {}", failure.verdict.label()),
        Outcome::Skipped { .. } => "skipped".to_owned(),
    };
    // Between the outcome, which is the fourth, and the mark, which is the last.
    let gaps = ",".repeat(AFTER.len() - 4);
    let _ = writeln!(out, "{prefix},{}{gaps}{left_out}", escape::csv(&outcome));
}

fn row(
    out: &mut String,
    prefix: &str,
    observed: &Observed,
    index: usize,
    phase: &str,
    request: &Timeline,
    left_out: &str,
) {
    let alone = alone(observed, request);
    let value = |metric: &str| number(summary::block_value(&alone, metric));
    let instant = |at: Option<&u64>| at.map_or_else(String::new, u64::to_string);
    // A request that is not about tokens has its end only.
    let about_tokens = request.prompt_tokens.is_some();
    let tokens = if about_tokens { generated(request).to_string() } else { String::new() };
    let _ = writeln!(
        out,
        "{prefix},measured,{index},{phase},{},{},{},{},{},{},{},{},{},{},{},{},{},{left_out}",
        value("ttft"),
        value("itl"),
        value("e2e"),
        value("prefill_tps"),
        value("decode_tps"),
        tokens,
        request.sent,
        instant(request.tokens.first().filter(|_| about_tokens)),
        instant(request.tokens.last()),
        observed.load,
        observed.peak_memory.map_or_else(String::new, |bytes| bytes.to_string()),
        instant(request.scheduled.as_ref()),
        instant(request.queued.as_ref()),
    );
}

/// A launch with this request as its only counted one, so that the columns mean what the metrics
/// mean everywhere else.
fn alone(observed: &Observed, request: &Timeline) -> Observed {
    let request = Timeline { warmup: false, ..request.clone() };
    Observed {
        load: observed.load,
        first_call: request.clone(),
        requests: vec![request],
        peak_memory: observed.peak_memory,
        steady_memory: observed.steady_memory,
        cpu_time: observed.cpu_time,
        ..Observed::default()
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
