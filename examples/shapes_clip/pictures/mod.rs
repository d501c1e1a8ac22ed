//! Pictures of coloured shapes and what is said about them, from nothing but a seed.
//!
//! A [`Layout`] is what words can say about a picture: which shapes, where, how large, on what
//! background. [`Scene`] gives it places, sizes and tints in pixels, [`Scene::paint`] draws it, and
//! [`caption`] tells it. Each [`Sample`] has a generator of its own, so any picture can be drawn
//! without the ones before it.
//!
//! Only sums, products, quotients and square roots are used, which IEEE 754 rounds exactly: a
//! picture has the same bytes on every machine.

mod caption;
mod chance;
mod raster;
mod samples;
mod scene;

pub use caption::prompt;
pub use chance::SEED;
pub use samples::{Training, classes, line, shipped};
pub use scene::SIDE;
