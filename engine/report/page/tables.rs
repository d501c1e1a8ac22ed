//! Tables beside the verdicts: prices, and where memory is.

use serde::Serialize;

use super::shown::{Shown, gap, shown, sort_key, times};
use crate::measure::stop::working_level;
use crate::measure::{Estimate, Unit};
use crate::report::format;
use crate::report::view::{CacheRow, CostSheet, EnergyRow, MemoryRow, Reading, Study};

/// A table that Markdown and HTML write alike.
#[derive(Serialize)]
pub struct TableText {
    pub id: &'static str,
    pub title: &'static str,
    pub legend: String,
    pub heads: Vec<HeadText>,
    /// As many cells as there are heads.
    pub rows: Vec<Vec<Shown>>,
}

#[derive(Serialize)]
pub struct HeadText {
    pub name: String,
    /// Holds numbers.
    pub number: bool,
}

pub(super) fn tables(study: &Study) -> Vec<TableText> {
    let costs = study.costs.as_ref().map(|sheet| costs(study, sheet));
    let energy = (!study.energy.is_empty()).then(|| energy(study));
    let memory = (!study.memory.is_empty()).then(|| memory(study));
    let caches = (!study.caches.is_empty()).then(|| caches(&study.caches));
    costs.into_iter().chain(energy).chain(memory).chain(caches).collect()
}

fn heads(words: &[&str], numbers: &[&str]) -> Vec<HeadText> {
    let head = |number| move |name: &&str| HeadText { name: (*name).to_owned(), number };
    words.iter().map(head(false)).chain(numbers.iter().map(head(true))).collect()
}

fn text(text: &str) -> Shown {
    Shown { text: text.to_owned(), key: text.to_owned(), ..Shown::default() }
}

fn setting(study: &Study, setting: usize) -> Shown {
    text(study.settings.get(setting).map_or("", |setting| &setting.short))
}

fn costs(study: &Study, sheet: &CostSheet) -> TableText {
    let (units, of) = match sheet.tokens {
        true => ("million generated tokens", "generated tokens"),
        false => ("thousand items", "items"),
    };
    let price = format!("{} per {units}", sheet.currency);
    let unit = if sheet.tokens { Unit::TokensPerSecond } else { Unit::ItemsPerSecond };
    let row = |row: &crate::report::view::CostRow| {
        vec![
            text(&row.variant),
            setting(study, row.setting),
            shown(&row.rate, unit),
            shown(&row.price, Unit::Plain),
            match &row.ratio {
                None => text("baseline"),
                Some(Reading::Known(found)) => times(found),
                Some(Reading::Unmeasured(why)) => gap(why),
            },
        ]
    };
    TableText {
        id: "cost",
        title: "Cost",
        legend: format!(
            "At {} {} an hour for the machine, as of {}: what serving takes in the scenario that was measured; where requests come one after the other that is {of} by the time from handing a request over to its end. A machine that serves more at once, or waits, has another price. Intervals are those of the throughput, turned over; of mean prices by the baseline's, paired by block, Fieller's at {}.",
            format::trimmed(sheet.per_hour, 6),
            sheet.currency,
            sheet.as_of,
            format::percent(working_level(study.terms.confidence))
        ),
        heads: heads(&["Variant", "Setting"], &["Throughput", &price, "By the baseline's"]),
        rows: sheet.rows.iter().map(row).collect(),
    }
}

fn energy(study: &Study) -> TableText {
    let row = |row: &EnergyRow| {
        vec![
            text(&row.variant),
            setting(study, row.setting),
            shown(&row.gross, Unit::Joules),
            shown(&row.net, Unit::Joules),
            shown(&row.per_token, Unit::Joules),
            shown(&row.power, Unit::Watts),
        ]
    };
    TableText {
        id: "energy",
        title: "Energy",
        legend: "Counters of the processors' packages and their memory around the counted requests: the whole machine counts, whichever process works. Net is without what the idle machine took in ten seconds before anything was measured; another state of the machine has another idle power.".into(),
        heads: heads(
            &["Variant", "Setting"],
            &["Per request", "Per request, net", "Per generated token", "Power"],
        ),
        rows: study.energy.iter().map(row).collect(),
    }
}

fn memory(study: &Study) -> TableText {
    let bytes = |reading: &Reading<Estimate>| shown(reading, Unit::Bytes);
    let size = |bytes: Option<u64>| match bytes {
        Some(bytes) => Shown {
            text: format::exact(bytes as f64, Unit::Bytes),
            key: sort_key(bytes as f64),
            ..Shown::default()
        },
        None => text("–"),
    };
    let row = |row: &MemoryRow| {
        vec![
            text(&row.variant),
            setting(study, row.setting),
            bytes(&row.peak),
            bytes(&row.steady),
            bytes(&row.anonymous),
            bytes(&row.mapped),
            bytes(&row.proportional),
            size(row.weights),
            size(row.disk),
        ]
    };
    TableText {
        id: "memory",
        title: "Where the memory is",
        legend: "Peak with load is what must fit; the steady peak is what serving takes after the load. Anonymous and file-mapped are parts of the resident set after the last request: mapped pages can be dropped and read again. Proportional counts a page that several processes share by its share. Weights as they are stored, and all files of the artifact.".into(),
        heads: heads(
            &["Variant", "Setting"],
            &[
                "Peak with load",
                "Steady peak",
                "Anonymous",
                "File-mapped",
                "Proportional",
                "Weights",
                "On disk",
            ],
        ),
        rows: study.memory.iter().map(row).collect(),
    }
}

fn caches(rows: &[CacheRow]) -> TableText {
    let row = |row: &CacheRow| {
        vec![
            text(&row.variant),
            text(&row.place),
            Shown {
                text: format::exact(row.theory as f64, Unit::Bytes),
                key: sort_key(row.theory as f64),
                ..Shown::default()
            },
            shown(&row.measured, Unit::Bytes),
            text(&row.lengths.to_string()),
        ]
    };
    TableText {
        id: "cache",
        title: "A token of context",
        legend: "By the shape of the model: keys and values of all layers in single precision, for the whole batch. Measured: slope of the steady peak over the room in the cache (prompt and new tokens), least squares over launches. A steeper slope also holds what a longer prompt takes while it is computed.".into(),
        heads: heads(&["Variant", "Setting"], &["By shape", "Measured", "Lengths"]),
        rows: rows.iter().map(row).collect(),
    }
}
