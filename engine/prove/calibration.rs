//! What a run that stops itself at a narrow interval owes to the confidence it claims.

use super::draws::Draws;
use super::repeat::{Rate, mean, percent, repeat};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::Better;
use crate::measure::compare::speedup;
use crate::measure::stop::{Decision, Rule, decide, working_level};

pub const CALIBRATION: Proof = Proof {
    id: "calibration",
    claim: "At the working level of 0.96 a session that may stop itself covers the truth 94 % of the time at every amount of noise.",
    method: "Normal log ratios with standard deviations of 0.25 to 8 times the half-width that is asked, 10,000 sessions for each. \
        Levels beside the one in use, and what stopping at two or three blocks would do, are shown for comparison.",
    run: calibration,
};

/// Standard deviations of paired log ratios in half-widths.
const NOISE: [f64; 12] = [0.25, 0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 4.0, 8.0];

const HALF_WIDTH: f64 = 0.02;

struct Case {
    alpha: f64,
    min: u32,
    max: u32,
}

fn calibration(effort: Effort) -> Table {
    let (sessions, noises) = match effort {
        Effort::Quick => (150, &[1.5, 2.25][..]),
        Effort::Full => (10_000, &NOISE[..]),
    };
    let used = 1.0 - working_level(0.95);
    let case = |alpha, min, max| Case { alpha, min, max };
    let cases = [
        case(used, 10, 60),
        case(used, 20, 60),
        case(used, 6, 15),
        case(used, 6, 60),
        case(used, 2, 60),
        case(used, 2, 5),
        case(0.05, 10, 60),
        case(0.03, 10, 60),
    ];
    let mut table = Table {
        columns: vec![
            "level",
            "blocks",
            "worst coverage",
            "at noise of",
            "mean coverage",
            "mean blocks",
        ],
        ..Table::default()
    };
    for (number, case) in cases.iter().enumerate() {
        let found: Vec<(f64, Rate, f64)> = noises
            .iter()
            .map(|noise| {
                let (covered, blocks) = cell(case, *noise, number as u64, sessions);
                (*noise, covered, blocks)
            })
            .collect();
        let worst = found.iter().min_by(|a, b| a.1.share().total_cmp(&b.1.share()));
        let (noise, covered, _) = *worst.expect("there are noises");
        let cells = [
            format!("{:.3}", 1.0 - case.alpha),
            format!("{} to {}", case.min, case.max),
            covered.text(),
            format!("{noise} half-widths"),
            percent(mean(found.iter().map(|found| found.1.share()))),
            format!("{:.1}", mean(found.iter().map(|found| found.2))),
        ];
        let verdict = match case.alpha == used {
            true => Holds::of(found.iter().all(|found| found.1.at_least(0.94))),
            false => Holds::Shown,
        };
        table.rows.push(Row { cells: cells.into(), verdict });
    }
    table.remarks.push(
        "Coverage dips where the noise is about twice the half-width: there the first looks stop those sessions \
         that happen to see little of it. No look is taken before six blocks, whatever `blocks.min` says."
            .into(),
    );
    table
}

/// Coverage and mean number of blocks; ratios are drawn directly, since nothing but their
/// distribution matters here.
fn cell(case: &Case, noise: f64, study: u64, sessions: u64) -> (Rate, f64) {
    let rule = Rule {
        min_blocks: case.min,
        max_blocks: case.max,
        half_width: HALF_WIDTH,
        max_time_ns: u64::MAX,
    };
    let found = repeat(sessions, |seed| {
        let mut draws = Draws::new(1_000 + study, seed);
        let mut pairs = Vec::new();
        loop {
            pairs.push((1.0, (noise * HALF_WIDTH * draws.normal()).exp()));
            let done = pairs.len() as u32;
            if rule.next_look(done - 1) != done {
                continue;
            }
            let found = speedup(&pairs, Better::Lower, 1.0 - case.alpha);
            if let Decision::Stop(_) = decide(&rule, done, 0, &[found]) {
                let found = found.expect("normal numbers have an interval").estimate;
                return (found.low <= 1.0 && 1.0 <= found.high, f64::from(done));
            }
        }
    });
    (Rate::of(found.iter().map(|found| found.0)), mean(found.iter().map(|found| found.1)))
}
