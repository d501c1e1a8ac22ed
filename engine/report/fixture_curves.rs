//! Long runs, and launches that never settle or slow down: what is drawn over time.

use super::fixture;
use crate::measure::slo::Slo;
use crate::record::{Failure, Outcome, RateSearch, Reading, Record, Schedule, Soak, Verdict};

pub const MIB: f64 = 1024.0 * 1024.0;
const MS: u64 = 1_000_000;

/// Between 0 and 1, and looks like noise.
fn noise(i: u64) -> f64 {
    (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24)
}

/// An hour of readings; memory grows by `slope` MiB an hour under what is taken and given back, and
/// the rate drops to `later` in the middle.
pub fn soak(variant: &str, slope: f64, later: f64) -> Soak {
    let reading = |second: u64| {
        let hours = second as f64 / 3600.0;
        let rate = if second < 1800 { 1.0 } else { later };
        let held = if second % 9 < 3 { 0.0 } else { 6.0 * noise(second) };
        Reading {
            at: second * 1_000_000_000,
            requests: 20,
            busy: (9e8 / rate * (1.0 + 0.04 * noise(second + 7))) as u64,
            resident: Some(((400.0 + slope * hours + held) * MIB) as u64),
            proportional: None,
            descriptors: Some(12),
            ..Reading::default()
        }
    };
    Soak {
        variant: variant.into(),
        axes: fixture::axes(128),
        artifact: Some(fixture::digest(variant)),
        duration: 3600 * 1_000_000_000,
        schedule: None,
        unmeasured: None,
        failure: None,
        conditions: None,
        readings: (1..=3600).map(reading).collect(),
    }
}

/// One that is steady, one that leaks and slows down, and one that died.
pub fn soaked() -> Record {
    let failure = Failure {
        verdict: Verdict::OutOfMemory,
        detail: "went beyond the memory limit".into(),
        log_tail: String::new(),
    };
    let dead = Soak { failure: Some(failure), readings: Vec::new(), ..soak("q4", 0.0, 1.0) };
    let soaks = vec![soak("fp32", 0.0, 1.0), soak("q8", 30.0, 0.8), dead];
    Record { soaks, ..fixture::record() }
}

/// The soak of q8 at 80 % of 25 requests per second, which were found under a bound of 45 ms: half
/// of them take about 40 ms and half about 50 ms, and two in a hundred are sent `late` milliseconds
/// late.
pub fn loaded(late: u64, saturated: Option<u32>) -> Record {
    let search = RateSearch {
        variant: "q8".into(),
        axes: fixture::axes(128),
        slo: Slo { share: 0.99, latency: Some(0.045), ttft: None, tpot: None },
        requests: 100,
        confidence: 0.95,
        probes: Vec::new(),
        end: None,
        unsearched: None,
    };
    let mut soak = soak("q8", 0.0, 1.0);
    let planned = 72_000;
    soak.schedule = Some(Schedule { rate: 20.0, largest: Some(25.0), planned, saturated });
    for (i, reading) in (0..).zip(&mut soak.readings) {
        let latency = |k: u64| {
            (if k.is_multiple_of(2) { 40 } else { 50 }) * MS + (4e5 * noise(20 * i + k)) as u64
        };
        reading.latencies = (0..20).map(latency).collect();
        reading.delays = vec![10_000; 20];
        if i % 2 == 0 {
            reading.delays[0] = late * MS + 10_000;
        }
    }
    Record { soaks: vec![soak], rates: vec![search], ..fixture::record() }
}

/// The first two cells with forty requests a launch. Of fp32 two launches become slower late and
/// one keeps getting slower; of q8 one slows down early; the others are flat.
pub fn unsettled() -> Record {
    let mut record = fixture::record();
    let factor = |cell: usize, launch: usize, request: u64| match (cell, launch) {
        (0, 2 | 5) if request >= 33 => 1.3,
        (0, 4) => 1.0 + 0.012 * request as f64,
        (1, 3) if request >= 9 => 1.2,
        _ => 1.0,
    };
    for (c, cell) in record.cells.iter_mut().take(2).enumerate() {
        for (l, launch) in cell.launches.iter_mut().enumerate() {
            let Outcome::Measured(seen) = &mut launch.outcome else { continue };
            let plain = seen.requests[1].clone();
            let request = |k: u64| {
                let stretch = factor(c, l, k) * (1.0 + 0.02 * noise(1000 * l as u64 + k));
                let mut request = plain.clone();
                let at = |token: u64| plain.sent + ((token - plain.sent) as f64 * stretch) as u64;
                request.tokens = plain.tokens.iter().map(|token| at(*token)).collect();
                request.warmup = k == 0;
                request
            };
            seen.requests = (0..40).map(request).collect();
        }
    }
    record
}
