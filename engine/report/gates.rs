//! Gates: conditions on the bound of an interval, over every cell they look at.

use super::against;
use super::evidence::Evidence;
use super::floors::Floors;
use super::judged::{Judged, own_value};
use super::terms::SCENARIO;
use super::terms::{self, Condition, Gate};
use super::view::{GateRow, GateSight, Outcome, QualityRow, Reading, Terms};
use super::{failures, steadiness};
use crate::measure::estimate::exact;
use crate::measure::metric::Source;
use crate::measure::stop::working_level;
use crate::measure::verdict::{self, Bound, GateVerdict};
use crate::measure::{Better, Estimate, Metric, compare, metric};
use crate::record::{Cell, Record};

pub fn rows(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    judged: &Judged,
    floors: &Floors,
    quality: &[QualityRow],
) -> Vec<GateRow> {
    let judge = |gate: Gate| row(record, evidence, terms, judged, floors, quality, &gate);
    terms::gates(&record.spec).into_iter().map(judge).collect()
}

fn row(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    judged: &Judged,
    floors: &Floors,
    quality: &[QualityRow],
    gate: &Gate,
) -> GateRow {
    let seen = match metric(&gate.metric) {
        None => vec![gap(None, format!("`{}` is no metric", gate.metric))],
        Some(_) if matches!(gate.condition, Condition::Unreadable) => {
            vec![gap(None, "the condition cannot be read".into())]
        }
        Some(metric) if gate.against.is_some() => {
            against::sights(record, evidence, terms, gate, metric)
        }
        Some(metric) if metric.source == Source::Quality => on_quality(quality, gate, metric),
        Some(metric) if metric.source == Source::Artifact => {
            vec![on_artifact(record, terms, gate, metric)]
        }
        Some(metric) => on_cells(record, evidence, terms, judged, floors, gate, metric),
    };
    let (outcome, reason) = summed_up(&seen);
    GateRow {
        name: gate.name.clone(),
        on: gate.target(),
        metric: gate.metric.clone(),
        condition: gate.wording(),
        outcome,
        reason,
        seen,
    }
}

pub(super) fn gap(setting: Option<usize>, why: String) -> GateSight {
    GateSight {
        setting,
        found: Reading::Unmeasured(why),
        outcome: Outcome::NotMeasured,
        capped: false,
        hidden: false,
        unsteady: false,
    }
}

/// All cells must pass: one failure fails the gate, one gap or doubt leaves it open.
fn summed_up(seen: &[GateSight]) -> (Outcome, String) {
    let count = |outcome| seen.iter().filter(|sight| sight.outcome == outcome).count();
    let of = |n: usize| {
        if seen.len() == 1 { String::new() } else { format!(" in {n} of {} cells", seen.len()) }
    };
    let why = seen.iter().find_map(|sight| match &sight.found {
        Reading::Unmeasured(why) => Some(why.clone()),
        Reading::Known(_) => None,
    });
    match (count(Outcome::Failed), count(Outcome::NotMeasured), count(Outcome::Undecided)) {
        _ if seen.is_empty() => (Outcome::NotMeasured, "no cell matches".into()),
        (failed @ 1.., _, _) => {
            (Outcome::Failed, format!("the interval lies beyond the bound{}", of(failed)))
        }
        (0, gaps @ 1.., _) => (
            Outcome::NotMeasured,
            format!("{}{}", why.unwrap_or_else(|| "unmeasured".into()), of(gaps)),
        ),
        (0, 0, doubts @ 1..) => {
            let why = if seen.iter().any(|sight| sight.capped) {
                "launches failed".to_owned()
            } else if seen.iter().any(|sight| sight.hidden) {
                "the effect lies within the noise floor".to_owned()
            } else if seen.iter().any(|sight| sight.unsteady) {
                "launches have no steady state".to_owned()
            } else {
                why.unwrap_or_else(|| "the interval crosses the bound".to_owned())
            };
            (Outcome::Undecided, format!("{why}{}", of(doubts)))
        }
        _ => (Outcome::Passed, "the whole interval keeps the bound".into()),
    }
}

/// Whether a gate looks at this cell.
pub(super) fn matches(gate: &Gate, cell: &Cell) -> bool {
    gate.axes.iter().all(|(axis, value)| match axis.as_str() {
        SCENARIO => value.as_str() == Some(&cell.scenario),
        axis => cell.axes.get(axis) == Some(value),
    })
}

fn on_cells(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    judged: &Judged,
    floors: &Floors,
    gate: &Gate,
    metric: &'static Metric,
) -> Vec<GateSight> {
    let mut out = Vec::new();
    for (setting, first) in evidence.settings.iter().enumerate() {
        if !matches(gate, first) {
            continue;
        }
        let Some(cell) = evidence.cell(&gate.variant, setting) else {
            out.push(gap(Some(setting), trouble(record, &gate.variant)));
            continue;
        };
        let found = if let Condition::Value { .. } = gate.condition {
            own_value(record, cell, metric, terms.confidence)
        } else {
            ratio(evidence, terms, judged, gate, metric, setting)
        };
        let mut sight = held_to(gate, metric, Some(setting), found);
        // Within the floor the ratio may as well be 1: what would hold for 1 too stands, and no more.
        let of_primary =
            metric.id == terms.primary && !matches!(gate.condition, Condition::Value { .. });
        if let Reading::Known(found) = &sight.found
            && of_primary
            && floors.hides(setting, found.point)
            && held_to(gate, metric, None, Reading::Known(exact(1.0))).outcome != sight.outcome
        {
            sight.hidden = sight.outcome != Outcome::Undecided;
            sight.outcome = Outcome::Undecided;
        }
        // The blocks that a failing side survived may be the easy ones: they cannot pass a gate.
        let other = evidence
            .cell(&terms.baseline, setting)
            .filter(|_| !matches!(gate.condition, Condition::Value { .. }));
        // As for the verdict: what does not hold on the wider interval depends on the moment.
        if let Reading::Known(found) = &sight.found
            && of_primary
            && let Some(wider) = steadiness::widened(found, &[Some(cell), other])
            && held_to(gate, metric, None, Reading::Known(wider)).outcome != sight.outcome
        {
            sight.unsteady = sight.outcome != Outcome::Undecided;
            sight.outcome = Outcome::Undecided;
        }
        let fails = |cell: &Cell| failures::failed_launches(cell) > 0;
        if sight.outcome == Outcome::Passed && (fails(cell) || other.is_some_and(fails)) {
            sight.outcome = Outcome::Undecided;
            sight.capped = true;
        }
        out.push(sight);
    }
    if evidence.settings.is_empty() {
        out.push(gap(None, "nothing was timed".into()));
    }
    out
}

/// Variant divided by baseline. On the primary metric this is the interval of the verdict table,
/// so that a gate and the verdict beside it never judge two intervals of one number.
fn ratio(
    evidence: &Evidence<'_>,
    terms: &Terms,
    judged: &Judged,
    gate: &Gate,
    metric: &Metric,
    setting: usize,
) -> Reading<Estimate> {
    let shown = judged
        .get(&gate.variant, setting)
        .filter(|_| metric.id == terms.primary && gate.variant != terms.baseline);
    match (shown, metric.better) {
        (Some((Reading::Known(found), _)), Better::Higher) => Reading::Known(found.estimate),
        (Some((Reading::Known(found), _)), Better::Lower) => {
            Reading::Known(found.estimate.mapped(f64::recip))
        }
        (Some((Reading::Unmeasured(why), _)), _) => Reading::Unmeasured(why.clone()),
        (None, _) => {
            let pairs = evidence.pairs(&gate.variant, &terms.baseline, setting, metric.id);
            compare::plain_ratio(&pairs, working_level(terms.confidence)).map_or_else(
                || Reading::Unmeasured(format!("{} paired blocks", pairs.len())),
                Reading::Known,
            )
        }
    }
}

pub(super) fn trouble(record: &Record, variant: &str) -> String {
    match record.variants.get(variant) {
        None => format!("`{variant}` is not a variant of this run"),
        Some(facts) => match (&facts.failed, &facts.skipped) {
            (Some(why), _) => format!("the variant failed: {why}"),
            (_, Some(why)) => format!("the variant was skipped: {why}"),
            _ => "the variant was not launched".into(),
        },
    }
}

fn on_artifact(record: &Record, terms: &Terms, gate: &Gate, metric: &'static Metric) -> GateSight {
    let bytes = |name: &str| Some(record.variants.get(name)?.artifact.as_ref()?.bytes as f64);
    let found = match (bytes(&gate.variant), bytes(&terms.baseline), gate.condition) {
        (Some(own), _, Condition::Value { .. }) => Some(exact(own)),
        (Some(own), Some(base), _) if base > 0.0 => Some(exact(own / base)),
        _ => None,
    };
    let found =
        found.map_or_else(|| Reading::Unmeasured("no artifact was made".into()), Reading::Known);
    held_to(gate, metric, None, found)
}

/// Every data set the metric was judged on must keep the bound.
fn on_quality(quality: &[QualityRow], gate: &Gate, metric: &'static Metric) -> Vec<GateSight> {
    let rows = quality.iter().filter(|row| row.variant == gate.variant && row.metric == metric.id);
    let seen: Vec<_> = rows
        .map(|row| {
            let found = match gate.condition {
                Condition::Value { .. } => row.value.clone(),
                Condition::Ratio { .. } if row.metric != "perplexity" => Reading::Unmeasured(
                    "a ratio needs a reference value, and this metric is one".into(),
                ),
                Condition::Ratio { .. } => match &row.loss {
                    Reading::Known(loss) => Reading::Known(loss.mapped(|loss| 1.0 + loss)),
                    gap @ Reading::Unmeasured(_) => gap.clone(),
                },
                _ => row.loss.clone(),
            };
            quality_judged(found, gate, metric, row)
        })
        .collect();
    if seen.is_empty() {
        vec![gap(None, "this metric was not judged for this variant".into())]
    } else {
        seen
    }
}

/// A judgement of another artifact than the timed one decides nothing.
fn quality_judged(
    found: Reading<Estimate>,
    gate: &Gate,
    metric: &'static Metric,
    row: &QualityRow,
) -> GateSight {
    if row.other_artifact {
        return gap(None, "judged on another artifact than the timed one".into());
    }
    let bound = if let Condition::Loss { max } = gate.condition {
        Bound { min: None, max: Some(max) }
    } else {
        bound(gate.condition, metric)
    };
    sight(None, found, &bound)
}

pub(super) fn held_to(
    gate: &Gate,
    metric: &Metric,
    setting: Option<usize>,
    found: Reading<Estimate>,
) -> GateSight {
    sight(setting, found, &bound(gate.condition, metric))
}

pub(super) fn sight(setting: Option<usize>, found: Reading<Estimate>, bound: &Bound) -> GateSight {
    let outcome = match &found {
        Reading::Unmeasured(_) => Outcome::NotMeasured,
        Reading::Known(estimate) => match verdict::gate(estimate, bound) {
            GateVerdict::Passed => Outcome::Passed,
            GateVerdict::Undecided => Outcome::Undecided,
            GateVerdict::Failed => Outcome::Failed,
        },
    };
    GateSight { setting, found, outcome, capped: false, hidden: false, unsteady: false }
}

/// Bound on variant divided by baseline, or on the value itself. A loss of `max` is a ratio of at
/// most 1 + max where lower is better, and of at least 1 - max where higher is.
pub(super) fn bound(condition: Condition, metric: &Metric) -> Bound {
    match (condition, metric.better) {
        (Condition::Ratio { min, max } | Condition::Value { min, max }, _) => Bound { min, max },
        (Condition::Loss { max }, Better::Lower) => Bound { min: None, max: Some(1.0 + max) },
        (Condition::Loss { max }, Better::Higher) => Bound { min: Some(1.0 - max), max: None },
        // Turned away before any value is looked at.
        (Condition::Unreadable, _) => Bound { min: Some(f64::INFINITY), max: None },
    }
}
