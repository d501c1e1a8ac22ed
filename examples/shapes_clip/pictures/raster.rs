//! The rasteriser: signed distances to outlines, and edges that are smooth over one pixel.
//!
//! Formulas of distances: Inigo Quilez, "2D distance functions",
//! <https://iquilezles.org/articles/distfunctions2d/>.

use super::chance::Chance;
use super::scene::{Figure, SIDE, Scene};

#[derive(Clone, Copy)]
pub enum Shape {
    Circle,
    Square,
    Triangle,
    Star,
    Ring,
    Cross,
}

type Point = [f32; 2];

/// Corners on the unit circle; one points up.
const TRIANGLE: [Point; 3] = [[0.0, -1.0], [0.866_025_4, 0.5], [-0.866_025_4, 0.5]];

/// Five tips on the unit circle, and between them corners at [`INNER`] of its radius.
const STAR: [Point; 10] = [
    [0.0, -1.0],
    [0.587_785_25 * INNER, -0.809_017 * INNER],
    [0.951_056_5, -0.309_017],
    [0.951_056_5 * INNER, 0.309_017 * INNER],
    [0.587_785_25, 0.809_017],
    [0.0, INNER],
    [-0.587_785_25, 0.809_017],
    [-0.951_056_5 * INNER, 0.309_017 * INNER],
    [-0.951_056_5, -0.309_017],
    [-0.587_785_25 * INNER, -0.809_017 * INNER],
];
const INNER: f32 = 0.42;

/// Paints the background, the figures in order, and noise over all.
///
/// Channels keep five bits, because noise of eight does not compress.
pub fn paint(scene: &Scene, chance: &mut Chance) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(SIDE * SIDE * 3);
    for at in 0..SIDE * SIDE {
        let [x, y] = [at % SIDE, at / SIDE].map(|whole| whole as f32 + 0.5);
        let half = SIDE as f32 / 2.0;
        let light = scene.slope[0] * (x / half - 1.0) + scene.slope[1] * (y / half - 1.0);
        let mut colour = scene.ground.map(|part| part + light);
        for figure in &scene.figures {
            let cover = (0.5 - distance(figure, x, y)).clamp(0.0, 1.0);
            for (part, paint) in colour.iter_mut().zip(figure.paint) {
                *part += (paint - *part) * cover;
            }
        }
        let grain = chance.bell() * scene.noise;
        pixels
            .extend(colour.map(|part| five_bits(part + grain + chance.bell() * scene.noise / 2.0)));
    }
    pixels
}

fn five_bits(light: f32) -> u8 {
    let top = light.clamp(0.0, 255.0) as u8 >> 3;
    (top << 3) | (top >> 2)
}

/// Pixels from the outline of a figure, negative inside.
fn distance(figure: &Figure, x: f32, y: f32) -> f32 {
    let (dx, dy) = (x - figure.centre[0], y - figure.centre[1]);
    let ([cos, sin], r) = (figure.turn, figure.radius);
    let p = [dx * cos + dy * sin, dy * cos - dx * sin];
    match figure.shape {
        Shape::Circle => length(p) - r,
        Shape::Ring => (length(p) - 0.75 * r).abs() - 0.25 * r,
        Shape::Square => rectangle(p, [0.8 * r, 0.8 * r]),
        Shape::Cross => rectangle(p, [r, 0.32 * r]).min(rectangle(p, [0.32 * r, r])),
        Shape::Triangle => polygon(p, &TRIANGLE, r),
        Shape::Star => polygon(p, &STAR, r),
    }
}

fn length([x, y]: Point) -> f32 {
    (x * x + y * y).sqrt()
}

fn rectangle(p: Point, half: Point) -> f32 {
    let over = [p[0].abs() - half[0], p[1].abs() - half[1]];
    length(over.map(|part| part.max(0.0))) + over[0].max(over[1]).min(0.0)
}

/// The distance to the nearest side; every side that a ray to the right crosses turns the sign.
fn polygon(p: Point, corners: &[Point], scale: f32) -> f32 {
    let mut nearest = f32::INFINITY;
    let mut inside = false;
    for (at, a) in corners.iter().enumerate() {
        let b = corners[(at + 1) % corners.len()].map(|part| part * scale);
        let a = a.map(|part| part * scale);
        let (side, to) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
        let along = (to[0] * side[0] + to[1] * side[1]) / (side[0] * side[0] + side[1] * side[1]);
        let along = along.clamp(0.0, 1.0);
        nearest = nearest.min(length([to[0] - side[0] * along, to[1] - side[1] * along]));
        if (a[1] > p[1]) != (b[1] > p[1]) && to[0] < side[0] * to[1] / side[1] {
            inside = !inside;
        }
    }
    if inside { -nearest } else { nearest }
}
