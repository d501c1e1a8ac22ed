//! The search for the largest rate under an objective, on a saturating server whose limit is known.
//!
//! On M/M/1 the share of requests slower than `b` at rate `λ` is `exp(−(μ − λ)·b)`, so a share `s`
//! keeps `b` up to `λ* = μ + ln(1 − s)/b`.

use super::draws::Draws;
use super::load::{Simulated, exponential, observed};
use super::repeat::{Rate, mean, percent, repeat};
use super::{Effort, Holds, Proof, Row, Table};
use crate::base::Digest;
use crate::measure::Observed;
use crate::measure::rate::{Found, Probed, found, next, times};
use crate::measure::slo::Slo;
use crate::record::{Launch, Outcome, RateProbe};
use crate::scenario::{Arrivals, OpenRules, Patience, Timetable, Virtual, open_loop, schedule};

pub static RATE: Proof = Proof {
    id: "load_rate_search",
    claim: "The bracket of the rate search contains the largest rate that keeps the objective.",
    method: "Whole searches on a simulated M/M/1 server with a known limit, each probe from its own schedules and judged by the code that judges recorded ones. In at least 95 % of searches both ends of the bracket are found and the known limit lies between them; at least 95 % end settled: the largest rate that keeps the objective was confirmed, and 5 % above it that was not shown.",
    run: searches,
};

/// Requests per second that keep the server busy all the time.
const FULL: f64 = 1000.0;

/// Confidence of each probe's answer.
const CONFIDENCE: f64 = 0.95;

struct Plan {
    slo: Slo,
    /// Of one launch.
    requests: usize,
}

impl Plan {
    fn limit(&self) -> f64 {
        FULL + (1.0 - self.slo.share).ln() / self.slo.latency.unwrap_or(f64::INFINITY)
    }
}

fn launch(plan: &Plan, rate: f64, seed: u64) -> Observed {
    let clock = Virtual::default();
    let gaps = Arrivals::Poisson.unit_gaps(seed, plan.requests + plan.requests / 10);
    let instants = schedule(&gaps, rate, 0);
    let mut server =
        Simulated { clock: &clock, time: exponential(1.0 / FULL, Draws::new(9_200, seed)) };
    let mut queue = Timetable::new(&instants, &clock);
    let patience = Patience { after: 1_000_000_000, window: 2_000_000_000, step: 200_000_000 };
    let rules = OpenRules { early: (plan.requests / 10) as u32, patience };
    let Ok(out) = open_loop(&mut server, &mut queue, rules, &clock);
    observed(out)
}

/// A probe as a run makes and records it; its launches take no wall time.
fn probe(plan: &Plan, rate: f64, seed: u64) -> RateProbe {
    let mut probe = RateProbe {
        rate: Some(rate),
        launches: Vec::new(),
        disturbed: Vec::new(),
        cut_short: None,
    };
    while probe.goes_on(&plan.slo, CONFIDENCE) {
        let number = probe.launches.len() as u32;
        probe.launches.push(Launch {
            block: number,
            position: number,
            pid: None,
            started: 0,
            wall: 0,
            outcome: Outcome::Measured(launch(plan, rate, seed ^ u64::from(number))),
            conditions: None,
            residence: None,
            settling: None,
        });
    }
    probe
}

fn search(plan: &Plan, seed: u64) -> (Vec<Probed>, Found) {
    let mut seen: Vec<Probed> = Vec::new();
    while let Some(rate) = next(FULL / 2.0, &seen) {
        // Rates are compared on common schedules, confirmations see fresh ones.
        let text = format!("{seed}/{}", times(&seen, rate));
        let own = Digest::of_bytes(text.as_bytes()).seed() & !7;
        seen.extend(probe(plan, rate, own).probed(&plan.slo, CONFIDENCE));
    }
    let result = found(&seen);
    (seen, result)
}

fn searches(effort: Effort) -> Table {
    let slo = |share, seconds| Slo { share, latency: Some(seconds), ttft: None, tpot: None };
    let (plans, count): (&[Plan], u64) = match effort {
        Effort::Quick => (&[Plan { slo: slo(0.9, 0.008), requests: 400 }], 20),
        Effort::Full => (
            &[
                Plan { slo: slo(0.9, 0.010), requests: 2000 },
                Plan { slo: slo(0.9, 0.004), requests: 2000 },
                Plan { slo: slo(0.99, 0.012), requests: 5000 },
                Plan { slo: slo(0.9, 0.010), requests: 300 },
            ],
            200,
        ),
    };
    let mut rows = Vec::new();
    for plan in plans {
        let limit = plan.limit();
        let searches = repeat(count, |seed| search(plan, seed));
        let of = |seen: &dyn Fn(&Found) -> bool| Rate::of(searches.iter().map(|s| seen(&s.1)));
        let above = of(&|found| found.pass.is_some_and(|pass| pass > limit));
        let below = of(&|found| found.fail.is_some_and(|fail| fail < limit));
        let ends = |found: &Found| found.pass.zip(found.fail);
        let inside =
            of(&|found| ends(found).is_some_and(|(pass, fail)| pass <= limit && limit <= fail));
        let settled = of(&|found| found.settled);
        let widths = searches.iter().filter_map(|s| ends(&s.1)).map(|(pass, fail)| fail / pass);
        rows.push(Row {
            cells: vec![
                format!(
                    "p{:.0} ≤ {:.0} ms",
                    plan.slo.share * 100.0,
                    plan.slo.latency.unwrap_or(0.0) * 1e3
                ),
                format!("{limit:.1}/s"),
                plan.requests.to_string(),
                count.to_string(),
                inside.text(),
                format!("{} / {}", above.hits, below.hits),
                settled.text(),
                percent(mean(widths) - 1.0),
                format!("{:.1}", mean(searches.iter().map(|s| s.0.len() as f64))),
            ],
            verdict: Holds::of(inside.share() >= 0.95 && settled.share() >= 0.95),
        });
    }
    Table {
        columns: vec![
            "objective",
            "known limit",
            "requests of a launch",
            "searches",
            "limit between both ends",
            "pass above / fail below it",
            "settled",
            "mean width",
            "probes",
        ],
        rows,
        remarks: vec![
            "With few requests more probes stay undecided: the bracket becomes wider, not wrong."
                .into(),
        ],
    }
}
