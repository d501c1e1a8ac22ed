//! Load scenarios on a real, tiny model: from the spec through the child process to the report.

mod support;

use std::fs;

use engine::measure::{Admission, Observed, load};
use engine::record::{Cell, Outcome, Record, Verdict};
use serde_json::json;
use support::{House, run, tiny_bench};

/// What the launches of a scenario saw, with their cells. All were measured, except that a busy
/// machine may make those on a schedule invalid, which they must say.
fn launches<'a>(record: &'a Record, scenario: &'a str) -> Vec<(&'a Cell, &'a Observed)> {
    let cells = record.cells.iter().filter(move |cell| cell.scenario == scenario);
    let measured = |cell: &'a Cell| {
        cell.launches.iter().filter_map(move |launch| match &launch.outcome {
            Outcome::Measured(observed) => Some((cell, observed)),
            Outcome::Failed(failure) => {
                assert_eq!(
                    (failure.verdict, scenario),
                    (Verdict::Invalid, "server"),
                    "{failure:?}"
                );
                assert!(failure.detail.contains("generator was late"), "{failure:?}");
                None
            }
            Outcome::Skipped { why } => panic!("{why}"),
        })
    };
    let found: Vec<_> = cells.flat_map(measured).collect();
    assert!(!found.is_empty() || scenario == "server", "nothing was measured under {scenario}");
    found
}

/// Whether a launch failed, which the exit code tells.
fn has_failed(record: &Record) -> bool {
    let again = record.conduct.iter().flat_map(|conduct| &conduct.again);
    let mut all = record.cells.iter().flat_map(|cell| &cell.launches).chain(again);
    all.any(|launch| matches!(launch.outcome, Outcome::Failed(_)))
}

#[test]
fn every_scenario_goes_from_the_spec_to_the_report() {
    let house = House::new();
    let scenarios = "  scenarios:
  - single_stream
  - {multi_stream: {samples: 2}}
  - {offline: {samples: 6}}
  - {concurrency: {users: [1, 3]}}
  - {server: {rate: [40], requests: 20, slo: {p90_latency: 30s, p90_ttft: 20s}}}
";
    let spec = tiny_bench("load", 2, "{warmup: 1, min: 4, max: 4, min_time: 0ms}")
        .replace("  design:", &format!("{scenarios}  design:"));
    let spec = house.folder.write("load.yaml", spec);
    let steps = house.plan(&spec);
    for id in ["bench/b1-p4-n4-t1", "bench/b1-p4-n4-t1-users3", "bench/b1-p4-n4-t1-rate40"] {
        assert!(steps.contains_key(id), "{id} in {:?}", steps.keys());
    }
    let ended = run(&mut house.run_command(&spec));
    assert!(ended.stdout.contains("Load"), "{}\n{}", ended.stdout, ended.stderr);
    let record = Record::read(&house.result()).unwrap();
    ended.expect(if has_failed(&record) { 3 } else { 0 });
    let scenarios: Vec<&str> = record.cells.iter().map(|cell| cell.scenario.as_str()).collect();
    let twice = |name| [name; 2];
    assert_eq!(
        scenarios,
        [
            twice("single_stream"),
            twice("multi_stream"),
            twice("offline"),
            twice("concurrency"),
            twice("concurrency"),
            twice("server"),
        ]
        .concat()
    );
    for (_, seen) in launches(&record, "single_stream") {
        assert_eq!(seen.sending, None);
    }
    for (_, seen) in launches(&record, "multi_stream") {
        assert_eq!(load::latencies(seen).len(), 4, "queries of two samples");
        assert_eq!(seen.requests.len(), 1 + 2 * (1 + 4));
    }
    for (_, seen) in launches(&record, "offline") {
        assert_eq!(seen.requests.iter().filter(|t| !t.warmup).count(), 6);
        assert!(load::throughput(seen) > Some(0.0), "{seen:?}");
    }
    for (cell, seen) in launches(&record, "concurrency") {
        let early = seen.requests.iter().filter(|t| t.warmup && t.scheduled.is_some()).count();
        assert_eq!(cell.axes["users"], json!(early), "slots are handed over once");
        for t in seen.requests.iter().filter(|t| !t.warmup) {
            assert!(t.scheduled <= t.queued && t.queued <= Some(t.sent));
        }
    }
    let mut schedules = Vec::new();
    for (cell, seen) in launches(&record, "server") {
        let bound = cell.slo.and_then(|slo| slo.latency);
        assert_eq!((&cell.axes["rate"], bound), (&json!(40.0), Some(30.0)));
        let sending = seen.sending.map(|sending| (sending.admission, sending.failed));
        assert_eq!(sending, Some((Admission::Scheduled, 0)));
        assert_eq!(seen.requests.iter().filter(|t| !t.warmup).count(), 20);
        let instants: Vec<u64> = seen.requests.iter().filter_map(|t| t.scheduled).collect();
        assert_eq!(instants.len(), 22, "a tenth comes before those that count");
        schedules.push(instants.iter().map(|at| at - instants[0]).collect::<Vec<_>>());
    }
    schedules.sort_unstable();
    schedules.dedup();
    assert!(schedules.len() <= 2, "both variants of a block meet the same arrivals");
    let read = |file: &str| fs::read_to_string(house.result().join(file)).unwrap();
    for file in ["report.md", "report.html"] {
        let text = read(file);
        for told in ["Load", "Goodput", "p90 latency ≤", "users 3"] {
            assert!(text.replace('\u{a0}', " ").contains(told), "{told} in {file}");
        }
    }
    assert!(read("samples.csv").contains("scheduled_ns"));
}

#[test]
fn a_search_for_a_rate_that_nothing_keeps_says_so_in_time() {
    let house = House::new();
    let scenarios = "  scenarios: [{server: {search: {p50_latency: 1ns}, requests: 20}}]\n";
    let spec = tiny_bench("rates", 2, "{warmup: 0, min: 2, max: 2, min_time: 0ms}")
        .replace("  design:", &format!("{scenarios}  design:"));
    let spec = house.folder.write("rates.yaml", spec);
    assert!(house.plan(&spec).contains_key("rates/b1-p4-n4-t1"));
    let mut command = house.run_command(&spec);
    let ended = run(command.args(["--set", "bench.design.max_time=2s"])).expect(0);
    assert!(ended.stdout.contains("Largest rate with p50 latency"), "{}", ended.stdout);
    let record = Record::read(&house.result()).unwrap();
    assert_eq!(record.cells.len(), 2, "beside a search one stream is measured");
    assert_eq!(record.rates.len(), 2);
    for search in &record.rates {
        let found = search.found();
        assert_eq!(found.pass, None, "{:?}", search.probes);
        assert_eq!(search.probes[0].rate, None, "one stream tells where to begin");
        assert!(search.end.is_some() && search.unsearched.is_none());
        let rates: Vec<f64> = search.probes.iter().filter_map(|probe| probe.rate).collect();
        assert!(rates.windows(2).all(|pair| (pair[1] * 2.0 - pair[0]).abs() < 1e-9 * pair[0]));
    }
    let report = fs::read_to_string(house.result().join("report.md")).unwrap();
    assert!(report.contains("Probes of **f32**"), "{report}");
    // What is in the record is enough to judge it again.
    run(house.engine(&["report"]).arg(house.result())).expect(0);
}
