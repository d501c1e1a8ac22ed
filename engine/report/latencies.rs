//! Quantiles of the samples of a cell, launch by launch.

use super::evidence::samples;
use super::view::{QuantileSheet, Reading};
use crate::measure::clustered::{Lacking, Launches};
use crate::measure::harrell_davis::{self, harrell_davis};
use crate::measure::modes::modes;
use crate::measure::quantile::median;
use crate::measure::{Estimate, Method};
use crate::record::Cell;

/// Metrics that have one sample per request or per token, so that quantiles mean something.
const SAMPLED: &[&str] = &["ttft", "itl", "e2e", "latency"];
const QUANTILES: &[f64] = &[0.5, 0.9, 0.99];

/// Quantiles of `metric`, the largest sample and the number of samples; nothing for metrics with
/// one value per launch.
pub fn of(cell: &Cell, metric: &str, level: f64) -> (Vec<QuantileSheet>, Option<f64>, usize) {
    if !SAMPLED.contains(&metric) {
        return (Vec::new(), None, 0);
    }
    let launches = samples(cell, metric);
    let all = launches.iter().map(Vec::len).sum();
    (sheets(&launches, level), launches.iter().flatten().copied().reduce(f64::max), all)
}

/// Quantiles of the samples of launches; none without samples.
pub(super) fn sheets(launches: &[Vec<f64>], level: f64) -> Vec<QuantileSheet> {
    if launches.iter().all(Vec::is_empty) {
        return Vec::new();
    }
    let ready = Launches::of(launches);
    QUANTILES.iter().map(|q| sheet(launches, ready.as_ref(), *q, level)).collect()
}

fn sheet(launches: &[Vec<f64>], ready: Option<&Launches<'_>>, q: f64, level: f64) -> QuantileSheet {
    let Some(found) = ready.and_then(|ready| ready.quantile(q, level)) else {
        let reading = Reading::Unmeasured("no samples".into());
        return QuantileSheet { q, reading, effective: 0.0, grade: None, harrell_davis: None };
    };
    let reading = match found.bounds {
        Ok((low, high)) => Reading::Known(Estimate {
            point: found.point,
            // No time is below 0, whatever Student's t says of few launches.
            low: low.max(0.0),
            high,
            level,
            n: units(found.method, launches, found.effective),
            method: found.method,
        }),
        Err(Lacking::Samples(need)) => Reading::Unmeasured(format!("need {need}")),
        Err(Lacking::Launches(need)) => Reading::Unmeasured(format!("need {need} launches")),
    };
    let middle = q == 0.5 && found.effective >= harrell_davis::LEAST as f64;
    let one_top = || {
        let each: Vec<f64> = launches.iter().filter_map(|launch| median(launch)).collect();
        modes(&each).is_none()
    };
    QuantileSheet {
        q,
        grade: reading.known().map(|_| found.grade),
        effective: found.effective,
        harrell_davis: if middle && one_top() {
            harrell_davis(&launches.concat(), q)
        } else {
            None
        },
        reading,
    }
}

/// Launches where they are the units, else samples that are worth counting.
fn units(method: Method, launches: &[Vec<f64>], effective: f64) -> u32 {
    match method {
        Method::OrderStatistic => effective as u32,
        _ => u32::try_from(launches.iter().filter(|l| !l.is_empty()).count()).unwrap_or(u32::MAX),
    }
}
