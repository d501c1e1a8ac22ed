//! What a picture shows: its layout in words, and the same in pixels.

use super::chance::Chance;
use super::raster::{self, Shape};

/// Pixels along each side of a picture.
pub const SIDE: usize = 48;

/// Names and mean colours.
pub const COLOURS: [(&str, [f32; 3]); 8] = [
    ("red", [200.0, 42.0, 40.0]),
    ("green", [55.0, 150.0, 60.0]),
    ("blue", [50.0, 80.0, 200.0]),
    ("yellow", [225.0, 200.0, 55.0]),
    ("purple", [130.0, 60.0, 170.0]),
    ("pink", [235.0, 130.0, 170.0]),
    ("cyan", [70.0, 190.0, 205.0]),
    ("brown", [130.0, 85.0, 50.0]),
];

pub const SHAPES: [(&str, Shape); 6] = [
    ("circle", Shape::Circle),
    ("square", Shape::Square),
    ("triangle", Shape::Triangle),
    ("star", Shape::Star),
    ("ring", Shape::Ring),
    ("cross", Shape::Cross),
];

/// Words for a background and how bright it is, from and to.
pub const GROUNDS: [(&str, f32, f32); 3] =
    [("dark", 15.0, 60.0), ("grey", 105.0, 150.0), ("light", 205.0, 240.0)];

/// Words for the size of a lone shape, where there is one, and its radius in pixels.
pub const SIZES: [(Option<&str>, f32, f32); 3] =
    [(Some("small"), 6.0, 7.2), (None, 9.0, 10.5), (Some("large"), 12.5, 15.0)];

/// A shape of a colour, as indices into [`COLOURS`] and [`SHAPES`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    pub colour: usize,
    pub shape: usize,
}

/// Where the lesser of two shapes lies, seen from the greater one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    Left,
    Right,
    Above,
    Below,
}

/// How shapes are arranged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// One shape: index into [`SIZES`], column and row of a three by three grid.
    Alone { size: usize, column: usize, row: usize },
    /// Two shapes that differ in colour and shape; the other one is the smaller.
    Pair { other: Kind, lies: Direction },
}

/// All that a full caption says about a picture.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The only shape, or the larger of two. It decides the class of the picture.
    pub main: Kind,
    pub arrangement: Arrangement,
    /// Index into [`GROUNDS`].
    pub ground: usize,
}

/// A shape in pixels: centre, radius, cosine and sine of its turn, and its paint.
pub struct Figure {
    pub shape: Shape,
    pub centre: [f32; 2],
    pub radius: f32,
    pub turn: [f32; 2],
    pub paint: [f32; 3],
}

/// A layout in pixels.
pub struct Scene {
    pub figures: Vec<Figure>,
    pub ground: [f32; 3],
    /// How much brighter the background is at the right and lower edges than in the middle.
    pub slope: [f32; 2],
    /// Deviation of the noise on every pixel.
    pub noise: f32,
}

/// Share of pictures with two shapes.
const PAIRS: f32 = 0.3;

impl Kind {
    /// All kinds, colours of a shape one after another.
    pub fn all() -> impl Iterator<Item = Kind> + Clone {
        (0..SHAPES.len() * COLOURS.len())
            .map(|at| Kind { colour: at % COLOURS.len(), shape: at / COLOURS.len() })
    }

    /// As in `red circle`.
    pub fn label(self) -> String {
        format!("{} {}", COLOURS[self.colour].0, SHAPES[self.shape].0)
    }

    fn draw(chance: &mut Chance) -> Self {
        Self { colour: chance.below(COLOURS.len()), shape: chance.below(SHAPES.len()) }
    }
}

impl Layout {
    /// Draws a layout of the given main shape.
    pub fn draw(main: Kind, chance: &mut Chance) -> Self {
        let arrangement = if chance.likely(PAIRS) {
            let other = loop {
                let other = Kind::draw(chance);
                if other.colour != main.colour && other.shape != main.shape {
                    break other;
                }
            };
            let sides = [Direction::Left, Direction::Right, Direction::Above, Direction::Below];
            Arrangement::Pair { other, lies: chance.pick(&sides) }
        } else {
            let (size, column) = (chance.below(SIZES.len()), chance.below(3));
            Arrangement::Alone { size, column, row: chance.below(3) }
        };
        Self { main, arrangement, ground: chance.below(GROUNDS.len()) }
    }

    /// Draws layouts that differ in the main shape alone; at most one less than there are shapes.
    pub fn draw_family(count: usize, chance: &mut Chance) -> Vec<Self> {
        let mut family = vec![Self::draw(Kind::draw(chance), chance)];
        let Self { arrangement, .. } = family[0];
        while family.len() < count.min(SHAPES.len() - 1) {
            let mut next = family[0];
            next.main.shape = chance.below(SHAPES.len());
            let taken = matches!(arrangement, Arrangement::Pair { other, .. } if other.shape == next.main.shape);
            if !taken && !family.contains(&next) {
                family.push(next);
            }
        }
        family
    }
}

impl Scene {
    /// Draws places, sizes and tints that fit the layout.
    pub fn draw(layout: &Layout, chance: &mut Chance) -> Self {
        let figures = match layout.arrangement {
            Arrangement::Alone { size, column, row } => {
                let radius = chance.between(SIZES[size].1, SIZES[size].2);
                let centre = [column, row].map(|cell| {
                    let middle = 12.0 * (cell as f32 + 1.0) + chance.between(-2.0, 2.0);
                    middle.clamp(radius, SIDE as f32 - radius)
                });
                vec![Figure::draw(layout.main, centre, radius, chance)]
            }
            Arrangement::Pair { other, lies } => {
                let near = [chance.between(12.0, 14.0), chance.between(21.0, 27.0)];
                let far = [chance.between(36.0, 39.0), near[1] + chance.between(-3.0, 3.0)];
                let place = |[along, across]: [f32; 2]| match lies {
                    Direction::Right => [along, across],
                    Direction::Left => [SIDE as f32 - along, across],
                    Direction::Below => [across, along],
                    Direction::Above => [across, SIDE as f32 - along],
                };
                let (large, small) = (chance.between(9.5, 12.0), chance.between(6.0, 7.2));
                vec![
                    Figure::draw(layout.main, place(near), large, chance),
                    Figure::draw(other, place(far), small, chance),
                ]
            }
        };
        let (_, dim, bright) = GROUNDS[layout.ground];
        let light = chance.between(dim, bright);
        let ground = [(); 3].map(|()| light + chance.between(-14.0, 14.0));
        let slope = [(); 2].map(|()| chance.between(-18.0, 18.0));
        Self { figures, ground, slope, noise: chance.between(3.0, 16.0) }
    }

    /// The pixels, row by row, red, green and blue of each.
    pub fn paint(&self, chance: &mut Chance) -> Vec<u8> {
        raster::paint(self, chance)
    }
}

impl Figure {
    fn draw(kind: Kind, centre: [f32; 2], radius: f32, chance: &mut Chance) -> Self {
        // A point of the unit circle by the tangent of half its angle, up to 10 degrees.
        let half = chance.between(-0.087, 0.087);
        let turn = [1.0 - half * half, 2.0 * half].map(|part| part / (1.0 + half * half));
        let light = chance.between(0.8, 1.15);
        let paint = COLOURS[kind.colour].1.map(|part| part * light + chance.between(-14.0, 14.0));
        Self { shape: SHAPES[kind.shape].1, centre, radius, turn, paint }
    }
}
