//! From raw observations to numbers with intervals and verdicts.
//!
//! Unit of replication is the block: one fresh process per variant, in random order; where
//! processes stay, all blocks of one process together ([`replicates`]). Comparisons are paired
//! inside blocks on the log scale. Nothing here reads a clock, starts a process or
//! knows a model: every function is pure, so that the whole layer can be validated against
//! simulations with a known truth (`prove`) and against reference implementations (`golden`).

pub mod autocorrelation;
pub mod benjamini_hochberg;
mod beta;
pub mod bootstrap;
pub mod carryover;
pub mod centre;
pub mod clopper_pearson;
pub mod clustered;
pub mod compare;
pub mod design;
pub mod divisive;
pub mod effect;
pub mod estimate;
pub mod fieller;
pub mod golden;
pub mod harrell_davis;
pub mod history;
pub mod holm;
pub mod leak;
pub mod load;
pub mod mcnemar;
pub mod metric;
pub mod modes;
pub mod newcombe;
pub mod noise_floor;
mod normal;
pub mod outliers;
pub mod pelt;
pub mod proportion;
pub mod quantile;
pub mod rate;
pub mod repetition;
pub mod replicates;
pub mod sample;
pub mod saturation;
pub mod search;
pub mod segments;
pub mod sequence;
pub mod sign_flip;
pub mod signed_rank;
pub mod slo;
pub mod slope;
pub mod steady;
pub mod stop;
pub mod summary;
pub mod sustained;
pub mod tokens;
pub mod trend;
pub mod truncation;
pub mod verdict;
pub mod warmup;
pub mod welch;
pub mod wilcoxon;

pub use estimate::{Estimate, Method};
pub use metric::{Better, METRICS, MOST_DECIBELS, Metric, Unit, metric};
pub use sample::{Admission, Energy, Observed, Resident, Sending, Timeline};
pub use warmup::WarmupEnd;

#[cfg(test)]
mod metamorphic;
