//! The largest batch under a bound on the latency is found on a real graph, and told.

mod support;

use std::fs;
use std::path::PathBuf;

use engine::data::ElementType::F32;
use engine::model::onnx::build::GraphBuilder;
use engine::model::signature::Dim;
use prost::Message as _;
use serde_json::{Value, json};
use support::{Background, House, PROJECT, ort_library, run, wait_for};

/// Two variants of the small classifier that ships with the project.
fn spec(house: &House, search: &str) -> PathBuf {
    let text = format!(
        "version: 1
name: search
why: How many pictures at once?
model: {{source: \"file://{PROJECT}/examples/models/tiny_conv/model.onnx\"}}
variants:
  fp32: {{}}
  int8: {{stages: [{{quantize: {{method: dynamic}}}}]}}
bench:
  matrix: {{batch: {{search: {search}}}, threads: [1]}}
  design: {{blocks: {{min: 2, max: 2}}, max_time: 1h, requests: {{warmup: 1, min: 2, max: 2, min_time: 0ms}}}}
gates:
  - {{name: batch one, on: {{variant: fp32, batch: 1}}, metric: latency, value: {{max: 3600}}}}
"
    );
    house.folder.write("spec.yaml", text)
}

fn sizes(search: &Value) -> Vec<u64> {
    let probes = search["probes"].as_array().expect("a list");
    probes.iter().map(|probe| probe["batch"].as_u64().expect("a number")).collect()
}

/// Requests of a probe that count, over its launches that were not made again because something
/// else ran on this machine.
fn requests(probe: &Value) -> usize {
    let left_out = |launch: &&Value| {
        let mut disturbed = probe["disturbed"].as_array().into_iter().flatten();
        disturbed.any(|known| known["block"] == launch["block"] && known["left_out"] == true)
    };
    let launches = probe["launches"].as_array().expect("a list").iter();
    let counted = launches.filter(|launch| !left_out(launch)).map(|launch| {
        let requests = launch["outcome"]["measured"]["requests"].as_array().expect("measured");
        requests.iter().filter(|request| request["warmup"] == false).count()
    });
    counted.sum()
}

#[test]
fn a_generous_bound_reaches_the_largest_batch_that_may_be_tried() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    let spec = spec(&house, "{p99_latency: 1h, max: 5}");
    let steps = house.plan(&spec);
    assert!(steps["search/t1"]["detail"].as_str().unwrap().contains("at least 4 launches"));
    let ended = run(house.run_command(&spec).env("ENGINE_ORT_LIBRARY", library)).expect(0);
    for told in ["int8, batch 4: p99", "keeps the bound", "int8: batch 5"] {
        assert!(ended.stderr.contains(told), "{told} in {}", ended.stderr);
    }
    assert!(ended.stdout.contains("Largest batch with p99 latency ≤ 3,600 s"), "{}", ended.stdout);
    let record = house.record();
    assert_eq!(record["cells"].as_array().unwrap().len(), 2, "batch 1 is measured in blocks");
    let searches = record["searches"].as_array().expect("a list");
    let names: Vec<_> = searches.iter().map(|search| search["variant"].as_str().unwrap()).collect();
    assert_eq!(names, ["fp32", "int8"]);
    for search in searches {
        assert_eq!(sizes(search), [1, 2, 4, 5, 5]);
        assert_eq!((&search["axes"], &search["end"]), (&json!({"threads": 1}), &json!("complete")));
        for probe in search["probes"].as_array().unwrap() {
            assert_eq!(requests(probe), 505, "as many as can show a p99");
            for launch in probe["launches"].as_array().unwrap() {
                let first = &launch["outcome"]["measured"]["first_call"];
                assert_eq!(first["batch"], probe["batch"]);
            }
        }
    }
    let read = |file: &str| fs::read_to_string(house.result().join(file)).unwrap();
    for file in ["report.md", "report.html"] {
        let text = read(file);
        for told in ["Largest batch with p99 latency", "5 probes of 4 sizes from 1 to 5", "settled"]
        {
            assert!(text.contains(told), "{told} in {file}");
        }
    }
    let report: Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(report["studies"][0]["searches"][1]["batch"], 5);
    assert!(read("samples.csv").contains("batch_search"));
}

#[test]
fn an_impossible_bound_leaves_no_batch_and_says_so() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    let spec = spec(&house, "{p50_latency: 1ns}");
    let ended = run(house.run_command(&spec).env("ENGINE_ORT_LIBRARY", library)).expect(0);
    assert!(ended.stdout.contains("fp32: none"), "{}", ended.stdout);
    assert!(ended.stdout.contains("batch 1 already breaks it"), "{}", ended.stdout);
    for search in house.record()["searches"].as_array().expect("a list") {
        assert_eq!(sizes(search), [1, 1], "the answer is tried again");
        assert_eq!(requests(&search["probes"][0]), 12, "few requests show it");
    }
}

#[test]
fn a_search_without_time_says_what_it_does_not_know() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    let spec = spec(&house, "{p99_latency: 1h}");
    let mut command = house.run_command(&spec);
    command.args(["--set", "bench.design.max_time=1ns"]);
    // One block leaves the gate undecided too.
    let ended = run(command.env("ENGINE_ORT_LIBRARY", library)).expect(5);
    assert!(ended.stdout.contains("fp32: undecided"), "{}", ended.stdout);
    let words: Vec<&str> = ended.stdout.split_whitespace().collect();
    assert!(words.join(" ").contains("the time allowed ran out"), "{}", ended.stdout);
    for search in house.record()["searches"].as_array().expect("a list") {
        assert_eq!((sizes(search), &search["end"]), (vec![1], &json!("budget")));
        let why = search["probes"][0]["cut_short"].as_str().expect("a reason");
        assert!(why.contains("left to the search (`bench.design.max_time`)"), "{why}");
    }
}

#[test]
fn an_interrupted_search_goes_on_where_it_was() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    let spec = spec(&house, "{p50_latency: 1h, max: 64}");
    let engine = Background::start(house.run_command(&spec).env("ENGINE_ORT_LIBRARY", &library));
    wait_for("the third probe", || {
        let run = house.runs().pop()?;
        let probes = house.journal(&run).iter().filter(|entry| !entry["probe"].is_null()).count();
        (probes >= 3).then_some(())
    });
    engine.signal(libc::SIGINT);
    let ended = engine.end().expect(130);
    assert!(ended.stderr.contains("engine resume"), "{}", ended.stderr);
    let pids = |record: &Value| -> Vec<Vec<u64>> {
        let searches = record["searches"].as_array().expect("a list").iter();
        let of = |search: &Value| {
            let launches = search["probes"].as_array().expect("a list").iter();
            let launches = launches.flat_map(|probe| probe["launches"].as_array().expect("a list"));
            launches.map(|launch| launch["pid"].as_u64().expect("a number")).collect()
        };
        searches.map(of).collect()
    };
    let before = house.record();
    let known = pids(&before);
    assert!(known.iter().flatten().count() >= 3);
    assert!(before["searches"].to_string().contains("interrupted"), "{}", before["searches"]);
    let run_id = house.runs().pop().expect("the run is known");
    run(house.engine(&["resume", &run_id]).env("ENGINE_ORT_LIBRARY", &library)).expect(0);
    let after = house.record();
    for (before, after) in known.iter().zip(pids(&after)) {
        assert_eq!(before[..], after[..before.len()], "what was finished is not done again");
    }
    for search in after["searches"].as_array().unwrap() {
        assert_eq!(search["end"], "complete");
        assert_eq!(sizes(search), [1, 2, 4, 8, 16, 32, 64, 64]);
    }
}

#[test]
fn a_graph_without_a_free_batch_has_nothing_to_search() {
    let house = House::new();
    let mut graph = GraphBuilder::default();
    let x = graph.input("x", F32, &[Dim::Fixed(1), Dim::Fixed(4)]);
    graph.output("y", F32, &[Dim::Fixed(1), Dim::Fixed(4)]);
    graph.node("relu", "Relu", "", &[&x.0], &["y"], Vec::new());
    house.folder.write("fixed.onnx", graph.model("fixed", 17, &[]).encode_to_vec());
    let text = "version: 1
name: fixed
why: Is there a batch?
model: {source: file://fixed.onnx}
variants: {as_is: {}}
bench: {matrix: {batch: {search: {p99_latency: 5ms}}}}
";
    let spec = house.folder.write("spec.yaml", text);
    let ended = run(&mut house.engine(&["validate", spec.to_str().unwrap()])).expect(2);
    assert!(ended.stderr.contains("there is no batch to search for"), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 error; nothing was run"), "{}", ended.stderr);
}
