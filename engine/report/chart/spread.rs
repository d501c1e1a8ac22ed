//! Distributions: one dot per block, so that modes, drifts and strays show.

use super::Chart;
use super::canvas::{Align, Canvas, GRID, INK, MUTED, drawing, fitted, series};
use super::scale::{self, Scale};
use crate::measure::{Unit, metric};
use crate::report::ReportError;
use crate::report::page::metric_name;
use crate::report::view::{CellSheet, MetricSheet, Study};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 120.0;
const RIGHT: f64 = 624.0;
const ROW: f64 = 30.0;
const HEAD: f64 = 26.0;

/// Small multiples: this many settings and variants per metric; the tables have all of them.
const MOST_SETTINGS: usize = 4;
const MOST_VARIANTS: usize = 12;
const MOST_DOTS: usize = 200;

/// One drawing per metric that varies, a panel per setting in it.
pub fn blocks(study: &Study) -> Result<Vec<Chart>, ReportError> {
    let mut ids = vec![study.terms.primary];
    let others = ["ttft", "itl", "latency", "peak_memory"].into_iter();
    ids.extend(others.filter(|id| *id != study.terms.primary && study.terms.metrics.contains(id)));
    let mut out = Vec::new();
    for id in ids {
        out.extend(one(study, id)?);
    }
    Ok(out)
}

type Row<'a> = (&'a CellSheet, &'a MetricSheet);

fn one(study: &Study, id: &'static str) -> Result<Option<Chart>, ReportError> {
    let panels: Vec<Vec<Row>> = (0..study.settings.len().min(MOST_SETTINGS))
        .map(|setting| {
            let cells = study.cells.iter().filter(|cell| cell.setting == setting);
            let sheet = |cell| sheet_of(cell, id).map(|sheet| (cell, sheet));
            cells
                .filter_map(sheet)
                .filter(|(_, sheet)| !sheet.blocks.is_empty())
                .take(MOST_VARIANTS)
                .collect()
        })
        .filter(|panel: &Vec<Row>| !panel.is_empty())
        .collect();
    let Some(unit) = metric(id).map(|metric| metric.unit).filter(|_| !panels.is_empty()) else {
        return Ok(None);
    };
    let foot = 30.0;
    let height: f64 = panels.iter().map(|panel| HEAD + ROW * panel.len() as f64 + foot).sum();
    let svg = drawing("distribution", WIDTH, height, |canvas| {
        let mut top = 0.0;
        for panel in &panels {
            panel_of(canvas, study, panel, unit, top);
            top += HEAD + ROW * panel.len() as f64 + foot;
        }
    })?;
    let direction = metric(id).map_or("", |metric| crate::report::words::direction(metric.better));
    let some = if study.settings.len() > MOST_SETTINGS {
        format!(" The first {MOST_SETTINGS} of {} settings.", study.settings.len())
    } else {
        String::new()
    };
    Ok(Some(Chart {
        title: format!("{} by block", capitalized(&metric_name(id))),
        caption: format!(
            "One dot per block; the bar is their median with its interval (of fewer than six the mean); {direction}.{some}"
        ),
        svg,
    }))
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn sheet_of<'a>(cell: &'a CellSheet, id: &str) -> Option<&'a MetricSheet> {
    cell.metrics.iter().find(|sheet| sheet.metric == id)
}

fn panel_of(canvas: &mut Canvas<'_>, study: &Study, panel: &[Row<'_>], unit: Unit, top: f64) {
    let bounds =
        |sheet: &MetricSheet| sheet.value.known().map_or(Vec::new(), |e| vec![e.low, e.high]);
    let values =
        panel.iter().flat_map(|(_, sheet)| sheet.blocks.iter().copied().chain(bounds(sheet)));
    let (factor, name) = in_unit(unit, values.clone().fold(0.0, f64::max));
    let scale = Scale::linear(values.map(|value| value / factor), LEFT, RIGHT);
    let bottom = top + HEAD + ROW * panel.len() as f64;
    if let Some(setting) =
        study.settings.get(panel[0].0.setting).filter(|_| study.settings.len() > 1)
    {
        canvas.text(
            &fitted(&setting.short, WIDTH, 12.0),
            (0.0, top + 12.0),
            12.0,
            MUTED,
            Align::Left,
        );
    }
    let ticks = scale.ticks(5);
    for (tick, label) in ticks.iter().zip(scale::labels(&ticks, 1.0, name)) {
        let x = scale.at(*tick);
        canvas.line((x, top + HEAD - 4.0), (x, bottom), GRID, 1.0);
        canvas.text(&label, (x, bottom + 12.0), 12.0, MUTED, Align::Middle);
    }
    for (i, (cell, sheet)) in panel.iter().enumerate() {
        let y = top + HEAD + ROW * (i as f64 + 0.5);
        let index = study.variants.iter().position(|facts| facts.name == cell.variant).unwrap_or(i);
        canvas.strong(&fitted(&cell.variant, LEFT - 14.0, 13.0), (0.0, y), 13.0, INK, Align::Left);
        row(canvas, &|value| scale.at(value / factor), sheet, index, y);
    }
}

fn row(
    canvas: &mut Canvas<'_>,
    at: &dyn Fn(f64) -> f64,
    sheet: &MetricSheet,
    index: usize,
    y: f64,
) {
    // Dots are spread over the height in the order of their blocks: a drift shows as a slope.
    let dots = sheet.blocks.len().min(MOST_DOTS);
    for (i, value) in sheet.blocks.iter().take(MOST_DOTS).enumerate() {
        let share = if dots > 1 { i as f64 / (dots - 1) as f64 } else { 0.5 };
        canvas.dot((at(*value), y - 8.0 + 16.0 * share), 2.5, series(index));
    }
    if let Some(e) = sheet.value.known() {
        canvas.line((at(e.low), y), (at(e.high), y), INK, 2.0);
        canvas.line((at(e.point), y - 9.0), (at(e.point), y + 9.0), INK, 2.0);
    }
}

pub(super) fn in_unit(unit: Unit, largest: f64) -> (f64, &'static str) {
    match unit {
        Unit::Seconds if largest < 1e-3 => (1e-6, " µs"),
        Unit::Seconds if largest < 1.0 => (1e-3, " ms"),
        Unit::Seconds => (1.0, " s"),
        Unit::Bytes if largest < 1_073_741_824.0 => (1_048_576.0, " MiB"),
        Unit::Bytes => (1_073_741_824.0, " GiB"),
        Unit::Joules if largest < 1.0 => (1e-3, " mJ"),
        Unit::Joules => (1.0, " J"),
        Unit::TokensPerSecond
        | Unit::ItemsPerSecond
        | Unit::Plain
        | Unit::Watts
        | Unit::Nats
        | Unit::Decibels => (1.0, ""),
        Unit::Share => (0.01, " %"),
    }
}
