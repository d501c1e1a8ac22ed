//! Every cell: a table of metrics and one of latency quantiles per setting.

use serde::Serialize;

use super::effects::{self, EffectText};
use super::shown::{Chip, Shown, gap, quantile, short_name, shown, sort_key, times, verdict};
use crate::measure::{Unit, metric};
use crate::report::parallel::each;
use crate::report::view::{CellSheet, MetricSheet, Reading, Study, Terms};
use crate::report::{format, words};

#[derive(Serialize)]
pub struct SettingText {
    pub long: String,
    pub stop: String,
    pub notes: Vec<String>,
    pub columns: Vec<Column>,
    pub rows: Vec<CellText>,
    pub latencies: Vec<LatencyText>,
    /// Empty where only the baseline was measured and nothing was odd about it.
    pub effects: Vec<EffectText>,
}

#[derive(Serialize)]
pub struct Column {
    pub id: &'static str,
    pub name: String,
    pub direction: &'static str,
    /// What stands below the values, where it is no speed-up.
    pub ratio: String,
}

#[derive(Serialize)]
pub struct CellText {
    pub variant: String,
    pub chip: Chip,
    pub launches: String,
    /// What the counts leave out.
    pub remark: String,
    pub values: Vec<ValueText>,
    pub detectable: String,
}

#[derive(Serialize)]
pub struct ValueText {
    pub value: Shown,
    pub speedup: Shown,
}

#[derive(Serialize)]
pub struct LatencyText {
    pub variant: String,
    pub metric: String,
    pub quantiles: Vec<Shown>,
    pub max: String,
    pub max_key: String,
    pub samples: String,
    /// Independent samples that those are worth at least; empty where all count.
    pub worth: String,
}

pub(super) fn settings(study: &Study) -> Vec<SettingText> {
    each(study.settings.len(), |i| {
        let (setting, cells) = (&study.settings[i], study.cells_of(i));
        SettingText {
            long: setting.long.clone(),
            stop: setting.stop.clone().unwrap_or_default(),
            notes: setting.notes.clone(),
            columns: columns(&study.terms),
            rows: cells.iter().map(|cell| cell_text(cell, &study.terms)).collect(),
            latencies: cells.iter().flat_map(latencies).collect(),
            effects: cells.iter().map(|cell| effects::text(cell, &study.terms)).collect(),
        }
    })
}

fn columns(terms: &Terms) -> Vec<Column> {
    let column = |id: &&'static str| {
        let direction = metric(id).map_or("", |metric| words::direction(metric.better));
        let ratio = if is_size(id) { format!("× {}", terms.baseline) } else { String::new() };
        Column { id, name: short_name(id), direction, ratio }
    };
    terms.metrics.iter().map(column).collect()
}

/// Sizes are told as variant divided by baseline, on every page the same way.
fn is_size(id: &str) -> bool {
    metric(id).is_some_and(|metric| metric.unit == Unit::Bytes)
}

fn cell_text(cell: &CellSheet, terms: &Terms) -> CellText {
    let primary = cell.metrics.iter().find(|sheet| sheet.metric == terms.primary);
    let mde = primary.and_then(|sheet| sheet.speedup.as_ref()?.known()).map(|found| found.mde);
    CellText {
        variant: cell.variant.clone(),
        chip: verdict(cell.finding),
        launches: format!("{} of {}", cell.measured, cell.launches),
        remark: cell.steadiness.detail(),
        values: cell.metrics.iter().map(value_text).collect(),
        detectable: mde.map_or_else(String::new, words::detectable),
    }
}

fn value_text(sheet: &MetricSheet) -> ValueText {
    let unit = metric(sheet.metric).map_or(Unit::Plain, |metric| metric.unit);
    ValueText {
        value: shown(&sheet.value, unit),
        // A gap in the value is told once; the comparison has no second reason.
        speedup: match &sheet.speedup {
            Some(Reading::Known(found)) if is_size(sheet.metric) => {
                times(&found.estimate.mapped(f64::recip))
            }
            Some(Reading::Known(found)) => times(&found.estimate),
            Some(Reading::Unmeasured(why)) if sheet.value.known().is_some() => gap(why),
            _ => Shown::default(),
        },
    }
}

fn latencies(cell: &CellSheet) -> impl Iterator<Item = LatencyText> {
    cell.metrics.iter().filter(|sheet| sheet.samples > 0).map(|sheet| {
        let worth = sheet.quantiles.iter().map(|q| q.effective);
        let least = worth.fold(f64::INFINITY, f64::min);
        LatencyText {
            variant: cell.variant.clone(),
            metric: short_name(sheet.metric),
            quantiles: sheet.quantiles.iter().map(quantile).collect(),
            max: sheet.max.map_or_else(String::new, |max| format::exact(max, Unit::Seconds)),
            max_key: sheet.max.map_or_else(String::new, sort_key),
            samples: format::count(sheet.samples as u64),
            worth: if least.floor() < sheet.samples as f64 {
                format::count(least as u64)
            } else {
                String::new()
            },
        }
    })
}
