//! Forest plot: every speed-up with its interval, against 1 and against what was asked for.

use super::Chart;
use super::canvas::{Align, BAD, BAND, Canvas, GOOD, GRID, INK, MUTED, UNSURE, drawing, fitted};
use super::scale::{self, Scale};
use crate::measure::Estimate;
use crate::report::ReportError;
use crate::report::format;
use crate::report::view::{Headline, Study, Tone};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 176.0;
const RIGHT: f64 = 490.0;
const TOP: f64 = 40.0;
const ROW: f64 = 38.0;

/// Rows drawn at most; the verdict table has them all.
const MOST: usize = 40;

pub fn draw(study: &Study) -> Result<Option<Chart>, ReportError> {
    let known = |row: &'_ &Headline| row.speedup.known().is_some();
    let rows: Vec<&Headline> = study.headline.iter().filter(known).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let left_out = rows.len().saturating_sub(MOST);
    let rows = &rows[..rows.len().min(MOST)];
    let bottom = TOP + ROW * rows.len() as f64;
    let terms = &study.terms;
    let estimates = rows.iter().filter_map(|row| row.speedup.known()).map(|found| &found.estimate);
    let values = estimates.flat_map(|e| [e.low, e.high]).chain([1.0, terms.improved_from]);
    let scale = Scale::log(values, LEFT, RIGHT);
    let svg = drawing("forest", WIDTH, bottom + 34.0, |canvas| {
        let band = (scale.at(1.0 / (1.0 + terms.equivalence)), scale.at(1.0 + terms.equivalence));
        canvas.rect((band.0, TOP - 6.0), (band.1, bottom), BAND);
        axis(canvas, &scale, bottom);
        let (one, asked) = (scale.at(1.0), scale.at(terms.improved_from));
        canvas.line((one, TOP - 6.0), (one, bottom), INK, 1.0);
        canvas.dashed((asked, TOP - 6.0), (asked, bottom), MUTED);
        canvas.text("1×", (one, TOP - 16.0), 12.0, INK, Align::Middle);
        if asked - one > 30.0 {
            let label = format!("improved from {}", format::ratio(terms.improved_from));
            canvas.text(&label, (asked, TOP - 16.0), 12.0, MUTED, Align::Left);
        }
        for (i, row) in rows.iter().enumerate() {
            if let Some(found) = row.speedup.known() {
                let y = TOP + ROW * (i as f64 + 0.5);
                interval(canvas, &scale, row, &found.estimate, y);
                label(canvas, study, row, y);
            }
        }
    })?;
    let more = if left_out > 0 {
        format!(" The first {MOST} rows; {left_out} more are in the table.")
    } else {
        String::new()
    };
    Ok(Some(Chart {
        title: "Speed-up".into(),
        caption: format!(
            "Speed-up against {} with its interval. The shaded band counts as equivalent; the dashed line is what improved asks for.{more}",
            terms.baseline
        ),
        svg,
    }))
}

fn axis(canvas: &mut Canvas<'_>, scale: &Scale, bottom: f64) {
    let ticks = scale.ticks(5);
    for (tick, label) in ticks.iter().zip(scale::labels(&ticks, 1.0, "×")) {
        let x = scale.at(*tick);
        canvas.line((x, TOP - 6.0), (x, bottom), GRID, 1.0);
        canvas.text(&label, (x, bottom + 14.0), 12.0, MUTED, Align::Middle);
    }
    canvas.line((LEFT, bottom), (RIGHT, bottom), GRID, 1.0);
}

fn interval(canvas: &mut Canvas<'_>, scale: &Scale, row: &Headline, e: &Estimate, y: f64) {
    let colour = match row.finding.tone() {
        Tone::Good => GOOD,
        Tone::Bad => BAD,
        Tone::Unsure => UNSURE,
        Tone::Plain => MUTED,
    };
    let (low, high) = (scale.at(e.low), scale.at(e.high));
    canvas.line((low, y), (high, y), colour, 2.0);
    canvas.line((low, y - 4.0), (low, y + 4.0), colour, 2.0);
    canvas.line((high, y - 4.0), (high, y + 4.0), colour, 2.0);
    canvas.dot((scale.at(e.point), y), 4.5, colour);
    let text = format!("{} {}", format::times(e), format::times_bounds(e));
    canvas.text(&text, (WIDTH - 4.0, y), 13.0, INK, Align::Right);
}

fn label(canvas: &mut Canvas<'_>, study: &Study, row: &Headline, y: f64) {
    let setting =
        row.setting.and_then(|i| study.settings.get(i)).filter(|_| study.settings.len() > 1);
    let name = fitted(&row.variant, LEFT - 16.0, 13.0);
    match setting {
        None => canvas.strong(&name, (0.0, y), 13.0, INK, Align::Left),
        Some(setting) => {
            canvas.strong(&name, (0.0, y - 8.0), 13.0, INK, Align::Left);
            let setting = fitted(&setting.short, LEFT - 16.0, 12.0);
            canvas.text(&setting, (0.0, y + 8.0), 12.0, MUTED, Align::Left);
        }
    }
}
