//! What else the machine did while the cells were measured.
//!
//! Values are compared with the thresholds anew, against the medians of all launches that count:
//! warnings of old records follow the rules of this engine. Which blocks were left out was decided
//! while they were measured, and is read from the record.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::evidence::Evidence;
use super::view::{ConditionsSheet, DisturbedRow, HogRow, SignalRow};
use crate::machine::watch::{
    Finding, Level, Readings, SIGNALS, Signal, Usual, judge, judge_block, values,
};
use crate::record::{AGAIN, Launch, Record};

/// Named at most, over all launches.
const MOST_HOGS: usize = 5;

/// One of the windows in which a launch was watched.
type Look = fn(&Launch) -> Option<&Readings>;

/// A watched launch and where it stands.
struct Window<'a> {
    /// The variant, or the second arm of the baseline.
    arm: &'a str,
    setting: usize,
    launch: &'a Launch,
    readings: &'a Readings,
    usual: Usual,
}

pub fn sheet(record: &Record, evidence: &Evidence<'_>) -> Option<ConditionsSheet> {
    let guard = record.guard.as_ref()?;
    let windows = windows(evidence);
    let (findings, blocks) = findings(&windows);
    let mut worst = worst(&windows, &findings);
    let signals = SIGNALS.iter().filter_map(|gauge| {
        let why = guard.unmeasured.iter().find(|unseen| unseen.signal == gauge.signal);
        let why = why.map(|unseen| unseen.why.clone());
        row(gauge.signal, &windows, worst.remove(&gauge.signal), why)
    });
    let signals = signals.collect();
    let warned = windows.iter().zip(&findings).filter(|(_, found)| !found.is_empty());
    let rate = |r: &Readings| Some(r.switches? as f64 / r.seconds);
    let all = || windows.iter().map(|window| window.readings);
    let watched: f64 = all().map(|r| r.seconds).sum();
    let share = |seconds: Option<f64>| seconds.filter(|_| watched > 0.0).map(|s| s / watched);
    let songs: Vec<f64> = all().filter_map(|r| r.song).collect();
    let disturbed = disturbed(evidence);
    let launches = record.cells.iter().map(|cell| cell.launches.len());
    let again = record.conduct.iter().map(|conduct| conduct.again.len());
    Some(ConditionsSheet {
        watched: launches_of(windows.iter()),
        launches: launches.chain(again).sum(),
        signals,
        warned: launches_of(warned.map(|(window, _)| window)),
        hogs: hogs(&windows),
        left_out: disturbed.iter().filter(|row| row.left_out).count(),
        blocks,
        disturbed,
        max_invalid: guard.max_invalid,
        switches: all().filter_map(rate).reduce(f64::max),
        cost: share(all().map(|r| r.cost).sum()),
        song: share((!songs.is_empty()).then(|| songs.iter().sum())),
    })
}

/// How many launches `windows` belong to; one that loaded in a window of its own has two.
fn launches_of<'a>(windows: impl Iterator<Item = &'a Window<'a>>) -> usize {
    windows.map(|window| std::ptr::from_ref(window.launch)).collect::<HashSet<_>>().len()
}

/// Setting by setting, the second arm of the baseline after the variants.
fn windows<'a>(evidence: &Evidence<'a>) -> Vec<Window<'a>> {
    let mut out = Vec::new();
    for (setting, first) in evidence.settings.iter().enumerate() {
        let cells = evidence.cells_of(setting);
        let mut arms: Vec<(&'a str, &'a [Launch])> =
            cells.map(|cell| (cell.variant.as_str(), cell.launches.as_slice())).collect();
        arms.extend(evidence.conduct[setting].map(|conduct| (AGAIN, conduct.again.as_slice())));
        // A load is other work than a burst.
        let windows: [Look; 2] =
            [|launch| launch.settling.as_ref(), |launch| launch.conditions.as_ref()];
        let counted = |(_, launches): &(&'a str, &'a [Launch]), window: Look| {
            let counts = launches.iter().filter(|launch| !first.leaves_out(launch.block));
            counts.filter_map(window).collect::<Vec<&Readings>>()
        };
        let each = arms.iter().flat_map(|arm| windows.map(|window| counted(arm, window)));
        let all: Vec<&Readings> = each.flatten().collect();
        for (arm, window) in arms.iter().flat_map(|arm| windows.map(|window| (arm, window))) {
            let usual = Usual::of(counted(arm, window).into_iter(), all.iter().copied());
            let (arm, launches) = *arm;
            out.extend(launches.iter().filter_map(|launch| {
                let readings = window(launch)?;
                Some(Window { arm, setting, launch, readings, usual: usual.clone() })
            }));
        }
    }
    out
}

/// What is wrong with each window, and with its block where it is the last one of it; and the
/// number of blocks.
fn findings(windows: &[Window<'_>]) -> (Vec<Vec<Finding>>, usize) {
    let mut blocks: BTreeMap<(usize, u32), Vec<usize>> = BTreeMap::new();
    for (at, window) in windows.iter().enumerate() {
        blocks.entry((window.setting, window.launch.block)).or_default().push(at);
    }
    let mut out = vec![Vec::new(); windows.len()];
    for block in blocks.values_mut() {
        block.sort_by_key(|at| windows[*at].launch.position);
        let own = block.iter().map(|at| (windows[*at].readings, windows[*at].usual.clone()));
        for (at, mut finding) in judge_block(&own.collect::<Vec<_>>()) {
            let Window { launch, readings, usual, .. } = &windows[block[at]];
            if launch.residence.is_some() && finding.signal == Signal::Faults {
                let found = judge(readings, &usual.clone().beside_others());
                let worst = found.iter().find(|known| known.signal == Signal::Faults);
                finding.level = worst.map_or(Level::Warn, |known| known.level);
            }
            out[block[at]].push(finding);
        }
    }
    (out, blocks.len())
}

/// What all windows say about one signal.
#[derive(Default)]
struct Worst {
    /// The largest value, and the window that had it.
    value: Option<(f64, usize)>,
    level: Option<Level>,
    warned: usize,
}

fn worst(windows: &[Window<'_>], findings: &[Vec<Finding>]) -> HashMap<Signal, Worst> {
    let mut out: HashMap<Signal, Worst> = HashMap::new();
    for (at, (window, found)) in windows.iter().zip(findings).enumerate() {
        let mut warned: Vec<Signal> = Vec::new();
        for finding in found {
            let worst = out.entry(finding.signal).or_default();
            worst.level = worst.level.max(Some(finding.level));
            if !warned.contains(&finding.signal) {
                warned.push(finding.signal);
                worst.warned += 1;
            }
        }
        // What only shows between the windows of a block is not among the values of one.
        let between = found.iter().map(|finding| (finding.signal, finding.value));
        for (signal, value) in values(window.readings, &window.usual).into_iter().chain(between) {
            let worst = out.entry(signal).or_default();
            if worst.value.is_none_or(|(most, _)| value >= most) {
                worst.value = Some((value, at));
            }
        }
    }
    out
}

/// One signal over all windows; `None` for one that was neither read nor missed.
fn row(
    signal: Signal,
    windows: &[Window<'_>],
    found: Option<Worst>,
    unmeasured: Option<String>,
) -> Option<SignalRow> {
    let Worst { value, level, warned } = found.unwrap_or_default();
    if value.is_none() && unmeasured.is_none() {
        return None;
    }
    let at = value.map(|(_, window)| &windows[window]);
    Some(SignalRow {
        signal,
        worst: value.map(|(value, _)| value),
        variant: at.map_or_else(String::new, |window| window.arm.to_owned()),
        setting: at.map_or(0, |window| window.setting),
        block: at.map_or(0, |window| window.launch.block),
        level,
        warned,
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
