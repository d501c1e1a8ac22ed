//! How often intervals cover the true speed-up where processes stay and make several bursts.

use std::collections::BTreeMap;

use super::draws::Draws;
use super::repeat::{Rate, mean, percent, repeat};
use super::session::patient;
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::Better;
use crate::measure::compare::{Comparison, speedup};
use crate::measure::replicates::{BURSTS, Place, pairs};
use crate::measure::stop::{Decision, decide, look_level, working_level};

pub const RESIDENCY: Proof = Proof {
    id: "residency",
    claim: "Where processes stay, intervals that count the process cover the true speed-up in at least 94 % of sessions, also where processes differ more than their bursts.",
    method: "Sessions of two variants that stop themselves, with the defaults of a spec (10 to 60 rounds, ±2 %). A round is one process of either variant, \
        and five blocks in which each makes a burst. A burst's value is log-normal: its process's own factor, shared by all its bursts, times noise of its own. \
        Rows say by how much processes and bursts differ, and the true speed-up; 4,000 sessions each. Negative control: the same sessions with every burst counted as if it were a process.",
    run: residency,
};

const TRUTH: f64 = 1.2;

/// By how much processes and bursts differ: standard deviations of logarithms.
const KINDS: [(f64, f64); 5] =
    [(0.0, 0.02), (0.01, 0.02), (0.02, 0.02), (0.03, 0.01), (0.06, 0.02)];

/// What an interval counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Processes,
    /// The control.
    Bursts,
}

fn residency(effort: Effort) -> Table {
    let sessions = if effort == Effort::Quick { 200 } else { 4000 };
    let mut table = Table {
        columns: vec!["processes", "bursts", "counted", "covered", "rounds", "bar"],
        ..Table::default()
    };
    for (study, (processes, bursts)) in KINDS.into_iter().enumerate() {
        for counts in [Counts::Processes, Counts::Bursts] {
            let found = repeat(sessions, |seed| {
                let draws = Draws::new(9_600 + study as u64, seed);
                let (found, rounds) = session(counts, (processes, bursts), draws);
                let estimate = found.estimate;
                (estimate.low <= TRUTH && TRUTH <= estimate.high, f64::from(rounds))
            });
            let covered = Rate::of(found.iter().map(|found| found.0));
            let kept = match effort {
                Effort::Quick => covered.at_least(0.94),
                Effort::Full => covered.share() >= 0.94,
            };
            // The control must fail where it is a control: where processes differ more.
            let (counted, bar, verdict) = match counts {
                Counts::Processes => ("processes", "≥ 94 %", Holds::of(kept)),
                Counts::Bursts if processes > bursts => {
                    ("every burst", "< 85 %", Holds::of(covered.share() < 0.85))
                }
                Counts::Bursts => ("every burst", "", Holds::Shown),
            };
            let rounds = format!("{:.1}", mean(found.iter().map(|found| found.1)));
            let (processes, bursts) = (percent(processes), percent(bursts));
            let cells =
                [processes, bursts, counted.into(), covered.text(), rounds, bar.into()].into();
            table.rows.push(Row { cells, verdict });
        }
    }
    table
}

/// Rounds until a reason to stop comes up; what a report then shows, and how many there were.
fn session(counts: Counts, (processes, bursts): (f64, f64), mut draws: Draws) -> (Comparison, u32) {
    let asked = patient(2);
    let (mut base, mut own) = (BTreeMap::new(), BTreeMap::new());
    let found = |base: &BTreeMap<Place, f64>, own: &BTreeMap<Place, f64>, level| {
        speedup(&pairs(base, own), Better::Lower, level)
    };
    for round in 0.. {
        let mut born = || processes * draws.normal();
        let (first, second) = (born(), born());
        for block in round * BURSTS..(round + 1) * BURSTS {
            let replicate = if counts == Counts::Processes { round * BURSTS } else { block };
            let place = Place { replicate, block };
            base.insert(place, (first + bursts * draws.normal()).exp());
            own.insert(place, (second + bursts * draws.normal()).exp() / TRUTH);
        }
        let done = round + 1;
        let due = asked.rule.next_look(round) == done;
        let level = look_level(asked.confidence, asked.family);
        let look = due.then(|| found(&base, &own, level)).flatten();
        if let Decision::Stop(_) = decide(&asked.rule, done, u64::from(done), &[look]) {
            break;
        }
    }
    let rounds = base.len() as u32 / BURSTS;
    let shown = found(&base, &own, working_level(asked.confidence));
    (shown.expect("simulated times are positive"), rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_of_one_process_narrow_an_interval_only_by_what_they_differ() {
        let alike = session(Counts::Processes, (0.03, 0.0), Draws::new(1, 1));
        let each = session(Counts::Bursts, (0.03, 0.0), Draws::new(1, 1));
        assert_eq!(alike.0.blocks, alike.1);
        assert_eq!(each.0.blocks, each.1 * BURSTS);
        assert!(each.0.half_width() < alike.0.half_width(), "five times as sure of the same");
    }
}
