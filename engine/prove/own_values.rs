//! How often the interval of a variant's own value covers the true one.

use super::coverage::{CORRELATIONS, RATIOS, known};
use super::machine::{Known, Machine, Workload as _};
use super::repeat::{Rate, mean, repeat};
use super::session::{patient, run};
use super::shape::SHAPES;
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::centre::centre;
use crate::measure::estimate::mean_t;
use crate::measure::quantile::median;
use crate::measure::summary::block_value;

pub const OWN_VALUES: Proof = Proof {
    id: "own_values",
    claim: "Of intervals of a variant's own value that are called 95 %, at least 94 % cover the true median of launches, on every kind of machine.",
    method: "The machines and sessions of `coverage` with equal variants, 2,000 sessions each; the true values are those of 200,000 \
        launches. The last columns show, for comparison, how often Student's t around the mean covers the true mean; launches differ by 0, 1 and 3 times \
        as much as single requests do.",
    run: own_values,
};

fn own_values(effort: Effort) -> Table {
    let (sessions, launches, every) = match effort {
        Effort::Quick => (60, 2_000, 5),
        Effort::Full => (2_000, 200_000, 1),
    };
    let mut table = Table {
        columns: vec![
            "requests",
            "correlated",
            "median, 0 ×",
            "1 ×",
            "3 ×",
            "mean, 0 ×",
            "1 ×",
            "3 ×",
        ],
        ..Table::default()
    };
    let kinds =
        SHAPES.into_iter().flat_map(|shape| CORRELATIONS.map(|correlation| (shape, correlation)));
    for (study, (shape, correlation)) in kinds.enumerate().step_by(every) {
        let found = RATIOS.map(|ratio| {
            let known = known(shape, correlation, ratio, 1.0);
            let truth = truth(&known, launches);
            cell(&known, truth, 8_000 + study as u64, sessions)
        });
        let verdict = Holds::of(found.iter().all(|(median, _)| median.reaches(0.94, effort)));
        let medians = found.iter().map(|(median, _)| median.text());
        let means = found.iter().map(|(_, mean)| mean.text());
        let cells =
            [shape.label(), correlation.to_string()].into_iter().chain(medians).chain(means);
        table.rows.push(Row { cells: cells.collect(), verdict });
    }
    table
}

/// Median and mean of what launches of this machine count with.
fn truth(known: &Known, launches: u64) -> (f64, f64) {
    let values = repeat(launches, |seed| {
        let (seen, _) = Machine::new(known.clone(), 8_500, seed).launch(0, 0);
        block_value(&seen, "latency").expect("a simulated launch answers a request")
    });
    (median(&values).expect("there are launches"), mean(values))
}

/// How often the median's interval covers the true median, and the mean's the true mean.
fn cell(known: &Known, truth: (f64, f64), study: u64, sessions: u64) -> (Rate, Rate) {
    let found = repeat(sessions, |seed| {
        let session = run(&patient(2), seed, &mut Machine::new(known.clone(), study, seed));
        let middle = centre(&session.values[1], 0.95).expect("there are blocks");
        let mean = mean_t(&session.values[1], 0.95).expect("there are blocks");
        (
            middle.low <= truth.0 && truth.0 <= middle.high,
            mean.low <= truth.1 && truth.1 <= mean.high,
        )
    });
    (Rate::of(found.iter().map(|found| found.0)), Rate::of(found.iter().map(|found| found.1)))
}
