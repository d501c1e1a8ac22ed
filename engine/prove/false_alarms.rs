//! How often noise passes for a difference: a program against itself, and families of them.

use super::draws::Draws;
use super::machine::{Disturbance, Known, Machine};
use super::repeat::{Rate, repeat};
use super::session::{Asked, compared, covers, fixed, patient, run, shown};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::design::orders;
use crate::measure::stop::working_level;
use crate::measure::verdict::{Thresholds, Verdict, judge};

pub const FALSE_ALARMS: Proof = Proof {
    id: "false_alarms",
    claim: "A program against itself is called improved or regressed in at most 5 % of sessions, whatever befalls the machine meanwhile; its interval excludes 1 in at most 5 % too, unless what befalls the machine keeps time with the blocks or hits one variant alone.",
    method: "Whole sessions of a program and itself that stop themselves, launches ±3 % (log-normal), 2,000 for each disturbance. \
        Its interval may exclude 1, which is the stricter count, or lead to one of the verdicts *improved* and *regressed*, which ask for more. The bar is 5 % and two \
        standard errors. Negative control: the same number of launches, one variant after the other, must raise over 20 % under drift.",
    run: false_alarms,
};

pub const FAMILY: Proof = Proof {
    id: "family",
    claim: "Eight variants that are all the same as the baseline, under three settings, show any difference at all in at most 5 % of runs.",
    method: "Nine equal arms, launches ±3 %, 2,000 runs; any interval of the family that excludes 1 counts. Three settings are \
        sessions of their own that stop themselves; three metrics come from the same launches, correlated by 0.5, ten blocks, judged as \
        one family. Negative control: the same intervals without Holm's correction must raise over 15 %.",
    run: family,
};

/// Swings once in two blocks, so that both blocks of a pair see the same half of it.
const RESONANT: Disturbance = Disturbance::Sinusoid { share: 0.05, launches: 4.0 };

/// Hits one variant alone, often enough to be a difference.
const ONE_ARM: Disturbance = Disturbance::BurstsOnOneArm { slower: 0.5, one_in: 10 };

const DISTURBANCES: [Disturbance; 9] = [
    Disturbance::None,
    Disturbance::Drift(0.005),
    Disturbance::Drift(0.02),
    Disturbance::Step { slower: 0.1, within: 40 },
    Disturbance::Sinusoid { share: 0.05, launches: 16.0 },
    RESONANT,
    Disturbance::Bursts { slower: 0.5, one_in: 10 },
    Disturbance::BurstsOnOneArm { slower: 0.5, one_in: 40 },
    ONE_ARM,
];

fn machine(disturbance: Disturbance) -> Known {
    Known { disturbance, ..Known::plain(&[1.0, 1.0], 0.03) }
}

fn false_alarms(effort: Effort) -> Table {
    let sessions = if effort == Effort::Quick { 150 } else { 2000 };
    let mut table = Table {
        columns: vec!["order", "disturbance", "excludes 1", "improved or regressed", "bar"],
        ..Table::default()
    };
    for (study, disturbance) in DISTURBANCES.into_iter().enumerate() {
        let found = repeat(sessions, |seed| {
            let mut machine = Machine::new(machine(disturbance), 2_000 + study as u64, seed);
            let found = run(&patient(2), seed, &mut machine).pair(0.95);
            (!covers(&found, 1.0), is_told(judge(&found.estimate, &USUAL)))
        });
        let alarms = Rate::of(found.iter().map(|found| found.0));
        let told = Rate::of(found.iter().map(|found| found.1));
        let (bar, verdict) = match is_beyond_pairing(disturbance) {
            false => ("both ≤ 5 %", Holds::of(alarms.at_most(0.05) && told.at_most(0.05))),
            true => ("verdicts ≤ 5 %", Holds::of(told.at_most(0.05))),
        };
        table.rows.push(row("paired blocks", disturbance, alarms, told, bar, verdict));
    }
    for (study, disturbance) in DISTURBANCES.into_iter().enumerate() {
        let sequence = [vec![0; 20], vec![1; 20]];
        let found = repeat(sessions, |seed| {
            let mut machine = Machine::new(machine(disturbance), 2_000 + study as u64, seed);
            let values = fixed(2, &sequence, &mut machine);
            let found = compared(&values, 1, working_level(0.95)).expect("times are positive");
            (!covers(&found, 1.0), is_told(judge(&found.estimate, &USUAL)))
        });
        let alarms = Rate::of(found.iter().map(|found| found.0));
        let told = Rate::of(found.iter().map(|found| found.1));
        let (bar, verdict) = match disturbance {
            Disturbance::Drift(_) => ("> 20 %", Holds::of(alarms.share() > 0.2)),
            _ => ("", Holds::Shown),
        };
        table.rows.push(row("one after the other", disturbance, alarms, told, bar, verdict));
    }
    table.remarks.push(
        "Two kinds of disturbance are beyond what pairing can take out, and are held to the verdicts alone; how often their intervals exclude 1 is shown. A swing that comes once in exactly two blocks \
         meets AB and BA in the same way, so that both blocks of a pair err alike and the interval counts twice what it knows once. And what hits one variant \
         alone is a difference to the instrument, whoever caused it: finding the cause is the guard's work, not that of statistics."
            .into(),
    );
    table
}

fn is_beyond_pairing(disturbance: Disturbance) -> bool {
    disturbance == RESONANT || matches!(disturbance, Disturbance::BurstsOnOneArm { .. })
}

const USUAL: Thresholds = Thresholds { improved_from: 1.2, equivalence: 0.03, regression: 0.03 };

fn is_told(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Improved | Verdict::Regressed)
}

fn row(
    order: &str,
    disturbance: Disturbance,
    alarms: Rate,
    told: Rate,
    bar: &str,
    verdict: Holds,
) -> Row {
    let cells = [order.to_owned(), disturbance.label(), alarms.text(), told.text(), bar.to_owned()];
    Row { cells: cells.into(), verdict }
}

const VARIANTS: usize = 9;
const COLUMNS: usize = 3;

fn family(effort: Effort) -> Table {
    let runs = if effort == Effort::Quick { 40 } else { 2000 };
    let settings = repeat(runs, |seed| any_difference(&settings(seed)));
    let metrics = repeat(runs, |seed| any_difference(&metrics(seed)));
    let mut table = Table {
        columns: vec!["family", "any difference", "without correction"],
        ..Table::default()
    };
    for (name, found) in
        [("8 variants × 3 settings", settings), ("8 variants × 3 metrics", metrics)]
    {
        let corrected = Rate::of(found.iter().map(|found| found.0));
        let plain = Rate::of(found.iter().map(|found| found.1));
        let verdict = Holds::of(corrected.at_most(0.05) && plain.share() > 0.15);
        let cells = [name.to_owned(), corrected.text(), plain.text()];
        table.rows.push(Row { cells: cells.into(), verdict });
    }
    table.remarks.push(
        "In a report the family is {variants × settings} on the primary metric. Other metrics are shown without correction, as exploration; \
         the second row says what one family over three metrics would do."
            .into(),
    );
    table
}

/// Whether any interval excludes 1, with Holm's correction and without.
fn any_difference(columns: &[Vec<Vec<f64>>]) -> (bool, bool) {
    let family: Vec<(&[Vec<f64>], usize)> = columns
        .iter()
        .flat_map(|values| (1..VARIANTS).map(move |variant| (values.as_slice(), variant)))
        .collect();
    let corrected = shown(&family, 0.95).iter().any(|found| !covers(found, 1.0));
    let plain = family.iter().filter_map(|(values, v)| compared(values, *v, working_level(0.95)));
    (corrected, plain.into_iter().any(|found| !covers(&found, 1.0)))
}

fn settings(seed: u64) -> Vec<Vec<Vec<f64>>> {
    let asked = Asked { family: (VARIANTS - 1) * COLUMNS, ..patient(VARIANTS) };
    let known = Known::plain(&[1.0; VARIANTS], 0.03);
    let setting = |column: usize| {
        let mut machine = Machine::new(known.clone(), 3_000 + column as u64, seed);
        run(&asked, seed, &mut machine).values
    };
    (0..COLUMNS).map(setting).collect()
}

fn metrics(seed: u64) -> Vec<Vec<Vec<f64>>> {
    let mut draws = Draws::new(3_100, seed);
    let mut columns = vec![vec![Vec::new(); VARIANTS]; COLUMNS];
    for order in orders(VARIANTS, 10, seed) {
        for variant in order {
            let shared = draws.normal();
            for column in &mut columns {
                let z = (shared + draws.normal()) * std::f64::consts::FRAC_1_SQRT_2;
                column[variant].push((0.03 * z).exp());
            }
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::stop::look_level;

    #[test]
    fn looks_of_a_family_are_at_the_level_of_its_widest_interval() {
        let values = metrics(1).swap_remove(0);
        let widest = compared(&values, 1, look_level(0.95, 24)).unwrap().half_width();
        let family: Vec<(&[Vec<f64>], usize)> = (1..VARIANTS).map(|v| (&values[..], v)).collect();
        assert!(shown(&family, 0.95)[0].half_width() <= widest);
    }
}
