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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::leak::Verdict as Leaks;
    use crate::measure::sustained::Verdict as Sustains;
    use crate::record::{Failure, Verdict};
    use crate::report::{Options, build, export, fixture};

    const MIB: f64 = 1024.0 * 1024.0;

    /// An hour of readings; memory grows by `slope` MiB an hour, and the rate drops to `later` in
    /// the middle.
    fn soak(variant: &str, slope: f64, later: f64) -> Soak {
        let reading = |second: u64| {
            let hours = second as f64 / 3600.0;
            let rate = if second < 1800 { 1.0 } else { later };
            let memory = (400.0 + slope * hours) * MIB;
            Seen {
                at: second * 1_000_000_000,
                requests: 20,
                busy: (9e8 / rate) as u64 + second * 7 % 11 * 100_000,
                resident: Some(memory as u64),
                proportional: None,
                descriptors: Some(12),
            }
        };
        Soak {
            variant: variant.into(),
            axes: fixture::axes(128),
            artifact: Some(fixture::digest(variant)),
            duration: 3600 * 1_000_000_000,
            unmeasured: None,
            failure: None,
            readings: (1..=3600).map(reading).collect(),
        }
    }

    fn record() -> Record {
        let failure = Failure {
            verdict: Verdict::OutOfMemory,
            detail: "went beyond the memory limit".into(),
            log_tail: String::new(),
        };
        let dead = Soak { failure: Some(failure), readings: Vec::new(), ..soak("q4", 0.0, 1.0) };
        let soaks = vec![soak("fp32", 0.0, 1.0), soak("q8", 30.0, 0.8), dead];
        Record { soaks, ..fixture::record() }
    }

    #[test]
    fn a_leak_and_a_falling_rate_are_told_and_a_steady_run_is_clean() {
        let records = [record()];
        let report = build(&records);
        let study = &report.studies[0];
        let verdicts =
            |i: usize| study.soaks[i].held.iter().map(|row| row.verdict).collect::<Vec<_>>();
        assert_eq!(verdicts(0), [Some(Leaks::Clean), None, Some(Leaks::Clean)]);
        assert_eq!(verdicts(1), [Some(Leaks::Leak), None, Some(Leaks::Clean)]);
        assert_eq!(verdicts(2), [None, None, None]);
        assert_eq!(study.soaks[0].sustained, Some(Sustains::Sustained));
        assert_eq!(study.soaks[1].sustained, Some(Sustains::Throttled));
        let [change] = study.soaks[1].changes.as_slice() else { panic!("one change") };
        assert!((change - 1800.0).abs() < 120.0, "{change}");
        let growth = study.soaks[1].held[0].growth.known().unwrap();
        assert!((growth.point / (720.0 * MIB) - 1.0).abs() < 0.01, "{growth:?}");
        let alarms: Vec<_> = study.alarms.iter().map(|alarm| alarm.text.as_str()).collect();
        assert!(alarms.contains(&"Variant q8 leaks: its resident memory keeps growing."));
        assert!(alarms.iter().any(|text| text.contains("q8 does not hold its throughput")));
        assert!(!alarms.iter().any(|text| text.contains("fp32")), "{alarms:?}");
    }

    #[test]
    fn every_format_tells_of_them_and_of_deaths() {
        let records = [record()];
        let report = build(&records);
        let markdown = export(&report, "markdown", &Options::default()).unwrap();
        let told = markdown.split("## Long runs").nth(1).expect("a section");
        assert!(told.contains("out of memory: went beyond the memory limit"), "{told}");
        assert!(told.contains("720\u{a0}MiB") && told.contains("**leak**"), "{told}");
        let html = export(&report, "html", &Options::default()).unwrap();
        assert!(html.contains("<section id=\"soaks\">") && html.contains("sustained"));
        let json = export(&report, "json", &Options::default()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["studies"][0]["soaks"][1]["held"][0]["verdict"], "leak");
        let without = serde_json::to_value(fixture::record()).unwrap();
        assert!(without.get("soaks").is_none(), "what is not there takes no room");
    }
}
