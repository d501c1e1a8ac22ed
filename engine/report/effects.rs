//! What stands beside a verdict: effect sizes, labels on samples, and failures with their bound.

use super::evidence::{Evidence, observed};
use super::failures;
use super::view::{CellSheet, EffectSheet, Finding, Terms};
use crate::measure::benjamini_hochberg::{RATE, benjamini_hochberg};
use crate::measure::clopper_pearson::clopper_pearson;
use crate::measure::compare::{self, Comparison};
use crate::measure::effect::{contaminated, effect};
use crate::measure::metric::Source;
use crate::measure::modes::modes;
use crate::measure::outliers::{Outliers, outliers};
use crate::measure::stop::working_level;
use crate::measure::{Estimate, metric, summary};
use crate::record::Cell;

/// Of one cell; `pairs` and `values` are those of the primary metric.
pub fn of(
    evidence: &Evidence<'_>,
    terms: &Terms,
    found: Option<&Comparison>,
    (cell, setting): (&Cell, usize),
    (pairs, values): (&[(f64, f64)], &[f64]),
) -> EffectSheet {
    let primary = metric(terms.primary).expect("terms name a known metric");
    let level = working_level(terms.confidence);
    let pairs = if cell.variant == terms.baseline { &[] } else { pairs };
    let far = observed(cell).map(|(_, seen)| outliers(&summary::values(seen, primary.id)));
    let other = |found: &Comparison| -> Option<Estimate> {
        let quick = evidence.pairs_by(&cell.variant, &terms.baseline, setting, &|seen| {
            summary::quick_value(seen, primary)
        });
        let told = contaminated(found, pairs, &quick, level);
        told.then(|| compare::speedup(&quick, primary.better, level)).flatten().map(|c| c.estimate)
    };
    EffectSheet {
        effect: effect(pairs, primary.better, level),
        outliers: far.fold(Outliers::default(), Outliers::and),
        modes: modes(values),
        contaminated: found.and_then(other),
        failures: failed(cell, terms.confidence),
        differs: Vec::new(),
    }
}

/// Share of the launches of `cell` that failed, of those that were tried; of its processes where
/// they stay.
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
