//! Numbers of another run that gates of this one are held to.
//!
//! Kept within the record, so that its report stays the same when the other run is gone. Samples
//! stay where they are: of each cell there is what a launch contributes to its block.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Cell, Outcome, Quality, Record};
use crate::base::Digest;
use crate::measure::metric;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// As gates of the spec write it.
    pub source: String,
    /// Id of the other run.
    pub run: String,
    /// RFC 3339, UTC.
    pub started: String,
    pub engine: String,
    /// Of its `record.json`.
    pub digest: Digest,
    /// Its fingerprint.
    pub machine: Value,
    /// The variant that its speed-ups are over.
    pub baseline: String,
    /// Bytes of the artifacts of the variants that gates look at.
    pub bytes: IndexMap<String, u64>,
    pub cells: Vec<ReferenceCell>,
    pub quality: Vec<Quality>,
}

/// One metric of one cell of the other run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceCell {
    pub variant: String,
    pub scenario: String,
    pub axes: IndexMap<String, Value>,
    pub metric: String,
    /// The value of each block that was measured; blocks of one process are one.
    pub blocks: BTreeMap<u32, f64>,
    /// Launches that failed.
    pub failed: u32,
}

impl Reference {
    /// What `record` has on each variant and metric of `wanted`, and on its baseline under those
    /// metrics.
    pub fn of(record: &Record, source: &str, digest: Digest, wanted: &[(&str, &str)]) -> Self {
        let baseline = record.baseline();
        let asked = |variant: &str, metric: &str| {
            wanted.iter().any(|(v, m)| *m == metric && (*v == variant || baseline == variant))
        };
        let mut metrics: Vec<&str> = wanted.iter().map(|(_, metric)| *metric).collect();
        metrics.sort_unstable();
        metrics.dedup();
        let of_cell = |cell: &Cell| {
            let asked = metrics.iter().filter(|metric| asked(&cell.variant, metric));
            asked.map(|metric| ReferenceCell::of(cell, metric)).collect::<Vec<_>>()
        };
        let cells = record.cells.iter().flat_map(of_cell).filter(|cell| !cell.blocks.is_empty());
        let bytes = record.variants.iter().filter_map(|(name, variant)| {
            let known = wanted.iter().any(|(v, _)| v == name);
            Some((name.clone(), variant.artifact.as_ref().filter(|_| known)?.bytes))
        });
        let quality = record.quality.iter().filter(|q| {
            wanted.iter().any(|(variant, id)| {
                let scores = metric(id).map_or(*id, |known| known.scores());
                *variant == q.variant && scores == q.metric
            })
        });
        Self {
            source: source.to_owned(),
            run: record.run.id.clone(),
            started: record.run.started.clone(),
            engine: record.run.engine.clone(),
            digest,
            machine: record.machine.clone(),
            bytes: bytes.collect(),
            cells: cells.collect(),
            quality: quality.cloned().collect(),
            baseline,
        }
    }

    /// One metric of the cell of `variant` under the setting that `like` has.
    pub fn cell(&self, variant: &str, like: &Cell, metric: &str) -> Option<&ReferenceCell> {
        self.cells.iter().find(|cell| {
            cell.variant == variant
                && cell.metric == metric
                && cell.scenario == like.scenario
                && cell.axes.len() == like.axes.len()
                && cell.axes.iter().all(|(axis, value)| like.axes.get(axis) == Some(value))
        })
    }
}

impl ReferenceCell {
    fn of(cell: &Cell, metric: &str) -> Self {
        let failed = |launch: &&super::Launch| matches!(launch.outcome, Outcome::Failed(_));
        Self {
            variant: cell.variant.clone(),
            scenario: cell.scenario.clone(),
            axes: cell.axes.clone(),
            metric: metric.to_owned(),
            blocks: cell.block_values(metric),
            failed: u32::try_from(cell.counted().filter(failed).count()).unwrap_or(u32::MAX),
        }
    }
}
