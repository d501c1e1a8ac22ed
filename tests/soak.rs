//! A long run of every variant, on a real model and short: from the spec to the report.

mod support;

use std::fs;
use std::path::PathBuf;

use engine::measure::load::service_times;
use engine::measure::quantile::median;
use engine::record::Record;
use serde_json::Value;
use support::{House, tiny_bench};

#[test]
fn every_variant_works_for_the_time_asked_and_is_watched() {
    let house = House::new();
    let text = tiny_bench("soaked", 2, "{warmup: 0, min: 1, max: 1}");
    let spec = house.folder.write("t.yaml", format!("{text}  soak: {{duration: 5s}}\n"));
    house.run(&spec).expect(0);
    let record = house.record();
    let soaks = record["soaks"].as_array().expect("a list");
    let names: Vec<_> = soaks.iter().map(|s| s["variant"].as_str().expect("a name")).collect();
    assert_eq!(names, ["f32", "q8"]);
    for soak in soaks {
        assert_eq!(soak["axes"]["prompt_tokens"], 4);
        assert!(soak["failure"].is_null() && soak["unmeasured"].is_null(), "{soak}");
        let readings = soak["readings"].as_array().expect("a list");
        // A hundred, fewer where the machine is busy.
        assert!((40..=101).contains(&readings.len()), "{}", readings.len());
        let at = |reading: &Value| reading["at"].as_u64().expect("an instant");
        assert!(readings.windows(2).all(|pair| at(&pair[0]) < at(&pair[1])));
        let last = at(readings.last().expect("one"));
        assert!((4_500_000_000..60_000_000_000).contains(&last), "{last}");
        for reading in readings {
            let number = |key: &str| reading[key].as_u64().unwrap_or(0);
            assert!(number("requests") > 0 && number("busy") > 0, "{reading}");
            assert!(number("resident") > 1 << 20 && number("descriptors") > 2, "{reading}");
        }
    }
    let steps = record["steps"].as_array().expect("a list");
    let soaked = steps.iter().find(|step| step["id"] == "soak/f32/b1-p4-n4-t1").expect("a step");
    assert_eq!((&soaked["kind"], &soaked["state"]), (&"soak".into(), &"done".into()));
    let markdown = fs::read_to_string(house.result().join("report.md")).expect("a report");
    let told = markdown.split("## Long runs").nth(1).expect("a section");
    assert!(told.contains("resident memory") && told.contains("descriptors"), "{told}");
    assert!(!markdown.contains("leaks: its"), "five seconds show no leak: {markdown}");
}

/// Latencies of all requests of a soak, in nanoseconds.
fn latencies(soak: &Value) -> Vec<u64> {
    let readings = soak["readings"].as_array().expect("a list");
    let of = |reading: &Value| reading["latencies"].as_array().cloned().unwrap_or_default();
    readings.iter().flat_map(of).map(|latency| latency.as_u64().expect("a time")).collect()
}

#[test]
fn at_a_rate_requests_arrive_on_one_schedule_for_all_variants() {
    let house = House::new();
    let text = tiny_bench("soaked", 2, "{warmup: 0, min: 1, max: 1}");
    let spec = house.folder.write("t.yaml", format!("{text}  soak: {{duration: 5s, rate: 30}}\n"));
    house.run(&spec).expect(0);
    let record = house.record();
    let soaks = record["soaks"].as_array().expect("a list");
    let planned = soaks[0]["schedule"]["planned"].as_u64().expect("a number");
    assert!((100..200).contains(&planned), "{planned}");
    for soak in soaks {
        assert_eq!(soak["schedule"]["rate"], 30.0);
        assert_eq!(soak["schedule"]["planned"], planned, "the same arrivals");
        assert!(soak["schedule"]["largest"].is_null(), "nothing was searched for");
        let latencies = latencies(soak);
        assert_eq!(latencies.len() as u64, planned, "all are answered, and all are kept");
        assert!(latencies.iter().all(|latency| *latency > 0));
    }
    let markdown = fs::read_to_string(house.result().join("report.md")).expect("a report");
    let told = markdown.split("## Long runs").nth(1).expect("a section").replace('\u{a0}', " ");
    assert!(told.contains("| 30.0/s |") && told.contains("first → last third"), "{told}");
}

/// A spec with a search for a rate and a soak at 80 % of it, of one variant.
fn loaded(house: &House, bound: &str) -> PathBuf {
    let scenarios = format!("  scenarios: [{{server: {{search: {{{bound}}}, requests: 100}}}}]\n");
    let text = tiny_bench("loaded", 2, "{warmup: 0, min: 2, max: 2, min_time: 0ms}")
        .replace("  q8: {stages: [{quantize: {method: gguf, format: q8_0}}]}\n", "")
        .replace("max_time: 1h", "max_time: 8s")
        .replace("  design:", &format!("{scenarios}  design:"));
    house.folder.write("t.yaml", format!("{text}  soak: {{duration: 10s, load: 80%}}\n"))
}

/// Seconds that a request takes here.
fn usual_time() -> f64 {
    let house = House::new();
    let text = tiny_bench("usual", 2, "{warmup: 1, min: 20, max: 20}");
    house.run(&house.folder.write("t.yaml", text)).expect(0);
    let record: Record = serde_json::from_value(house.record()).expect("a record");
    let times = record.cells[0].measured().flat_map(|(_, seen)| service_times(seen));
    median(&times.collect::<Vec<_>>()).expect("some")
}

#[test]
fn at_a_load_the_rate_follows_the_search_and_a_resumed_run_keeps_it() {
    let house = House::new();
    // Kept where requests hardly wait for each other, and broken where a hundred come at once.
    let bound = format!("p50_latency: {}us", (usual_time() * 8e6).round());
    let spec = loaded(&house, &bound);
    let needs = &house.plan(&spec)["soak/f32/b1-p4-n4-t1"]["needs"];
    let needs = needs.as_array().expect("a list");
    assert!(needs.contains(&"rates/b1-p4-n4-t1".into()), "{needs:?}");
    house.run(&spec).expect(0);
    let found = |record: Value| {
        let record: Record = serde_json::from_value(record).expect("a record");
        let ([soak], [search]) = (record.soaks.as_slice(), record.rates.as_slice()) else {
            panic!("one of each")
        };
        // A machine that is busy with other things may send late at every rate.
        let Some(largest) = search.found().pass else {
            assert!(soak.unmeasured.as_ref().is_some_and(|why| why.contains("found no rate")));
            return (record.rates, None);
        };
        let schedule = soak.schedule.clone().unwrap_or_else(|| panic!("{:?}", soak.unmeasured));
        assert_eq!(schedule.largest, Some(largest));
        assert!((schedule.rate / largest - 0.8).abs() < 1e-9);
        (record.rates, Some((schedule.rate, schedule.planned)))
    };
    let before = found(house.record());
    let told = fs::read_to_string(house.result().join("report.md")).expect("a report");
    let words = if before.1.is_some() { "80 % of" } else { "skipped: the search found no rate" };
    assert!(told.replace('\u{a0}', " ").contains(words), "{told}");

    // Cut off before its soak, the run makes it again at the rate that it knows.
    let run = house.runs().pop().expect("the run is known");
    let path = house.store().join("runs").join(&run).join("journal.jsonl");
    let journal = fs::read_to_string(&path).expect("a journal");
    let earlier = journal.lines().take_while(|line| !line.contains("{\"soak\":"));
    let earlier: Vec<&str> = earlier.collect();
    assert!(earlier.len() < journal.lines().count());
    fs::write(&path, earlier.join("\n") + "\n").expect("writable");
    fs::remove_dir_all(house.result()).expect("our own");
    support::run(&mut house.engine(&["resume", &run])).expect(0);
    assert_eq!(
        found(house.record()),
        before,
        "no probe is repeated, and the arrivals are the same"
    );
}

#[test]
fn a_load_of_no_rate_is_skipped_with_the_reason() {
    let house = House::new();
    house.run(&loaded(&house, "p50_latency: 1ns")).expect(0);
    let record = house.record();
    for soak in record["soaks"].as_array().expect("a list") {
        assert_eq!(soak["unmeasured"], "the search found no rate that keeps its bounds");
    }
    let steps = record["steps"].as_array().expect("a list");
    let step = steps.iter().find(|step| step["id"] == "soak/f32/b1-p4-n4-t1").expect("a step");
    assert_eq!(step["state"], "skipped");
    let told = fs::read_to_string(house.result().join("report.md")).expect("a report");
    assert!(told.contains("skipped: the search found no rate that keeps its bounds"), "{told}");
}
