//! What a variant may cost: memory, quality, and outputs that count as the same.
//!
//! These are margins, not gates: they end no run, but whoever reads that a variant is faster sees
//! beside it whether it stayed within them. A spec that wants to be held to one writes a gate.

use super::format;
use super::page::{in_points, loss_unit, metric_name};
use super::view::{Margin, Outcome, QualityRow, Terms, Tone};
use crate::measure::{Estimate, Unit, compare};

/// Peak memory of `pairs` of blocks, `(baseline, variant)`: the one-sided bound of the paired ratio
/// at the confidence of the spec must keep `compare.memory`. Launches that `failed` leave a kept
/// margin open: they may be those that needed most. `None` without an interval.
pub fn memory(pairs: &[(f64, f64)], failed: bool, terms: &Terms) -> Option<Margin> {
    // Each end of a two-sided interval at 90 % is a one-sided bound at 95 %.
    let ratio = compare::plain_ratio(pairs, 2.0 * terms.confidence - 1.0)?;
    let allowed = 1.0 + terms.memory_margin;
    let found = outcome(&ratio, allowed);
    let bound = if found == Outcome::Failed {
        format!("at least {}", format::ratio_rough(ratio.low))
    } else {
        format!("at most {}", format::ratio_rough(ratio.high))
    };
    let one_sided = format::percent(terms.confidence);
    let allowed = format::ratio(allowed);
    let mut text = format!("peak memory is {bound} ({one_sided} one-sided), {allowed} is allowed");
    if found == Outcome::Passed && failed {
        text.push_str(", but launches failed, and they may need more");
        return Some(margin(Outcome::Undecided, text));
    }
    Some(margin(found, text))
}

fn margin(outcome: Outcome, text: String) -> Margin {
    Margin { outcome, tone: outcome.tone(), text }
}

/// The loss of a quality metric: the bound of its interval must keep `compare.accuracy`, in points
/// for shares of right answers, else relative. The largest error of an output must keep
/// `compare.same` on every item that was judged. `None` for the reference itself, for gaps, and for
/// metrics that have no scale of their own to be held to.
pub fn quality(row: &QualityRow, terms: &Terms) -> Option<Margin> {
    let loss = row.loss.known().filter(|_| row.variant != row.reference)?;
    if row.other_artifact {
        let text = "judged on another artifact than the timed one".to_owned();
        return Some(margin(Outcome::NotMeasured, text));
    }
    if let Some(largest) = row.largest {
        let number = format::exact(largest, Unit::Plain);
        let allowed = scientific(terms.same);
        return Some(if largest <= terms.same {
            let text = format!("the same outputs: off by {number} at most, {allowed} is allowed");
            margin(Outcome::Passed, text)
        } else {
            let text = format!("not the same outputs: off by up to {number}, not by {allowed}");
            Margin { outcome: Outcome::Failed, tone: Tone::Plain, text }
        });
    }
    if loss_unit(&row.metric).is_some() {
        return None;
    }
    let allowed = if in_points(&row.metric) {
        format::points(terms.accuracy_margin)
    } else {
        format::percent(terms.accuracy_margin)
    };
    let outcome = outcome(loss, terms.accuracy_margin);
    let verb = match outcome {
        Outcome::Passed => "within",
        Outcome::Failed => "beyond",
        Outcome::Undecided | Outcome::NotMeasured => "may be beyond",
    };
    Some(margin(outcome, format!("{verb} the {allowed} allowed")))
}

/// Puts its margin beside every row.
pub fn mark(rows: &mut [QualityRow], terms: &Terms) {
    for row in rows {
        row.margin = quality(row, terms);
    }
}

/// What a reader of the verdict must know about a margin of memory.
pub fn told(margin: Option<&Margin>) -> Option<String> {
    let margin = margin?;
    (margin.outcome != Outcome::Passed).then(|| margin.text.clone())
}

/// Every margin of `variant` that is broken, as a remark.
pub fn broken(rows: &[QualityRow], variant: &str, terms: &Terms) -> Vec<String> {
    let told = |row: &QualityRow| {
        // Outputs of narrower arithmetic are never the same; the table of quality says so.
        let loss = row.loss.known().filter(|_| row.largest.is_none())?;
        let margin = quality(row, terms).filter(|margin| margin.outcome == Outcome::Failed)?;
        Some(format!(
            "{}: a loss of {}, {}",
            metric_name(&row.metric),
            lost(row, loss),
            margin.text
        ))
    };
    rows.iter().filter(|row| row.variant == variant).filter_map(told).collect()
}

fn lost(row: &QualityRow, loss: &Estimate) -> String {
    if in_points(&row.metric) {
        format!("{} {}", format::change_in_points(loss), format::points_bounds(loss))
    } else {
        let by = format::change(loss);
        format!("{} {}", by.trim_start_matches('+'), format::change_bounds(loss))
    }
}

fn outcome(found: &Estimate, most: f64) -> Outcome {
    match found {
        e if e.high <= most => Outcome::Passed,
        e if e.low > most => Outcome::Failed,
        _ => Outcome::Undecided,
    }
}

/// A small tolerance as people write it: `1e-5`.
pub fn scientific(value: f64) -> String {
    if value == 0.0 || value >= 0.001 { format::rough(value) } else { format!("{value:e}") }
}
