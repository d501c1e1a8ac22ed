//! Comparisons of every variant with the baseline, and what follows from them.
//!
//! The family of comparisons is {variants × settings} on the primary metric; Holm's correction
//! widens their intervals. Other metrics are shown at the plain confidence, as exploration.

use std::collections::{BTreeMap, HashMap};

use super::evidence::{Evidence, block_values, observed};
use super::floors::Floors;
use super::view::{CellSheet, Finding, MetricSheet, Reading, Terms};
use super::{effects, failures, latencies, steadiness};
use crate::measure::centre::centre;
use crate::measure::compare::{self, Comparison};
use crate::measure::estimate::exact;
use crate::measure::holm::holm_levels;
use crate::measure::metric::Source;
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
        let mut family = Vec::new();
        let mut out = HashMap::new();
        for variant in record.variants.keys() {
            for setting in 0..evidence.settings.len() {
                let Some(cell) = evidence.cell(variant, setting) else { continue };
                let at = (variant.clone(), setting);
                if *variant == terms.baseline {
                    out.insert(
                        at,
                        (Reading::Unmeasured("it is the baseline".into()), Finding::Baseline),
                    );
                    continue;
                }
                let pairs = pairs(record, evidence, variant, terms, setting, primary);
                if let Some(plain) = compare::speedup(&pairs, primary.better, confidence) {
                    family.push((at, pairs, plain.p_value));
                    continue;
                }
                let why = no_pairs(record, cell, pairs.len());
                out.insert(at, (Reading::Unmeasured(why), without_pairs(record, cell)));
            }
        }
        let p_values: Vec<f64> = family.iter().map(|(_, _, p)| *p).collect();
        let levels = if terms.holm {
            holm_levels(&p_values, confidence)
        } else {
            vec![confidence; p_values.len()]
        };
        for ((at, pairs, _), level) in family.into_iter().zip(levels) {
            let speedup = match sequential(record, evidence, &at, terms) {
                Some(level) => sequence::speedup(&pairs, primary.better, level, PLANNED),
                None => compare::speedup(&pairs, primary.better, level),
            };
            let Some(speedup) = speedup else { continue };
            let claim = plain(&speedup.estimate, terms);
            let finding = floors.capped(claim, at.1, speedup.estimate.point);
            // The blocks that a failing side survived may be the easy ones, whichever side it is.
            let fails = |name: &str| {
                evidence.cell(name, at.1).is_some_and(|c| failures::failed_launches(c) > 0)
            };
            let failed = fails(&at.0) || fails(&terms.baseline);
            let cells = [&at.0, &terms.baseline].map(|name| evidence.cell(name, at.1));
            let moves = steadiness::widened(&speedup.estimate, &cells)
                .is_some_and(|wider| plain(&wider, terms) != claim);
            let finding = match (failed, moves) {
                (_, true) => Finding::Judged(Verdict::Inconclusive),
                (true, false) => capped(finding),
                (false, false) => finding,
            };
            out.insert(at, (Reading::Known(speedup), finding));
        }
        Self(out)
    }

    pub fn get(&self, variant: &str, setting: usize) -> Option<&(Reading<Comparison>, Finding)> {
        self.0.get(&(variant.to_owned(), setting))
    }
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
            format!("{failed} of {tried} launches failed, {n} paired {blocks} left")
        }
    }
}

/// The level of the interval where the run was ended as soon as its verdicts were decided: that at
/// which they were, shared by all comparisons as it was then.
fn sequential(
    record: &Record,
    evidence: &Evidence<'_>,
    (variant, setting): &(String, usize),
    terms: &Terms,
) -> Option<f64> {
    let stop = evidence.cell(variant, *setting)?.stop;
    let others = record.variants.len().saturating_sub(1);
    let family = if terms.holm { others * evidence.settings.len() } else { 1 };
    (stop == Some(StopReason::Decision))
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
pub fn pairs(
    record: &Record,
    evidence: &Evidence<'_>,
    variant: &str,
    terms: &Terms,
    setting: usize,
    metric: &Metric,
) -> Vec<(f64, f64)> {
    if metric.source == Source::Artifact {
        let bytes = |name: &str| Some(record.variants.get(name)?.artifact.as_ref()?.bytes as f64);
        return bytes(&terms.baseline).zip(bytes(variant)).into_iter().collect();
    }
    evidence.pairs(variant, &terms.baseline, setting, metric.id)
}

/// Variant divided by baseline for a speed-up of a metric where lower is better, and back.
pub fn inverted(e: &Estimate) -> Estimate {
    Estimate { point: e.point.recip(), low: e.high.recip(), high: e.low.recip(), ..*e }
}

/// The middle of a variant's own values over its blocks.
pub fn own_value(record: &Record, cell: &Cell, metric: &Metric, level: f64) -> Reading<Estimate> {
    if metric.source == Source::Artifact {
        let artifact = record.variants.get(&cell.variant).and_then(|v| v.artifact.as_ref());
        return artifact.map_or_else(
            || Reading::Unmeasured("no artifact was made".into()),
            |artifact| Reading::Known(exact(artifact.bytes as f64)),
        );
    }
    let values: Vec<f64> = block_values(cell, metric.id).into_values().collect();
    match centre(&values, level) {
        Some(estimate) => Reading::Known(estimate),
        None => Reading::Unmeasured(why_missing(
            record,
            cell,
            values.len(),
            metric.unit == Unit::Joules,
        )),
    }
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
        (_, failed) if failed > 0 => format!("{failed} of {all} launches failed"),
        (0, _) => "this machine gave no reading".into(),
        (n, _) => format!("only {n} block: no interval"),
    }
}

pub fn sheets(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    judged: &Judged,
) -> Vec<CellSheet> {
    let mut out = Vec::new();
    for setting in 0..evidence.settings.len() {
        for variant in record.variants.keys() {
            let Some(cell) = evidence.cell(variant, setting) else { continue };
            let of = |id: &&'static str| metric(id).expect("terms name known metrics");
            let metrics = terms.metrics.iter().map(of);
            out.push(CellSheet {
                variant: variant.clone(),
                setting,
                finding: judged.get(variant, setting).map_or(Finding::Unmeasured, |j| j.1),
                launches: cell.counted().count(),
                measured: observed(cell).count(),
                steadiness: steadiness::of(cell),
                effects: effects::of(evidence, terms, judged, cell, setting),
                metrics: metrics
                    .map(|metric| {
                        metric_sheet(record, evidence, terms, judged, cell, setting, metric)
                    })
                    .collect(),
            });
        }
    }
    effects::mark_discoveries(&mut out, terms);
    out
}

fn metric_sheet(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    judged: &Judged,
    cell: &Cell,
    setting: usize,
    metric: &'static Metric,
) -> MetricSheet {
    let (quantiles, max, samples) = latencies::of(cell, metric.id, terms.confidence);
    let compared = (cell.variant != terms.baseline).then(|| {
        if metric.id == terms.primary
            && let Some((reading, _)) = judged.get(&cell.variant, setting)
        {
            return reading.clone();
        }
        let pairs = pairs(record, evidence, &cell.variant, terms, setting, metric);
        if metric.source == Source::Artifact {
            return exact_speedup(&pairs);
        }
        compare::speedup(&pairs, metric.better, working_level(terms.confidence)).map_or_else(
            || Reading::Unmeasured(no_pairs(record, cell, pairs.len())),
            Reading::Known,
        )
    });
    MetricSheet {
        metric: metric.id,
        value: own_value(record, cell, metric, terms.confidence),
        speedup: compared,
        quantiles,
        max,
        samples,
        blocks: BTreeMap::into_values(block_values(cell, metric.id)).collect(),
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
