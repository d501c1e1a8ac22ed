//! Block values and pairs: what the estimators are fed from the cells of a record.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;
use serde_json::Value;

use crate::base::digest::canonical;
use crate::measure::replicates::pairs;
use crate::measure::{Observed, summary};
use crate::record::{Cell, Conduct, Launch, Record};

/// The cells of a record, found by variant and setting.
pub struct Evidence<'a> {
    /// One entry per setting, in the order of the record: the first cell that has it.
    pub settings: Vec<&'a Cell>,
    /// What is recorded about the conduct of each setting.
    pub conduct: Vec<Option<&'a Conduct>>,
    variants: Vec<&'a str>,
    index: HashMap<String, usize>,
    cells: HashMap<(&'a str, usize), &'a Cell>,
}

impl<'a> Evidence<'a> {
    pub fn of(record: &'a Record) -> Self {
        let mut index: HashMap<String, usize> = HashMap::new();
        let mut settings = Vec::new();
        let mut cells = HashMap::new();
        for cell in &record.cells {
            let setting = *index.entry(key(&cell.scenario, &cell.axes)).or_insert_with(|| {
                settings.push(cell);
                settings.len() - 1
            });
            cells.entry((cell.variant.as_str(), setting)).or_insert(cell);
        }
        let mut conduct = vec![None; settings.len()];
        for known in &record.conduct {
            if let Some(setting) = index.get(&key(&known.scenario, &known.axes)) {
                conduct[*setting].get_or_insert(known);
            }
        }
        let variants = record.variants.keys().map(String::as_str).collect();
        Self { settings, conduct, variants, index, cells }
    }

    /// The setting that `cell` of whichever record was measured under.
    pub fn setting_of(&self, cell: &Cell) -> Option<usize> {
        self.index.get(&key(&cell.scenario, &cell.axes)).copied()
    }

    pub fn cell(&self, variant: &str, setting: usize) -> Option<&'a Cell> {
        self.cells.get(&(variant, setting)).copied()
    }

    /// The cells of a setting, in the order of variants.
    pub fn cells_of(&self, setting: usize) -> impl Iterator<Item = &'a Cell> + '_ {
        self.variants.iter().filter_map(move |variant| self.cell(variant, setting))
    }

    /// All cells with their settings: setting by setting, in the order of variants.
    pub fn by_setting(&self) -> impl Iterator<Item = (usize, &'a Cell)> + '_ {
        let settings = 0..self.settings.len();
        settings.flat_map(move |at| self.cells_of(at).map(move |cell| (at, cell)))
    }

    /// Values of `metric` of variant and baseline from the blocks in which both were measured,
    /// as (baseline, variant); blocks of one process are one pair.
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
        pairs(&baseline.values_by(of), &variant.values_by(of))
    }
}

/// What tells settings apart, of whichever record.
pub fn key(scenario: &str, axes: &IndexMap<String, Value>) -> String {
    let axes = axes.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    format!("{scenario}\u{0}{}", canonical(&Value::Object(axes)))
}

/// One value per block, of the last launch of that block that was measured; blocks of one process
/// are one.
pub fn block_values(cell: &Cell, metric: &str) -> BTreeMap<u32, f64> {
    cell.block_values(metric)
}

/// The samples of each process, in the order in which they came.
pub fn samples(cell: &Cell, metric: &str) -> Vec<Vec<f64>> {
    let mut out: Vec<(u32, Vec<f64>)> = Vec::new();
    for (launch, seen) in observed(cell) {
        let replicate = launch.place().replicate;
        let own = summary::values(seen, metric).into_iter().filter(|v| v.is_finite());
        match out.last_mut() {
            Some((known, samples)) if *known == replicate => samples.extend(own),
            _ => out.push((replicate, own.collect())),
        }
    }
    out.into_iter().map(|(_, samples)| samples).collect()
}

/// The launches that were measured in blocks that count, with what they saw.
pub fn observed(cell: &Cell) -> impl Iterator<Item = (&Launch, &Observed)> {
    cell.measured()
}
