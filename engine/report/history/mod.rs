//! Runs of other days: one held against another, and a row of them over time.
//!
//! The machine is in another state on every day, and no block pairs two runs. So each comparison
//! here comes in two forms. The *historical* one sets a variant's own numbers side by side
//! (Welch): it sees everything that has changed, the weather of the machine included. The *paired*
//! one asks how the variant's ratio to the baseline of its own run has changed: what slowed the
//! machine that day slowed both, so it is the sturdier number, and blind to what changed both.
//! Numbers of different machines are never judged; what differs between two runs is told before
//! any number. Deliberately absent: looking for runs in folders (callers do).

mod change;
mod compared;
mod differences;
mod machines;
mod quality;
mod series;
mod terminal;
mod text;
mod timeline;

pub use change::{historical, paired};
pub use compared::{Basis, CellChange, Compared, compare};
pub use differences::Difference;
pub use machines::differences as machine_differences;
pub use quality::{QualityShift, counterpart, paired_loss};
pub use series::{Change, Group, Line, Past, PastError, Point, past};
pub use terminal::terminal;
pub use text::markdown;
pub use timeline::{timeline, timeline_markdown};
