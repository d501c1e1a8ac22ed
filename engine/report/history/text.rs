//! A comparison of two runs as text: what the terminal and a pull request show.

use serde::Serialize;

use super::compared::{CellChange, Compared};
use super::differences::Difference;
use super::quality::{Moved, QualityShift, in_shares};
use crate::measure::verdict::Verdict;
use crate::measure::{Unit, metric};
use crate::report::page::{Chip, Shown, chip, factor, loss, metric_name, shown, sign, verdict};
use crate::report::render::render;
use crate::report::view::{Finding, Reading, Tone};
use crate::report::{Options, ReportError, format};

/// Differences shown; the JSON has them all.
const MOST_DIFFERENCES: usize = 25;

#[derive(Serialize)]
pub(super) struct Page {
    pub title: String,
    pub before: String,
    pub after: String,
    pub sign: &'static str,
    pub tone: Tone,
    pub summary: String,
    pub warnings: Vec<String>,
    pub differences: Vec<Difference>,
    pub more_differences: String,
    pub primary: String,
    pub cells: Vec<CellText>,
    /// Peak memory where it is not equivalent.
    pub memory: Vec<CellText>,
    /// Of the other metrics those that moved.
    pub others: Vec<CellText>,
    pub legend: String,
    pub quality: Vec<ShiftText>,
    pub unmatched: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct CellText {
    pub variant: String,
    pub setting: String,
    pub metric: String,
    pub before: Shown,
    pub after: Shown,
    pub historical: Shown,
    pub paired: Shown,
    pub chip: Chip,
    pub remarks: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct ShiftText {
    pub variant: String,
    pub metric: String,
    pub data: String,
    pub before: Shown,
    pub after: Shown,
    pub loss: Shown,
    pub chip: Chip,
}

/// The comparison as Markdown for a comment.
pub fn markdown(found: &Compared, options: &Options) -> Result<String, ReportError> {
    #[derive(Serialize)]
    struct Context {
        page: Page,
    }
    render("compare.md.j2", &Context { page: page(found) }, options.templates.as_deref())
}

pub(super) fn page(found: &Compared) -> Page {
    let mut differences: Vec<Difference> =
        found.machines.iter().chain(&found.differences).cloned().collect();
    let more = differences.len().saturating_sub(MOST_DIFFERENCES);
    differences.truncate(MOST_DIFFERENCES);
    let mut warnings = Vec::new();
    if !found.machines.is_empty() {
        warnings.push("Different machines: absolute numbers are not compared, and a ratio to the baseline may be another one there without any regression.".into());
    }
    for (side, which) in [(&found.before, "earlier"), (&found.after, "later")] {
        if side.interrupted {
            warnings.push(format!("The {which} run was interrupted before its end."));
        }
    }
    let tone = if found.regressed() { Tone::Bad } else { Tone::Plain };
    Page {
        title: found.after.title.clone(),
        before: found.before.id.clone(),
        after: found.after.id.clone(),
        sign: sign(tone),
        tone,
        summary: summary(found),
        warnings,
        differences,
        more_differences: if more > 0 {
            format!("and {more} more differences")
        } else {
            String::new()
        },
        primary: metric_name(found.primary),
        cells: found.cells.iter().map(cell_text).collect(),
        memory: found.memory.iter().filter(|cell| is_told(cell)).map(cell_text).collect(),
        others: found.others.iter().filter(|cell| has_moved(cell)).map(cell_text).collect(),
        legend: legend(found),
        quality: found.quality.iter().map(shift_text).collect(),
        unmatched: found.unmatched.clone(),
    }
}

/// The better of the two intervals of an explored metric lies beyond 1.
fn has_moved(cell: &CellChange) -> bool {
    let found = cell.paired.known().or(cell.historical.known());
    found.is_some_and(|e| e.low > 1.0 || e.high < 1.0)
}

/// Memory that has not moved needs no words.
fn is_told(cell: &CellChange) -> bool {
    !matches!(cell.finding, Finding::Judged(Verdict::Equivalent) | Finding::Unmeasured)
}

/// How many cells ended how, the worst first.
fn summary(found: &Compared) -> String {
    let mut counts: Vec<(Finding, usize)> = Vec::new();
    for cell in &found.cells {
        match counts.iter_mut().find(|(finding, _)| *finding == cell.finding) {
            Some((_, count)) => *count += 1,
            None => counts.push((cell.finding, 1)),
        }
    }
    counts.sort_by_key(|(finding, _)| finding.rank());
    let told = |(finding, count): &(Finding, usize)| {
        let word = match finding {
            Finding::Judged(Verdict::ImprovedBelowThreshold) => "slightly improved",
            other => other.label(),
        };
        format!("{count} {word}")
    };
    let mut parts: Vec<String> = counts.iter().map(told).collect();
    let heavier = found.memory.iter();
    let heavier = heavier.filter(|c| c.finding == Finding::Judged(Verdict::Regressed)).count();
    if heavier > 0 {
        parts.push(format!("{heavier} of memory regressed"));
    }
    let worse = found.quality.iter().filter(|q| q.moved == Moved::Regressed).count();
    if worse > 0 {
        parts.push(format!("{worse} of quality regressed"));
    }
    if parts.is_empty() {
        "nothing to compare: no cell is in both runs".into()
    } else {
        parts.join(", ")
    }
}

fn legend(found: &Compared) -> String {
    let paired = format!(
        "paired is the change of the ratio to {} within each run, on which the verdict rests where there is one",
        found.baseline
    );
    format!(
        "[ ]: {} interval by Welch over blocks; above 1× is better now. Historical sets two sessions side by side, the state of the machine included; {paired}. Regressed: the whole interval lies below 1/(1 + {}).",
        format::percent(found.confidence),
        format::percent(found.margin)
    )
}

fn cell_text(cell: &CellChange) -> CellText {
    let unit = metric(cell.metric).map_or(Unit::Plain, |metric| metric.unit);
    CellText {
        variant: cell.variant.clone(),
        setting: cell.setting.clone(),
        metric: metric_name(cell.metric),
        before: shown(&cell.before, unit),
        after: shown(&cell.after, unit),
        historical: factor(&cell.historical),
        paired: factor(&cell.paired),
        chip: verdict(cell.finding),
        remarks: cell.remarks.clone(),
    }
}

fn shift_text(shift: &QualityShift) -> ShiftText {
    let known = metric(shift.metric);
    let unit = known.map_or(Unit::Plain, |metric| metric.unit);
    let moved = match &shift.loss {
        Reading::Known(e) if known.is_some_and(in_shares) => loss(shift.metric, e),
        reading => shown(reading, unit),
    };
    ShiftText {
        variant: shift.variant.clone(),
        metric: metric_name(shift.metric),
        data: shift.data.clone(),
        before: shown(&shift.before, unit),
        after: shown(&shift.after, unit),
        loss: moved,
        chip: chip(shift.moved.tone(), shift.moved.label()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::record;
    use crate::report::history::{compare, terminal};

    #[test]
    fn what_differs_stands_before_every_number_and_hostile_text_is_inert() {
        let mut after = record();
        after.run.engine = "0.2.0 <script>alert(1)</script>".into();
        let found = compare(&record(), &after);
        let text = markdown(&found, &Options::default()).unwrap();
        let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{needle} in {text}"));
        assert!(at("What differs") < at("Change, historical"));
        assert!(!text.contains("<script>"), "{text}");
        let shown = terminal(&found, false, 120);
        assert!(shown.find("engine version").unwrap() < shown.find("verdict").unwrap(), "{shown}");
        let again = markdown(&compare(&record(), &after), &Options::default()).unwrap();
        assert!(text == again, "the same records give the same bytes");
    }
}
