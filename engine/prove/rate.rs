//! The search for the largest rate under an objective, on a saturating server whose limit is known.
//!
//! On M/M/1 the share of requests slower than `b` at rate `λ` is `exp(−(μ − λ)·b)`, so a share `s`
//! keeps `b` up to `λ* = μ + ln(1 − s)/b`.

use super::draws::Draws;
use super::load::{Simulated, exponential, observed};
use super::{Effort, Holds, Proof, Row, Table};
use crate::base::Digest;
use crate::measure::Observed;
use crate::measure::load::{Invalid, check, latencies};
use crate::measure::rate::{Found, Probed, found, next, times};
use crate::measure::search::Answer;
use crate::measure::slo::{Slo, Tally, look_confidence};
use crate::scenario::{Arrivals, OpenRules, Patience, Timetable, Virtual, open_loop, schedule};

pub static RATE: Proof = Proof {
    id: "load_rate_search",
    claim: "The bracket of the rate search contains the largest rate that keeps the objective.",
    method: "Whole searches on a simulated M/M/1 server with a known limit, each probe from its own schedules: the known limit lies in [pass, fail] in at least 95 % of searches, and every search ends. The share of searches that are settled within 5 % is shown.",
    run: searches,
};

/// Requests per second that keep the server busy all the time.
const FULL: f64 = 1000.0;

/// Launches of a probe before its first look and its last one.
const LAUNCHES: [u64; 2] = [1, 5];

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

fn probe(plan: &Plan, rate: f64, seed: u64) -> Probed {
    let mut tally = Tally::default();
    let (mut over, mut requests) = (0.0, 0.0);
    for number in 0..LAUNCHES[1] {
        let seen = launch(plan, rate, seed ^ number);
        if let Err(Invalid::Saturated { .. }) = check(&seen) {
            return Probed { rate, answer: Answer::Breaks, over: 1.0, requests: 1.0 };
        }
        let flags: Vec<bool> =
            seen.requests.iter().filter(|t| !t.warmup).map(|t| !plan.slo.keeps(t)).collect();
        over += flags.iter().filter(|over| **over).count() as f64;
        requests += flags.len() as f64;
        tally = tally.and(Tally::of(&flags, &latencies(&seen)));
        let answer = tally.answer(plan.slo.share, look_confidence(0.95));
        let is_look = LAUNCHES.contains(&(number + 1));
        if is_look && answer != Answer::Undecided {
            return Probed { rate, answer, over: over / requests, requests };
        }
    }
    Probed { rate, answer: Answer::Undecided, over: over / requests, requests }
}

fn search(plan: &Plan, seed: u64) -> (Vec<Probed>, Found) {
    let mut seen: Vec<Probed> = Vec::new();
    while let Some(rate) = next(FULL / 2.0, &seen) {
        // Rates are compared on common schedules, confirmations see fresh ones.
        let text = format!("{seed}/{}", times(&seen, rate));
        let own = u64::from_str_radix(&Digest::of_bytes(text.as_bytes()).hex()[..16], 16);
        seen.push(probe(plan, rate, own.expect("sixteen hex digits make a number") & !7));
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
        let (mut inside, mut settled, mut above, mut below) = (0, 0, 0, 0);
        let (mut width, mut probes) = (0.0, 0);
        for seed in 0..count {
            let (seen, result) = search(plan, seed);
            let (pass, fail) = (result.pass.unwrap_or(0.0), result.fail.unwrap_or(f64::INFINITY));
            inside += u64::from(pass <= limit && limit <= fail);
            above += u64::from(pass > limit);
            below += u64::from(fail < limit);
            settled += u64::from(result.settled);
            probes += seen.len();
            width += (fail / pass - 1.0) / count as f64;
        }
        let share = inside as f64 / count as f64;
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
                format!("{:.1} %", share * 100.0),
                format!("{above} / {below}"),
                format!("{:.0} %", settled as f64 / count as f64 * 100.0),
                format!("{:.1} %", width * 100.0),
                format!("{:.1}", probes as f64 / count as f64),
            ],
            verdict: Holds::of(share >= 0.95),
        });
    }
    Table {
        columns: vec![
            "objective",
            "known limit",
            "requests of a launch",
            "searches",
            "limit inside",
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
