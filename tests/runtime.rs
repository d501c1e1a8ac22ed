//! The library of ONNX Runtime is named, found or fetched by its pin, and where it cannot be had
//! only what needs it is left out.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Ended, House, byte_llama, files, ort_library, run, stories};

/// A spec that times and judges a checkpoint and its graph.
fn spec(house: &House, gates: &str) -> PathBuf {
    byte_llama(&house.folder.join("model"));
    house.folder.write("stories.jsonl", stories(3));
    let text = format!(
        "version: 1
name: graphs
why: Does the graph run?
model: {{source: file://model}}
data: {{held: {{source: file://stories.jsonl, window: 32}}}}
variants:
  plain: {{stages: [{{cast: {{to: f32}}}}]}}
  graph: {{stages: [{{export: {{format: onnx}}}}]}}
quality: {{metrics: [{{perplexity: {{data: held}}}}]}}
bench:
  matrix: {{prompt_tokens: [4], new_tokens: [4], threads: [1]}}
  design: {{blocks: {{min: 2, max: 2}}, max_time: 1h, requests: {{warmup: 0, min: 2, max: 2}}}}
{gates}"
    );
    house.folder.write("spec.yaml", text)
}

/// A folder with a `python3` that runs `script`, to be put in front of `PATH`.
fn python(house: &House, script: &str) -> String {
    let path = house.folder.write("bin/python3", format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/bin:/usr/bin", house.folder.join("bin").display())
}

fn run_with(house: &House, spec: &Path, path: &str) -> Ended {
    run(house.run_command(spec).env("PATH", path))
}

/// The record of a run whose variant `graph` could not be run and whose other variant was; gives
/// the reason.
fn left_out(house: &House) -> String {
    let record = house.record();
    let why = record["variants"]["graph"]["skipped"].as_str().expect("a reason").to_owned();
    assert_eq!(record["variants"]["graph"]["failed"], Value::Null);
    assert_eq!(record["variants"]["plain"]["skipped"], Value::Null);
    let state = |id: &str| {
        let steps = record["steps"].as_array().expect("steps");
        steps.iter().find(|step| step["id"] == id).map(|step| step["state"].clone())
    };
    for id in ["runtime/onnxruntime", "graph/judge-held"] {
        assert_eq!(state(id).expect(id), "skipped", "{id}");
    }
    let judged = state("plain/judge-held").unwrap();
    assert!(judged == "done" || judged == "hit", "{judged}");
    let launches = |variant: &str| {
        let cells = record["cells"].as_array().expect("cells");
        let own = cells.iter().find(|cell| cell["variant"] == variant).expect("a cell");
        own["launches"].as_array().expect("launches").len()
    };
    assert_eq!((launches("plain"), launches("graph")), (2, 0));
    assert!(record["runtimes"].as_array().expect("a list").is_empty());
    let kept = files(&house.store()).into_iter().filter(|f| f.ends_with("libonnxruntime.so"));
    assert_eq!(kept.count(), 0, "nothing unverified is kept");
    why
}

#[test]
fn without_python_the_rest_of_the_run_goes_on() {
    let house = House::new();
    let spec = spec(&house, "");
    let ended = run_with(&house, &spec, &house.folder.join("nothing").display().to_string());
    let ended = ended.expect(0);
    let why = left_out(&house);
    assert!(why.contains("there is no `python3` on `PATH`"), "{why}");
    assert!(why.contains("--ort-library PATH"), "{why}");
    assert!(ended.stdout.contains("skipped"), "{}", ended.stdout);
    assert!(ended.stderr.contains("no `python3`"), "{}", ended.stderr);
}

#[test]
fn a_gate_on_what_was_left_out_is_undecided() {
    let house = House::new();
    let gates =
        "gates: [{name: speed, on: {variant: graph}, metric: decode_tps, ratio: {min: 0.01}}]\n";
    let spec = spec(&house, gates);
    run_with(&house, &spec, "/nowhere").expect(5);
}

#[test]
fn a_client_that_fails_is_quoted_without_credentials() {
    let house = House::new();
    let spec = spec(&house, "");
    let said = "ERROR: no route to https://me:hunter2@mirror.example/simple/";
    let path = python(&house, &format!("echo noise >&2; echo '{said}' >&2; exit 1"));
    let ended = run_with(&house, &spec, &path).expect(0);
    let why = left_out(&house);
    assert!(why.contains("no route to https://mirror.example/simple/"), "{why}");
    assert!(why.contains("python3 -m pip download --no-deps"), "{why}");
    assert!(!format!("{}{}{why}", ended.stdout, ended.stderr).contains("hunter2"));

    let path = python(&house, "echo '/usr/bin/python3: No module named pip' >&2; exit 1");
    run_with(&house, &spec, &path).expect(0);
    let why = left_out(&house);
    assert!(why.contains("python3 -m ensurepip"), "{why}");
}

#[test]
fn a_wheel_that_is_not_the_pinned_one_is_refused_whatever_the_client_says() {
    let house = House::new();
    let spec = spec(&house, "");
    let script = "while [ $# -gt 1 ]; do [ \"$1\" = -d ] && echo other > \"$2/onnxruntime.whl\"; shift; done";
    let path = python(&house, script);
    run_with(&house, &spec, &path).expect(0);
    let why = left_out(&house);
    assert!(why.contains("is not the pinned one: SHA-256"), "{why}");
    // A client that says so itself.
    let script =
        "echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES' >&2; echo '  Got  abcd' >&2; exit 1";
    run_with(&house, &spec, &python(&house, script)).expect(0);
    let why = left_out(&house);
    assert!(why.contains("SHA-256 abcd, not the pinned one"), "{why}");
}

#[test]
fn the_client_sees_its_own_configuration_and_no_secret_of_others() {
    let house = House::new();
    let spec = spec(&house, "");
    let seen = house.folder.join("seen");
    let path = python(&house, &format!("env > {}; cat >> {0}; exit 1", seen.display()));
    let mut command = house.run_command(&spec);
    command.env("PATH", &path).env("PIP_INDEX_URL", "https://mirror.example/simple");
    command.env("HF_TOKEN", "a-secret").env("LD_LIBRARY_PATH", "/ambient");
    run(&mut command).expect(0);
    let seen = fs::read_to_string(seen).expect("the client was started");
    assert!(seen.contains("PIP_INDEX_URL=https://mirror.example/simple"), "{seen}");
    assert!(seen.contains("PIP_NO_INPUT=1"), "{seen}");
    assert!(!seen.contains("a-secret") && !seen.contains("/ambient"), "{seen}");
}

#[test]
fn a_named_library_that_is_none_fails_what_needs_it() {
    let house = House::new();
    let spec = spec(&house, "");
    let text = house.folder.write("libonnxruntime.so", "this is no library");
    let ended = run(house.run_command(&spec).arg("--ort-library").arg(&text)).expect(3);
    let record = house.record();
    let why = record["variants"]["graph"]["failed"].as_str().expect("a reason");
    assert!(why.contains("libonnxruntime.so"), "{why}");
    assert_eq!(record["variants"]["plain"]["failed"], Value::Null);
    assert!(ended.stdout.contains("failed"), "{}", ended.stdout);

    let missing = house.folder.join("missing.so");
    let ended = run(house.run_command(&spec).arg("--ort-library").arg(&missing)).expect(2);
    assert!(ended.stderr.contains("missing.so"), "{}", ended.stderr);
}

/// What `engine plan` says about a step.
fn foreseen(command: &mut Command, id: &str) -> (String, String) {
    let plan = run(command.args(["--format", "json"])).expect(0).json();
    let steps = plan["steps"].as_array().expect("steps").clone();
    let step = steps.into_iter().find(|step| step["id"] == id).expect("a step");
    let word = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
    (word("state"), word("detail"))
}

#[test]
fn a_library_is_loaded_recorded_and_part_of_every_key() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    let spec = spec(&house, "");
    // A library with another digest that behaves the same: the loader reads no further than it
    // must.
    let mut bytes = fs::read(&library).unwrap();
    bytes.push(0);
    let other = house.folder.write("other/libonnxruntime.so", bytes);

    run(house.run_command(&spec).arg("--ort-library").arg(&library)).expect(0);
    let record = house.record();
    let runtime = &record["runtimes"][0];
    assert_eq!(runtime["name"], "onnxruntime");
    assert!(runtime["version"].as_str().is_some_and(|v| v.starts_with("1.")), "{runtime}");
    let digest = engine::base::Digest::of_file(&library).unwrap().hex();
    assert_eq!(runtime["digest"], digest);
    assert_eq!(record["variants"]["graph"]["failed"], Value::Null);
    let report = fs::read_to_string(house.result().join("report.md")).unwrap();
    assert!(report.contains(&digest[..12]), "the report names the library");

    let plan = |library: &Path| {
        let mut command = house.engine(&["plan"]);
        command.arg(&spec).arg("--ort-library").arg(library);
        command
    };
    assert_eq!(foreseen(&mut plan(&library), "graph/judge-held").0, "hit");
    assert_eq!(foreseen(&mut plan(&library), "runtime/onnxruntime").0, "read");
    let (state, why) = foreseen(&mut plan(&other), "graph/judge-held");
    assert_eq!(state, "miss");
    assert!(why.contains("runtime/onnxruntime"), "{why}");
    assert_eq!(foreseen(&mut plan(&other), "plain/judge-held").0, "hit", "it needs no runtime");

    let doctor = run(house.engine(&["doctor"]).arg("--ort-library").arg(&library)).expect(0).stdout;
    for part in [digest.as_str(), "version 1.", "CPUExecutionProvider: opens"] {
        assert!(doctor.contains(part), "{doctor}");
    }
}

#[test]
fn what_was_fetched_once_is_found_and_needs_no_python() {
    if ort_library().is_none() || std::env::var_os("ENGINE_ORT_LIBRARY").is_some() {
        return;
    }
    let house = House::new();
    let spec = spec(&house, "");
    let doctor = run(&mut house.engine(&["doctor"])).expect(0).stdout;
    assert!(doctor.contains("not fetched yet"), "{doctor}");
    let doctor = run(&mut house.engine(&["doctor", "--fetch"])).expect(0).stdout;
    assert!(doctor.contains("CPUExecutionProvider: opens"), "{doctor}");
    run_with(&house, &spec, "/nowhere").expect(0);
    let record = house.record();
    assert_eq!(record["variants"]["graph"]["skipped"], Value::Null);
    let origin = record["runtimes"][0]["origin"].as_str().expect("an origin").to_owned();
    assert!(origin.starts_with("wheel with SHA-256 "), "{origin}");
    let plan = house.plan(&spec);
    assert_eq!(plan["runtime/onnxruntime"]["state"], "hit");
}
