//! A drawing surface in shown pixels over plotters' SVG backend.

use plotters::coord::Shift;
pub use plotters::prelude::RGBColor;
use plotters::prelude::{
    Circle, Color, DrawingArea, FontStyle, IntoDrawingArea, IntoFont, PathElement, Polygon,
    Rectangle, SVGBackend, ShapeStyle, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::base::text;
use crate::report::ReportError;

/// Drawn pixels per shown one: plotters knows whole pixels only.
const FINE: f64 = 2.0;

/// The stand-ins, mapped to variables in `parts/style.css`.
pub const INK: RGBColor = RGBColor(1, 2, 3);
pub const MUTED: RGBColor = RGBColor(1, 2, 4);
pub const GRID: RGBColor = RGBColor(1, 2, 5);
pub const BAND: RGBColor = RGBColor(1, 2, 6);
pub const GOOD: RGBColor = RGBColor(1, 2, 7);
pub const BAD: RGBColor = RGBColor(1, 2, 8);
pub const UNSURE: RGBColor = RGBColor(1, 2, 9);

/// Colour of the variant at `index`; after eight they repeat, so shape or label must tell too.
pub fn series(index: usize) -> RGBColor {
    RGBColor(2, 0, (index % 8) as u8)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Middle,
    Right,
}

/// Draws in shown pixels. The first error is kept and told at the end.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    error: Option<String>,
}

/// A finished drawing of `width` by `height` shown pixels.
pub fn drawing(
    chart: &'static str,
    width: f64,
    height: f64,
    draw: impl FnOnce(&mut Canvas<'_>),
) -> Result<String, ReportError> {
    let mut svg = String::new();
    let size = ((width * FINE) as u32, (height * FINE) as u32);
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let mut canvas = Canvas { area, error: None };
    draw(&mut canvas);
    let presented = canvas.area.present().map_err(|error| error.to_string());
    let error = canvas.error.take().or(presented.err());
    drop(canvas);
    match error {
        Some(detail) => Err(ReportError::Chart { chart, detail }),
        // The size comes from the style sheet; what is left is the shape.
        None => Ok(svg.replacen(&format!("width=\"{}\" height=\"{}\" ", size.0, size.1), "", 1)),
    }
}

fn fine(x: f64) -> i32 {
    (x * FINE).round() as i32
}

impl Canvas<'_> {
    fn keep<E: std::fmt::Display>(&mut self, result: Result<(), E>) {
        if let Err(error) = result {
            self.error.get_or_insert_with(|| error.to_string());
        }
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor, width: f64) {
        self.path(&[from, to], colour, width);
    }

    pub fn path(&mut self, points: &[(f64, f64)], colour: RGBColor, width: f64) {
        let points: Vec<_> = points.iter().map(|(x, y)| (fine(*x), fine(*y))).collect();
        let style =
            ShapeStyle { color: colour.into(), filled: false, stroke_width: fine(width) as u32 };
        let drawn = self.area.draw(&PathElement::new(points, style));
        self.keep(drawn);
    }

    /// A path in the background, through which others show.
    pub fn faint(&mut self, points: &[(f64, f64)], colour: RGBColor) {
        let points: Vec<_> = points.iter().map(|(x, y)| (fine(*x), fine(*y))).collect();
        let style = ShapeStyle { color: colour.mix(0.55), filled: false, stroke_width: 1 };
        let drawn = self.area.draw(&PathElement::new(points, style));
        self.keep(drawn);
    }

    pub fn dashed(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let pieces = ((dx.hypot(dy) / 6.0) as usize).clamp(1, 400);
        for i in 0..pieces {
            let at = |t: f64| (from.0 + dx * t, from.1 + dy * t);
            let start = i as f64 / pieces as f64;
            self.line(at(start), at(start + 0.55 / pieces as f64), colour, 1.0);
        }
    }

    pub fn rect(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor) {
        let style = ShapeStyle { color: colour.into(), filled: true, stroke_width: 0 };
        let corners = [(fine(from.0), fine(from.1)), (fine(to.0), fine(to.1))];
        let drawn = self.area.draw(&Rectangle::new(corners, style));
        self.keep(drawn);
    }

    pub fn dot(&mut self, at: (f64, f64), radius: f64, colour: RGBColor) {
        let style = ShapeStyle { color: colour.into(), filled: true, stroke_width: 0 };
        let drawn = self.area.draw(&Circle::new((fine(at.0), fine(at.1)), fine(radius), style));
        self.keep(drawn);
    }

    /// The mark of variant `index`: shapes differ where colours repeat or cannot be told apart.
    pub fn mark(&mut self, at: (f64, f64), radius: f64, index: usize) {
        let colour = series(index);
        let around = |points: &[(f64, f64)]| {
            let shifted =
                points.iter().map(|(x, y)| (fine(at.0 + x * radius), fine(at.1 + y * radius)));
            Polygon::new(shifted.collect::<Vec<_>>(), colour)
        };
        let shape = match index % 4 {
            0 => return self.dot(at, radius, colour),
            1 => around(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            2 => around(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]),
            _ => around(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]),
        };
        let drawn = self.area.draw(&shape);
        self.keep(drawn);
    }

    /// `label` with its middle at height `at.1`.
    pub fn text(&mut self, label: &str, at: (f64, f64), size: f64, colour: RGBColor, align: Align) {
        self.styled(label, at, size, colour, align, FontStyle::Normal);
    }

    pub fn strong(
        &mut self,
        label: &str,
        at: (f64, f64),
        size: f64,
        colour: RGBColor,
        align: Align,
    ) {
        self.styled(label, at, size, colour, align, FontStyle::Bold);
    }

    fn styled(
        &mut self,
        label: &str,
        at: (f64, f64),
        size: f64,
        colour: RGBColor,
        align: Align,
        font: FontStyle,
    ) {
        let h = match align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        // The backend divides the size by 1.24, which is right for other fonts than ours.
        let font = ("sans-serif", size * FINE * 1.24).into_font().style(font);
        let style =
            plotters::style::TextStyle::from(font).color(&colour).pos(Pos::new(h, VPos::Center));
        let drawn = self.area.draw(&Text::new(text::inert(label), (fine(at.0), fine(at.1)), style));
        self.keep(drawn);
    }
}

/// `label` cut to about `width` pixels at `size`, with a sign that it was cut.
pub fn fitted(label: &str, width: f64, size: f64) -> String {
    let most = (width / (size * 0.56)).max(1.0) as usize;
    let clean = text::inert(label);
    if clean.chars().count() <= most {
        return clean;
    }
    clean.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
