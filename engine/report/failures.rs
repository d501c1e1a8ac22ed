//! Launches and variants that gave no number, grouped by how they ended.

use std::collections::BTreeSet;

use super::evidence::Evidence;
use super::format;
use super::view::FailureRow;
use crate::record::{Cell, Outcome, Record, StopReason};

/// Launches of `cell` that failed in blocks that count; skipped ones were never tried. Where
/// processes stay, those of which a burst failed.
pub fn failed_launches(cell: &Cell) -> usize {
    processes(cell, |outcome| matches!(outcome, Outcome::Failed(_)))
}

/// Launches of `cell` that were tried in blocks that count: what estimates, and shares of failures,
/// are made from. Where processes stay, the processes.
pub fn tried_launches(cell: &Cell) -> usize {
    processes(cell, |outcome| !matches!(outcome, Outcome::Skipped { .. }))
}

/// Processes with a launch that ended so in blocks that count.
fn processes(cell: &Cell, ended: impl Fn(&Outcome) -> bool) -> usize {
    let mut rounds = BTreeSet::new();
    let launches = cell.counted().filter(|launch| ended(&launch.outcome));
    launches.filter(|launch| launch.residence.is_none_or(|r| rounds.insert(r.round))).count()
}

/// What [`tried_launches`] counts, in a word.
pub fn tried_word(cell: &Cell) -> &'static str {
    if stays(cell) { "processes" } else { "launches" }
}

fn stays(cell: &Cell) -> bool {
    cell.launches.iter().any(|launch| launch.residence.is_some())
}

/// Why `cell` was never launched; `None` where it was.
pub fn unreached(record: &Record, cell: &Cell) -> Option<String> {
    let mut skipped = None;
    for launch in &cell.launches {
        let Outcome::Skipped { why } = &launch.outcome else { return None };
        skipped = Some(why);
    }
    let variant = record.variants.get(&cell.variant);
    if let Some(why) = variant.and_then(|variant| variant.failed.as_ref()) {
        return Some(format!("the variant failed before: {why}"));
    }
    if let Some(why) = skipped.or_else(|| variant?.skipped.as_ref()) {
        return Some(format!("skipped: {why}"));
    }
    let why = match cell.stop {
        Some(StopReason::Interrupted) => "the run was stopped before",
        Some(StopReason::Budget) => "the time allowed ran out before",
        Some(StopReason::Crowded) => "processes no longer fitted into memory before",
        Some(StopReason::NothingLeft) => "nothing was left to compare",
        _ if record.run.interrupted => "the run was stopped before",
        _ => "never launched",
    };
    Some(why.to_owned())
}

/// What a reader of the verdict must know about the launches of `cell`.
pub fn remark(cell: &Cell, level: f64) -> Option<String> {
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for launch in cell.counted() {
        let label = match &launch.outcome {
            Outcome::Measured(_) => continue,
            Outcome::Failed(failure) => failure.verdict.label(),
            Outcome::Skipped { .. } => "skipped",
        };
        match kinds.iter_mut().find(|(kind, _)| *kind == label) {
            Some((_, n)) => *n += 1,
            None => kinds.push((label, 1)),
        }
    }
    if kinds.is_empty() {
        return None;
    }
    let told = kinds.iter().map(|(kind, n)| match *kind {
        "skipped" => format!("skipped in {n}"),
        kind => format!("failed: {kind} in {n}"),
    });
    Some(format!(
        "{} of {} {}{}",
        told.collect::<Vec<_>>().join(", "),
        format::count(cell.counted().count() as u64),
        if stays(cell) { "bursts" } else { "blocks" },
        rate(cell, level).unwrap_or_default()
    ))
}

/// How often launches of `cell`, or the processes that stay, fail, with exact bounds, where one did.
fn rate(cell: &Cell, level: f64) -> Option<String> {
    let rate = super::effects::failed(cell, level).filter(|rate| rate.point > 0.0)?;
    Some(format!(
        " ({} of {} fail, {})",
        format::percent_rough(rate.point),
        tried_word(cell),
        format::change_bounds(&rate)
    ))
}

pub fn rows(record: &Record, evidence: &Evidence<'_>) -> Vec<FailureRow> {
    let mut out = Vec::new();
    for (name, variant) in &record.variants {
        let before = [("failed", &variant.failed), ("skipped", &variant.skipped)];
        for (verdict, why) in before {
            if let Some(detail) = why {
                out.push(FailureRow {
                    variant: name.clone(),
                    setting: None,
                    verdict: verdict.into(),
                    detail: detail.clone(),
                    blocks: Vec::new(),
                    log_tail: String::new(),
                });
            }
        }
        for setting in 0..evidence.settings.len() {
            if let Some(cell) = evidence.cell(name, setting) {
                launches(cell, setting, &mut out);
            }
        }
    }
    out
}

fn launches(cell: &Cell, setting: usize, out: &mut Vec<FailureRow>) {
    let first = out.len();
    for launch in &cell.launches {
        let (verdict, detail, log_tail) = match &launch.outcome {
            Outcome::Measured(_) => continue,
            Outcome::Failed(failure) => {
                (failure.verdict.label(), &failure.detail, failure.log_tail.clone())
            }
            Outcome::Skipped { why } => ("skipped", why, String::new()),
        };
        let same = |row: &&mut FailureRow| row.verdict == verdict && row.detail == *detail;
        match out[first..].iter_mut().find(same) {
            Some(row) => row.blocks.push(launch.block),
            None => out.push(FailureRow {
                variant: cell.variant.clone(),
                setting: Some(setting),
                verdict: verdict.into(),
                detail: detail.clone(),
                blocks: vec![launch.block],
                log_tail,
            }),
        }
    }
}
