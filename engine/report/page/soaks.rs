//! Long runs as text.

use serde::Serialize;

use super::loads::{at, dash};
use super::shown::{Chip, Shown, chip, gap, sort_key, times};
use crate::measure::leak::Verdict as Leak;
use crate::measure::load::Invalid;
use crate::measure::sustained::Verdict as Sustained;
use crate::measure::{Estimate, Unit};
use crate::report::format;
use crate::report::loads::rate_text;
use crate::report::view::{HeldRow, Reading, SoakLoad, SoakSheet, Study, Tone};

#[derive(Serialize)]
pub struct SoakText {
    pub variant: String,
    pub place: String,
    /// Such as `10 min, 5,812 requests`.
    pub effort: String,
    pub ratio: Shown,
    pub chip: Chip,
    /// Where the rate changed, or why there is nothing.
    pub remarks: Vec<String>,
    pub held: Vec<HeldText>,
    /// `None` where one request came after the other.
    pub load: Option<SoakLoadText>,
}

#[derive(Serialize)]
pub struct SoakLoadText {
    /// Such as `24/s, 80 % of 30/s`.
    pub rate: String,
    /// Such as `14,400 of 14,402`.
    pub answered: String,
    pub p50: Shown,
    pub p99: Shown,
    /// Such as `21 ms → 22 ms`.
    pub thirds: String,
    pub over: String,
    pub dispatch: String,
}

#[derive(Serialize)]
pub struct HeldText {
    pub what: &'static str,
    pub baseline: String,
    pub growth: Shown,
    pub limit: String,
    pub chip: Chip,
}

pub(super) fn soaks(study: &Study) -> Vec<SoakText> {
    study.soaks.iter().map(soak).collect()
}

fn soak(sheet: &SoakSheet) -> SoakText {
    let s = if sheet.requests == 1 { "" } else { "s" };
    let mut remarks: Vec<String> = sheet.trouble.iter().cloned().collect();
    remarks.extend(sheet.skipped.as_ref().map(|why| format!("skipped: {why}")));
    remarks.extend(sheet.load.as_ref().and_then(late));
    remarks.extend(sheet.met.as_ref().map(|what| format!("the machine meanwhile: {what}")));
    let changes: Vec<String> = sheet.changes.iter().map(|at| format::span(*at)).collect();
    if !changes.is_empty() {
        remarks.push(format!("the rate changes after {}", changes.join(", ")));
    }
    SoakText {
        variant: sheet.variant.clone(),
        place: sheet.place.clone(),
        effort: format!(
            "{}, {} request{s}",
            format::span(sheet.seconds),
            format::count(sheet.requests)
        ),
        ratio: match &sheet.ratio {
            Reading::Known(ratio) => times(ratio),
            // Why is said once.
            Reading::Unmeasured(_) if sheet.skipped.is_some() => dash(),
            Reading::Unmeasured(why) => gap(why),
        },
        chip: match sheet.sustained {
            _ if sheet.skipped.is_some() => chip(Tone::Unsure, "skipped"),
            _ if sheet.trouble.is_some() => chip(Tone::Bad, "ended early"),
            Some(Sustained::Throttled) => chip(Tone::Bad, "slows down"),
            Some(Sustained::Sustained) => chip(Tone::Good, "sustained"),
            Some(Sustained::Inconclusive) | None => chip(Tone::Unsure, "inconclusive"),
        },
        remarks,
        held: sheet.held.iter().map(held).collect(),
        load: sheet.load.as_ref().map(|load| load_text(sheet, load)),
    }
}

fn load_text(sheet: &SoakSheet, load: &SoakLoad) -> SoakLoadText {
    let seconds = |value| format::exact(value, Unit::Seconds);
    let dash = || "–".to_owned();
    SoakLoadText {
        rate: match load.largest {
            Some(largest) => format!(
                "{}, {} of {}",
                rate_text(load.rate),
                format::percent(load.rate / largest),
                rate_text(largest)
            ),
            None => rate_text(load.rate),
        },
        answered: format!(
            "{} of {}",
            format::count(sheet.requests),
            format::count(u64::from(load.planned))
        ),
        p50: at(&load.latency, 0.5),
        p99: at(&load.latency, 0.99),
        thirds: load
            .thirds
            .map_or_else(dash, |(first, last)| format!("{} → {}", seconds(first), seconds(last))),
        over: load.over.map_or_else(dash, |(bound, share)| {
            format!("{} over {}", format::percent(share), seconds(bound))
        }),
        dispatch: load.dispatch.map_or_else(dash, |(late, _)| seconds(late)),
    }
}

/// A generator that was late is told in the words that launches under load have for it.
fn late(load: &SoakLoad) -> Option<String> {
    let (p99, allowed) = load.dispatch?;
    (p99 > allowed).then(|| Invalid::Late { p99, allowed }.to_string())
}

fn held(row: &HeldRow) -> HeldText {
    let amount = |value: f64| match row.is_memory {
        true => format::exact(value, Unit::Bytes),
        false => format::count(value.max(0.0).round() as u64),
    };
    HeldText {
        what: row.what,
        baseline: row.baseline.map_or_else(|| "–".to_owned(), amount),
        growth: match &row.growth {
            Reading::Known(growth) => per_day(growth, row.is_memory),
            Reading::Unmeasured(why) => gap(why),
        },
        limit: row.limit.map_or_else(|| "–".to_owned(), amount),
        chip: match row.verdict {
            Some(Leak::Leak) => chip(Tone::Bad, "leak"),
            Some(Leak::Clean) => chip(Tone::Good, "clean"),
            Some(Leak::Inconclusive) => chip(Tone::Unsure, "run longer"),
            None => chip(Tone::Unsure, "unmeasured"),
        },
    }
}

/// Growth with its sign; a fall is told as one.
pub(in crate::report) fn per_day(growth: &Estimate, is_memory: bool) -> Shown {
    let signed = |value: f64| {
        let sign = if value < 0.0 { "−" } else { "" };
        let size = match is_memory {
            true => format::exact(value.abs().round(), Unit::Bytes),
            false => format::count(value.abs().round() as u64),
        };
        format!("{sign}{size}")
    };
    Shown {
        text: signed(growth.point),
        bounds: format!("[{}, {}]", signed(growth.low), signed(growth.high)),
        key: sort_key(growth.point),
        ..Shown::default()
    }
}
