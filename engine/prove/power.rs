//! What a run can detect, and what it costs to see as sharply as asked.

use super::draws::Draws;
use super::machine::{Known, Machine, Workload, observed};
use super::repeat::{Rate, mean, percent, repeat};
use super::session::{Asked, Session, covers, patient, run, usual};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::Better;
use crate::measure::Observed;
use crate::measure::compare::{Comparison, speedup};
use crate::measure::stop::{Reason, working_level};

pub const POWER: Proof = Proof {
    id: "power",
    claim: "A difference as large as the printed detectable one is found in 80 ± 4 % of runs.",
    method: "Runs of 10, 15, 20 and 40 blocks with normal log ratios, 4,000 each. A run prints what it could detect; a second run meets exactly \
        that as its truth, or the value that follows from the true noise, and finds it when its interval excludes 1.",
    run: power,
};

pub const ECONOMY: Proof = Proof {
    id: "economy",
    claim: "A run takes at most one and a half times the blocks that it would need if it knew the noise, and never outstays its limits by more than a block.",
    method: "Whole sessions that stop at ±2 %, 2,000 each, paired ratios differing by 1, 3 and 5 %: mean blocks against 10, 13 and 31. Then sessions on a \
        virtual clock under limits of time, and launches whose times have no variance to estimate: Pareto with exponent 1.5, and the exponential of a Cauchy number.",
    run: economy,
};

fn power(effort: Effort) -> Table {
    let runs = if effort == Effort::Quick { 300 } else { 4000 };
    let mut table = Table {
        columns: vec!["blocks", "true difference", "effect", "found", "bar"],
        ..Table::default()
    };
    for blocks in [10, 15, 20, 40] {
        for printed in [false, true] {
            let found = repeat(runs, |seed| {
                let mut draws = Draws::new(4_000 + u64::from(blocks), seed);
                let effect =
                    if printed { compare(blocks, 1.0, &mut draws).mde } else { detectable(blocks) };
                (!covers(&compare(blocks, effect, &mut draws), 1.0), effect)
            });
            let rate = Rate::of(found.iter().map(|found| found.0));
            let effect = mean(found.iter().map(|found| found.1)) - 1.0;
            let slack = if effort == Effort::Quick { 0.04 + rate.two_errors(0.8) } else { 0.04 };
            let kind = if printed { "as an earlier run printed it" } else { "from the true noise" };
            let cells = [
                blocks.to_string(),
                kind.to_owned(),
                percent(effect),
                rate.text(),
                "80 ± 4 %".to_owned(),
            ];
            let verdict = Holds::of((rate.share() - 0.8).abs() <= slack);
            table.rows.push(Row { cells: cells.into(), verdict });
        }
    }
    table
}

const NOISE: f64 = 0.04;

fn compare(blocks: u32, truth: f64, draws: &mut Draws) -> Comparison {
    let pairs: Vec<(f64, f64)> =
        (0..blocks).map(|_| (truth * (NOISE * draws.normal()).exp(), 1.0)).collect();
    speedup(&pairs, Better::Lower, working_level(0.95)).expect("times are positive")
}

/// The printed value of a run whose deviation is the true one.
fn detectable(blocks: u32) -> f64 {
    let n = f64::from(blocks);
    // Alternating values with this distance have exactly the deviation asked for.
    let half = NOISE * ((n - 1.0) / n).sqrt();
    let pairs: Vec<(f64, f64)> = (0..blocks / 2 * 2)
        .map(|i| (if i % 2 == 0 { half.exp() } else { (-half).exp() }, 1.0))
        .collect();
    let even = speedup(&pairs, Better::Lower, working_level(0.95)).expect("times are positive");
    even.mde
}

fn economy(effort: Effort) -> Table {
    let sessions = if effort == Effort::Quick { 60 } else { 2000 };
    let mut table = Table { columns: vec!["session", "found", "bar"], ..Table::default() };
    let mut row = |what: String, found: String, bar: String, kept: bool| {
        table.rows.push(Row { cells: vec![what, found, bar], verdict: Holds::of(kept) });
    };
    for (paired, known) in [(0.01, 10.0), (0.03, 13.0), (0.05, 31.0)] {
        let noise = paired / 2.0_f64.sqrt();
        let blocks = mean(repeat(sessions, |seed| {
            let mut machine = Machine::new(Known::plain(&[1.0, 1.2], noise), 5_000, seed);
            f64::from(run(&patient(2), seed, &mut machine).blocks())
        }));
        let what = format!("ratios differ by {:.0} %", paired * 100.0);
        let found = format!("{blocks:.1} blocks");
        row(what, found, format!("≤ 1.5 × {known}"), blocks <= 1.5 * known);
    }
    for seconds in [3, 30, 300] {
        let limit = seconds * 1_000_000_000;
        let asked = Asked {
            rule: crate::measure::stop::Rule { max_time_ns: limit, ..usual(2).rule },
            ..usual(2)
        };
        let late = repeat(sessions, |seed| {
            let mut machine = Machine::new(Known::plain(&[1.0, 1.0], 0.5), 5_001, seed);
            let session = run(&asked, seed, &mut machine);
            // The last block began in time, whatever it then took.
            session.last_began >= limit
        });
        let late = Rate::of(late);
        let what = format!("{seconds} s allowed");
        row(
            what,
            format!("{} of {} began a block too late", late.hits, late.of),
            "0".into(),
            late.hits == 0,
        );
    }
    for (name, tails) in [("Pareto 1.5", Tails::Pareto), ("exp(Cauchy)", Tails::Cauchy)] {
        let ended: Vec<Session> = repeat(sessions, |seed| {
            run(&patient(2), seed, &mut Wild { draws: Draws::new(5_002, seed), tails })
        });
        let most = ended.iter().map(Session::blocks).max().unwrap_or(0);
        let false_targets = ended.iter().filter(|session| session.reason == Reason::Target).count();
        let found = format!("at most {most} blocks, {false_targets} called precise");
        row(format!("times: {name}"), found, "≤ 60, 0".into(), most <= 60 && false_targets == 0);
    }
    table
}

#[derive(Debug, Clone, Copy)]
enum Tails {
    Pareto,
    Cauchy,
}

/// Launches whose times have infinite variance.
struct Wild {
    draws: Draws,
    tails: Tails,
}

impl Workload for Wild {
    fn launch(&mut self, _: usize, _: u64) -> (Observed, u64) {
        let time = match self.tails {
            Tails::Pareto => self.draws.uniform().powf(-1.0 / 1.5),
            Tails::Cauchy => (std::f64::consts::PI * (self.draws.uniform() - 0.5)).tan().exp(),
        };
        // Within a nanosecond and a day.
        observed(std::iter::once((time * 1e6).clamp(1.0, 8.64e13)))
    }
}
