//! Long runs read: whether something leaks, and whether throughput holds.

use super::settings;
use super::view::{HeldRow, Reading, SoakSheet};
use crate::measure::leak::{self, DESCRIPTORS, LEVEL, MEMORY, Matters};
use crate::measure::sustained::sustained;
use crate::measure::{Estimate, Method};
use crate::record::{Reading as Seen, Record, Soak};

pub fn sheets(record: &Record, confidence: f64) -> Vec<SoakSheet> {
    record.soaks.iter().map(|soak| sheet(soak, confidence)).collect()
}

type Held = fn(&Seen) -> Option<u64>;

fn sheet(soak: &Soak, confidence: f64) -> SoakSheet {
    let died = soak.failure.as_ref().map(|f| format!("{}: {}", f.verdict.label(), f.detail));
    let trouble = soak.unmeasured.clone().or(died);
    let watched: [(&'static str, Held, Matters); 3] = [
        ("resident memory", |seen| seen.resident, MEMORY),
        ("proportional memory", |seen| seen.proportional, MEMORY),
        ("descriptors", |seen| seen.descriptors, DESCRIPTORS),
    ];
    let rates: Vec<f64> = soak.readings.iter().filter_map(rate).collect();
    let times: Vec<f64> = soak.readings.iter().map(|seen| seen.at as f64 / 1e9).collect();
    let found = sustained(&rates, confidence);
    let at = |batch: usize, batches: usize| {
        // Batches begin after the first tenth and share the rest.
        let from = rates.len() / 10;
        let index = from + batch * (rates.len() - from) / batches;
        times.get(index).copied().unwrap_or(0.0)
    };
    let gap = || match &trouble {
        Some(why) => Reading::Unmeasured(why.clone()),
        None => Reading::Unmeasured(format!("only {} readings", rates.len())),
    };
    SoakSheet {
        variant: soak.variant.clone(),
        place: settings::told(&soak.axes),
        seconds: times.last().copied().unwrap_or(0.0),
        requests: soak.readings.iter().map(|seen| u64::from(seen.requests)).sum(),
        held: watched
            .into_iter()
            .filter(|_| soak.unmeasured.is_none())
            .map(|(what, held, matters)| row(soak, what, held, matters))
            .collect(),
        sustained: found.as_ref().map(|found| found.verdict),
        changes: found.as_ref().map_or_else(Vec::new, |found| {
            found.changes.iter().map(|change| at(change.at, found.batches)).collect()
        }),
        ratio: found.map_or_else(gap, |found| Reading::Known(found.ratio)),
        trouble,
    }
}

/// Requests per second of the time that requests took.
fn rate(seen: &Seen) -> Option<f64> {
    (seen.requests > 0 && seen.busy > 0).then(|| f64::from(seen.requests) * 1e9 / seen.busy as f64)
}

fn row(soak: &Soak, what: &'static str, held: Held, matters: Matters) -> HeldRow {
    let is_memory = what != "descriptors";
    let readings: Vec<(f64, f64)> = soak
        .readings
        .iter()
        .filter_map(|seen| Some((seen.at as f64 / 1e9, held(seen)? as f64)))
        .collect();
    let Some(found) = leak::leak(&readings, matters) else {
        let why = if soak.readings.is_empty() { "no readings" } else { "not readable here" };
        let growth = Reading::Unmeasured(why.to_owned());
        let (verdict, baseline, limit) = (None, None, None);
        return HeldRow { what, is_memory, verdict, baseline, growth, limit };
    };
    let growth = if found.low.is_finite() {
        Reading::Known(Estimate {
            point: found.growth,
            low: found.low,
            high: found.high,
            level: LEVEL,
            n: found.windows as u32,
            method: Method::TheilSen,
        })
    } else {
        Reading::Unmeasured(format!("readings in only {} windows", found.windows))
    };
    HeldRow {
        what,
        is_memory,
        verdict: Some(found.verdict),
        baseline: Some(found.baseline),
        growth,
        limit: Some(found.limit),
    }
}
