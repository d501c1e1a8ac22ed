//! What a run can detect.

use super::draws::Draws;
use super::machine::{Known, Machine};
use super::repeat::{Rate, mean, percent, repeat};
use super::session::{covers, patient, run};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::Better;
use crate::measure::compare::{Comparison, speedup};
use crate::measure::estimate::t_quantile;
use crate::measure::stop::working_level;

pub const POWER: Proof = Proof {
    id: "power",
    claim: "A difference as large as the printed detectable one is found in 80 ± 4 % of runs.",
    method: "Runs of 10, 15, 20 and 40 blocks with normal log ratios, and sessions that stop themselves, 4,000 each. A run prints what it could detect; a second run of the same kind meets exactly \
        that as its truth, and finds it when the interval it shows excludes 1.",
    run: power,
};

/// Where the true difference of the run that looks for it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Truth {
    /// Printed by an earlier run of as many blocks.
    Printed,
    /// Printed by an earlier session that stopped itself, as the later one does.
    Stopped,
    /// `exp((t_.98 + t_.80)·s/√B)` of an earlier run: the textbook's formula for known noise, fed with
    /// an estimate.
    Textbook,
}

fn power(effort: Effort) -> Table {
    let runs = if effort == Effort::Quick { 300 } else { 4000 };
    let mut table = Table {
        columns: vec!["blocks", "true difference", "on average", "found", "bar"],
        ..Table::default()
    };
    let mut row = |blocks: String, truth: Truth, found: Vec<(bool, f64)>| {
        let rate = Rate::of(found.iter().map(|found| found.0));
        let slack = if effort == Effort::Quick { 0.04 + rate.two_errors(0.8) } else { 0.04 };
        let (kind, verdict) = match truth {
            Truth::Printed => ("as an earlier run printed it", true),
            Truth::Stopped => ("as an earlier session printed it", true),
            Truth::Textbook => ("an earlier run by `(t_.98 + t_.80)·s/√B`", false),
        };
        let bar = if verdict { "80 ± 4 %" } else { "" };
        let effect = percent(mean(found.iter().map(|found| found.1)) - 1.0);
        let cells = vec![blocks, kind.to_owned(), effect, rate.text(), bar.to_owned()];
        let kept = Holds::of((rate.share() - 0.8).abs() <= slack);
        table.rows.push(Row { cells, verdict: if verdict { kept } else { Holds::Shown } });
    };
    for blocks in [10, 15, 20, 40] {
        for truth in [Truth::Printed, Truth::Textbook] {
            let found = repeat(runs, |seed| {
                let mut draws = Draws::new(4_000 + u64::from(blocks), seed);
                let earlier = compare(blocks, 1.0, &mut draws);
                let effect =
                    if truth == Truth::Textbook { textbook(&earlier) } else { earlier.mde };
                (!covers(&compare(blocks, effect, &mut draws), 1.0), effect)
            });
            row(blocks.to_string(), truth, found);
        }
    }
    for paired in [0.01, 0.03, 0.05] {
        let session = |truth: f64, study: u64, seed: u64| {
            let known = Known::plain(&[1.0, truth], paired / 2.0_f64.sqrt());
            run(&patient(2), seed, &mut Machine::new(known, study, seed))
        };
        let found = repeat(runs, |seed| {
            let earlier = session(1.0, 4_100, seed);
            let effect = earlier.pair(0.95).mde;
            let found = !covers(&session(effect, 4_101, seed).pair(0.95), 1.0);
            (found, effect, f64::from(earlier.blocks()))
        });
        let blocks = mean(found.iter().map(|found| found.2));
        let blocks = format!("{blocks:.1}, ratios differ by {:.0} %", paired * 100.0);
        row(blocks, Truth::Stopped, found.iter().map(|found| (found.0, found.1)).collect());
    }
    table.remarks.push(
        "A run knows its own noise only as an estimate, and so does the run that would look for the difference. The textbook's formula leaves that out: \
         fed with an estimated deviation it promises too much with few blocks. What is printed counts both, and the interval that is really shown."
            .into(),
    );
    table
}

const NOISE: f64 = 0.04;

fn compare(blocks: u32, truth: f64, draws: &mut Draws) -> Comparison {
    let pairs: Vec<(f64, f64)> =
        (0..blocks).map(|_| (truth * (NOISE * draws.normal()).exp(), 1.0)).collect();
    speedup(&pairs, Better::Lower, working_level(0.95)).expect("times are positive")
}

fn textbook(earlier: &Comparison) -> f64 {
    let (n, df) = (f64::from(earlier.blocks), f64::from(earlier.blocks - 1));
    ((t_quantile(0.98, df) + t_quantile(0.8, df)) * earlier.sd_log / n.sqrt()).exp()
}
