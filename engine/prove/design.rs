//! The design of a measurement: how many requests a launch makes, when a run may decide early, and
//! whether launches feel each other.

use super::draws::Draws;
use super::repeat::{Rate, mean, percent, repeat};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::Better;
use crate::measure::carryover::{NOTICED, Row as Launched, carry_over};
use crate::measure::compare::speedup;
use crate::measure::design::orders;
use crate::measure::estimate::{t_quantile, two_sided};
use crate::measure::quantile::median;
use crate::measure::repetition::{Bounds, PILOT, Repetition, Trial, Weights, choose, price};
use crate::measure::sequence::{self, LEAST, PLANNED};
use crate::measure::verdict::{Thresholds, Verdict, judge};

pub const REPETITION: Proof = Proof {
    id: "repetition",
    claim: "From a pilot of five blocks, launches get nearly as many requests as the true costs and spreads ask for, and keeping the pilot biases nothing.",
    method: "Simulated pilots of two variants with known spreads of launches and of requests (0.1 to 3 to one) and known costs (a launch worth 3 to 50 \
        requests). What a block costs times the variance of its log ratio, at the number chosen, over the least that any number gives; 2,000 pilots a row, \
        ten requests a launch; three requests a launch are shown beside. Then sessions of 20 blocks whose first five are the pilot, requests log-normal: \
        coverage and mean of the log speed-up.",
    run: repetition,
};

pub const EARLY_DECISION: Proof = Proof {
    id: "early_decision",
    claim: "The interval that early decisions rest on rarely ever excludes the truth, however often it is looked at.",
    method: "Log ratios of known mean, 10,000 sequences a row: the share of those whose 95 % interval excludes the truth after any of 10 to 60 blocks. The ordinary \
        interval, looked at as often, is the control. Then whole sessions whose true speed-up lies just at the claimed factor: how often one ends as improved.",
    run: early_decision,
};

pub const CARRY_OVER: Proof = Proof {
    id: "carry_over",
    claim: "The carry-over test raises false alarms in at most 1 % of runs, and finds an effect of three times the noise of a launch in four of five runs of three variants or more.",
    method: "Launches in the orders of a run, 20 blocks, with drift, an effect of the position and no effect of the predecessor: share of sessions below p = 0.01. Then \
        with an effect of one predecessor as large as, and three times as large as, the noise of a launch. 4,000 sessions a row.",
    run: carried_over,
};

/// What a launch and its requests really are.
#[derive(Clone, Copy)]
struct Truth {
    sd_requests: f64,
    sd_launches: f64,
    /// In requests.
    launch_cost: f64,
}

fn trial(truth: &Truth, requests: u32, log: f64, draws: &mut Draws) -> Trial {
    let own = log + truth.sd_launches * draws.normal();
    let values: Vec<f64> =
        (0..requests).map(|_| (own + truth.sd_requests * draws.normal()).exp()).collect();
    Trial { values, request: 1.0, wall: truth.launch_cost + f64::from(requests) }
}

fn pilot(truth: &Truth, requests: u32, draws: &mut Draws) -> [Vec<Trial>; 2] {
    [0.0, 0.2].map(|log| (0..PILOT).map(|_| trial(truth, requests, log, draws)).collect())
}

const BOUNDS: Bounds = Bounds { min: 1, max: 100, most_seconds: 1e9 };

fn repetition(effort: Effort) -> Table {
    let pilots = if effort == Effort::Quick { 40 } else { 2000 };
    let columns = vec![
        "launches : requests",
        "a launch is worth",
        "best",
        "chosen",
        "loss",
        "loss from 3 requests",
    ];
    let mut table = Table { columns, ..Table::default() };
    for spread in [0.1, 0.3, 1.0, 3.0] {
        for launch_cost in [3.0, 10.0, 50.0] {
            let truth = Truth { sd_requests: 0.02, sd_launches: 0.02 * spread, launch_cost };
            let both = 2.0_f64.sqrt();
            let weights = Weights {
                request: 2.0,
                launch: 2.0 * launch_cost,
                sd_requests: truth.sd_requests * both,
                sd_launches: truth.sd_launches * both,
            };
            let prices: Vec<f64> = (1..=BOUNDS.max).map(|r| price(&weights, r)).collect();
            let least = prices.iter().copied().fold(f64::INFINITY, f64::min);
            let best = prices.iter().position(|price| *price == least).unwrap_or(0) + 1;
            let found = |requests| -> Vec<Repetition> {
                repeat(pilots, |seed| {
                    let mut draws = Draws::new(6_000, seed);
                    choose(&pilot(&truth, requests, &mut draws), BOUNDS)
                })
            };
            let loss = |found: &[Repetition]| {
                mean(found.iter().map(|found| price(&weights, found.requests) / least))
            };
            let (ten, three) = (found(10), found(3));
            let chosen: Vec<f64> = ten.iter().map(|found| f64::from(found.requests)).collect();
            let lost = loss(&ten);
            table.rows.push(Row {
                cells: vec![
                    format!("{spread} : 1"),
                    format!("{launch_cost} requests"),
                    best.to_string(),
                    format!("{:.0}", median(&chosen).unwrap_or(f64::NAN)),
                    format!("{lost:.2}×"),
                    format!("{:.2}×", loss(&three)),
                ],
                verdict: Holds::of(lost <= MOST_LOST),
            });
        }
    }
    table.rows.push(kept_pilots(pilots));
    table.remarks.push(format!(
        "The bar is a mean loss of {MOST_LOST}×. `best` and `chosen` (the median choice) lie apart where the loss is flat around the best."
    ));
    table
}

const MOST_LOST: f64 = 1.25;

/// Sessions that go on from their pilot: does the interval cover, and is the mean the truth?
fn kept_pilots(sessions: u64) -> Row {
    let truth = Truth { sd_requests: 0.4, sd_launches: 0.05, launch_cost: 10.0 };
    let speed = 0.2;
    let found = repeat(sessions * 5, |seed| {
        let mut draws = Draws::new(6_001, seed);
        let mut arms = pilot(&truth, 3, &mut draws);
        let settled = choose(&arms, BOUNDS).requests;
        for _ in PILOT..20 {
            for (arm, log) in arms.iter_mut().zip([0.0, speed]) {
                arm.push(trial(&truth, settled, log, &mut draws));
            }
        }
        let value = |trial: &Trial| median(&trial.values).unwrap_or(f64::NAN);
        let pairs: Vec<(f64, f64)> =
            arms[0].iter().zip(&arms[1]).map(|(b, v)| (value(b), value(v))).collect();
        speedup(&pairs, Better::Higher, 0.95).map(|found| found.estimate)
    });
    let found: Vec<_> = found.into_iter().flatten().collect();
    let covers = Rate::of(found.iter().map(|e| e.low.ln() <= speed && speed <= e.high.ln()));
    let bias = mean(found.iter().map(|e| e.point.ln() - speed));
    let error =
        (mean(found.iter().map(|e| (e.point.ln() - speed).powi(2))) / found.len() as f64).sqrt();
    let kept = covers.at_least(0.95) && bias.abs() <= 3.0 * error;
    Row {
        cells: vec![
            "0.125 : 1, pilot kept".into(),
            "10 requests".into(),
            String::new(),
            String::new(),
            format!("covers {}", covers.text()),
            format!("bias {} ± {}", percent(bias), percent(2.0 * error)),
        ],
        verdict: Holds::of(kept),
    }
}

/// One log ratio around 0 with a standard deviation near 1.
type Noise = fn(&mut Draws) -> f64;

const NOISES: &[(&str, Noise, bool)] = &[
    ("normal", Draws::normal, true),
    ("Student t, 3 df", student, true),
    ("3 % spikes of eight deviations", spiked, true),
    ("difference of two exponentials", |draws| draws.exponential() - draws.exponential(), true),
    ("exponential, one-sided", |draws| draws.exponential() - 1.0, false),
];

fn student(draws: &mut Draws) -> f64 {
    let squares: f64 = (0..3).map(|_| draws.normal().powi(2)).sum();
    draws.normal() / (squares / 3.0).sqrt()
}

fn spiked(draws: &mut Draws) -> f64 {
    let side = if draws.uniform() < 0.5 { 8.0 } else { -8.0 };
    draws.normal() + if draws.uniform() < 0.03 { side } else { 0.0 }
}

/// Blocks of the longest session.
const LONGEST: u32 = 60;

fn early_decision(effort: Effort) -> Table {
    let (sequences, sessions) = if effort == Effort::Quick { (400, 60) } else { (10_000, 2000) };
    let columns = vec!["log ratios", "ever excludes the truth", "ordinary interval", "bar"];
    let mut table = Table { columns, ..Table::default() };
    let ordinary: Vec<f64> = (0..=LONGEST)
        .map(|n| {
            t_quantile(two_sided(0.95).unwrap_or(f64::NAN), f64::from(n) - 1.0)
                / f64::from(n).sqrt()
        })
        .collect();
    let valid: Vec<f64> =
        (0..=LONGEST).map(|n| sequence::half_width(n, 1.0, 0.95, PLANNED)).collect();
    for (name, noise, held) in NOISES {
        let found = repeat(sequences, |seed| {
            let mut draws = Draws::new(6_100, seed);
            let (mut sum, mut squares, mut ever) = (0.0, 0.0, (false, false));
            for n in 1..=LONGEST {
                let value = noise(&mut draws);
                sum += value;
                squares += value * value;
                let count = f64::from(n);
                let mean: f64 = sum / count;
                let sd = ((squares - count * mean * mean).max(0.0) / (count - 1.0).max(1.0)).sqrt();
                if n >= LEAST {
                    ever.0 |= mean.abs() > sd * valid[n as usize];
                    ever.1 |= mean.abs() > sd * ordinary[n as usize];
                }
            }
            ever
        });
        let ever = Rate::of(found.iter().map(|found| found.0));
        let control = Rate::of(found.iter().map(|found| found.1));
        let verdict = match held {
            true => Holds::of(ever.at_most(0.05) && control.share() > 0.15),
            false => Holds::Shown,
        };
        let bar = if *held { "≤ 5 %, control > 15 %" } else { "" };
        let cells = vec![(*name).to_owned(), ever.text(), control.text(), bar.to_owned()];
        table.rows.push(Row { cells, verdict });
    }
    table.rows.push(early_claims(sessions));
    table.remarks.push("One-sided noise of whole blocks is what the interval does not hold for with tens of blocks; noise that strikes both sides of a pair alike is two-sided.".into());
    table
}

/// Sessions whose truth is the claimed factor itself, ended at the first decision.
fn early_claims(sessions: u64) -> Row {
    let thresholds = Thresholds { improved_from: 1.2, equivalence: 0.03, regression: 0.03 };
    let claims = Rate::of(repeat(sessions, |seed| {
        let mut draws = Draws::new(6_101, seed);
        let mut pairs = Vec::new();
        for _ in 0..LONGEST {
            let block = 0.1 * draws.normal();
            let mut time = |log: f64| (block + log + 0.03 * draws.normal()).exp();
            pairs.push((time(1.2_f64.ln()), time(0.0)));
            let found = sequence::speedup(&pairs, Better::Lower, 0.95, PLANNED);
            if let Some(found) = found.filter(|found| sequence::decides(found, &thresholds)) {
                return judge(&found.estimate, &thresholds) == Verdict::Improved;
            }
        }
        false
    }));
    Row {
        cells: vec![
            "sessions at exactly 1.2×".into(),
            format!("{} end as improved", claims.text()),
            String::new(),
            "≤ 5 %".into(),
        ],
        verdict: Holds::of(claims.at_most(0.05)),
    }
}

fn carried_over(effort: Effort) -> Table {
    let sessions = if effort == Effort::Quick { 150 } else { 4000 };
    let columns = vec!["variants", "no effect", "as large as the noise", "three times as large"];
    let mut table = Table { columns, ..Table::default() };
    for variants in [2, 3, 5, 9] {
        let alarms = |carry: f64| {
            Rate::of(repeat(sessions, |seed| {
                let rows = session(variants, carry, &mut Draws::new(6_200, seed), seed);
                carry_over(&rows).is_some_and(|found| found.p_value < NOTICED)
            }))
        };
        let (none, same, thrice) = (alarms(0.0), alarms(1.0), alarms(3.0));
        table.rows.push(Row {
            cells: vec![variants.to_string(), none.text(), same.text(), thrice.text()],
            verdict: Holds::of(
                none.at_most(NOTICED) && (variants == 2 || thrice.reaches(0.8, effort)),
            ),
        });
    }
    table.remarks.push(
        "Bars: at most 1 % and two standard errors without an effect; at least 80 % with one of three times the noise, from three variants on. With two variants one nearly always follows the other, and only the seams between blocks tell what came before from what runs: how often an effect is found is shown without a bar."
            .into(),
    );
    table
}

/// Launches of 20 blocks on a machine that drifts; after variant 1 a launch is slower by `carry`
/// times the noise.
fn session(variants: usize, carry: f64, draws: &mut Draws, seed: u64) -> Vec<Launched> {
    const NOISE: f64 = 0.02;
    let mut out = Vec::new();
    let mut after = None;
    for (block, order) in orders(variants, 20, seed).iter().enumerate() {
        let machine = 0.1 * draws.normal();
        for (position, &variant) in order.iter().enumerate() {
            let felt = if after == Some(1) { carry } else { 0.0 };
            let own = 0.3 * variant as f64 + 0.01 * position as f64 + 0.001 * out.len() as f64;
            let log = machine + own + NOISE * (felt + draws.normal());
            let (block, position) = (block as u32, position as u32);
            out.push(Launched { block, position, variant, after, log });
            after = Some(variant);
        }
    }
    out
}
