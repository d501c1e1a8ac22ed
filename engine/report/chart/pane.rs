//! A curve's area: a horizontal and a vertical axis, and what is drawn between them.

use super::canvas::{Align, Canvas, GRID, MUTED, RGBColor};
use super::scale::{self, Scale};

/// Where the areas of all curves lie, below each other.
pub const WIDTH: f64 = 640.0;
pub const LEFT: f64 = 84.0;
pub const RIGHT: f64 = 628.0;

/// Height of the area, of the words above it and of the ticks below it.
const HEIGHT: f64 = 112.0;
const HEAD: f64 = 38.0;
const FOOT: f64 = 40.0;

/// Height of everything.
pub const PANE: f64 = HEAD + HEIGHT + FOOT;

/// Points of all curves of one area, at most: two for each of so many columns.
const MOST_POINTS: f64 = 4000.0;

/// An axis: its values, what they are divided by for their labels, and the unit of those.
pub struct Axis {
    pub values: Vec<f64>,
    pub factor: f64,
    pub unit: &'static str,
}

pub struct Pane {
    x: (Scale, f64),
    y: (Scale, f64),
    top: f64,
    column: f64,
}

impl Pane {
    /// An area of `curves` curves whose words begin at height `top`, with its ticks.
    pub fn draw(canvas: &mut Canvas<'_>, top: f64, x: &Axis, y: &Axis, curves: usize) -> Self {
        let (top, bottom) = (top + HEAD, top + HEAD + HEIGHT);
        let scale = |axis: &Axis, from, to| {
            Scale::linear(axis.values.iter().map(|value| value / axis.factor), from, to)
        };
        let (across, up) = (scale(x, LEFT, RIGHT), scale(y, bottom, top));
        let ticks = up.ticks(4);
        for (tick, label) in ticks.iter().zip(scale::labels(&ticks, 1.0, y.unit)) {
            let at = up.at(*tick);
            canvas.line((LEFT, at), (RIGHT, at), GRID, 1.0);
            canvas.text(&label, (LEFT - 8.0, at), 12.0, MUTED, Align::Right);
        }
        let ticks: Vec<f64> = across.ticks(7).into_iter().filter(|tick| *tick >= 0.0).collect();
        for (tick, label) in ticks.iter().zip(scale::labels(&ticks, 1.0, x.unit)) {
            let at = across.at(*tick);
            canvas.line((at, bottom), (at, bottom + 4.0), MUTED, 1.0);
            canvas.text(&label, (at, bottom + 14.0), 12.0, MUTED, Align::Middle);
        }
        canvas.line((LEFT, bottom), (RIGHT, bottom), MUTED, 1.0);
        let column = (2.0 * (RIGHT - LEFT) * curves as f64 / MOST_POINTS).max(1.0);
        Self { x: (across, x.factor), y: (up, y.factor), top, column }
    }

    /// Height of the words above the area.
    pub fn head(&self) -> f64 {
        self.top - HEAD + 13.0
    }

    pub fn at(&self, point: (f64, f64)) -> (f64, f64) {
        (self.x.0.at(point.0 / self.x.1), self.y.0.at(point.1 / self.y.1))
    }

    /// `points` in order of time as one line.
    pub fn curve(
        &self,
        canvas: &mut Canvas<'_>,
        points: &[(f64, f64)],
        colour: RGBColor,
        width: f64,
    ) {
        canvas.path(&self.thinned(points), colour, width);
    }

    /// The same in the background.
    pub fn faint(&self, canvas: &mut Canvas<'_>, points: &[(f64, f64)], colour: RGBColor) {
        canvas.faint(&self.thinned(points), colour);
    }

    /// An upright line.
    pub fn mark(&self, canvas: &mut Canvas<'_>, x: f64, colour: RGBColor) {
        let at = self.at((x, 0.0)).0;
        canvas.dashed((at, self.top), (at, self.top + HEIGHT), colour);
    }

    fn thinned(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let shown: Vec<(f64, f64)> = points.iter().map(|point| self.at(*point)).collect();
        thinned(&shown, self.column)
    }
}

/// Of the points in each column of `width` the highest and the lowest, in their order: what a
/// screen of such columns shows of all of them.
fn thinned(points: &[(f64, f64)], width: f64) -> Vec<(f64, f64)> {
    let column = |point: &(f64, f64)| (point.0 / width).floor();
    let mut out = Vec::new();
    for own in points.chunk_by(|a, b| column(a) == column(b)) {
        let by_height = |a: &usize, b: &usize| own[*a].1.total_cmp(&own[*b].1);
        let lowest = (0..own.len()).min_by(by_height).unwrap_or(0);
        let highest = (0..own.len()).max_by(by_height).unwrap_or(0);
        out.push(own[lowest.min(highest)]);
        if lowest != highest {
            out.push(own[lowest.max(highest)]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_stay_and_many_keep_their_extremes_in_order() {
        let few = [(0.5, 1.0), (0.9, 4.0), (1.5, 2.0)];
        assert_eq!(thinned(&few, 1.0), few);
        let saw: Vec<(f64, f64)> =
            (0..10_000).map(|i| (f64::from(i) / 100.0, f64::from(i * 37 % 101))).collect();
        let thin = thinned(&saw, 1.0);
        assert_eq!(thin.len(), 200);
        assert!(thin.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let ends = |points: &[(f64, f64)]| {
            let heights = points.iter().map(|point| point.1);
            (heights.clone().fold(f64::INFINITY, f64::min), heights.fold(0.0, f64::max))
        };
        assert_eq!(ends(&thin), ends(&saw));
        assert!(thinned(&[], 1.0).is_empty());
    }
}
