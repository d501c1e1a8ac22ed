//! Searches read: which batch keeps the bound, and how sure that is.

use super::format;
use super::settings;
use super::view::{ProbeRow, Reading, SearchSheet};
use crate::measure::quantile::{median, one_sided, quantile};
use crate::measure::search::{Answer, Found, found, inversion, look_level};
use crate::measure::{Estimate, Method, Unit};
use crate::record::{Disturbed, Probe, Record, Search, SearchEnd};

pub fn sheets(record: &Record, confidence: f64) -> Vec<SearchSheet> {
    record.searches.iter().map(|search| sheet(search, confidence)).collect()
}

fn sheet(search: &Search, confidence: f64) -> SearchSheet {
    let found = found(search.max, &search.answers());
    let probes: Vec<ProbeRow> = search.probes.iter().map(|probe| row(search, probe)).collect();
    let pooled = |metric: &str| -> Vec<f64> {
        let own = search.probes.iter().filter(|probe| Some(probe.batch) == found.batch);
        own.flat_map(|probe| probe.values(metric)).collect()
    };
    let read = |metric: &str, q: f64| match &search.unsearched {
        Some(why) => Reading::Unmeasured(why.clone()),
        None if found.batch.is_none() => Reading::Unmeasured("no batch keeps the bound".into()),
        None => estimate(&pooled(metric), q, confidence),
    };
    let settled = found.settled && search.end == Some(SearchEnd::Complete);
    SearchSheet {
        variant: search.variant.clone(),
        place: settings::told(&search.axes),
        metric: search.metric.clone(),
        bound: search.bound,
        max: search.max,
        batch: found.batch,
        settled,
        latency: read(&search.metric, search.bound.quantile),
        throughput: read("throughput", 0.5),
        remarks: remarks(search, &found, &probes),
        probes,
    }
}

fn row(search: &Search, probe: &Probe) -> ProbeRow {
    let values = probe.values(&search.metric);
    let q = search.bound.quantile;
    let (low, high) = one_sided(&values, q, look_level(search.confidence));
    let answer = probe.answer(&search.metric, search.bound, search.confidence);
    ProbeRow {
        batch: probe.batch,
        launches: probe.counted().count(),
        requests: values.len(),
        latency: quantile(&values, q, search.confidence).map(|found| found.point),
        low,
        high,
        throughput: median(&probe.values("throughput")),
        answer,
        detail: and_disturbances(
            &probe.disturbed,
            match (probe.failure(), &probe.cut_short) {
                (Some(failure), _) => format!("{}: {}", failure.verdict.label(), failure.detail),
                (None, Some(why)) => why.clone(),
                (None, None) if answer == Answer::Undecided => {
                    let requests = format::count(values.len() as u64);
                    format!("the bound lies within the interval of {requests} requests")
                }
                (None, None) => String::new(),
            },
        ),
    }
}

/// `detail`, and what something outside did to the launches of the probe.
pub fn and_disturbances(disturbed: &[Disturbed], detail: String) -> String {
    let told = disturbed.iter().map(|known| {
        let what = if known.left_out { "made again" } else { "kept although it was disturbed" };
        let cause = known.causes.first().map_or("", |cause| cause.finding.detail.as_str());
        format!("a launch was {what}: {cause}")
    });
    let all = (!detail.is_empty()).then_some(detail).into_iter().chain(told);
    all.collect::<Vec<_>>().join("; ")
}

fn estimate(values: &[f64], q: f64, level: f64) -> Reading<Estimate> {
    let found = quantile(values, q, level);
    match found.and_then(|found| Some((found, found.bounds?))) {
        Some((found, (low, high))) => Reading::Known(Estimate {
            point: found.point,
            low,
            high,
            level,
            n: u32::try_from(found.n).unwrap_or(u32::MAX),
            method: Method::OrderStatistic,
        }),
        None => Reading::Unmeasured(format!("need {}", found.map_or(0, |found| found.need))),
    }
}

/// The reader must know what stands above the answer, and whatever makes it less than certain.
fn remarks(search: &Search, found: &Found, probes: &[ProbeRow]) -> Vec<String> {
    if search.unsearched.is_some() {
        return Vec::new();
    }
    let mut out = Vec::new();
    match (found.batch, found.above) {
        (None, Some(1)) => out.push(above(1, probes, "already ")),
        (_, Some(size)) => out.push(above(size, probes, "")),
        (Some(size), None) if size == search.max => {
            out.push(format!("{size} is the largest that was tried: the bound may allow more"));
        }
        (_, None) => {}
    }
    let changed = found.changed.iter().map(|size| {
        format!("batch {size} kept the bound in one probe and not in another: it is near the limit")
    });
    out.extend(changed);
    let intervals: Vec<(u32, f64, f64)> =
        probes.iter().filter_map(|row| Some((row.batch, row.low?, row.high?))).collect();
    if let Some((small, large)) = inversion(&intervals) {
        out.push(format!(
            "latency does not grow with the batch: {small} is slower than {large}, so sizes between those probed may differ"
        ));
    }
    match search.end {
        Some(SearchEnd::Budget) => {
            out.push("the time allowed ran out: a larger batch may keep the bound".into());
        }
        Some(SearchEnd::Interrupted) | None => {
            out.push("interrupted: a larger batch may keep the bound".into());
        }
        Some(SearchEnd::Complete) if !found.settled => {
            out.push("the answer was not the same when it was tried again".into());
        }
        Some(SearchEnd::Complete) => {}
    }
    out
}

/// What the smallest size that was not shown to keep the bound did.
fn above(size: u32, probes: &[ProbeRow], already: &str) -> String {
    let not_kept = |row: &&ProbeRow| row.batch == size && row.answer != Answer::Keeps;
    let Some(row) = probes.iter().find(not_kept) else { return String::new() };
    match row.answer {
        Answer::Failed => format!("batch {size} {already}fails: {}", row.detail),
        Answer::Undecided => format!("batch {size} is undecided: {}", row.detail),
        _ => {
            let time = row.latency.map_or_else(String::new, |latency| {
                format!(" with {}", format::exact(latency, Unit::Seconds))
            });
            format!("batch {size} {already}breaks it{time}")
        }
    }
}
