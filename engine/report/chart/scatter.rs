//! Quality against speed: what each variant gains, and what that costs.

use super::Chart;
use super::canvas::{Align, Canvas, GRID, INK, MUTED, drawing, fitted, series};
use super::scale::{self, Scale};
use crate::measure::Estimate;
use crate::report::ReportError;
use crate::report::page::{in_points, loss_unit, metric_name};
use crate::report::view::{QualityChange, Study};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 270.0;

/// Points drawn at most.
const MOST: usize = 40;

struct Point<'a> {
    variant: &'a str,
    index: usize,
    speed: Estimate,
    loss: Estimate,
}

pub fn draw(study: &Study) -> Result<Option<Chart>, ReportError> {
    let Some(first) = study.headline.iter().find_map(|row| row.quality.known()) else {
        return Ok(None);
    };
    let points = points(study, first);
    if points.is_empty() {
        return Ok(None);
    }
    // Per cent for changes and shares, its own unit for a divergence or an error.
    let (factor, unit) = match first.metric {
        id if loss_unit(id).is_some() => (1.0, ""),
        id if in_points(id) => (0.01, " pp"),
        _ => (0.01, " %"),
    };
    let x = Scale::log(
        points.iter().flat_map(|p| [p.speed.low, p.speed.high]).chain([1.0]),
        LEFT,
        RIGHT,
    );
    let y = Scale::linear(
        points.iter().flat_map(|p| [p.loss.low, p.loss.high]).chain([0.0]),
        BOTTOM,
        TOP,
    );
    let svg = drawing("scatter", WIDTH, BOTTOM + 48.0, |canvas| {
        axes(canvas, &x, &y, factor, unit);
        canvas.mark((x.at(1.0), y.at(0.0)), 6.0, index_of(study, &study.terms.baseline));
        canvas.text(
            &fitted(&study.terms.baseline, 120.0, 13.0),
            (x.at(1.0) + 10.0, y.at(0.0) - 11.0),
            13.0,
            INK,
            Align::Left,
        );
        let mut told: Vec<&str> = Vec::new();
        for point in &points {
            cross(canvas, &x, &y, point);
            if !told.contains(&point.variant) {
                told.push(point.variant);
                place(canvas, &x, &y, point);
            }
        }
        let name = format!("{} on {}", quality_axis(first.metric), first.data);
        canvas.text(&fitted(&name, WIDTH, 12.0), (0.0, 10.0), 12.0, MUTED, Align::Left);
        canvas.text("speed-up", (RIGHT, BOTTOM + 36.0), 12.0, MUTED, Align::Right);
    })?;
    Ok(Some(Chart {
        title: "Quality against speed".into(),
        caption: format!(
            "One mark per variant and setting, bars are intervals. Right is faster, down is closer to {}.",
            study.terms.reference.as_deref().unwrap_or(&study.terms.baseline)
        ),
        svg,
    }))
}

fn quality_axis(metric: &str) -> String {
    match metric {
        "perplexity" => "perplexity change".into(),
        "top1_agreement" => "top-1 disagreement".into(),
        "cosine" => "1 − cosine".into(),
        "snr" => "noise over signal".into(),
        other if in_points(other) => format!("loss of {}", metric_name(other)),
        other => metric_name(other),
    }
}

fn index_of(study: &Study, variant: &str) -> usize {
    study.variants.iter().position(|facts| facts.name == variant).unwrap_or(0)
}

fn points<'a>(study: &'a Study, first: &QualityChange) -> Vec<Point<'a>> {
    let point = |row: &'a crate::report::view::Headline| {
        let change = row.quality.known().filter(|change| change.metric == first.metric)?;
        Some(Point {
            variant: &row.variant,
            index: index_of(study, &row.variant),
            speed: row.speedup.known()?.estimate,
            loss: change.loss,
        })
    };
    study.headline.iter().filter_map(point).take(MOST).collect()
}

fn axes(canvas: &mut Canvas<'_>, x: &Scale, y: &Scale, factor: f64, unit: &str) {
    let ticks = x.ticks(6);
    for (tick, label) in ticks.iter().zip(scale::labels(&ticks, 1.0, "×")) {
        canvas.line((x.at(*tick), TOP), (x.at(*tick), BOTTOM), GRID, 1.0);
        canvas.text(&label, (x.at(*tick), BOTTOM + 14.0), 12.0, MUTED, Align::Middle);
    }
    let ticks = y.ticks(5);
    for (tick, label) in ticks.iter().zip(scale::labels(&ticks, factor, unit)) {
        canvas.line((LEFT, y.at(*tick)), (RIGHT, y.at(*tick)), GRID, 1.0);
        canvas.text(&label, (LEFT - 8.0, y.at(*tick)), 12.0, MUTED, Align::Right);
    }
    canvas.line((x.at(1.0), TOP), (x.at(1.0), BOTTOM), MUTED, 1.0);
    canvas.line((LEFT, y.at(0.0)), (RIGHT, y.at(0.0)), MUTED, 1.0);
}

fn cross(canvas: &mut Canvas<'_>, x: &Scale, y: &Scale, point: &Point<'_>) {
    let at = (x.at(point.speed.point), y.at(point.loss.point));
    let colour = series(point.index);
    canvas.line((x.at(point.speed.low), at.1), (x.at(point.speed.high), at.1), colour, 1.5);
    canvas.line((at.0, y.at(point.loss.low)), (at.0, y.at(point.loss.high)), colour, 1.5);
    canvas.mark(at, 6.0, point.index);
}

/// The name beside the first mark of a variant, on the side that has room.
fn place(canvas: &mut Canvas<'_>, x: &Scale, y: &Scale, point: &Point<'_>) {
    let at = (x.at(point.speed.point), y.at(point.loss.point));
    let name = fitted(point.variant, 140.0, 13.0);
    let above = if at.1 < TOP + 24.0 { 15.0 } else { -13.0 };
    let (align, shift) =
        if at.0 > RIGHT - 150.0 { (Align::Right, -10.0) } else { (Align::Left, 10.0) };
    canvas.strong(&name, (at.0 + shift, at.1 + above), 13.0, INK, align);
}
