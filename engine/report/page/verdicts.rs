//! Rows of the verdict table, of the gates and of quality.

use serde::Serialize;

use super::effects::small;
use super::shown::{
    Chip, Shown, chip, factor, gap, loss, mark, metric_name, shown, sort_key, speedup, times,
    verdict,
};
use crate::measure::{Unit, metric};
use crate::report::format;
use crate::report::view::{Finding, GateRow, Outcome, PairedShares, QualityRow, Reading, Study};

#[derive(Serialize)]
pub struct HeadlineText {
    pub variant: String,
    /// A further setting of the variant above.
    pub again: bool,
    pub baseline: bool,
    pub setting: String,
    pub value: Shown,
    pub speedup: Shown,
    pub quality: Shown,
    pub memory: Shown,
    pub size: Shown,
    pub chip: Chip,
    pub rank: u8,
    pub remarks: Vec<String>,
    /// Margins of quality that the variant breaks, told once.
    pub costs: Vec<String>,
}

#[derive(Serialize)]
pub struct GateText {
    pub name: String,
    pub on: String,
    pub metric: String,
    pub condition: String,
    pub chip: Chip,
    pub reason: String,
    pub found: Vec<Sight>,
}

#[derive(Serialize)]
pub struct Sight {
    pub setting: String,
    pub found: Shown,
    /// One of those that made the outcome of the gate.
    pub decides: bool,
}

#[derive(Serialize)]
pub struct QualityText {
    pub variant: String,
    pub metric: String,
    pub data: String,
    pub reference: String,
    pub value: Shown,
    pub loss: Shown,
    /// Whether the loss keeps the margin of the spec.
    pub margin: Option<Chip>,
    pub documents: String,
    pub positions: String,
    pub artifact: String,
}

/// Row `i` of the verdict table.
pub(super) fn headline(study: &Study, i: usize) -> HeadlineText {
    let row = &study.headline[i];
    let unit = metric(study.terms.primary).map_or(Unit::Plain, |metric| metric.unit);
    let reference = |text: &str| Shown { text: text.into(), key: "1".into(), ..Shown::default() };
    let baseline = row.finding == Finding::Baseline;
    let again = i > 0 && study.headline[i - 1].variant == row.variant;
    HeadlineText {
        variant: row.variant.clone(),
        again,
        baseline,
        setting: row
            .setting
            .and_then(|setting| study.settings.get(setting))
            .map_or_else(String::new, |setting| setting.short.clone()),
        value: shown(&row.value, unit),
        speedup: if baseline { reference("1×") } else { speedup(&row.speedup) },
        quality: match &row.quality {
            Reading::Known(change) if study.terms.reference.as_deref() == Some(&row.variant) => {
                Shown { key: sort_key(change.loss.point), ..reference("reference") }
            }
            Reading::Known(change) => Shown {
                mark: mark(row.quality_margin.as_ref()),
                ..loss(change.metric, &change.loss)
            },
            Reading::Unmeasured(why) => gap(why),
        },
        memory: if baseline && row.memory.known().is_some() {
            reference("1×")
        } else {
            Shown { mark: mark(row.memory_margin.as_ref()), ..factor(&row.memory) }
        },
        size: match &row.size {
            Reading::Known(size) => Shown {
                text: format::exact(size.bytes as f64, Unit::Bytes),
                bounds: size.ratio.map_or_else(String::new, format::ratio_rough),
                key: sort_key(size.bytes as f64),
                ..Shown::default()
            },
            Reading::Unmeasured(why) => gap(why),
        },
        chip: verdict(row.finding),
        rank: row.finding.rank(),
        remarks: row.remarks.clone(),
        costs: if again { Vec::new() } else { row.costs.clone() },
    }
}

pub(super) fn gate_text(gate: &GateRow, short: &dyn Fn(Option<usize>) -> String) -> GateText {
    let unit = metric(&gate.metric).map_or(Unit::Plain, |metric| metric.unit);
    let found = gate.seen.iter().map(|sight| {
        let found = match &sight.found {
            Reading::Known(e) if gate.condition.starts_with("ratio") => times(e),
            Reading::Known(e) if gate.condition.starts_with("loss") && sight.setting.is_some() => {
                times(e)
            }
            Reading::Known(e) if gate.condition.starts_with("loss") => loss(&gate.metric, e),
            reading => shown(reading, unit),
        };
        Sight {
            setting: sight.setting.map_or_else(String::new, |setting| short(Some(setting))),
            found,
            decides: sight.outcome == gate.outcome,
        }
    });
    GateText {
        name: gate.name.clone(),
        on: gate.on.clone(),
        metric: metric_name(&gate.metric),
        condition: gate.condition.clone(),
        chip: chip(gate.outcome.tone(), gate.outcome.label()),
        // A gap tells its reason where the number would stand.
        reason: match gate.outcome {
            Outcome::Passed | Outcome::NotMeasured => String::new(),
            Outcome::Failed | Outcome::Undecided => gate.reason.clone(),
        },
        found: found.collect(),
    }
}

pub(super) fn quality_text(row: &QualityRow) -> QualityText {
    let unit = metric(&row.metric).map_or(Unit::Plain, |metric| metric.unit);
    QualityText {
        variant: row.variant.clone(),
        metric: metric_name(&row.metric),
        data: row.place(),
        reference: row.reference.clone(),
        value: shown(&row.value, unit),
        loss: match &row.loss {
            Reading::Known(_) if row.variant == row.reference => {
                Shown { text: "reference".into(), key: "0".into(), ..Shown::default() }
            }
            Reading::Known(e) => Shown {
                note: row.paired.as_ref().map_or_else(String::new, beside),
                ..loss(&row.metric, e)
            },
            Reading::Unmeasured(why) => gap(why),
        },
        margin: mark(row.margin.as_ref()),
        documents: counted(row.documents as u64),
        positions: counted(row.positions),
        artifact: match &row.artifact {
            None => "–".into(),
            Some(digest) if row.other_artifact => format!("{digest}, not the timed one"),
            Some(digest) => digest.clone(),
        },
    }
}

fn beside(paired: &PairedShares) -> String {
    let (bounds, p) = (format::points_bounds(&paired.newcombe), small(paired.mcnemar_p));
    format!("Newcombe\u{a0}{bounds}, McNemar p\u{a0}{p}")
}

/// A number of things that were judged; nothing judged is no number.
fn counted(number: u64) -> String {
    if number == 0 { "–".into() } else { format::count(number) }
}
