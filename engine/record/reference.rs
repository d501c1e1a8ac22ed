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
use crate::measure::replicates::Place;

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
    /// The value of each block that was measured.
    pub blocks: BTreeMap<u32, f64>,
    /// The replicate of each block that is a burst of a process that stays; the others are their
    /// own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replicates: BTreeMap<u32, u32>,
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
    /// Its values by where they stand.
    pub fn values(&self) -> BTreeMap<Place, f64> {
        let place = |block| Place {
            replicate: self.replicates.get(&block).copied().unwrap_or(block),
            block,
        };
        self.blocks.iter().map(|(block, value)| (place(*block), *value)).collect()
    }

    fn of(cell: &Cell, metric: &str) -> Self {
        let values = cell.values(metric);
        let stays = |(block, _): &(u32, u32)| {
            cell.launches.iter().any(|l| l.block == *block && l.residence.is_some())
        };
        let replicates = values.keys().map(|place| (place.block, place.replicate));
        let failed = |launch: &&super::Launch| matches!(launch.outcome, Outcome::Failed(_));
        Self {
            variant: cell.variant.clone(),
            scenario: cell.scenario.clone(),
            axes: cell.axes.clone(),
            metric: metric.to_owned(),
            replicates: replicates.filter(stays).collect(),
            blocks: values.into_iter().map(|(place, value)| (place.block, value)).collect(),
            failed: u32::try_from(cell.counted().filter(failed).count()).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn blocks_of_references_without_replicates_are_their_own() {
        let old = json!({"variant": "q8", "scenario": "single_stream", "axes": {},
            "metric": "ttft", "blocks": {"0": 2.0, "6": 3.0}, "failed": 0});
        let mut cell: ReferenceCell = from_value(old.clone()).unwrap();
        let place = |replicate, block| Place { replicate, block };
        assert_eq!(cell.values(), [(place(0, 0), 2.0), (place(6, 6), 3.0)].into());
        assert_eq!(to_value(&cell).unwrap(), old);
        cell.replicates = [(6, 5)].into();
        assert_eq!(cell.values(), [(place(0, 0), 2.0), (place(5, 6), 3.0)].into());
        assert_eq!(from_value::<ReferenceCell>(to_value(&cell).unwrap()).unwrap(), cell);
    }
}
