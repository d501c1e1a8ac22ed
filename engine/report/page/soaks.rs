//! Long runs as text.

use serde::Serialize;

use super::shown::{Chip, Shown, chip, gap, times};
use crate::measure::leak::Verdict as Leak;
use crate::measure::sustained::Verdict as Sustained;
use crate::measure::{Estimate, Unit};
use crate::report::format;
use crate::report::view::{HeldRow, Reading, SoakSheet, Study, Tone};

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
            Reading::Unmeasured(why) => gap(why),
        },
        chip: match sheet.sustained {
            _ if sheet.trouble.is_some() => chip(Tone::Bad, "ended early"),
            Some(Sustained::Throttled) => chip(Tone::Bad, "slows down"),
            Some(Sustained::Sustained) => chip(Tone::Good, "sustained"),
            Some(Sustained::Inconclusive) | None => chip(Tone::Unsure, "inconclusive"),
        },
        remarks,
        held: sheet.held.iter().map(held).collect(),
    }
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
fn per_day(growth: &Estimate, is_memory: bool) -> Shown {
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
        key: growth.point.to_string(),
        ..Shown::default()
    }
}
