//! The load generator against queueing theory: waits, stalls and arrivals with a known truth.
//!
//! What runs here is the code that measures, on a virtual clock and a simulated server. One server
//! with exponential gaps and times of service (M/M/1) has exponential sojourn times, one with equal
//! times of service (M/D/1) a known mean wait (Pollaczek–Khinchine).

use std::convert::Infallible;

use super::draws::Draws;
use super::repeat::{Rate, mean, percent, repeat};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::estimate::{mean_t, normal_cdf};
use crate::measure::load::{self, Invalid};
use crate::measure::quantile::quantile;
use crate::measure::{Estimate, Observed, Sending, Timeline};
use crate::scenario::{
    Arrivals, Clock, OpenRules, Patience, Server, Timetable, Virtual, open_loop, schedule,
};

pub static QUEUEING: Proof = Proof {
    id: "load_queueing",
    claim: "Latencies, queue waits and numbers in the server are those of queueing theory.",
    method: "Sessions of 10 batches on a simulated server, after an uncounted first batch; Student t over the batches. The truth lies in the 95 % interval in at least 93 % of sessions. Ten long batches and not twenty short ones: the quantile of a batch is biased by one over its length, its spread by the root of that alone, so that short batches make narrow intervals around a wrong value.",
    run: queueing,
};

pub static OMISSION: Proof = Proof {
    id: "load_coordinated_omission",
    claim: "A stall of the server is in the latencies of all requests that it kept waiting; a stall of the generator makes the launch invalid.",
    method: "2 000 arrivals every 10 ms, service 1 ms, one stall of 500 ms: request k after it takes 501 − 9k ms, so p99 is 321.09 ms. Negative control: counted from the instant of sending, p99 must be under a tenth of that.",
    run: omission,
};

pub static ARRIVALS: Proof = Proof {
    id: "load_arrivals",
    claim: "Arrivals are a Poisson process, the same one for every variant and rate.",
    method: "Gaps of many seeds against the exponential law (Kolmogorov–Smirnov) and counts in windows of 10 gaps against their mean (dispersion); at most 1 % of seeds have p ≤ 0.001. Unit gaps of a seed are compared with frozen ones bit by bit (the last bit aside, which is the mathematical library's); instants of a rate times the rate must give them back to a nanosecond.",
    run: arrivals,
};

/// Seconds of service, on average.
const SERVICE: f64 = 1e-3;

/// Batches of a session that count.
const BATCHES: usize = 10;

/// A server whose times of service, in seconds, come from a rule.
pub(super) struct Simulated<'a> {
    pub clock: &'a Virtual,
    pub time: Box<dyn FnMut() -> f64 + 'a>,
}

impl Server<Infallible> for Simulated<'_> {
    fn serve(&mut self) -> Result<Timeline, Infallible> {
        let sent = self.clock.now();
        self.clock.spend(((self.time)() * 1e9).round() as u64);
        Ok(Timeline { sent, tokens: vec![self.clock.now()], batch: 1, ..Timeline::default() })
    }
}

/// Exponential times of service with this mean.
pub(super) fn exponential<'a>(mean: f64, mut draws: Draws) -> Box<dyn FnMut() -> f64 + 'a> {
    Box::new(move || mean * draws.exponential())
}

/// What a launch reports of these requests.
pub(super) fn observed((requests, sending): (Vec<Timeline>, Sending)) -> Observed {
    Observed { requests, sending: Some(sending), ..Observed::default() }
}

/// Nobody is given up.
const PATIENT: Patience = Patience { after: u64::MAX, window: u64::MAX, step: u64::MAX };

/// `BATCHES` batches of `size` requests that count at utilisation `load`.
fn session(load: f64, size: usize, seed: u64, constant: bool) -> Observed {
    let clock = Virtual::default();
    // Loads must not share their chances: a rare session would count for all of them.
    let study = (load * 10.0).round() as u64;
    let gaps = Arrivals::Poisson.unit_gaps(study * 1_000_000 + seed, size * (BATCHES + 1));
    let instants = schedule(&gaps, load / SERVICE, 0);
    let time: Box<dyn FnMut() -> f64> = match constant {
        true => Box::new(|| SERVICE),
        false => exponential(SERVICE, Draws::new(9_100 + study, seed)),
    };
    let mut server = Simulated { clock: &clock, time };
    let rules = OpenRules { early: size as u32, patience: PATIENT };
    let mut queue = Timetable::new(&instants, &clock);
    let Ok(out) = open_loop(&mut server, &mut queue, rules, &clock);
    observed(out)
}

/// An interval over batches of `values`.
fn over_batches(values: &[f64], of: impl Fn(&[f64]) -> Option<f64>) -> Option<Estimate> {
    let batches: Option<Vec<f64>> = values.chunks(values.len() / BATCHES).map(of).collect();
    mean_t(&batches?, 0.95)
}

/// Mean number of requests between their scheduled instant and their end, over each of the windows
/// that batches of arrivals fill.
fn in_system(observed: &Observed) -> Option<Estimate> {
    let spans: Option<Vec<(u64, u64)>> =
        observed.requests.iter().map(|t| Some((t.scheduled?, *t.tokens.last()?))).collect();
    let spans = spans?;
    let size = spans.len() / (BATCHES + 1);
    let window = |batch: usize| {
        let begin = spans[batch * size].0;
        let end = spans.get((batch + 1) * size).map_or(spans[spans.len() - 1].0, |next| next.0);
        // First come, first served: both ends of the spans are in order.
        let from = spans.partition_point(|(_, done)| *done <= begin);
        let to = spans.partition_point(|(come, _)| *come < end);
        let inside = spans[from..to].iter().map(|(a, b)| b.min(&end) - a.max(&begin));
        inside.sum::<u64>() as f64 / (end - begin) as f64
    };
    let windows: Vec<f64> = (1..=BATCHES).map(window).collect();
    mean_t(&windows, 0.95)
}

/// Whether the intervals of one session hold what queueing theory says: `quantiles` of the sojourn
/// time, the number in the server, and the waits at exponential and at equal times of service.
fn covered(load: f64, size: usize, seed: u64, quantiles: &[f64]) -> Vec<bool> {
    let random = session(load, size, seed, false);
    let sojourns = load::latencies(&random);
    let mean_of = |values: &[f64]| over_batches(values, |batch| Some(mean(batch.iter().copied())));
    let mut found: Vec<(Option<Estimate>, f64)> = quantiles
        .iter()
        .map(|&q| {
            let of = |batch: &[f64]| quantile(batch, q, 0.95).map(|found| found.point);
            (over_batches(&sojourns, of), -(1.0 - q).ln() * SERVICE / (1.0 - load))
        })
        .collect();
    let wait = load * SERVICE / (1.0 - load);
    found.push((in_system(&random), load / (1.0 - load)));
    found.push((mean_of(&load::queue_waits(&random)), wait));
    let equal = session(load, size, seed, true);
    found.push((mean_of(&load::queue_waits(&equal)), wait / 2.0));
    let holds = |(interval, truth): (Option<Estimate>, f64)| {
        interval.is_some_and(|i| i.low <= truth && truth <= i.high)
    };
    found.into_iter().map(holds).collect()
}

/// Share of sessions whose interval must hold the truth.
const LEAST_COVERED: f64 = 0.93;

fn queueing(effort: Effort) -> Table {
    let plans: &[(f64, usize, u64)] = match effort {
        Effort::Quick => &[(0.3, 600, 40)],
        Effort::Full => &[(0.3, 8_000, 1000), (0.5, 12_000, 1000), (0.8, 80_000, 1000)],
    };
    let quantiles: &[f64] = match effort {
        Effort::Quick => &[0.5, 0.9],
        Effort::Full => &[0.5, 0.9, 0.99],
    };
    let mut rows = Vec::new();
    for &(load, size, sessions) in plans {
        let found = repeat(sessions, |seed| covered(load, size, seed, quantiles));
        let names =
            quantiles.iter().map(|q| format!("M/M/1: p{:.0} of the latency", q * 100.0)).chain([
                "M/M/1: mean number in the server (Little)".to_owned(),
                "M/M/1: mean wait in the queue".to_owned(),
                "M/D/1: mean wait in the queue".to_owned(),
            ]);
        for (at, name) in names.enumerate() {
            let covered = Rate::of(found.iter().map(|session| session[at]));
            rows.push(Row {
                cells: vec![
                    name,
                    format!("{:.0} %", load * 100.0),
                    format!("{}", size * BATCHES),
                    sessions.to_string(),
                    covered.text(),
                    percent(LEAST_COVERED),
                ],
                verdict: Holds::of(covered.reaches(LEAST_COVERED, effort)),
            });
        }
    }
    Table {
        columns: vec!["truth", "utilisation", "requests", "sessions", "covered", "bar"],
        rows,
        remarks: Vec::new(),
    }
}

/// 2 000 arrivals, one every 10 ms.
fn even(server_stalls: bool, generator_stall: Option<(u64, u64)>) -> Observed {
    let clock = Virtual::default();
    let instants = schedule(&Arrivals::Constant.unit_gaps(0, 2000), 100.0, 0);
    let mut served = 0;
    let time = move || {
        served += 1;
        if server_stalls && served == 1000 { 0.500 + SERVICE } else { SERVICE }
    };
    let mut server = Simulated { clock: &clock, time: Box::new(time) };
    let queue = Timetable::new(&instants, &clock);
    let mut queue = match generator_stall {
        Some((begin, end)) => queue.with_stall(begin, end),
        None => queue,
    };
    let rules = OpenRules { early: 0, patience: PATIENT };
    let Ok(out) = open_loop(&mut server, &mut queue, rules, &clock);
    observed(out)
}

fn omission(_: Effort) -> Table {
    const TRUTH: f64 = 0.321_09;
    let p99 = |values: &[f64]| quantile(values, 0.99, 0.95).map_or(f64::NAN, |q| q.point);
    let shown = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
    let row = |what: &str, found: String, expected: &str, kept: bool| Row {
        cells: vec![what.to_owned(), found, expected.to_owned()],
        verdict: Holds::of(kept),
    };
    let stalled = even(true, None);
    let scheduled = p99(&load::latencies(&stalled));
    let sent = p99(&load::service_times(&stalled));
    let late = load::check(&even(false, Some((10_000_000_000, 10_500_000_000))));
    let words =
        |found: &Result<(), Invalid>| found.map_or_else(|why| why.to_string(), |()| "valid".into());
    let quiet = load::check(&even(false, None));
    let kept = load::check(&stalled);
    Table {
        columns: vec!["what", "found", "expected"],
        rows: vec![
            row(
                "server stalls: p99 from the scheduled instant",
                shown(scheduled),
                "321.09 ms",
                (scheduled - TRUTH).abs() < 1e-9,
            ),
            row(
                "server stalls: p99 from the instant of sending",
                shown(sent),
                "under 32 ms: wrong",
                sent < 0.1 * TRUTH,
            ),
            row("server stalls: the launch", words(&kept), "valid", kept.is_ok()),
            row(
                "generator stalls: the launch",
                words(&late),
                "invalid: late",
                matches!(late, Err(Invalid::Late { .. })),
            ),
            row("nothing stalls: the launch", words(&quiet), "valid", quiet.is_ok()),
        ],
        remarks: Vec::new(),
    }
}

/// Kolmogorov's limiting probability of a distance as large as this, with Stephens' correction for
/// `n` values.
fn kolmogorov(distance: f64, n: usize) -> f64 {
    let root = (n as f64).sqrt();
    let x = (root + 0.12 + 0.11 / root) * distance;
    let term = |k: i32| f64::from(k).powi(2) * -2.0 * x * x;
    let sum: f64 = (1..=100).map(|k| if k % 2 == 1 { term(k).exp() } else { -term(k).exp() }).sum();
    (2.0 * sum).clamp(0.0, 1.0)
}

/// p of the exponential law with mean 1.
fn exponential_p(gaps: &[f64]) -> f64 {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = gaps.len() as f64;
    let distance = sorted.iter().enumerate().map(|(i, gap)| {
        let law = 1.0 - (-gap).exp();
        (law - i as f64 / n).abs().max(((i + 1) as f64 / n - law).abs())
    });
    kolmogorov(distance.fold(0.0, f64::max), gaps.len())
}

/// Two-sided p of counts in windows of 10 mean gaps having the variance of their mean; the sum of
/// squares is chi-squared, taken as normal by Wilson and Hilferty.
fn dispersion_p(gaps: &[f64]) -> f64 {
    const WINDOW: f64 = 10.0;
    let total: f64 = gaps.iter().sum();
    let mut counts = vec![0.0; (total / WINDOW) as usize];
    let mut at = 0.0;
    for gap in gaps {
        at += gap;
        if let Some(count) = counts.get_mut((at / WINDOW) as usize) {
            *count += 1.0;
        }
    }
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    let squares: f64 = counts.iter().map(|count| (count - mean).powi(2) / mean).sum();
    let df = (counts.len() - 1) as f64;
    let z = ((squares / df).cbrt() - (1.0 - 2.0 / (9.0 * df))) / (2.0 / (9.0 * df)).sqrt();
    2.0 * normal_cdf(-z.abs())
}

/// The first Poisson gaps of seed 42, as bits: a seed means the same arrivals for ever.
const GOLDEN: [u64; 4] =
    [0x3ff1_cccf_bcb4_0ccb, 0x3fe8_bf53_d577_9cda, 0x3fb9_738a_c85b_66c3, 0x3fcf_8668_7fa2_95c7];

/// The p-value of a law for these gaps.
type PValue = fn(&[f64]) -> f64;

fn arrivals(effort: Effort) -> Table {
    let (seeds, count) = match effort {
        Effort::Quick => (30, 1000),
        Effort::Full => (1000, 10_000),
    };
    let gaps = |seed| Arrivals::Poisson.unit_gaps(seed, count);
    let mut rows = Vec::new();
    let tests: [(&str, PValue); 2] = [
        ("gaps against the exponential law", exponential_p),
        ("counts against their mean", dispersion_p),
    ];
    for (name, p) in tests {
        let found = repeat(seeds, |seed| p(&gaps(seed)));
        let low = found.iter().filter(|p| **p <= 0.001).count();
        let least = found.iter().copied().fold(1.0, f64::min);
        rows.push(Row {
            cells: vec![
                name.to_owned(),
                format!("{seeds} seeds, {low} with p ≤ 0.001, smallest p {least:.4}"),
            ],
            verdict: Holds::of(low as f64 <= 0.01 * seeds as f64),
        });
    }
    let bursts = dispersion_p(&smooth(count));
    rows.push(Row {
        cells: vec!["negative control: equal gaps".into(), format!("p = {bursts:.1e}")],
        verdict: Holds::of(bursts <= 0.001),
    });
    // A logarithm may be off by its last bit in another mathematical library.
    let same = gaps(42).iter().zip(GOLDEN).all(|(gap, bits)| gap.to_bits().abs_diff(bits) <= 1);
    let rates = [0.5, 3.7, 41.0, 770.0];
    let given_back = rates.iter().all(|rate| {
        let unit = gaps(7);
        let mut sum = 0.0;
        schedule(&unit, *rate, 0).iter().zip(&unit).all(|(at, gap)| {
            sum += gap;
            (*at as f64 - sum / rate * 1e9).abs() <= 1.0
        })
    });
    rows.push(Row {
        cells: vec![
            "unit gaps of a seed".into(),
            format!(
                "those frozen for seed 42: {same}; given back by rates {rates:?}: {given_back}"
            ),
        ],
        verdict: Holds::of(same && given_back),
    });
    Table { columns: vec!["what", "found"], rows, remarks: Vec::new() }
}

fn smooth(count: usize) -> Vec<f64> {
    Arrivals::Constant.unit_gaps(0, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_laws_reject_what_is_not_of_them() {
        let uniform: Vec<f64> = (0..1000).map(|i| f64::from(i) / 500.0).collect();
        assert!(exponential_p(&uniform) < 1e-6);
        // Tabled: a distance of 1.3581/√n is exceeded in 5 % of large samples.
        assert!((kolmogorov(1.3581 / 1000.0, 1_000_000) - 0.05).abs() < 1e-3);
    }
}
