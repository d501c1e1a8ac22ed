//! Searches for the largest batch as text.

use serde::Serialize;

use super::shown::{Chip, Shown, chip, gap, shown, sort_key};
use crate::measure::search::{Answer, Bound, LOOKS};
use crate::measure::{Estimate, Method, Unit};
use crate::report::format;
use crate::report::view::{ProbeRow, Reading, SearchSheet, Study, Tone};

#[derive(Serialize)]
pub struct SearchesText {
    /// Such as `Largest batch with p99 latency ≤ 50 ms`.
    pub title: String,
    /// Such as `p99 latency`.
    pub quantile: String,
    /// How to read the tables.
    pub legend: String,
    /// Whether settings must be told apart.
    pub several_places: bool,
    pub rows: Vec<SearchText>,
}

#[derive(Serialize)]
pub struct SearchText {
    pub variant: String,
    pub place: String,
    pub batch: Shown,
    /// Whether there is one, and numbers at it.
    pub has_batch: bool,
    pub latency: Shown,
    pub throughput: Shown,
    /// Such as `12 probes of 7 sizes from 1 to 128`.
    pub effort: String,
    pub chip: Chip,
    pub remarks: Vec<String>,
    pub probes: Vec<ProbeText>,
}

#[derive(Serialize)]
pub struct ProbeText {
    pub batch: u32,
    pub launches: String,
    pub requests: String,
    pub latency: Shown,
    pub throughput: String,
    pub chip: Chip,
    pub detail: String,
}

/// All searches of a study; they share one bound, because the spec has one.
pub(super) fn searches(study: &Study) -> Option<SearchesText> {
    let first = study.searches.first()?;
    let quantile = quantile(first.bound, &first.metric);
    let several_places = study.searches.iter().any(|sheet| sheet.place != first.place);
    let bound = format::exact(first.bound.seconds, Unit::Seconds);
    Some(SearchesText {
        title: format!("Largest batch with {quantile} ≤ {bound}"),
        legend: legend(&quantile, study.terms.confidence),
        quantile,
        several_places,
        rows: study.searches.iter().map(row).collect(),
    })
}

fn quantile(bound: Bound, metric: &str) -> String {
    format!("p{} {metric}", format::trimmed(bound.quantile * 100.0, 2))
}

fn legend(quantile: &str, confidence: f64) -> String {
    format!(
        "Found by doubling and halving, not by trying every size; a size keeps the bound when the upper end of the interval of its {quantile} does. Where the answer is settled, it and its upper neighbour were probed twice. Throughput is the median over the requests at that batch. Intervals hold with {} and count every request as independent; those of single probes are wider, because a probe is looked at up to {LOOKS} times. Throughputs of different variants are not paired.",
        format::percent(confidence)
    )
}

fn row(sheet: &SearchSheet) -> SearchText {
    let unsearched = match &sheet.latency {
        Reading::Unmeasured(why) if sheet.probes.is_empty() => Some(why),
        _ => None,
    };
    // That none keeps the bound is known only when the smallest size was seen not to.
    let not_kept = |probe: &ProbeRow| matches!(probe.answer, Answer::Breaks | Answer::Failed);
    let is_known = sheet.probes.iter().any(|probe| probe.batch == 1 && not_kept(probe));
    let none = if is_known { "none" } else { "undecided" };
    let mut sizes: Vec<u32> = sheet.probes.iter().map(|probe| probe.batch).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let (probes, s) = (sheet.probes.len(), if sheet.probes.len() == 1 { "" } else { "s" });
    let sizes_s = if sizes.len() == 1 { "" } else { "s" };
    SearchText {
        variant: sheet.variant.clone(),
        place: sheet.place.clone(),
        batch: match (sheet.batch, unsearched) {
            (_, Some(why)) => gap(why),
            (Some(batch), None) => {
                Shown { text: batch.to_string(), key: batch.to_string(), ..Shown::default() }
            }
            (None, None) => Shown { text: none.into(), key: "0".into(), ..Shown::default() },
        },
        has_batch: sheet.batch.is_some() && unsearched.is_none(),
        latency: at_the_answer(sheet, &sheet.latency, Unit::Seconds),
        throughput: at_the_answer(sheet, &sheet.throughput, Unit::ItemsPerSecond),
        effort: format!(
            "{probes} probe{s} of {} size{sizes_s} from 1 to {}",
            sizes.len(),
            sheet.max
        ),
        chip: match (sheet.batch, unsearched, sheet.settled) {
            (_, Some(_), _) => chip(Tone::Unsure, "unmeasured"),
            (Some(_), None, true) => chip(Tone::Good, "settled"),
            (None, None, true) if is_known => chip(Tone::Bad, none),
            (None, None, _) if !is_known => chip(Tone::Unsure, none),
            (_, None, _) => chip(Tone::Unsure, "not settled"),
        },
        remarks: sheet.remarks.clone(),
        probes: sheet.probes.iter().map(probe).collect(),
    }
}

/// A number at the batch that was found; a dash where there is none, which is told once.
fn at_the_answer(sheet: &SearchSheet, reading: &Reading<Estimate>, unit: Unit) -> Shown {
    match sheet.batch {
        Some(_) => shown(reading, unit),
        None => Shown { text: "–".into(), ..Shown::default() },
    }
}

fn probe(row: &ProbeRow) -> ProbeText {
    let (tone, word) = match row.answer {
        Answer::Keeps => (Tone::Good, "keeps it"),
        Answer::Breaks => (Tone::Bad, "breaks it"),
        Answer::Undecided => (Tone::Unsure, "undecided"),
        Answer::Failed => (Tone::Bad, "failed"),
    };
    ProbeText {
        batch: row.batch,
        launches: format::count(row.launches as u64),
        requests: format::count(row.requests as u64),
        latency: latency(row),
        throughput: row
            .throughput
            .map_or_else(|| "–".into(), |rate| format::exact(rate, Unit::ItemsPerSecond)),
        chip: chip(tone, word),
        detail: row.detail.clone(),
    }
}

fn latency(row: &ProbeRow) -> Shown {
    let Some(point) = row.latency else {
        return Shown { text: "–".into(), ..Shown::default() };
    };
    match (row.low, row.high) {
        (Some(low), Some(high)) => {
            let n = u32::try_from(row.requests).unwrap_or(u32::MAX);
            let method = Method::OrderStatistic;
            shown(
                &Reading::Known(Estimate { point, low, high, level: 0.0, n, method }),
                Unit::Seconds,
            )
        }
        (Some(low), None) => Shown {
            text: format::exact(point, Unit::Seconds),
            bounds: format!("≥ {}", format::exact(low, Unit::Seconds)),
            key: sort_key(point),
            ..Shown::default()
        },
        _ => Shown {
            text: format::exact(point, Unit::Seconds),
            key: sort_key(point),
            ..Shown::default()
        },
    }
}
