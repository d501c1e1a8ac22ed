//! Comparisons of every variant with the baseline, and what follows from them.
//!
//! The family of comparisons is {variants × settings} on the primary metric; Holm's correction
//! widens their intervals. Other metrics are shown at the plain confidence, as exploration.

use std::collections::{BTreeMap, HashMap};

use super::evidence::{Evidence, block_values, observed};
use super::floors::Floors;
use super::parallel::each;
use super::view::{CellSheet, Finding, MetricSheet, Reading, Terms};
use super::{effects, failures, latencies, steadiness};
use crate::measure::centre::centre;
use crate::measure::compare::{self, Comparison};
use crate::measure::estimate::exact;
use crate::measure::holm::holm_levels;
use crate::measure::metric::Source;
use crate::measure::replicates::{self, Place, by_replicate};
use crate::measure::sequence::{self, PLANNED};
use crate::measure::stop::working_level;
use crate::measure::verdict::{self, Thresholds, Verdict};
use crate::measure::{Energy, Estimate, Metric, Unit, metric};
use crate::record::{Cell, Record, StopReason};

/// Judged comparisons on the primary metric by variant and setting.
pub struct Judged(HashMap<(String, usize), (Reading<Comparison>, Finding)>);

impl Judged {
    pub fn of(record: &Record, evidence: &Evidence<'_>, terms: &Terms, floors: &Floors) -> Self {
        let primary = metric(terms.primary).expect("terms name a known metric");
        let confidence = working_level(terms.confidence);
        let tried = |setting: usize| -> Vec<Tried<'_>> {
            let base = baseline_values(evidence, terms, setting, primary);
            let others = evidence.cells_of(setting).filter(|cell| cell.variant != terms.baseline);
            let tried = others.map(|cell| {
                let own = cell.values(primary.id);
                let pairs = pairs(record, cell, terms, (&base, &own), primary);
                let plain = compare::speedup(&pairs, primary.better, confidence);
                Tried { cell, setting, pairs, plain }
            });
            tried.collect()
        };
        let mut tried: Vec<Tried<'_>> =
            each(evidence.settings.len(), tried).into_iter().flatten().collect();
        // Variant by variant, as the reader meets them.
        tried.sort_by_key(|tried| record.variants.get_index_of(&tried.cell.variant));
        let (family, without): (Vec<_>, Vec<_>) =
            tried.into_iter().partition(|tried| tried.plain.is_some());
        let p_value = |tried: &Tried<'_>| tried.plain.map_or(f64::NAN, |plain| plain.p_value);
        let p_values: Vec<f64> = family.iter().map(p_value).collect();
        let levels = if terms.holm {
            holm_levels(&p_values, confidence)
        } else {
            vec![confidence; p_values.len()]
        };
        let found =
            each(family.len(), |i| judge(record, evidence, terms, floors, &family[i], levels[i]));
        let mut out = HashMap::new();
        for setting in 0..evidence.settings.len() {
            if evidence.cell(&terms.baseline, setting).is_some() {
                let itself = Reading::Unmeasured("it is the baseline".into());
                out.insert((terms.baseline.clone(), setting), (itself, Finding::Baseline));
            }
        }
        for Tried { cell, setting, pairs, .. } in without {
            let why = Reading::Unmeasured(no_pairs(record, cell, pairs.len()));
            out.insert((cell.variant.clone(), setting), (why, without_pairs(record, cell)));
        }
        for (tried, found) in family.into_iter().zip(found) {
            out.extend(found.map(|found| ((tried.cell.variant.clone(), tried.setting), found)));
        }
        Self(out)
    }

    pub fn get(&self, variant: &str, setting: usize) -> Option<&(Reading<Comparison>, Finding)> {
        self.0.get(&(variant.to_owned(), setting))
    }
}

/// A comparison with the baseline, before it is corrected for the others.
struct Tried<'a> {
    cell: &'a Cell,
    setting: usize,
    pairs: Vec<(f64, f64)>,
    plain: Option<Comparison>,
}

fn judge(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    floors: &Floors,
    Tried { cell, setting, pairs, plain: at_the_plain_level }: &Tried<'_>,
    level: f64,
) -> Option<(Reading<Comparison>, Finding)> {
    let primary = metric(terms.primary).expect("terms name a known metric");
    let speedup = match (sequential(record, evidence, cell, terms), at_the_plain_level) {
        (Some(level), _) => sequence::speedup(pairs, primary.better, level, PLANNED),
        (None, Some(plain)) if plain.estimate.level == level => Some(*plain),
        (None, _) => compare::speedup(pairs, primary.better, level),
    }?;
    let claim = plain(&speedup.estimate, terms);
    let finding = floors.capped(claim, *setting, speedup.estimate.point);
    // The blocks that a failing side survived may be the easy ones, whichever side it is.
    let cells = [Some(*cell), evidence.cell(&terms.baseline, *setting)];
    let failed = cells.iter().flatten().any(|cell| failures::failed_launches(cell) > 0);
    let moves = steadiness::widened(&speedup.estimate, &cells)
        .is_some_and(|wider| plain(&wider, terms) != claim);
    let finding = match (failed, moves) {
        (_, true) => Finding::Judged(Verdict::Inconclusive),
        (true, false) => capped(finding),
        (false, false) => finding,
    };
    Some((Reading::Known(speedup), finding))
}

/// Values of the baseline's launches under a setting; none of a property of its artifact.
fn baseline_values(
    evidence: &Evidence<'_>,
    terms: &Terms,
    setting: usize,
    metric: &Metric,
) -> BTreeMap<Place, f64> {
    let cell = evidence.cell(&terms.baseline, setting);
    cell.map_or_else(BTreeMap::new, |cell| cell.values(metric.id))
}

/// A variant that failed in some blocks is judged on the blocks it survived, and those may be the
/// easy ones: nothing better than `inconclusive` can be claimed.
fn capped(finding: Finding) -> Finding {
    if finding == Finding::Judged(Verdict::Regressed) {
        finding
    } else {
        Finding::Judged(Verdict::Inconclusive)
    }
}

/// What no launch tried is unmeasured; only what was tried, or could not be made, has failed.
fn without_pairs(record: &Record, cell: &Cell) -> Finding {
    let never_made = record.variants.get(&cell.variant).is_some_and(|v| v.failed.is_some());
    let tried_in_vain = failures::failed_launches(cell) > 0;
    if observed(cell).next().is_none() && (tried_in_vain || never_made) {
        Finding::Failed
    } else {
        Finding::Unmeasured
    }
}

fn no_pairs(record: &Record, cell: &Cell, pairs: usize) -> String {
    if let Some(why) = failures::unreached(record, cell) {
        return why;
    }
    let blocks = if pairs == 1 { "block" } else { "blocks" };
    match (failures::failed_launches(cell), pairs) {
        (0, 0) => "no block in which both baseline and variant were measured".into(),
        (0, n) => format!("only {n} paired {blocks}"),
        (failed, n) => {
            let tried = failures::tried_launches(cell);
            let launches = failures::tried_word(cell);
            format!("{failed} of {tried} {launches} failed, {n} paired {blocks} left")
        }
    }
}

/// The level of the interval where the run was ended as soon as its verdicts were decided: that at
/// which they were, shared by all comparisons as it was then.
fn sequential(record: &Record, evidence: &Evidence<'_>, cell: &Cell, terms: &Terms) -> Option<f64> {
    let others = record.variants.len().saturating_sub(1);
    let family = if terms.holm { others * evidence.settings.len() } else { 1 };
    (cell.stop == Some(StopReason::Decision))
        .then(|| 1.0 - (1.0 - terms.confidence) / family.max(1) as f64)
}

/// What an interval says by itself.
pub fn plain(estimate: &Estimate, terms: &Terms) -> Finding {
    Finding::Judged(verdict::judge(estimate, &thresholds(terms)))
}

/// What a difference must be to count.
pub fn thresholds(terms: &Terms) -> Thresholds {
    Thresholds {
        improved_from: terms.improved_from,
        equivalence: terms.equivalence,
        regression: terms.equivalence,
    }
}

/// Pairs of block values, or the two sizes for a property of the artifact.
fn pairs(
    record: &Record,
    cell: &Cell,
    terms: &Terms,
    (baseline, own): (&BTreeMap<Place, f64>, &BTreeMap<Place, f64>),
    metric: &Metric,
) -> Vec<(f64, f64)> {
    if metric.source == Source::Artifact {
        let bytes = |name: &str| Some(record.variants.get(name)?.artifact.as_ref()?.bytes as f64);
        return bytes(&terms.baseline).zip(bytes(&cell.variant)).into_iter().collect();
    }
    replicates::pairs(baseline, own)
}

/// The middle of a variant's own values over its blocks.
pub fn own_value(record: &Record, cell: &Cell, metric: &Metric, level: f64) -> Reading<Estimate> {
    let values: Vec<f64> = block_values(cell, metric.id).into_values().collect();
    own_middle(record, cell, metric, &values, level)
}

/// The middle of one value for each block, or why it is missing: what every table shows of a cell.
pub fn middle(
    values: impl IntoIterator<Item = f64>,
    level: f64,
    why: impl FnOnce(usize) -> String,
) -> Reading<Estimate> {
    let values: Vec<f64> = values.into_iter().collect();
    centre(&values, level).map_or_else(|| Reading::Unmeasured(why(values.len())), Reading::Known)
}

/// [`own_value`] of block values that are known already.
fn own_middle(
    record: &Record,
    cell: &Cell,
    metric: &Metric,
    values: &[f64],
    level: f64,
) -> Reading<Estimate> {
    if metric.source == Source::Artifact {
        let artifact = record.variants.get(&cell.variant).and_then(|v| v.artifact.as_ref());
        return artifact.map_or_else(
            || Reading::Unmeasured("no artifact was made".into()),
            |artifact| Reading::Known(exact(artifact.bytes as f64)),
        );
    }
    middle(values.iter().copied(), level, |count| {
        why_missing(record, cell, count, metric.unit == Unit::Joules)
    })
}

/// Why no launch of a cell knows its energy.
fn no_energy(cell: &Cell) -> Option<String> {
    observed(cell).find_map(|(_, seen)| match &seen.energy {
        Some(Energy::Unmeasured(why)) => Some(why.clone()),
        _ => None,
    })
}

fn why_missing(record: &Record, cell: &Cell, values: usize, energy: bool) -> String {
    if let Some(why) = failures::unreached(record, cell) {
        return why;
    }
    if let Some(why) = no_energy(cell).filter(|_| energy && values == 0) {
        return why;
    }
    let (failed, all) = (failures::failed_launches(cell), failures::tried_launches(cell));
    match (values, failed) {
        (_, failed) if failed > 0 => {
            format!("{failed} of {all} {} failed", failures::tried_word(cell))
        }
        (0, _) => "this machine gave no reading".into(),
        (n, _) => format!("only {n} block: no interval"),
    }
}

/// Everything measured, setting by setting, in the order of variants.
pub fn sheets(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    judged: &Judged,
) -> Vec<CellSheet> {
    let metrics: Vec<&'static Metric> =
        terms.metrics.iter().map(|id| metric(id).expect("terms name known metrics")).collect();
    let of_setting = |setting: usize| -> Vec<CellSheet> {
        let base = |metric: &&'static Metric| baseline_values(evidence, terms, setting, metric);
        let base: Vec<BTreeMap<Place, f64>> = metrics.iter().map(base).collect();
        let sheet =
            |cell| sheet(record, evidence, terms, judged, (cell, setting), (&metrics, &base));
        evidence.cells_of(setting).map(sheet).collect()
    };
    let mut out: Vec<CellSheet> =
        each(evidence.settings.len(), of_setting).into_iter().flatten().collect();
    effects::mark_discoveries(&mut out, terms);
    out
}

/// One cell; `base` holds what the baseline has of every one of `metrics`.
fn sheet(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    judged: &Judged,
    (cell, setting): (&Cell, usize),
    (metrics, base): (&[&'static Metric], &[BTreeMap<Place, f64>]),
) -> CellSheet {
    let judged = judged.get(&cell.variant, setting);
    let mut effects = None;
    let mut sheets = Vec::with_capacity(metrics.len());
    for (metric, base) in metrics.iter().zip(base) {
        let own = cell.values(metric.id);
        let pairs = pairs(record, cell, terms, (base, &own), metric);
        let blocks: Vec<f64> = by_replicate(&own).into_values().collect();
        let is_primary = metric.id == terms.primary;
        if is_primary {
            let found = judged.and_then(|(reading, _)| reading.known());
            let seen = (pairs.as_slice(), blocks.as_slice());
            effects = Some(effects::of(evidence, terms, found, (cell, setting), seen));
        }
        let speedup = || match judged.filter(|_| is_primary) {
            Some((reading, _)) => reading.clone(),
            None if metric.source == Source::Artifact => exact_speedup(&pairs),
            None => compare::speedup(&pairs, metric.better, working_level(terms.confidence))
                .map_or_else(
                    || Reading::Unmeasured(no_pairs(record, cell, pairs.len())),
                    Reading::Known,
                ),
        };
        let (quantiles, max, samples) = latencies::of(cell, metric.id, terms.confidence);
        sheets.push(MetricSheet {
            metric: metric.id,
            value: own_middle(record, cell, metric, &blocks, terms.confidence),
            speedup: (cell.variant != terms.baseline).then(speedup),
            quantiles,
            max,
            samples,
            blocks,
        });
    }
    CellSheet {
        variant: cell.variant.clone(),
        setting,
        finding: judged.map_or(Finding::Unmeasured, |(_, finding)| *finding),
        launches: cell.counted().count(),
        measured: observed(cell).count(),
        steadiness: steadiness::of(cell),
        effects: effects.expect("the primary metric is one of those that are shown"),
        metrics: sheets,
    }
}

fn exact_speedup(pairs: &[(f64, f64)]) -> Reading<Comparison> {
    match pairs {
        [(base, own)] if *base > 0.0 && *own > 0.0 => {
            let estimate = exact(base / own);
            Reading::Known(Comparison { estimate, sd_log: 0.0, p_value: 1.0, blocks: 0, mde: 1.0 })
        }
        _ => Reading::Unmeasured("no artifact was made".into()),
    }
}
