//! A record of searches with a known truth: a variant in order, one whose limit is close, one that
//! cannot run large batches, one that is too slow, one that was never launched.

use indexmap::IndexMap;
use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;
use serde_json::json;

use super::fixture_tensor::record as tensor;
use crate::measure::search::{Answer, Bound, looks, next};
use crate::measure::{Observed, Timeline};
use crate::record::{Failure, Launch, Outcome, Probe, Record, Search, SearchEnd, Verdict};

const BOUND: Bound = Bound { quantile: 0.99, seconds: 0.050 };
const CONFIDENCE: f64 = 0.95;
const MAX: u32 = 64;

/// How long one request of this size takes at most; `None` where it cannot run.
type Server = fn(u32) -> Option<f64>;

fn observed(rng: &mut Pcg64Mcg, batch: u32, slowest: f64, requests: usize) -> Observed {
    let mut sent = 20_000_000;
    let mut request = |warmup: bool| {
        let done = sent + (slowest * (1.0 - 0.04 * rng.random::<f64>()) * 1e9) as u64;
        let timeline = Timeline {
            sent,
            tokens: vec![done],
            prompt_tokens: None,
            batch,
            warmup,
            ..Timeline::default()
        };
        sent = done + 100_000;
        timeline
    };
    let first_call = request(false);
    let mut all = vec![request(true)];
    all.extend((0..requests).map(|_| request(false)));
    Observed {
        load: 12_000_000,
        first_call,
        requests: all,
        peak_memory: Some(60_000_000),
        steady_memory: None,
        cpu_time: None,
        ..Observed::default()
    }
}

fn launch(block: usize, outcome: Outcome) -> Launch {
    let started = block as u64 * 1_000_000_000;
    Launch {
        block: block as u32,
        position: 0,
        pid: Some(7000),
        started,
        wall: 900_000_000,
        outcome,
        conditions: None,
        residence: None,
        settling: None,
    }
}

fn probe(rng: &mut Pcg64Mcg, batch: u32, server: Server, launched: &mut usize) -> Probe {
    let mut probe = Probe { batch, launches: Vec::new(), disturbed: Vec::new(), cut_short: None };
    let (mut made, mut looks) = (0, looks(BOUND, CONFIDENCE).into_iter());
    while probe.answer("latency", BOUND, CONFIDENCE) == Answer::Undecided {
        let outcome = if let Some(slowest) = server(batch) {
            let Some(look) = looks.next() else { break };
            let requests = look - made;
            made = look;
            Outcome::Measured(observed(rng, batch, slowest, requests))
        } else {
            let detail = "more than 4 GiB of private memory".to_owned();
            let verdict = Verdict::OutOfMemory;
            Outcome::Failed(Failure { verdict, detail, log_tail: String::new() })
        };
        probe.launches.push(launch(*launched, outcome));
        *launched += 1;
    }
    probe
}

fn search(variant: &str, seed: u128, server: Server) -> Search {
    let mut rng = Pcg64Mcg::new(seed);
    let mut search = Search {
        variant: variant.into(),
        axes: IndexMap::from([("height".to_owned(), json!(224)), ("threads".to_owned(), json!(2))]),
        metric: "latency".into(),
        bound: BOUND,
        max: MAX,
        confidence: CONFIDENCE,
        probes: Vec::new(),
        end: Some(SearchEnd::Complete),
        unsearched: None,
    };
    let mut launched = 0;
    while let Some(batch) = next(MAX, &search.answers()) {
        let probe = probe(&mut rng, batch, server, &mut launched);
        search.probes.push(probe);
    }
    search
}

/// Linear but for batch 8, which hits slow kernels.
fn fp32(batch: u32) -> f64 {
    if batch == 8 { 0.048 } else { 0.002 + 0.0043 * f64::from(batch) }
}

/// [`super::fixture_tensor::record`] with searches.
pub fn record() -> Record {
    let mut late = search("late", 9, |batch| Some(0.030 + 0.010 * f64::from(batch)));
    late.probes.truncate(1);
    late.end = Some(SearchEnd::Budget);
    let never = Search {
        probes: Vec::new(),
        end: None,
        unsearched: Some("the variant failed: `expect` does not hold".into()),
        ..search("never", 1, |_| None)
    };
    let searches = vec![
        search("fp32", 1, |batch| Some(fp32(batch))),
        search("int8", 2, |batch| Some(0.001 + 0.0025 * f64::from(batch))),
        search("small", 3, |batch| (batch <= 8).then_some(0.001 * f64::from(batch))),
        search("quick", 4, |_| Some(0.001)),
        search("slow", 5, |batch| Some(0.051 * f64::from(batch))),
        late,
        never,
    ];
    Record { searches, ..tensor() }
}
