//! How a setting was measured, in words: repetition, own intervals, and what launches did to each
//! other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::evidence::Evidence;
use super::format;
use super::view::{CellSheet, Terms};
use crate::measure::carryover::{self, Row, carry_over};
use crate::measure::repetition::{Repetition, SettledBy};
use crate::measure::summary;
use crate::record::{Conduct, Launch};

/// What a reader should know about how `setting` was measured.
pub fn notes(
    evidence: &Evidence<'_>,
    terms: &Terms,
    setting: usize,
    cells: &[CellSheet],
) -> Vec<String> {
    let conduct = evidence.conduct[setting];
    let repetition = conduct.and_then(|conduct| conduct.repetition.as_ref()).map(repetition);
    let mut out: Vec<String> = residency(evidence, conduct, setting);
    out.extend(repetition);
    out.extend(widths(terms, cells));
    out.extend(carried_over(evidence, terms, setting));
    out
}

/// Which launches were bursts of processes that stayed, and why none were where some should have.
fn residency(evidence: &Evidence<'_>, conduct: Option<&Conduct>, setting: usize) -> Vec<String> {
    let launches = evidence.cells_of(setting).flat_map(|cell| &cell.launches);
    let mut rounds: BTreeMap<u32, u32> = BTreeMap::new();
    for residence in launches.filter_map(|launch| launch.residence) {
        let bursts = rounds.entry(residence.round).or_default();
        *bursts = (*bursts).max(residence.part + 1);
    }
    let mut out = Vec::new();
    if let (Some(fewest), Some(&bursts)) = (rounds.values().min(), rounds.values().max()) {
        let up_to = if *fewest < bursts { "up to " } else { "" };
        let es = if rounds.len() == 1 { "" } else { "es" };
        let s = if bursts == 1 { "" } else { "s" };
        out.push(format!(
            "kept resident, {} process{es} of {up_to}{bursts} burst{s} for each variant; all bursts of a process count as one block",
            rounds.len()
        ));
    }
    let fell = conduct.and_then(|conduct| conduct.not_kept.as_ref());
    out.extend(fell.map(|why| format!("residency: keep → fresh: {why}")));
    out
}

fn repetition(found: &Repetition) -> String {
    let count = format::count(u64::from(found.requests));
    let s = if found.requests == 1 { "" } else { "s" };
    let pilot = if found.pilot == 1 { "block".into() } else { format!("{} blocks", found.pilot) };
    let why = match (found.settled_by, &found.weights) {
        (SettledBy::Unclear, _) | (_, None) => {
            return format!(
                "{count} request{s} a launch at least: the first {pilot} did not tell how many pay"
            );
        }
        (by, Some(weights)) => {
            let seconds = |seconds| format::exact(seconds, crate::measure::Unit::Seconds);
            let spread = |sd: f64| format::percent_rough(sd.exp() - 1.0);
            let held = match by {
                SettledBy::Least => "; fewer would pay, and `requests.min` forbids it",
                SettledBy::Most => "; more would pay, and `requests.max` forbids it",
                SettledBy::Time => "; more would pay, and take too long for one launch",
                SettledBy::Weights | SettledBy::Unclear => "",
            };
            format!(
                "one request of every variant takes {}, launching them {} besides; ratios spread by {} between requests and by {} between launches{held}",
                seconds(weights.request),
                seconds(weights.launch),
                spread(weights.sd_requests),
                spread(weights.sd_launches),
            )
        }
    };
    format!("{count} request{s} a launch after the first {pilot}: {why}")
}

/// Half-widths of the variants' own values, which do not stop a run.
fn widths(terms: &Terms, cells: &[CellSheet]) -> Option<String> {
    let width = |cell: &CellSheet| {
        let primary = cell.metrics.iter().find(|sheet| sheet.metric == terms.primary)?;
        let own = primary.value.known().filter(|own| own.low > 0.0 && own.high > own.low)?;
        let half = (own.high / own.low).sqrt() - 1.0;
        Some(format!("{} ±{}", cell.variant, format::percent_rough(half)))
    };
    let told: Vec<String> = cells.iter().filter_map(width).take(MOST_WIDTHS).collect();
    let asked = format::percent(terms.half_width);
    (!told.is_empty()).then(|| {
        format!("own values are known to {} (±{asked} was asked of the speed-ups)", told.join(", "))
    })
}

/// Variants whose widths are told; the table has them all.
const MOST_WIDTHS: usize = 12;

/// A remark where launches feel which variant ran before them. Not asked of bursts: those of a
/// process are alike for other reasons.
fn carried_over(evidence: &Evidence<'_>, terms: &Terms, setting: usize) -> Option<String> {
    let found = carry_over(&rows(evidence, terms, setting)?)?;
    (found.p_value < carryover::NOTICED).then(|| {
        format!(
            "launches feel which variant ran before them (F {} on {} and {} degrees of freedom, p {}): longer launches would dilute that",
            format::significant(found.f, 3),
            found.effects,
            found.noise,
            format::significant(found.p_value, 2)
        )
    })
}

/// Launches of the setting in the order of time, each with its predecessor; none where one was a
/// burst.
fn rows(evidence: &Evidence<'_>, terms: &Terms, setting: usize) -> Option<Vec<Row>> {
    let mut launches: Vec<(usize, &Launch)> = Vec::new();
    let mut programs: HashMap<&str, usize> = HashMap::new();
    for cell in evidence.cells_of(setting) {
        let number = programs.len();
        programs.insert(&cell.variant, number);
        launches.extend(cell.launches.iter().map(|launch| (number, launch)));
    }
    if let (Some(conduct), Some(baseline)) =
        (evidence.conduct[setting], programs.get(terms.baseline.as_str()))
    {
        launches.extend(conduct.again.iter().map(|launch| (*baseline, launch)));
    }
    if launches.iter().any(|(_, launch)| launch.residence.is_some()) {
        return None;
    }
    launches.sort_by_key(|(_, launch)| (launch.block, launch.position));
    // Of a block that was left out only the last launch is of interest: as a predecessor.
    let mut out = Vec::new();
    let mut before: Option<(usize, u32)> = None;
    for (variant, launch) in launches {
        let after = before.filter(|(_, block)| launch.block <= block + 1).map(|(number, _)| number);
        before = Some((variant, launch.block));
        let Some(seen) = launch.seen() else { continue };
        if evidence.settings[setting].leaves_out(launch.block) {
            continue;
        }
        let value = summary::block_value(seen, terms.primary).filter(|value| *value > 0.0);
        if let Some(value) = value {
            let (block, position) = (launch.block, launch.position);
            out.push(Row { block, position, variant, after, log: value.ln() });
        }
    }
    Some(out)
}

/// Blocks under which a comparison is said to rest on few.
const FEW: u32 = 10;

/// Seconds from which a block is dear enough to excuse that.
const DEAR: f64 = 60.0;

/// Says so where a comparison over `blocks` rests on fewer than ten.
pub fn low_replication(evidence: &Evidence<'_>, setting: usize, blocks: u32) -> Option<String> {
    if blocks >= FEW {
        return None;
    }
    let (mut wall, mut most) = (0_u64, 0);
    for cell in evidence.cells_of(setting) {
        wall += cell.counted().map(|launch| launch.wall).sum::<u64>();
        let own = cell.measured().map(|(launch, _)| launch.place().replicate);
        let blocks: BTreeSet<u32> = own.collect();
        most = most.max(blocks.len());
    }
    let each = wall as f64 / 1e9 / most.max(1) as f64;
    let s = if blocks == 1 { "" } else { "s" };
    let advice = if each >= DEAR { "" } else { " (more are cheap here)" };
    Some(format!("low replication: {blocks} block{s} of {}{advice}", format::span(each)))
}
