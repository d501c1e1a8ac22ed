//! What else the machine did while the cells were measured.
//!
//! Values are compared with the thresholds anew, against the medians of all launches that count:
//! warnings of old records follow the rules of this engine. Which blocks were left out was decided
//! while they were measured, and is read from the record.

use std::collections::BTreeSet;

use super::evidence::Evidence;
use super::view::{ConditionsSheet, DisturbedRow, HogRow, SignalRow};
use crate::machine::watch::{
    Finding, Level, Readings, SIGNALS, Signal, Usual, judge_block, values,
};
use crate::record::{Cell, Launch, Record};

/// Named at most, over all launches.
const MOST_HOGS: usize = 5;

/// A watched launch and where it stands.
struct Window<'a> {
    cell: &'a Cell,
    setting: usize,
    launch: &'a Launch,
    readings: &'a Readings,
    usual: Usual,
}

pub fn sheet(record: &Record, evidence: &Evidence<'_>) -> Option<ConditionsSheet> {
    let guard = record.guard.as_ref()?;
    let windows = windows(record, evidence);
    let findings: Vec<Vec<Finding>> =
        windows.iter().map(|window| findings(window, &windows)).collect();
    let signals = SIGNALS.iter().filter_map(|gauge| {
        let why = guard.unmeasured.iter().find(|unseen| unseen.signal == gauge.signal);
        row(gauge.signal, &windows, &findings, why.map(|unseen| unseen.why.clone()))
    });
    let rate = |r: &Readings| Some(r.switches? as f64 / r.seconds);
    let all = || windows.iter().map(|window| window.readings);
    let watched: f64 = all().map(|r| r.seconds).sum();
    let share = |seconds: Option<f64>| seconds.filter(|_| watched > 0.0).map(|s| s / watched);
    let songs: Vec<f64> = all().filter_map(|r| r.song).collect();
    let disturbed = disturbed(evidence);
    let blocks: BTreeSet<(usize, u32)> =
        windows.iter().map(|window| (window.setting, window.launch.block)).collect();
    Some(ConditionsSheet {
        watched: windows.len(),
        launches: record.cells.iter().map(|cell| cell.launches.len()).sum(),
        signals: signals.collect(),
        warned: findings.iter().filter(|found| !found.is_empty()).count(),
        hogs: hogs(&windows),
        left_out: disturbed.iter().filter(|row| row.left_out).count(),
        blocks: blocks.len(),
        disturbed,
        max_invalid: guard.max_invalid,
        switches: all().filter_map(rate).reduce(f64::max),
        cost: share(all().map(|r| r.cost).sum()),
        song: share((!songs.is_empty()).then(|| songs.iter().sum())),
    })
}

fn windows<'a>(record: &'a Record, evidence: &Evidence<'a>) -> Vec<Window<'a>> {
    let mut out = Vec::new();
    for setting in 0..evidence.settings.len() {
        let of = |name: &String| evidence.cell(name, setting);
        let cells: Vec<&'a Cell> = record.variants.keys().filter_map(of).collect();
        let counted = |cell: &&'a Cell| {
            cell.counted().filter_map(|launch| launch.conditions.as_ref()).collect::<Vec<_>>()
        };
        let all: Vec<&Readings> = cells.iter().flat_map(counted).collect();
        for cell in &cells {
            let own = counted(cell);
            let usual = Usual::of(own.iter().copied(), all.iter().copied());
            out.extend(cell.launches.iter().filter_map(|launch| {
                let readings = launch.conditions.as_ref()?;
                Some(Window { cell, setting, launch, readings, usual: usual.clone() })
            }));
        }
    }
    out
}

/// What is wrong with one window, and with its block where it is the last one of it.
fn findings(window: &Window<'_>, all: &[Window<'_>]) -> Vec<Finding> {
    let key = |w: &Window<'_>| (w.setting, w.launch.block);
    let block: Vec<&Window<'_>> = all.iter().filter(|other| key(other) == key(window)).collect();
    let judged: Vec<(&Readings, Usual)> =
        block.iter().map(|w| (w.readings, w.usual.clone())).collect();
    let own = block.iter().position(|other| std::ptr::eq(*other, window));
    judge_block(&judged)
        .into_iter()
        .filter(|(at, _)| Some(*at) == own)
        .map(|(_, finding)| finding)
        .collect()
}

/// One signal over all windows; `None` for one that was neither read nor missed.
fn row(
    signal: Signal,
    windows: &[Window<'_>],
    findings: &[Vec<Finding>],
    unmeasured: Option<String>,
) -> Option<SignalRow> {
    let of_window = |(window, found): (usize, &Vec<Finding>)| {
        let own = windows[window].readings;
        let read = values(own, &windows[window].usual).into_iter().filter(|(s, _)| *s == signal);
        // What only shows between the windows of a block is not among the values of one.
        let between = found.iter().filter(|f| f.signal == signal).map(|f| (f.signal, f.value));
        read.chain(between).map(|(_, value)| value).reduce(f64::max).map(|value| (window, value))
    };
    let worst = findings.iter().enumerate().filter_map(of_window);
    let worst = worst.max_by(|a, b| a.1.total_cmp(&b.1));
    let of_signal = |found: &Vec<Finding>| -> Option<Level> {
        found.iter().filter(|f| f.signal == signal).map(|f| f.level).max()
    };
    if worst.is_none() && unmeasured.is_none() {
        return None;
    }
    let at = worst.map(|(window, _)| &windows[window]);
    Some(SignalRow {
        signal,
        worst: worst.map(|(_, value)| value),
        variant: at.map_or_else(String::new, |window| window.cell.variant.clone()),
        setting: at.map_or(0, |window| window.setting),
        block: at.map_or(0, |window| window.launch.block),
        level: findings.iter().filter_map(of_signal).max(),
        warned: findings.iter().filter(|found| of_signal(found).is_some()).count(),
        unmeasured,
    })
}

fn hogs(windows: &[Window<'_>]) -> Vec<HogRow> {
    let mut out: Vec<HogRow> = Vec::new();
    for hog in windows.iter().flat_map(|window| &window.readings.hogs) {
        if let Some(known) = out.iter_mut().find(|known| known.name == hog.name) {
            known.launches += 1;
            if hog.cores > known.cores {
                (known.cores, known.pid) = (hog.cores, hog.pid);
            }
        } else {
            let (name, pid, cores) = (hog.name.clone(), hog.pid, hog.cores);
            out.push(HogRow { name, pid, cores, launches: 1 });
        }
    }
    out.sort_by(|a, b| b.cores.total_cmp(&a.cores).then(a.name.cmp(&b.name)));
    out.truncate(MOST_HOGS);
    out
}

/// Disturbed blocks of every setting, once for all of its variants.
fn disturbed(evidence: &Evidence<'_>) -> Vec<DisturbedRow> {
    let mut out = Vec::new();
    for (setting, cell) in evidence.settings.iter().enumerate() {
        out.extend(cell.disturbed.iter().map(|known| {
            DisturbedRow {
                setting,
                block: known.block,
                left_out: known.left_out,
                causes: known
                    .causes
                    .iter()
                    .map(|cause| (cause.variant.clone(), cause.finding.detail.clone()))
                    .collect(),
            }
        }));
    }
    out
}
