//! Where the time of a call goes: one bar per profiled phase, a piece per operator type.

use super::Chart;
use super::canvas::{Align, BAND, Canvas, INK, MUTED, drawing, fitted, series};
use crate::report::ReportError;
use crate::report::format;
use crate::report::view::{PhaseSheet, ProfileSheet, Study};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 204.0;
const RIGHT: f64 = 624.0;
const ROW: f64 = 38.0;
const BAR: f64 = 18.0;
const LEGEND: f64 = 20.0;

/// Operator types with a colour of their own: the first of the eight colours is for the others.
const MOST_TYPES: usize = 7;

/// Bars drawn at most; the tables have all.
const MOST_BARS: usize = 40;

type Bar<'a> = (&'a ProfileSheet, &'a PhaseSheet);

pub fn draw(study: &Study) -> Result<Option<Chart>, ReportError> {
    let all: Vec<Bar<'_>> = study
        .profiles
        .iter()
        .flat_map(|profile| profile.phases.iter().map(move |phase| (profile, phase)))
        .collect();
    if all.is_empty() {
        return Ok(None);
    }
    let bars = &all[..all.len().min(MOST_BARS)];
    let types = types(bars);
    let bottom = ROW * bars.len() as f64;
    let lines = (types.len() + 2).div_ceil(3) as f64;
    let svg = drawing("shares", WIDTH, bottom + 14.0 + LEGEND * lines, |canvas| {
        for (i, bar) in bars.iter().enumerate() {
            row(canvas, study, bar, &types, ROW * (i as f64 + 0.5));
        }
        legend(canvas, &types, bottom + 16.0);
    })?;
    let more = match all.len() - bars.len() {
        0 => String::new(),
        left_out => format!(" The first {MOST_BARS} bars; {left_out} more are in the tables."),
    };
    Ok(Some(Chart {
        title: "Where the time goes".into(),
        caption: format!(
            "Share of a watched call's time by operator type, for each profiled variant and phase; the pale rest lies outside operators.{more}"
        ),
        svg,
    }))
}

/// The types that take most of some bar: a bar whose largest piece had no colour would tell
/// nothing.
fn types(bars: &[Bar<'_>]) -> Vec<String> {
    let mut most: Vec<(String, f64)> = Vec::new();
    for row in bars.iter().flat_map(|(_, phase)| &phase.operators) {
        match most.iter_mut().find(|(name, _)| *name == row.name) {
            Some((_, share)) => *share = share.max(row.share),
            None => most.push((row.name.clone(), row.share)),
        }
    }
    most.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    most.into_iter().take(MOST_TYPES).map(|(name, _)| name).collect()
}

fn row(
    canvas: &mut Canvas<'_>,
    study: &Study,
    (profile, phase): &Bar<'_>,
    types: &[String],
    y: f64,
) {
    let name = fitted(&profile.variant, LEFT - 16.0, 13.0);
    canvas.strong(&name, (0.0, y - 8.0), 13.0, INK, Align::Left);
    let setting = profile.setting.and_then(|i| study.settings.get(i));
    let setting = setting.filter(|_| study.settings.len() > 1).map(|s| s.short.as_str());
    let time = format::exact(phase.watched, crate::measure::Unit::Seconds);
    let under: Vec<&str> =
        [Some(phase.name.as_str()), setting, Some(time.as_str())].into_iter().flatten().collect();
    let under = fitted(&under.join(", "), LEFT - 8.0, 12.0);
    canvas.text(&under, (0.0, y + 8.0), 12.0, MUTED, Align::Left);
    // Operators that ran side by side may add up to more than the call.
    let told: f64 = phase.operators.iter().map(|row| row.share).sum();
    let scale = (RIGHT - LEFT) / told.max(1.0);
    canvas.rect((LEFT, y - BAR / 2.0), (RIGHT, y + BAR / 2.0), BAND);
    let mut x = LEFT;
    let mut piece = |share: f64, colour| {
        let end = x + share * scale;
        if end - x >= 0.25 {
            canvas.rect((x, y - BAR / 2.0), (end, y + BAR / 2.0), colour);
        }
        x = end;
    };
    for (index, name) in types.iter().enumerate() {
        let rows = phase.operators.iter().filter(|row| row.name == *name);
        piece(rows.map(|row| row.share).sum(), series(index + 1));
    }
    let others = phase.operators.iter().filter(|row| !types.contains(&row.name));
    piece(others.map(|row| row.share).sum(), series(0));
}

fn legend(canvas: &mut Canvas<'_>, types: &[String], top: f64) {
    let column = WIDTH / 3.0;
    let own = types.iter().enumerate().map(|(i, name)| (name.as_str(), series(i + 1)));
    let rest = [("other operators", series(0)), ("outside operators", BAND)];
    for (i, (name, colour)) in own.chain(rest).enumerate() {
        let (x, y) = (column * (i % 3) as f64, top + LEGEND * (i / 3) as f64);
        canvas.rect((x, y - 5.0), (x + 10.0, y + 5.0), colour);
        let name = fitted(name, column - 26.0, 12.0);
        canvas.text(&name, (x + 16.0, y), 12.0, MUTED, Align::Left);
    }
}
