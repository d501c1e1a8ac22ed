//! Profiles of a whole run: in launches of their own, reconciled with their latency, beside the
//! report, and never a reason for the run to fail.

mod support;

use std::fs;

use serde_json::Value;
use support::{House, read_json, tiny_bench};

const REQUESTS: &str = "{warmup: 0, min: 1, max: 1}";

fn spec(house: &House, profile: &str) -> std::path::PathBuf {
    let text = tiny_bench("profiled", 2, REQUESTS);
    house.folder.write("t.yaml", format!("{text}  profile: {profile}\n"))
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().expect("a list").iter().map(|n| n.as_f64().expect("a number")).collect()
}

#[test]
fn every_variant_is_profiled_and_its_parts_add_up_to_less_than_its_latency() {
    let house = House::new();
    let spec = spec(&house, "{}");
    house.run(&spec).expect(0);
    let record = house.record();
    let profiles = record["profiles"].as_array().expect("a list");
    let names: Vec<_> = profiles.iter().map(|p| p["variant"].as_str().expect("a name")).collect();
    assert_eq!(names, ["f32", "q8"]);
    for profile in profiles {
        assert_eq!(profile["unprofiled"], Value::Null);
        assert_eq!(profile["axes"]["prompt_tokens"], 4);
        assert!(profile["peaks"]["memory_bytes"].as_f64().is_some_and(|rate| rate > 0.0));
        let phases = profile["phases"].as_array().expect("a list");
        let phase_names: Vec<_> = phases.iter().map(|p| p["name"].as_str().expect("one")).collect();
        assert_eq!(phase_names, ["prefill", "decode"]);
        for phase in phases {
            let latency: f64 = numbers(&phase["watched"]).iter().sum();
            let groups = phase["groups"].as_array().expect("a list");
            let inside: f64 = groups.iter().map(|g| g["nanos"].as_f64().expect("a time")).sum();
            assert!(inside > 0.0 && inside <= latency, "{inside} of {latency} ns");
            assert!(numbers(&phase["latencies"]).len() >= 3, "some calls nobody watched");
        }
        let trace = profile["trace"].as_str().expect("a name");
        let events = read_json(&house.result().join(trace))["traceEvents"].clone();
        let layered = |event: &Value| event["args"]["layer"] == 1;
        assert!(events.as_array().expect("a list").iter().any(layered), "{trace}");
    }
    let arithmetic = |index: usize| -> Vec<&str> {
        let groups = profiles[index]["phases"][1]["groups"].as_array().expect("a list");
        groups
            .iter()
            .filter(|group| group["weights"].is_u64())
            .map(|group| group["arithmetic"].as_str().expect("known"))
            .collect()
    };
    assert!(arithmetic(0).iter().all(|name| *name == "f32"));
    assert!(arithmetic(1).contains(&"int8"), "{:?}", arithmetic(1));
    let markdown = fs::read_to_string(house.result().join("report.md")).expect("a report");
    assert!(markdown.contains("## Where the time goes"), "{markdown}");

    // Timings are made anew; what the machine can do is known by now.
    house.run(&spec).expect(0);
    let steps = house.record()["steps"].clone();
    let state = |id: &str| {
        let found = steps.as_array().expect("a list").iter().find(|step| step["id"] == id);
        found.unwrap_or_else(|| panic!("{id} in {steps}"))["state"].clone()
    };
    assert_eq!(state("profile/roofline-t1"), "hit");
    assert_eq!(state("profile/f32/b1-p4-n4-t1"), "done");
}

#[test]
fn graphs_are_profiled_operator_by_operator_with_the_bits_of_their_weights() {
    let Some(library) = support::ort_library() else { return };
    let house = House::new();
    let text = tiny_bench("graphs", 2, REQUESTS);
    let variants = "variants:
  fp32: {stages: [{export: {format: onnx}}, {fuse: {attention: gqa}}]}
  int8: {from: fp32, stages: [{quantize: {method: dynamic}}]}
  int4: {from: fp32, stages: [{quantize: {method: weight_only, bits: 4, block: 32}}]}
";
    let (head, rest) = text.split_once("variants:").expect("it has variants");
    let (_, bench) = rest.split_once("bench:").expect("it has a benchmark");
    let library = library.display();
    let spec = format!(
        "{head}runtime: {{onnxruntime: {{library: \"file://{library}\"}}}}\n{variants}bench:{bench}  profile: {{roofline: false}}\n"
    );
    house.run(&house.folder.write("t.yaml", spec)).expect(0);
    let record = house.record();
    let profiles = record["profiles"].as_array().expect("a list");
    assert_eq!(profiles.len(), 3);
    for profile in profiles {
        assert_eq!(profile["unprofiled"], Value::Null, "{}", profile["variant"]);
        for phase in profile["phases"].as_array().expect("a list") {
            let latency: f64 = numbers(&phase["watched"]).iter().sum();
            let groups = phase["groups"].as_array().expect("a list");
            let inside: f64 = groups.iter().map(|g| g["nanos"].as_f64().expect("a time")).sum();
            assert!(inside > 0.0 && inside <= latency, "{inside} of {latency} ns");
            assert!(groups.iter().any(|group| group["layer"] == 1), "layers have numbers");
            let kept = groups.iter().find(|group| group["operator"] == "GroupQueryAttention");
            assert!(kept.is_some_and(|group| group["operations"].as_u64() > Some(0)), "{groups:?}");
        }
    }
    let products = |index: usize, operator: &str| -> Vec<Value> {
        let groups = profiles[index]["phases"][1]["groups"].as_array().expect("a list");
        groups.iter().filter(|group| group["operator"] == operator).cloned().collect()
    };
    let dense = products(0, "MatMul");
    assert!(dense.iter().any(|group| group["arithmetic"] == "f32" && group["weights"].is_u64()));
    assert!(
        profiles[1]["phases"][1]["groups"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|group| group["arithmetic"] == "int8" && group["weights"].is_u64())
    );
    let packed = products(2, "MatMulNBits");
    assert!(!packed.is_empty());
    for group in packed {
        let weights = group["weights"].as_f64().expect("it multiplies with weights");
        let bytes = group["bytes"].as_f64().expect("the graph tells how many bits");
        assert!(bytes > weights / 2.0 && bytes < weights, "{group}");
    }
}

#[test]
fn a_profile_that_cannot_be_made_fails_nothing() {
    let house = House::new();
    let spec = spec(&house, "{roofline: false, cells: [{variant: q8}]}");
    house.run(&spec).expect(0);
    let profiles = house.record()["profiles"].clone();
    assert_eq!(profiles.as_array().expect("a list").len(), 1, "one cell was asked for");
    assert_eq!(profiles[0]["peaks"], Value::Null);

    let without = self::spec(&house, "{ops: false, roofline: false}");
    house.run(&without).expect(0);
    let record = house.record();
    assert_eq!(record["profiles"][0]["unprofiled"], "operators were not asked for");
    let steps = record["steps"].as_array().expect("a list");
    let step = steps.iter().find(|step| step["id"] == "profile/f32/b1-p4-n4-t1").expect("planned");
    assert_eq!(step["state"], "skipped");
    assert_eq!(step["detail"], "unprofiled: operators were not asked for");
}

#[test]
fn cells_to_profile_must_be_among_those_that_are_timed() {
    let house = House::new();
    for (cells, code) in [
        ("{variant: q9}", "did you mean `q8`?"),
        ("{prompt_tokens: 128}", "which `bench.matrix` does not have"),
        ("{treads: 1}", "is not a key of"),
    ] {
        let spec = spec(&house, &format!("{{cells: [{cells}]}}"));
        let told = support::run(house.engine(&["validate"]).arg(&spec)).expect(2);
        let told = format!("{}{}", told.stdout, told.stderr);
        assert!(told.contains(code), "{told}");
    }
}
