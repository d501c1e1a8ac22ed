//! Ground floor: what every room may use and what knows no room.
//!
//! Problems that point into a file, digests, typed units, and the only code that writes files.
//! Deliberately absent: anything that knows what a spec, a model or a measurement is.

pub mod digest;
pub mod files;
pub mod problem;
pub mod suggest;
pub mod text;
pub mod unit;

pub use digest::Digest;
pub use problem::{Place, Problem, Problems, chain};
pub use unit::{Bytes, Nanos, Percent};
