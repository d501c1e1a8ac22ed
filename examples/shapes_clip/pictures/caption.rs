//! What is said about a picture.

use super::chance::Chance;
use super::scene::{Arrangement, Direction, GROUNDS, Kind, Layout, SIZES};

const OPENINGS: [&str; 5] = ["a", "a picture of a", "a drawing of a", "there is a", "this is a"];

/// Wordings of the cells of the grid, row by row.
const PLACES: [[&str; 2]; 9] = [
    ["in the top left corner", "at the top left"],
    ["at the top", "near the top"],
    ["in the top right corner", "at the top right"],
    ["on the left", "on the left side"],
    ["in the middle", "in the center"],
    ["on the right", "on the right side"],
    ["in the bottom left corner", "at the bottom left"],
    ["at the bottom", "near the bottom"],
    ["in the bottom right corner", "at the bottom right"],
];

/// How much a caption says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Anything from the class alone to everything, as training needs it.
    Free,
    /// Nearly everything, so that a caption fits few other pictures.
    Full,
}

/// The question of zero-shot classification for a class like `red circle`.
pub fn prompt(class: &str) -> String {
    format!("a picture of a {class}")
}

/// Words for a layout; what is said is true, but not all that is true is said.
pub fn caption(layout: &Layout, telling: Telling, chance: &mut Chance) -> String {
    let free = telling == Telling::Free;
    let opening = chance.pick(&OPENINGS);
    let main = layout.main.label();
    if free && chance.likely(0.3) {
        return format!("{opening} {main}");
    }
    let share = if free { 0.6 } else { 0.85 };
    let mut words = match layout.arrangement {
        Arrangement::Alone { size, column, row } => {
            let size = SIZES[size].0.filter(|_| chance.likely(share));
            let mut words = format!("{opening} {}", sized(size, layout.main));
            if chance.likely(share) {
                words = format!("{words} {}", chance.pick(&PLACES[3 * row + column]));
            }
            words
        }
        Arrangement::Pair { other, lies } => {
            let sizes = chance.likely(share / 2.0);
            let main = sized(sizes.then_some("large"), layout.main);
            let other = sized(sizes.then_some("small"), other);
            if free && chance.likely(0.15) {
                let between = chance.pick(&["and a", "next to a"]);
                format!("{opening} {main} {between} {other}")
            } else if chance.likely(0.5) {
                format!("{opening} {main} {} a {other}", relation(opposite(lies), chance))
            } else {
                format!("{opening} {other} {} a {main}", relation(lies, chance))
            }
        }
    };
    if chance.likely(share) {
        words = format!("{words} on a {} background", GROUNDS[layout.ground].0);
    }
    words
}

fn sized(size: Option<&str>, kind: Kind) -> String {
    size.map_or_else(|| kind.label(), |size| format!("{size} {}", kind.label()))
}

fn relation(lies: Direction, chance: &mut Chance) -> &'static str {
    chance.pick(match lies {
        Direction::Left => &["left of", "to the left of"],
        Direction::Right => &["right of", "to the right of"],
        Direction::Above => &["above", "over"],
        Direction::Below => &["below", "under"],
    })
}

fn opposite(lies: Direction) -> Direction {
    match lies {
        Direction::Left => Direction::Right,
        Direction::Right => Direction::Left,
        Direction::Above => Direction::Below,
        Direction::Below => Direction::Above,
    }
}
