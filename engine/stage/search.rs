//! `search`: the largest batch of every variant that keeps a bound on its latency.

use super::{Bench, Setting};
use crate::measure::search::Bound;

#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// What a probe launches; the batch of its setting and its number of requests are those of the
    /// probe.
    pub bench: Bench,
    pub bound: Bound,
    /// The largest batch that is tried.
    pub max: u32,
}

impl Search {
    pub fn id(&self) -> String {
        format!("search/{}", self.bench.setting.id_beside_batch())
    }

    pub fn label(&self) -> String {
        format!("largest batch, {}", self.bench.setting.beside_batch())
    }

    /// The setting of a probe.
    pub fn setting(&self, batch: u32) -> Setting {
        Setting { batch, ..self.bench.setting.clone() }
    }
}
