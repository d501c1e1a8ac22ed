//! Where memory goes: of which kind it is, and what a token of context adds.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value;

use super::evidence::{Evidence, block_values, observed};
use super::judged::middle;
use super::settings;
use super::view::{CacheRow, MemoryRow, Reading};
use crate::measure::slope::least_squares;
use crate::measure::{Observed, Resident, summary};
use crate::record::{Cell, Record};

/// Context lengths from which a slope is told.
const LEAST_LENGTHS: usize = 3;

/// Bytes of one number in a cache of keys and values in single precision.
const NUMBER: u64 = 4;

/// One row per cell whose launches told of which kind their memory is; none in records of earlier
/// engines.
pub fn rows(record: &Record, evidence: &Evidence<'_>, level: f64) -> Vec<MemoryRow> {
    let row = |(setting, cell): (usize, &Cell)| {
        observed(cell).find(|(_, seen)| seen.resident.is_some())?;
        let of = |value: &dyn Fn(&Observed) -> Option<f64>| {
            middle(cell.replicates(value).into_values(), level, |count| match count {
                0 => "the kernel does not tell".into(),
                n => format!("only {n} block: no interval"),
            })
        };
        let part = |part: fn(&Resident) -> Option<u64>| {
            of(&|seen| Some(part(seen.resident.as_ref()?)? as f64))
        };
        let artifact = record.variants.get(&cell.variant).and_then(|v| v.artifact.as_ref());
        Some(MemoryRow {
            variant: cell.variant.clone(),
            setting,
            peak: of(&|seen| summary::block_value(seen, "peak_memory")),
            steady: of(&|seen| summary::block_value(seen, "steady_memory")),
            anonymous: part(|resident| Some(resident.anonymous)),
            mapped: part(|resident| Some(resident.mapped)),
            proportional: part(|resident| resident.proportional),
            weights: artifact.map(|artifact| artifact.weight_bytes.values().sum()),
            disk: artifact.map(|artifact| artifact.bytes),
        })
    };
    evidence.by_setting().filter_map(row).collect()
}

/// What a token of context adds to the steady peak, against the size of its keys and values, for
/// every variant that was measured under at least three lengths with all else equal.
pub fn caches(record: &Record, evidence: &Evidence<'_>, level: f64) -> Vec<CacheRow> {
    let Some(numbers) = record.model.cache_per_token else { return Vec::new() };
    let mut out = Vec::new();
    for variant in record.variants.keys() {
        let mut groups: IndexMap<String, Vec<&Cell>> = IndexMap::new();
        for setting in 0..evidence.settings.len() {
            let Some(cell) = evidence.cell(variant, setting) else { continue };
            groups.entry(beside_lengths(cell)).or_default().push(cell);
        }
        for (place, cells) in groups {
            let mut points = Vec::new();
            let mut lengths = BTreeMap::new();
            for cell in &cells {
                let Some(context) = context(cell) else { continue };
                let values = block_values(cell, "steady_memory");
                *lengths.entry(context).or_insert(0_usize) += values.len();
                points.extend(values.into_values().map(|bytes| (context as f64, bytes)));
            }
            if lengths.len() < LEAST_LENGTHS {
                continue;
            }
            let batch = cells[0].axes.get("batch").and_then(Value::as_u64).unwrap_or(1);
            let slope = least_squares(&points, level);
            out.push(CacheRow {
                variant: variant.clone(),
                place,
                theory: numbers * NUMBER * batch,
                measured: slope.map_or_else(
                    || Reading::Unmeasured("too few readings of the steady peak".into()),
                    Reading::Known,
                ),
                lengths: lengths.len(),
            });
        }
    }
    out
}

/// Positions for which the cache has room.
fn context(cell: &Cell) -> Option<u64> {
    let axis = |name: &str| cell.axes.get(name).and_then(Value::as_u64);
    Some(axis("prompt_tokens")? + axis("new_tokens")?)
}

/// The axes besides the lengths, in words.
fn beside_lengths(cell: &Cell) -> String {
    let mut axes = cell.axes.clone();
    axes.shift_remove("prompt_tokens");
    axes.shift_remove("new_tokens");
    settings::place(cell, &axes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;
    use crate::report::fixture::{axes, record};
    use crate::report::{Options, build, export};

    /// The fixture with three lengths, and `per_token` bytes for each token of context.
    fn told(per_token: u64) -> Record {
        let mut record = record();
        record.model.cache_per_token = Some(1000);
        let third: Vec<Cell> = record.cells[..3].to_vec();
        record.cells.extend(third);
        for (cell, prompt) in record.cells.iter_mut().zip([32, 32, 32, 128, 128, 128, 64, 64, 64]) {
            cell.axes = axes(prompt);
            for (i, launch) in cell.launches.iter_mut().enumerate() {
                let Outcome::Measured(seen) = &mut launch.outcome else { continue };
                let noise = (i as u64 % 5) * 100;
                let bytes = 30_000_000 + noise + per_token * (u64::from(prompt) + 32);
                seen.steady_memory = Some(bytes);
                let (anonymous, mapped) = (bytes - 5_000_000, 5_000_000);
                seen.resident = Some(Resident { anonymous, mapped, proportional: Some(bytes) });
            }
        }
        record
    }

    #[test]
    fn a_slope_over_three_lengths_is_held_against_the_shape_of_the_model() {
        let record = told(4000);
        let rows = caches(&record, &Evidence::of(&record), 0.95);
        assert_eq!(rows.len(), 3, "one per variant");
        let slope = rows[0].measured.known().unwrap();
        assert!(slope.low < 4000.0 && 4000.0 < slope.high && slope.high < 4010.0, "{slope:?}");
        assert_eq!((rows[0].theory, rows[0].lengths), (4000, 3));
        assert_eq!(rows[0].place, "batch 1, threads 2");
        let mut two = record.clone();
        two.cells.truncate(6);
        assert!(caches(&two, &Evidence::of(&two), 0.95).is_empty(), "two lengths tell nothing");
    }

    #[test]
    fn kinds_of_memory_are_told_where_a_launch_knew_them_and_nowhere_else() {
        let plain = record();
        assert!(rows(&plain, &Evidence::of(&plain), 0.95).is_empty());
        let record = told(0);
        let evidence = Evidence::of(&record);
        let found = rows(&record, &evidence, 0.95);
        assert_eq!(found.len(), 9);
        let mapped = found[0].mapped.known().unwrap();
        assert_eq!((mapped.point, mapped.low), (5_000_000.0, 5_000_000.0));
        assert_eq!(found[1].disk, Some(4_689_920));
        let records = [record];
        let report = build(&records);
        for id in ["markdown", "html"] {
            let text = export(&report, id, &Options::default()).unwrap();
            assert!(text.contains("Where the memory is"), "{id}");
            assert!(text.contains("A token of context"), "{id}");
        }
    }
}
