//! A long run of every variant, on a real model and short: from the spec to the report.

mod support;

use std::fs;

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
