//! Change points over histories with a known course, and the paired against the historical view of
//! two sessions.

use super::draws::Draws;
use super::repeat::{Rate, percent, repeat};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::Better;
use crate::measure::history::{ALPHA, LEAST_SEGMENT, changes as changes_of};
use crate::measure::verdict::{Thresholds, Verdict, judge};
use crate::measure::welch;

pub(super) const CHANGES: Proof = Proof {
    id: "history_changes",
    claim: "Change points of a history are found where the ratio to the reference really changed, and seldom where nothing did.",
    method: "E-divisive over the logarithms of paired ratios of 12 to 30 runs, normal noise of 1 % from run to run; histories without a change, with single runs that are off, and with a step. Bars: false alarms in at most twice the level of the test; steps of three standard deviations found within one run of where they are in 95 %, recent ones in 80 %.",
    run: changes,
};

pub(super) const SESSIONS: Proof = Proof {
    id: "history_sessions",
    claim: "Between two sessions of the same program the paired comparison stays quiet whatever state the machine is in; the historical one does not, and is labelled for it.",
    method: "Pairs of sessions of twelve blocks of an unchanged variant, with the machine in the same state and in states 8 % apart; intervals that exclude 1 count, and beside them the verdicts improved and regressed beyond a margin of 3 %, which ask for more. Negative control: the historical comparison must raise alarms in more than 20 % when the state has moved.",
    run: sessions,
};

/// Standard deviation of a run's paired ratio, as runs of a second on a shared machine have it.
const NOISE: f64 = 0.01;

/// Histories without and with a step of the paired ratio.
fn changes(effort: Effort) -> Table {
    let repetitions = match effort {
        Effort::Quick => 60,
        Effort::Full => 1000,
    };
    let mut table = Table {
        columns: vec!["course", "runs", "histories", "any change found", "right place", "bar"],
        ..Table::default()
    };
    // Step in standard deviations (below 0: spikes instead), runs, where the step is, bar on its place.
    let courses: &[(&str, f64, usize, usize, Option<f64>)] = &[
        ("nothing changes", 0.0, 12, 0, None),
        ("nothing changes", 0.0, 30, 0, None),
        ("nothing changes, 1 run of 10 is off by 5 sd", -5.0, 30, 0, None),
        ("step of 3 sd", 3.0, 30, 15, Some(0.95)),
        ("step of 3 sd, five runs ago", 3.0, 30, 25, Some(0.8)),
        ("step of 5 sd", 5.0, 20, 12, Some(0.95)),
        ("step of 1 sd", 1.0, 30, 15, Some(0.0)),
    ];
    for (study, (what, step, runs, from, least)) in (9_500..).zip(courses) {
        let histories = repeat(repetitions, |seed| {
            let mut draws = Draws::new(study, seed);
            let values: Vec<f64> = (0..*runs)
                .map(|run| {
                    let spike = *step < 0.0 && draws.uniform() < 0.1;
                    let moved = if spike { *step } else { step.max(0.0) * f64::from(run >= *from) };
                    NOISE * (draws.normal() + moved)
                })
                .collect();
            let changes = changes_of(&values).unwrap_or_default();
            (!changes.is_empty(), changes.iter().any(|change| change.at.abs_diff(*from) <= 1))
        });
        let found = Rate::of(histories.iter().map(|found| found.0));
        let right = Rate::of(histories.iter().map(|found| found.1));
        let (bar, kept) = match least {
            None => (format!("≤ {} + 2 SE", percent(2.0 * ALPHA)), found.at_most(2.0 * ALPHA)),
            Some(0.0) => ("shown".into(), true),
            Some(least) => (format!("place ≥ {}", percent(*least)), right.reaches(*least, effort)),
        };
        let place = least.map_or_else(|| "–".into(), |_| right.text());
        let cells = vec![
            (*what).to_owned(),
            runs.to_string(),
            repetitions.to_string(),
            found.text(),
            place,
            bar,
        ];
        let verdict = if *least == Some(0.0) { Holds::Shown } else { Holds::of(kept) };
        table.rows.push(Row { cells, verdict });
    }
    table.remarks.push(format!("A change counts at p < {ALPHA}; segments have at least {LEAST_SEGMENT} runs. The right place is within one run of the step. A folder with many cells is searched once for each: expect one change in a hundred that is none."));
    table
}

/// Whether an interval excludes 1, and whether it says improved or regressed.
type Alarm = (bool, bool);

/// Two sessions of the same program on a machine whose state has moved between them.
fn sessions(effort: Effort) -> Table {
    let repetitions = match effort {
        Effort::Quick => 400,
        Effort::Full => 20_000,
    };
    let mut table = Table {
        columns: vec![
            "state of the machine",
            "comparison",
            "pairs of sessions",
            "excludes 1",
            "improved or regressed",
            "bar",
        ],
        ..Table::default()
    };
    let (blocks, level) = (12, 0.96);
    for (study, state, moved) in [(9_520, "the same", 0.0), (9_521, "8 % apart (sd)", 0.08)] {
        let alarms = repeat(repetitions, |seed| {
            let mut draws = Draws::new(study, seed);
            let mut session = || {
                let weather = (moved * draws.normal()).exp();
                let blocks = (0..blocks).map(|_| {
                    let block = (0.03 * draws.normal()).exp() * weather;
                    let mut noise = || (0.015 * draws.normal()).exp();
                    (block * noise(), block * noise() / 1.6)
                });
                blocks.collect::<Vec<(f64, f64)>>()
            };
            let (before, after) = (session(), session());
            let own = |s: &[(f64, f64)]| s.iter().map(|(_, v)| *v).collect::<Vec<f64>>();
            let ratio = |s: &[(f64, f64)]| s.iter().map(|(b, v)| v / b).collect::<Vec<f64>>();
            let alarm = |old: Vec<f64>, new: Vec<f64>| {
                let found = welch::historical(&old, &new, Better::Lower, level);
                let margins =
                    Thresholds { improved_from: 1.03, equivalence: 0.03, regression: 0.03 };
                let found = found.expect("times are positive").estimate;
                let told = judge(&found, &margins);
                let is_told = matches!(told, Verdict::Improved | Verdict::Regressed);
                (found.low > 1.0 || found.high < 1.0, is_told)
            };
            (alarm(own(&before), own(&after)), alarm(ratio(&before), ratio(&after)))
        });
        let rates = |of: fn(&(Alarm, Alarm)) -> Alarm| {
            let own = || alarms.iter().map(of);
            (Rate::of(own().map(|alarm| alarm.0)), Rate::of(own().map(|alarm| alarm.1)))
        };
        let (historical, paired) = (rates(|found| found.0), rates(|found| found.1));
        // The negative control: this is why the historical view is labelled and decides little.
        let control = moved > 0.0;
        for (what, (excludes, told), is_control) in
            [("historical", historical, control), ("paired", paired, false)]
        {
            let (bar, kept) = match is_control {
                true => {
                    ("both > 20 % (negative control)", excludes.share() > 0.2 && told.share() > 0.2)
                }
                false => ("both ≤ 5.0 % + 2 SE", excludes.at_most(0.05) && told.at_most(0.05)),
            };
            let cells =
                [state, what, &repetitions.to_string(), &excludes.text(), &told.text(), bar];
            let cells = cells.map(str::to_owned).to_vec();
            table.rows.push(Row { cells, verdict: Holds::of(kept) });
        }
    }
    table.remarks.push("Twelve blocks a session, which differ by 3 % with their block and 1.5 % beside it; the variant is 1.6 times as fast as the baseline and does not change; margin 3 %.".into());
    table
}
