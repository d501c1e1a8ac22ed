//! From raw observations to numbers with intervals and verdicts.
//!
//! Unit of replication is the block: one fresh process per variant, in random order. Comparisons
//! are paired inside blocks on the log scale. Nothing here reads a clock, starts a process or
//! knows a model: every function is pure, so that the whole layer can be validated against
//! simulations with a known truth (`simulation`) and against reference implementations (`golden`).

pub mod bootstrap;
pub mod carryover;
pub mod compare;
pub mod design;
pub mod estimate;
pub mod holm;
pub mod metric;
pub mod noise_floor;
pub mod proportion;
pub mod quantile;
pub mod repetition;
pub mod sample;
pub mod search;
pub mod sequence;
pub mod signed_rank;
pub mod stop;
pub mod summary;
pub mod verdict;

pub use estimate::{Estimate, Method};
pub use metric::{Better, METRICS, MOST_DECIBELS, Metric, Unit, metric};
pub use sample::{Observed, Timeline};

#[cfg(test)]
mod golden;
#[cfg(test)]
mod metamorphic;
#[cfg(test)]
mod simulation;
