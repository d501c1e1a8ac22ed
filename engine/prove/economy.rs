//! What it costs to see as sharply as asked, and that no session outstays its limits.

use super::draws::Draws;
use super::machine::{Known, Machine, Workload, observed};
use super::repeat::{Rate, mean, repeat};
use super::session::{Asked, Session, patient, run, usual};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::Observed;
use crate::measure::stop::{Reason, Rule};

pub const ECONOMY: Proof = Proof {
    id: "economy",
    claim: "A run takes at most one and a half times the blocks that it would need if it knew the noise, and never outstays its limits by more than a block.",
    method: "Whole sessions that stop at ±2 %, 2,000 each, paired ratios differing by 1, 3 and 5 %: mean blocks against 10, 13 and 31. Then sessions on a \
        virtual clock under limits of time (wrong is a block that began after the limit, and an end by time before it), and launches whose times have no variance to estimate: Pareto with exponent 1.5, and the exponential of a Cauchy number.",
    run: economy,
};

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
    // A block takes a second and a little, and no session of this noise ends before ten of them.
    for (seconds, always) in [(Some(3), true), (Some(8), true), (Some(25), false), (None, false)] {
        let limit = seconds.map_or(u64::MAX, |seconds| seconds * 1_000_000_000);
        let asked = Asked { rule: Rule { max_time_ns: limit, ..usual(2).rule }, ..usual(2) };
        let found = repeat(sessions, |seed| {
            let mut machine = Machine::new(Known::plain(&[1.0, 1.0], 0.05), 5_001, seed);
            let session = run(&asked, seed, &mut machine);
            // The last block began in time, whatever it then took.
            let late = session.last_began >= limit;
            let by_time = session.reason == Reason::Budget;
            (late || (by_time && session.elapsed < limit), by_time)
        });
        let wrong = found.iter().filter(|found| found.0).count();
        let by_time = Rate::of(found.iter().map(|found| found.1));
        let text = format!("{} ended by time, {wrong} wrong", by_time.text());
        let (what, bar, kept) = match (seconds, always) {
            (None, _) => ("no limit".into(), "none by time", by_time.hits == 0),
            (Some(s), true) => {
                (format!("{s} s allowed"), "all by time, 0 wrong", by_time.share() >= 1.0)
            }
            (Some(s), false) => {
                (format!("{s} s allowed"), "some by time, 0 wrong", by_time.hits > 0)
            }
        };
        row(what, text, bar.into(), kept && wrong == 0);
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
