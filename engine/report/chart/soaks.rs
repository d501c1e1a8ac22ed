//! Long runs over time: memory with its lower envelope and growth, throughput with its changes,
//! latency where requests arrived on a schedule.

use super::Chart;
use super::canvas::{Align, Canvas, INK, MUTED, drawing, series};
use super::pane::{Axis, PANE, Pane, RIGHT, WIDTH};
use super::spread::in_unit;
use crate::measure::Unit;
use crate::report::ReportError;
use crate::report::page::per_day;
use crate::report::view::{Reading, SoakSheet, Study};

/// Long runs that are drawn at most.
const MOST: usize = 8;

/// One drawing per long run.
pub fn draw(study: &Study) -> Result<Vec<Chart>, ReportError> {
    let with_curves = |sheet: &&SoakSheet| sheet.curves.rates.len() > 1;
    study.soaks.iter().filter(with_curves).take(MOST).map(|sheet| one(study, sheet)).collect()
}

fn one(study: &Study, sheet: &SoakSheet) -> Result<Chart, ReportError> {
    let index = study.variants.iter().position(|facts| facts.name == sheet.variant).unwrap_or(0);
    let curves = &sheet.curves;
    let panels: [(bool, Panel); 3] = [
        (curves.resident.len() > 1, memory),
        (true, throughput),
        (curves.latencies.len() > 1, latency),
    ];
    let panels: Vec<Panel> =
        panels.into_iter().filter(|(shown, _)| *shown).map(|(_, panel)| panel).collect();
    let svg = drawing("soak", WIDTH, PANE * panels.len() as f64, |canvas| {
        for (i, panel) in panels.iter().enumerate() {
            panel(canvas, sheet, index, PANE * i as f64);
        }
    })?;
    let of_memory = if curves.resident.len() > 1 {
        "Memory: every reading thin, the smallest of each stretch of time strong, the fitted growth as a straight line. "
    } else {
        ""
    };
    let of_latency = if curves.latencies.len() > 1 {
        " Latency from the scheduled instant: the median of each reading strong, the largest thin."
    } else {
        ""
    };
    Ok(Chart {
        title: format!("Long run of {}", sheet.variant),
        caption: format!(
            "{of_memory}Throughput while at work: every reading thin, means of thirty stretches of time strong, dashed where it changes.{of_latency}"
        ),
        svg,
    })
}

type Panel = fn(&mut Canvas<'_>, &SoakSheet, usize, f64);

fn memory(canvas: &mut Canvas<'_>, sheet: &SoakSheet, index: usize, top: f64) {
    let curves = &sheet.curves;
    let values: Vec<f64> = curves.resident.iter().map(|(_, bytes)| *bytes).collect();
    let largest = values.iter().copied().fold(0.0, f64::max);
    let (factor, unit) = in_unit(Unit::Bytes, largest);
    // Noise of a flat line does not fill the height.
    let y = Axis { values: around(values, 0.01), factor, unit };
    let pane = Pane::draw(canvas, top, &time(sheet), &y, 1);
    pane.faint(canvas, &curves.resident, series(index));
    pane.curve(canvas, &curves.envelope, series(index), 2.0);
    if let Some(line) = &curves.line {
        canvas.path(&line.map(|point| pane.at(point)), INK, 1.0);
    }
    let growth = sheet.held.iter().find(|row| row.what == "resident memory");
    let told = growth.and_then(|row| match &row.growth {
        Reading::Known(growth) => {
            let shown = per_day(growth, true);
            Some(format!("{} a day {}", shown.text, shown.bounds))
        }
        Reading::Unmeasured(_) => None,
    });
    head(canvas, &pane, "Resident memory", told.as_deref());
}

fn throughput(canvas: &mut Canvas<'_>, sheet: &SoakSheet, index: usize, top: f64) {
    let curves = &sheet.curves;
    let values = curves.rates.iter().map(|(_, rate)| *rate).collect();
    let y = Axis { values: around(values, 0.05), factor: 1.0, unit: "/s" };
    let pane = Pane::draw(canvas, top, &time(sheet), &y, 1);
    pane.faint(canvas, &curves.rates, series(index));
    let ends = curves.levels.iter().skip(1).map(|(begin, _)| *begin).chain([sheet.seconds]);
    let steps: Vec<(f64, f64)> = curves
        .levels
        .iter()
        .zip(ends)
        .flat_map(|((at, mean), end)| [(*at, *mean), (end, *mean)])
        .collect();
    canvas.path(&steps.iter().map(|step| pane.at(*step)).collect::<Vec<_>>(), series(index), 2.0);
    for change in &sheet.changes {
        pane.mark(canvas, *change, INK);
    }
    let told = match &sheet.ratio {
        Reading::Known(ratio) => Some(format!(
            "last third ÷ first third {} {}",
            crate::report::format::times(ratio),
            crate::report::format::times_bounds(ratio)
        )),
        Reading::Unmeasured(_) => None,
    };
    head(canvas, &pane, "Requests per second of busy time", told.as_deref());
}

fn latency(canvas: &mut Canvas<'_>, sheet: &SoakSheet, index: usize, top: f64) {
    let curves = &sheet.curves.latencies;
    let middle: Vec<(f64, f64)> = curves.iter().map(|(at, median, _)| (*at, *median)).collect();
    let most: Vec<(f64, f64)> = curves.iter().map(|(at, _, most)| (*at, *most)).collect();
    let values: Vec<f64> = middle.iter().chain(&most).map(|(_, time)| *time).chain([0.0]).collect();
    let (factor, unit) = in_unit(Unit::Seconds, values.iter().copied().fold(0.0, f64::max));
    let pane = Pane::draw(canvas, top, &time(sheet), &Axis { values, factor, unit }, 2);
    pane.faint(canvas, &most, series(index));
    pane.curve(canvas, &middle, series(index), 2.0);
    head(canvas, &pane, "Latency", None);
}

fn head(canvas: &mut Canvas<'_>, pane: &Pane, name: &str, told: Option<&str>) {
    canvas.strong(name, (0.0, pane.head()), 13.0, INK, Align::Left);
    if let Some(told) = told {
        canvas.text(told, (RIGHT, pane.head()), 12.0, MUTED, Align::Right);
    }
}

/// Time since the beginning, in the unit in which people talk about so long.
fn time(sheet: &SoakSheet) -> Axis {
    let (factor, unit) = match sheet.seconds {
        seconds if seconds < 180.0 => (1.0, " s"),
        seconds if seconds < 10_800.0 => (60.0, " min"),
        _ => (3600.0, " h"),
    };
    Axis { values: vec![0.0, sheet.seconds], factor, unit }
}

/// `values` and their middle with a share of it on either side.
fn around(mut values: Vec<f64>, share: f64) -> Vec<f64> {
    if let Some(middle) = crate::measure::quantile::median(&values) {
        values.extend([middle * (1.0 - share), middle * (1.0 + share)]);
    }
    values
}
