//! Long runs read: whether something leaks, and whether throughput holds.

use super::latencies;
use super::settings;
use super::view::{HeldRow, Reading, SoakCurves, SoakLoad, SoakSheet};
use crate::machine::watch::{Finding, Level, Readings, Usual, judge};
use crate::measure::leak::{self, DESCRIPTORS, LEVEL, MEMORY, Matters};
use crate::measure::load::{Invalid, allowed_delay};
use crate::measure::quantile::{median, quantile};
use crate::measure::sustained::sustained;
use crate::measure::trend::theil_sen;
use crate::measure::{Estimate, Method};
use crate::record::{Reading as Seen, Record, Schedule, Soak};

pub fn sheets(record: &Record, confidence: f64) -> Vec<SoakSheet> {
    record.soaks.iter().map(|soak| sheet(record, soak, confidence)).collect()
}

type Held = fn(&Seen) -> Option<u64>;

fn sheet(record: &Record, soak: &Soak, confidence: f64) -> SoakSheet {
    let died = soak.failure.as_ref().map(|f| format!("{}: {}", f.verdict.label(), f.detail));
    let saturated = soak.schedule.as_ref().and_then(|schedule| schedule.saturated);
    let trouble = died.or(saturated.map(|waiting| Invalid::Saturated { waiting }.to_string()));
    let watched: [(&'static str, Held, Matters); 3] = [
        ("resident memory", |seen| seen.resident, MEMORY),
        ("proportional memory", |seen| seen.proportional, MEMORY),
        ("descriptors", |seen| seen.descriptors, DESCRIPTORS),
    ];
    let rated: Vec<(f64, f64)> =
        soak.readings.iter().filter_map(|seen| Some((second(seen), rate(seen)?))).collect();
    let rates: Vec<f64> = rated.iter().map(|(_, rate)| *rate).collect();
    let found = sustained(&rates, confidence);
    let batches = found.as_ref().map_or(1, |found| found.means.len());
    let at = |batch: usize| {
        // Batches begin after the first tenth and share the rest.
        let from = rated.len() / 10;
        let index = from + batch * (rated.len() - from) / batches;
        rated.get(index).map_or(0.0, |(second, _)| *second)
    };
    let gap = || match soak.unmeasured.as_ref().or(trouble.as_ref()) {
        Some(why) => Reading::Unmeasured(why.clone()),
        None => Reading::Unmeasured(format!("only {} readings", rates.len())),
    };
    SoakSheet {
        variant: soak.variant.clone(),
        place: settings::told(&soak.axes),
        seconds: soak.readings.last().map_or(0.0, second),
        requests: soak.readings.iter().map(|seen| u64::from(seen.requests)).sum(),
        held: watched
            .into_iter()
            .filter(|_| soak.unmeasured.is_none())
            .map(|(what, held, matters)| row(soak, what, held, matters))
            .collect(),
        sustained: found.as_ref().map(|found| found.verdict),
        changes: found.as_ref().map_or_else(Vec::new, |found| {
            found.changes.iter().map(|change| at(change.at)).collect()
        }),
        curves: SoakCurves {
            levels: found.as_ref().map_or_else(Vec::new, |found| {
                found.means.iter().enumerate().map(|(i, mean)| (at(i), *mean)).collect()
            }),
            rates: rated,
            ..curves(soak)
        },
        load: soak.schedule.as_ref().map(|schedule| load(record, soak, schedule, confidence)),
        ratio: found.map_or_else(gap, |found| Reading::Known(found.ratio)),
        skipped: soak.unmeasured.clone(),
        trouble,
        met: soak.conditions.as_ref().and_then(worst),
    }
}

/// What was furthest beyond its threshold, of what leaves blocks out before what only warns. There
/// are no earlier windows to compare with.
fn worst(readings: &Readings) -> Option<String> {
    let excess = |finding: &Finding| {
        let gauge = finding.signal.gauge();
        let threshold = match finding.level {
            Level::Invalidate => gauge.invalidate,
            Level::Warn => gauge.warn,
        };
        finding.value / threshold.filter(|most| *most > 0.0).unwrap_or(1.0)
    };
    let found = judge(readings, &Usual::default());
    let by = |a: &Finding, b: &Finding| a.level.cmp(&b.level).then(excess(a).total_cmp(&excess(b)));
    found.into_iter().max_by(by).map(|finding| finding.detail)
}

fn second(seen: &Seen) -> f64 {
    seen.at as f64 / 1e9
}

/// Memory and latencies over time.
fn curves(soak: &Soak) -> SoakCurves {
    let resident = held_over_time(soak, |seen| seen.resident);
    let envelope = leak::lower_envelope(&resident);
    let slope = theil_sen(&envelope, LEVEL, 1.0);
    let on_line = |at: f64| slope.map(|slope| (at, slope.intercept + slope.point * at));
    let ends = envelope.first().zip(envelope.last());
    let line = ends.and_then(|(first, last)| Some([on_line(first.0)?, on_line(last.0)?]));
    let latencies = soak.readings.iter().filter_map(|seen| {
        let times: Vec<f64> = seen.latencies.iter().map(|nanos| *nanos as f64 / 1e9).collect();
        Some((second(seen), median(&times)?, times.iter().copied().reduce(f64::max)?))
    });
    SoakCurves { latencies: latencies.collect(), resident, envelope, line, ..SoakCurves::default() }
}

fn held_over_time(soak: &Soak, held: Held) -> Vec<(f64, f64)> {
    soak.readings.iter().filter_map(|seen| Some((second(seen), held(seen)? as f64))).collect()
}

fn load(record: &Record, soak: &Soak, schedule: &Schedule, confidence: f64) -> SoakLoad {
    let seconds = |nanos: &u64| *nanos as f64 / 1e9;
    let of = |readings: &[Seen]| -> Vec<f64> {
        readings.iter().flat_map(|seen| seen.latencies.iter().map(seconds)).collect()
    };
    let latencies = of(&soak.readings);
    let warm = &soak.readings[soak.readings.len() / 10..];
    let third = warm.len() / 3;
    let delays: Vec<f64> =
        soak.readings.iter().flat_map(|seen| seen.delays.iter().map(seconds)).collect();
    let typical = median(&latencies);
    let search = record.rates.iter().find(|search| {
        (&search.variant, &search.axes) == (&soak.variant, &soak.axes) && schedule.largest.is_some()
    });
    let bound = search.and_then(|search| search.slo.latency).filter(|_| !latencies.is_empty());
    SoakLoad {
        rate: schedule.rate,
        largest: schedule.largest,
        planned: schedule.planned,
        thirds: median(&of(&warm[..third])).zip(median(&of(&warm[warm.len() - third..]))),
        over: bound.map(|bound| {
            let over = latencies.iter().filter(|latency| **latency > bound).count();
            (bound, over as f64 / latencies.len() as f64)
        }),
        dispatch: quantile(&delays, 0.99, confidence)
            .zip(typical)
            .map(|(late, typical)| (late.point, allowed_delay(typical))),
        latency: latencies::sheets(&[latencies], confidence),
    }
}

/// Requests per second of the time that requests took.
fn rate(seen: &Seen) -> Option<f64> {
    (seen.requests > 0 && seen.busy > 0).then(|| f64::from(seen.requests) * 1e9 / seen.busy as f64)
}

fn row(soak: &Soak, what: &'static str, held: Held, matters: Matters) -> HeldRow {
    let is_memory = what != "descriptors";
    let Some(found) = leak::leak(&held_over_time(soak, held), matters) else {
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
    use crate::report::fixture_curves::{MIB, loaded, soak, soaked};
    use crate::report::{Options, build, export, fixture};

    #[test]
    fn a_leak_and_a_falling_rate_are_told_and_a_steady_run_is_clean() {
        let records = [soaked()];
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
    fn a_soak_on_a_schedule_tells_latencies_from_their_scheduled_instants() {
        let records = [loaded(0, None)];
        let report = build(&records);
        let markdown = export(&report, "markdown", &Options::default()).unwrap();
        let told = markdown.split("## Long runs").nth(1).expect("a section");
        let told = told.replace('\u{a0}', " ");
        let row = told.lines().find(|line| line.contains("20.0/s")).expect("a row");
        for word in
            ["20.0/s, 80 % of 25.0/s", "72,000 of 72,000", "50 % over 45 ms", "45.2 ms → 45.2 ms"]
        {
            assert!(row.contains(word), "{word} in {row}");
        }
        assert!(!markdown.contains("generator was late"), "{told}");
        let html = export(&report, "html", &Options::default()).unwrap();
        assert!(html.contains("Long runs on a schedule"));
        let load = report.studies[0].soaks[0].load.as_ref().expect("on a schedule");
        let p99 = load.latency[2].reading.known().expect("enough requests").point;
        assert!((0.05..0.0505).contains(&p99), "{p99}");
    }

    #[test]
    fn late_dispatch_and_a_server_that_fell_behind_are_told() {
        let records = [loaded(3, Some(40))];
        let report = build(&records);
        let markdown = export(&report, "markdown", &Options::default()).unwrap();
        assert!(markdown.contains("the generator was late: p99 dispatch delay 3.010 ms"));
        let alarms: Vec<_> = report.studies[0].alarms.iter().map(|a| a.text.as_str()).collect();
        let told = "Variant q8 does not bear 20.0/s over a long run: saturated: requests came faster than they were served, 40 waited at the end.";
        assert!(alarms.contains(&told), "{alarms:?}");
    }

    #[test]
    fn what_was_not_tried_is_skipped_with_the_reason() {
        let why = "the search found no rate that keeps its bounds";
        let none =
            Soak { unmeasured: Some(why.into()), readings: Vec::new(), ..soak("q8", 0.0, 1.0) };
        let records = [Record { soaks: vec![none], ..fixture::record() }];
        let markdown = export(&build(&records), "markdown", &Options::default()).unwrap();
        let told = markdown.split("## Long runs").nth(1).expect("a section");
        assert!(told.contains(&format!("**skipped**; skipped: {why}")), "{told}");
    }

    #[test]
    fn what_the_machine_did_meanwhile_is_said_beside_the_verdict() {
        let told = |foreign, steal| {
            let (seconds, cores, busy) = (3600.0, 2, Some(2.0));
            let (foreign, steal) = (Some(foreign), Some(steal));
            let met = Readings { seconds, cores, busy, foreign, steal, ..Readings::default() };
            let mut record = soaked();
            record.soaks[0].conditions = Some(met);
            let records = [record];
            let report = build(&records);
            let text = export(&report, "markdown", &Options::default()).unwrap();
            assert!(report.studies[0].soaks[1].met.is_none(), "nobody watched");
            (report.studies[0].soaks[0].met.clone(), text)
        };
        let (met, text) = told(1.5, 0.0);
        let met = met.expect("others used most of the machine");
        assert!(text.contains("the machine meanwhile: ") && met.contains("other"), "{met}");
        let (met, text) = told(0.0, 0.0);
        assert!(met.is_none() && !text.contains("the machine meanwhile"));
        let (worst, _) = told(0.3, 0.9);
        assert!(worst.is_some_and(|what| !what.contains("other processes")));
    }

    #[test]
    fn every_format_tells_of_them_and_of_deaths() {
        let records = [soaked()];
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
