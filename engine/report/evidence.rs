//! Block values and pairs: what the estimators are fed from the cells of a record.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::base::digest::canonical;
use crate::measure::{Observed, summary};
use crate::record::{Cell, Launch, Record};

/// The cells of a record, found by variant and setting.
pub struct Evidence<'a> {
    /// One entry per setting, in the order of the record: the first cell that has it.
    pub settings: Vec<&'a Cell>,
    cells: HashMap<(&'a str, usize), &'a Cell>,
}

impl<'a> Evidence<'a> {
    pub fn of(record: &'a Record) -> Self {
        let mut index: HashMap<String, usize> = HashMap::new();
        let mut settings = Vec::new();
        let mut cells = HashMap::new();
        for cell in &record.cells {
            let setting = *index.entry(key(cell)).or_insert_with(|| {
                settings.push(cell);
                settings.len() - 1
            });
            cells.entry((cell.variant.as_str(), setting)).or_insert(cell);
        }
        Self { settings, cells }
    }

    pub fn cell(&self, variant: &str, setting: usize) -> Option<&'a Cell> {
        self.cells.get(&(variant, setting)).copied()
    }

    /// Values of `metric` of variant and baseline from the blocks in which both were measured,
    /// as (baseline, variant).
    pub fn pairs(
        &self,
        variant: &str,
        baseline: &str,
        setting: usize,
        metric: &str,
    ) -> Vec<(f64, f64)> {
        self.pairs_by(variant, baseline, setting, &|seen| summary::block_value(seen, metric))
    }

    /// As [`Self::pairs`], with whatever value `of` makes of a launch.
    pub fn pairs_by(
        &self,
        variant: &str,
        baseline: &str,
        setting: usize,
        of: &dyn Fn(&Observed) -> Option<f64>,
    ) -> Vec<(f64, f64)> {
        let (Some(variant), Some(baseline)) =
            (self.cell(variant, setting), self.cell(baseline, setting))
        else {
            return Vec::new();
        };
        let (base, own) = (by_block(baseline, of), by_block(variant, of));
        own.iter().filter_map(|(block, own)| Some((*base.get(block)?, *own))).collect()
    }
}

/// What tells settings apart, of whichever record.
pub fn key(cell: &Cell) -> String {
    let axes = cell.axes.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    format!("{}\u{0}{}", cell.scenario, canonical(&Value::Object(axes)))
}

/// One value per block, of the last launch of that block that was measured.
pub fn block_values(cell: &Cell, metric: &str) -> BTreeMap<u32, f64> {
    cell.block_values(metric)
}

fn by_block(cell: &Cell, of: &dyn Fn(&Observed) -> Option<f64>) -> BTreeMap<u32, f64> {
    let values = observed(cell).filter_map(|(launch, seen)| {
        let value = of(seen)?;
        value.is_finite().then_some((launch.block, value))
    });
    values.collect()
}

/// The samples of each launch, in the order in which they came.
pub fn samples(cell: &Cell, metric: &str) -> Vec<Vec<f64>> {
    let finite = |seen| summary::values(seen, metric).into_iter().filter(|v| v.is_finite());
    observed(cell).map(|(_, seen)| finite(seen).collect()).collect()
}

/// The launches that were measured in blocks that count, with what they saw.
pub fn observed(cell: &Cell) -> impl Iterator<Item = (&Launch, &Observed)> {
    cell.measured()
}
