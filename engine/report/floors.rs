//! The noise floor of a run: the baseline against itself, and what it hides.

use std::collections::HashMap;

use serde_json::Value;

use super::evidence::Evidence;
use super::parallel::each;
use super::view::{Finding, FloorRow, Reading, Terms};
use crate::measure::compare::{self, Comparison};
use crate::measure::metric::Source;
use crate::measure::replicates::pairs;
use crate::measure::stop::working_level;
use crate::measure::{Observed, metric, noise_floor, summary};
use crate::record::{Cell, Launch, Outcome, values_by};

/// The floor of every setting.
pub struct Floors {
    seen: Vec<Reading<Comparison>>,
    /// The factor of every setting; see [`Floors::at`].
    at: Vec<Option<f64>>,
}

/// Fewer blocks with both arms say too little about noise.
const FEWEST_PAIRS: usize = 6;

impl Floors {
    pub fn of(evidence: &Evidence<'_>, terms: &Terms) -> Self {
        let settings = &evidence.settings;
        let seen = each(settings.len(), |setting| seen(evidence, terms, setting));
        let floor = |reading: &Reading<Comparison>| {
            reading.known().map(|found| noise_floor::floor(&found.estimate))
        };
        let like =
            |cell: &Cell| (cell.scenario.clone(), cell.axes.get("part").map(Value::to_string));
        let mut largest: HashMap<(String, Option<String>), f64> = HashMap::new();
        for (cell, reading) in settings.iter().zip(&seen) {
            if let Some(own) = floor(reading) {
                let largest = largest.entry(like(cell)).or_insert(own);
                *largest = largest.max(own);
            }
        }
        let own = settings.iter().zip(&seen);
        let at =
            own.map(|(cell, reading)| floor(reading).or_else(|| largest.get(&like(cell)).copied()));
        let at = at.collect();
        Self { seen, at }
    }

    /// The factor within which effects under `setting` show nothing: its own floor, else the
    /// largest of those that were seen in the same scenario for the same part of the model. `None`
    /// where none was.
    pub fn at(&self, setting: usize) -> Option<f64> {
        self.at.get(setting).copied().flatten()
    }

    /// A finding that claims a difference needs an effect beyond the floor.
    pub fn capped(&self, finding: Finding, setting: usize, speedup: f64) -> Finding {
        match (finding, self.at(setting)) {
            (Finding::Judged(verdict), Some(floor)) => {
                Finding::Judged(noise_floor::capped(verdict, floor, speedup))
            }
            _ => finding,
        }
    }

    /// Whether an effect, as a ratio either way round, lies within the floor.
    pub fn hides(&self, setting: usize, ratio: f64) -> bool {
        self.at(setting).is_some_and(|floor| noise_floor::hides(floor, ratio))
    }

    pub fn rows(&self, evidence: &Evidence<'_>) -> Vec<FloorRow> {
        let row = |(setting, found): (usize, &Reading<Comparison>)| {
            let cell = evidence.settings[setting];
            let all = evidence.conduct[setting].map_or(&[][..], |conduct| &conduct.again[..]);
            let again: Vec<&Launch> =
                all.iter().filter(|launch| !cell.leaves_out(launch.block)).collect();
            let failures = again.iter().filter_map(|launch| match &launch.outcome {
                Outcome::Failed(failure) => Some(failure),
                Outcome::Measured(_) | Outcome::Skipped { .. } => None,
            });
            FloorRow {
                setting,
                found: found.clone(),
                launches: again.len(),
                failed: failures.clone().count(),
                failure: failures.clone().next().map(|failure| failure.detail.clone()),
            }
        };
        self.seen.iter().enumerate().map(row).collect()
    }
}

/// The comparison of the baseline's two arms under one setting.
fn seen(evidence: &Evidence<'_>, terms: &Terms, setting: usize) -> Reading<Comparison> {
    let gap = |why: &str| Reading::Unmeasured(why.to_owned());
    let primary = metric(terms.primary).expect("terms name a known metric");
    if primary.source == Source::Artifact {
        return gap("the metric that decides has no noise");
    }
    let Some(conduct) = evidence.conduct[setting] else {
        return gap("the engine that made this record launched the baseline once");
    };
    if conduct.baseline != terms.baseline {
        return gap("another variant was the baseline when this was measured");
    }
    if let Some(why) = &conduct.not_again {
        return gap(why);
    }
    let Some(cell) = evidence.cell(&terms.baseline, setting) else {
        return gap("the baseline has no numbers");
    };
    let value = |seen: &Observed| summary::block_value(seen, primary.id);
    let again = conduct.again.iter().filter_map(|launch| Some((launch, launch.seen()?)));
    let pairs = pairs(&cell.values_by(&value), &values_by(again, &value));
    compare::speedup(&pairs, primary.better, working_level(terms.confidence))
        .filter(|_| pairs.len() >= FEWEST_PAIRS)
        .map_or_else(
            || Reading::Unmeasured(format!("only {} blocks with both arms", pairs.len())),
            Reading::Known,
        )
}
