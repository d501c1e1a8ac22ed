//! What stands beside a verdict: effect sizes, labels on samples, and failures with their bound.

use super::evidence::{Evidence, block_values, observed};
use super::failures;
use super::judged::Judged;
use super::view::{CellSheet, EffectSheet, Finding, Terms};
use crate::measure::benjamini_hochberg::{RATE, benjamini_hochberg};
use crate::measure::clopper_pearson::clopper_pearson;
use crate::measure::effect::{contaminated, effect};
use crate::measure::metric::Source;
use crate::measure::modes::modes;
use crate::measure::outliers::{Outliers, outliers};
use crate::measure::stop::working_level;
use crate::measure::{Estimate, compare, metric, summary};
use crate::record::Cell;

pub fn of(
    evidence: &Evidence<'_>,
    terms: &Terms,
    judged: &Judged,
    cell: &Cell,
    setting: usize,
) -> EffectSheet {
    let primary = metric(terms.primary).expect("terms name a known metric");
    let level = working_level(terms.confidence);
    let compared = cell.variant != terms.baseline;
    let medians = if compared {
        evidence.pairs(&cell.variant, &terms.baseline, setting, primary.id)
    } else {
        Vec::new()
    };
    let far = observed(cell).map(|(_, seen)| outliers(&summary::values(seen, primary.id)));
    let values: Vec<f64> = block_values(cell, primary.id).into_values().collect();
    let other = || -> Option<Estimate> {
        let found = judged.get(&cell.variant, setting)?.0.known()?;
        let quick = evidence.pairs_by(&cell.variant, &terms.baseline, setting, &|seen| {
            summary::quick_value(seen, primary)
        });
        let told = contaminated(found, &medians, &quick, level);
        told.then(|| compare::speedup(&quick, primary.better, level)).flatten().map(|c| c.estimate)
    };
    EffectSheet {
        effect: effect(&medians, primary.better, level),
        outliers: far.fold(Outliers::default(), Outliers::and),
        modes: modes(&values),
        contaminated: other(),
        failures: failed(cell, terms.confidence),
        differs: Vec::new(),
    }
}

/// Share of the launches of `cell` that failed, of those that were tried.
pub fn failed(cell: &Cell, level: f64) -> Option<Estimate> {
    let (failed, tried) = (failures::failed_launches(cell), failures::tried_launches(cell));
    clopper_pearson(failed as u64, tried as u64, level)
}

/// Marks the exploratory metrics that differ from the baseline's, over all cells at once.
pub fn mark_discoveries(cells: &mut [CellSheet], terms: &Terms) {
    let mut family = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        let explored = cell.metrics.iter().filter(|sheet| {
            let measured = metric(sheet.metric).is_some_and(|m| m.source != Source::Artifact);
            measured && sheet.metric != terms.primary && cell.finding != Finding::Baseline
        });
        for sheet in explored {
            if let Some(found) = sheet.speedup.as_ref().and_then(|reading| reading.known()) {
                family.push((at, sheet.metric, found.p_value));
            }
        }
    }
    let p_values: Vec<f64> = family.iter().map(|(_, _, p)| *p).collect();
    for ((at, metric, _), adjusted) in family.iter().zip(benjamini_hochberg(&p_values)) {
        if adjusted <= RATE {
            cells[*at].effects.differs.push(metric);
        }
    }
}
