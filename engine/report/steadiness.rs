//! Steady states of the launches of a cell: what is said about them, and what they do to verdicts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::evidence::observed;
use super::format;
use crate::measure::quantile::median;
use crate::measure::steady::{self, Class, Course};
use crate::measure::{Estimate, Observed, Unit, summary};
use crate::record::Cell;

/// Launches of a cell by how their times went; those of one process that stayed are one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Steadiness {
    pub flat: usize,
    pub warm_up: usize,
    /// Of `warm_up`: those whose warm-up was longer than was noticed while measuring.
    pub cut_later: usize,
    pub slow_down: usize,
    pub no_steady_state: usize,
    /// With too few requests to tell.
    pub unverified: usize,
    /// Median over the launches without a steady state of their highest level ÷ their lowest.
    pub movement: Option<f64>,
    /// Median over the launches that slow down of the same.
    pub slowing: Option<f64>,
    /// Mean seconds of all requests of all launches, whatever their state.
    pub whole_mean: Option<f64>,
    /// Some are processes that stayed, each looked at over all of its bursts.
    #[serde(skip)]
    stays: bool,
}

/// Share of launches without a steady state from which on a verdict must not depend on it.
const MANY: f64 = 0.2;

/// Launches that must agree before a verdict mentions them.
const LEAST: usize = 3;

pub fn of(cell: &Cell) -> Steadiness {
    let mut out = Steadiness::default();
    let (mut moving, mut slowing, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for bursts in processes(cell) {
        let Course { class, start, movement } = steady::course_of(&bursts);
        let first = bursts[0];
        let noticed = first.requests.iter().take_while(|request| request.warmup).count();
        let cut = noticed.max(steady::counted_from(first));
        out.stays |= bursts.len() > 1;
        match class {
            Class::Flat => out.flat += 1,
            // Bursts are cut by themselves, so that warm-up beyond that is among their values.
            Class::WarmUp if bursts.len() > 1 && start > cut => {
                out.no_steady_state += 1;
                moving.push(movement);
            }
            Class::WarmUp => {
                out.warm_up += 1;
                out.cut_later += usize::from(start > noticed);
            }
            Class::SlowDown => {
                out.slow_down += 1;
                slowing.push(movement);
            }
            Class::NoSteadyState => {
                out.no_steady_state += 1;
                moving.push(movement);
            }
            Class::Unverified => out.unverified += 1,
        }
        let requests = bursts.iter().flat_map(|seen| &seen.requests);
        times.extend(requests.filter_map(summary::whole_time));
    }
    out.movement = median(&moving);
    out.slowing = median(&slowing);
    let sum: f64 = times.iter().sum();
    out.whole_mean = (!times.is_empty()).then(|| sum / times.len() as f64);
    out
}

/// What the processes of a cell saw: each launch by itself, the bursts of one that stayed together.
pub fn processes(cell: &Cell) -> Vec<Vec<&Observed>> {
    let mut out: BTreeMap<u32, Vec<&Observed>> = BTreeMap::new();
    for (launch, seen) in observed(cell) {
        out.entry(launch.place().replicate).or_default().push(seen);
    }
    out.into_values().collect()
}

impl Steadiness {
    /// Launches whose value depends on when it is taken.
    pub fn moving(&self) -> usize {
        self.no_steady_state + self.slow_down
    }

    /// Processes that were looked at.
    pub fn launches(&self) -> usize {
        self.flat + self.warm_up + self.slow_down + self.no_steady_state + self.unverified
    }

    /// Whether so many launches have no steady state that their value depends on when it is taken.
    fn is_unsteady(&self) -> bool {
        self.no_steady_state as f64 > MANY * self.launches() as f64
    }

    /// What a reader of the verdict must know.
    pub fn remark(&self) -> Option<String> {
        let launches = self.launches();
        let what = if self.stays { "processes" } else { "launches" };
        if let (true, Some(movement)) = (self.is_unsteady(), self.movement) {
            let mean = self.whole_mean.map_or_else(String::new, |seconds| {
                format!("; {} a request over everything", format::exact(seconds, Unit::Seconds))
            });
            return Some(format!(
                "no steady state in {} of {launches} {what}, which move by {}{mean}",
                self.no_steady_state,
                format::percent_rough(movement - 1.0)
            ));
        }
        if let Some(slowing) = self.slowing
            && self.slow_down >= LEAST
            && self.slow_down * 2 > launches
        {
            return Some(format!(
                "slows down by {} within {} of {launches} {what}",
                format::percent_rough(slowing - 1.0),
                self.slow_down
            ));
        }
        None
    }

    /// What the details of a cell tell.
    pub fn detail(&self) -> String {
        if self.unverified > 0 && self.unverified == self.launches() {
            return "steady state not verified".to_owned();
        }
        let told = [
            (self.cut_later, "longer warm-up cut later"),
            (self.slow_down, "slowing down"),
            (self.no_steady_state, "without a steady state"),
            (self.unverified, "too short to tell"),
        ];
        let told = told.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// The interval of a speed-up widened on either side by what the times of unsteady launches move
/// by; `None` where both cells are steady enough. A verdict that does not hold on it depends on the
/// moment at which the launches were looked at.
pub fn widened(estimate: &Estimate, cells: &[Option<&Cell>]) -> Option<Estimate> {
    let factors = cells.iter().flatten().filter_map(|cell| {
        let found = of(cell);
        found.movement.filter(|_| found.is_unsteady())
    });
    let factor = factors.fold(1.0, f64::max);
    let (low, high) = (estimate.low / factor, estimate.high * factor);
    (factor > 1.0).then_some(Estimate { low, high, ..*estimate })
}
