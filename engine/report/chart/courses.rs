//! Request times over request number, of cells with launches that never settled or slowed down.

use super::Chart;
use super::canvas::{Align, Canvas, INK, MUTED, drawing, fitted, series};
use super::pane::{Axis, LEFT, PANE, Pane, RIGHT, WIDTH};
use super::spread::in_unit;
use crate::measure::Unit;
use crate::measure::steady::Class;
use crate::report::ReportError;
use crate::report::view::{CourseSheet, Study, Trace};

pub fn draw(study: &Study) -> Result<Option<Chart>, ReportError> {
    let shown = &study.courses;
    if shown.is_empty() {
        return Ok(None);
    }
    let svg = drawing("courses", WIDTH, PANE * shown.len() as f64, |canvas| {
        for (i, sheet) in shown.iter().enumerate() {
            panel(canvas, study, sheet, PANE * i as f64);
        }
    })?;
    let moving = study.cells.iter().filter(|cell| cell.steadiness.moving() > 0).count();
    let more = match moving.saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(
            " The cells where most launches do so; {more} more are counted under their settings."
        ),
    };
    Ok(Some(Chart {
        title: "Request times that do not settle".into(),
        caption: format!(
            "One line per launch, warm-up included; strong are those without a steady state and those that slow down, with a dot where the last level of the latter begins.{more}"
        ),
        svg,
    }))
}

fn panel(canvas: &mut Canvas<'_>, study: &Study, sheet: &CourseSheet, top: f64) {
    let times = || sheet.launches.iter().flat_map(|launch| &launch.times);
    let largest = times().map(|(_, time)| *time).fold(0.0, f64::max);
    let (factor, unit) = in_unit(Unit::Seconds, largest);
    let requests = times().map(|(number, _)| *number as f64).collect();
    let x = Axis { values: requests, factor: 1.0, unit: "" };
    let y = Axis { values: times().map(|(_, time)| *time).collect(), factor, unit };
    let pane = Pane::draw(canvas, top, &x, &y, sheet.launches.len());
    let index = study.variants.iter().position(|facts| facts.name == sheet.variant).unwrap_or(0);
    let points = |launch: &Trace| -> Vec<(f64, f64)> {
        launch.times.iter().map(|(number, time)| (*number as f64, *time)).collect()
    };
    let (moving, steady): (Vec<&Trace>, Vec<&Trace>) =
        sheet.launches.iter().partition(|launch| launch.moves());
    for launch in &steady {
        pane.faint(canvas, &points(launch), MUTED);
    }
    for launch in &moving {
        pane.curve(canvas, &points(launch), series(index), 1.0);
    }
    for launch in moving.iter().filter(|launch| launch.start > 0) {
        if let Some((number, time)) = launch.times.iter().find(|(n, _)| *n >= launch.start) {
            canvas.dot(pane.at((*number as f64, *time)), 3.5, series(index));
        }
    }
    let count = |class| sheet.launches.iter().filter(|launch| launch.class == class).count();
    let told =
        [(Class::NoSteadyState, "without a steady state"), (Class::SlowDown, "slowing down")];
    let told = told.into_iter().map(|(class, words)| (count(class), words));
    let told: Vec<String> =
        told.filter(|(n, _)| *n > 0).map(|(n, words)| format!("{n} {words}")).collect();
    let told = told.join(", ").replacen(' ', &format!(" of {} launches ", sheet.launches.len()), 1);
    canvas.text(&told, (RIGHT, pane.head()), 12.0, MUTED, Align::Right);
    let setting = study.settings.get(sheet.setting).filter(|_| study.settings.len() > 1);
    let name = fitted(&sheet.variant, 140.0, 13.0);
    canvas.strong(&name, (0.0, pane.head()), 13.0, INK, Align::Left);
    if let Some(setting) = setting {
        let short = fitted(&setting.short, 180.0, 12.0);
        canvas.text(&short, (LEFT + 66.0, pane.head()), 12.0, MUTED, Align::Left);
    }
    canvas.text("request", (RIGHT, top + PANE - 10.0), 12.0, MUTED, Align::Right);
}
