//! A declarative pipeline engine for ML inference optimization and honest benchmarking.
//!
//! A spec in YAML declares a model, data, variants and a benchmark matrix. One way leads through
//! this library: **text → [`spec::Spec`] → [`plan::Plan`] → artifacts and samples →
//! [`record::Record`] → [`report`] → bytes.** Nothing flows back. What measures never meets what
//! reports in memory: they meet in a record, a versioned file with the raw samples.
//!
//! Rooms by floor; a room uses only floors below its own (`tests/layers.rs` holds that):
//!
//! | floor | rooms |
//! |---|---|
//! | 0 | [`base`] problems with places, digests, units, the only code that writes files |
//! | 1 | [`spec`] the language · [`data`] texts · [`machine`] what it runs on · [`measure`] numbers with intervals · [`store`] content-addressed results |
//! | 2 | [`model`] files and families · [`record`] the seam between run and report |
//! | 3 | [`backend`] what opens an artifact and runs it |
//! | 4 | [`pass`] optimizations · [`task`] feeding and judging · [`scenario`] the order of requests · [`report`] from records to bytes |
//! | 5 | [`catalog`] all lists · [`stage`] the kinds of step · [`prove`] what the instrument can be trusted with |
//! | 6 | [`plan`] what a spec means as steps |
//! | 7 | [`run`] waves, quiet steps, one process per launch |
//! | 8 | [`cli`] commands, printing and exit codes |
//!
//! A program of one's own adds model families and passes and is the engine otherwise: its `main`
//! calls [`run_with`] with [`Extensions`] (`docs/EXTENDING.md`).

pub mod backend;
pub mod base;
pub mod catalog;
pub mod cli;
pub mod data;
pub mod machine;
pub mod measure;
pub mod model;
pub mod pass;
pub mod plan;
pub mod prove;
pub mod record;
pub mod report;
pub mod run;
pub mod scenario;
pub mod spec;
pub mod stage;
pub mod store;
pub mod task;

pub use catalog::Extensions;
pub use cli::run_with;
