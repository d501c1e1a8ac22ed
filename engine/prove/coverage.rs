//! How often the interval of a speed-up covers the true one, over machines of many kinds.

use super::machine::{Disturbance, Known, Machine};
use super::repeat::{Rate, mean, percent, repeat};
use super::session::{Asked, covers, patient, run};
use super::shape::{SHAPES, Shape};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::stop::Reason;

pub const COVERAGE: Proof = Proof {
    id: "coverage",
    claim: "Of intervals that are called 95 %, at least 94 % cover the true speed-up in 95 % of all kinds of machine, and at least 92.5 % in each.",
    method: "Whole sessions of two variants that stop themselves, with the defaults of a spec (10 to 60 blocks, ±2 %). \
        A launch answers nine requests and counts with their median. Cells: six distributions of a request's time; \
        independent requests, or neighbours correlated by 0.3, 0.6 and 0.9; launches that differ by 0, 1 and 3 times as \
        much as single requests do; true speed-ups of 1, 1.05, 1.2 and 2. Each row sums up the twelve cells of its kind, \
        2,000 sessions each.",
    run: coverage,
};

pub(super) const CORRELATIONS: [f64; 4] = [0.0, 0.3, 0.6, 0.9];
pub(super) const RATIOS: [f64; 3] = [0.0, 1.0, 3.0];
const SPEEDUPS: [f64; 4] = [1.0, 1.05, 1.2, 2.0];

/// Where 2,000 sessions of a cell are taken, a cell keeps its bar with this share at least.
const EACH: f64 = 0.925;
const MOST: f64 = 0.94;

struct Cell {
    covered: Rate,
    blocks: f64,
    reached: f64,
}

fn coverage(effort: Effort) -> Table {
    let (sessions, every) = match effort {
        Effort::Quick => (60, 5),
        Effort::Full => (2000, 1),
    };
    let mut table = Table {
        columns: vec![
            "requests",
            "correlated",
            "cells",
            "covered",
            "worst cell",
            "blocks",
            "reached ±2 %",
        ],
        ..Table::default()
    };
    let mut all = Vec::new();
    for (kind, shape) in SHAPES.into_iter().enumerate() {
        for (step, correlation) in CORRELATIONS.into_iter().enumerate() {
            let mut cells = Vec::new();
            for (place, (ratio, speedup)) in pairs().enumerate() {
                let study = (kind * CORRELATIONS.len() + step) * 12 + place;
                if study.is_multiple_of(every) {
                    let known = known(shape, correlation, ratio, speedup);
                    cells.push(cell(&patient(2), &known, study as u64, sessions));
                }
            }
            table.rows.push(row(shape, correlation, &cells, effort));
            all.extend(cells);
        }
    }
    let good = Rate::of(all.iter().map(|cell| cell.covered.reaches(MOST, effort)));
    let verdict = Holds::of(good.share() >= 0.95);
    let blocks = format!("{:.1}", mean(all.iter().map(|cell| cell.blocks)));
    let cells = [
        "all".to_owned(),
        String::new(),
        format!("{} of {} at 94 % or more", good.hits, good.of),
        percent(mean(all.iter().map(|cell| cell.covered.share()))),
        percent(worst(&all)),
        blocks,
        percent(mean(all.iter().map(|cell| cell.reached))),
    ];
    table.rows.push(Row { cells: cells.into(), verdict });
    table.remarks.push(
        "Sessions that cannot reach ±2 % end at 60 blocks or earlier as out of reach; their intervals count too. \
         Both variants draw from the same kind of distribution, so that log ratios are symmetric; \
         what touches one variant alone is tried under `false_alarms`."
            .into(),
    );
    table
}

fn pairs() -> impl Iterator<Item = (f64, f64)> {
    RATIOS.into_iter().flat_map(|ratio| SPEEDUPS.into_iter().map(move |speedup| (ratio, speedup)))
}

/// A machine of the grid; the launch's own factor is log-normal.
pub(super) fn known(shape: Shape, correlation: f64, ratio: f64, speedup: f64) -> Known {
    let variation = ratio * shape.variation();
    Known {
        speedups: vec![1.0, speedup],
        shape,
        correlation,
        launches_differ: (variation * variation).ln_1p().sqrt(),
        iterations: 9,
        disturbance: Disturbance::None,
    }
}

fn cell(asked: &Asked, known: &Known, study: u64, sessions: u64) -> Cell {
    let truth = known.speedups[1];
    let found = repeat(sessions, |seed| {
        let session = run(asked, seed, &mut Machine::new(known.clone(), study, seed));
        let covered = covers(&session.pair(asked.confidence), truth);
        (covered, session.blocks(), session.reason == Reason::Target)
    });
    Cell {
        covered: Rate::of(found.iter().map(|found| found.0)),
        blocks: mean(found.iter().map(|found| f64::from(found.1))),
        reached: Rate::of(found.iter().map(|found| found.2)).share(),
    }
}

fn worst(cells: &[Cell]) -> f64 {
    cells.iter().map(|cell| cell.covered.share()).fold(1.0, f64::min)
}

fn row(shape: Shape, correlation: f64, cells: &[Cell], effort: Effort) -> Row {
    let text = [
        shape.label(),
        format!("{correlation}"),
        cells.len().to_string(),
        percent(mean(cells.iter().map(|cell| cell.covered.share()))),
        percent(worst(cells)),
        format!("{:.1}", mean(cells.iter().map(|cell| cell.blocks))),
        percent(mean(cells.iter().map(|cell| cell.reached))),
    ];
    Row {
        cells: text.into(),
        verdict: Holds::of(cells.iter().all(|cell| cell.covered.reaches(EACH, effort))),
    }
}
