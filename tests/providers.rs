//! Variants on accelerators: planned, tried, skipped with the reason, checked and reported, on a
//! device that is not there (`plan::Surroundings::mock`). What a real GPU computes is not tested.

mod support;

use std::path::{Path, PathBuf};
use std::time::Instant;

use engine::backend::{self, Backend, BackendError, Device, OpenOptions, Placement, Runner};
use engine::base::Digest;
use engine::catalog::spec_schema;
use engine::machine::Fingerprint;
use engine::model::Kind;
use engine::plan::{Plan, State, Surroundings, expand, preview};
use engine::record::{Outcome, Record, StepState};
use engine::report::{Options, build, export};
use engine::run::{Begun, Conditions, Interrupt, Launcher, Progress, Session, execute, now_text};
use engine::spec::{Loaded, Overrides, parse};
use engine::stage::Stage;
use engine::store::Store;
use support::{House, byte_llama, ort_library, stories};

fn spec(house: &House, variants: &str) -> PathBuf {
    byte_llama(&house.folder.join("model"));
    house.folder.write("stories.jsonl", stories(3));
    let text = format!(
        "version: 1
name: devices
why: Does it run there?
model: {{source: file://model}}
data: {{held: {{source: file://stories.jsonl, window: 32}}}}
variants:
  plain: {{stages: [{{cast: {{to: f32}}}}]}}
{variants}
quality: {{metrics: [{{perplexity: {{data: held}}}}]}}
bench:
  matrix: {{prompt_tokens: [4], new_tokens: [4], threads: [1]}}
  design: {{blocks: {{min: 2, max: 2}}, max_time: 1h, requests: {{warmup: 0, min: 2, max: 2}}}}
"
    );
    house.folder.write("spec.yaml", text)
}

fn load(file: &Path) -> Loaded {
    let text = std::fs::read_to_string(file).unwrap();
    parse(&text, file, &spec_schema(), &Overrides::default()).expect("a sound spec")
}

fn planned(house: &House, loaded: &Loaded, mock: bool) -> Plan {
    let around = Surroundings {
        roots: vec![house.folder.path().to_owned()],
        physical_cores: 1,
        logical_cores: 1,
        gpus: Err("no driver".to_owned()),
        mock,
    };
    expand(loaded, &around).expect("a plan")
}

/// Carries a plan for the mock device out, with the engine as the program of its children.
fn carried_out(house: &House, loaded: &Loaded, plan: &Plan) -> Record {
    let store = Store::open(&house.store()).unwrap();
    let program: PathBuf = env!("CARGO_BIN_EXE_engine").into();
    let launcher = Launcher { program: program.clone(), interrupt: Interrupt::never() };
    let fingerprint = Fingerprint::read();
    let begun = Begun {
        id: "mocked".to_owned(),
        resolved: loaded.resolved.clone(),
        spec_file: "spec.yaml".to_owned(),
        roots: vec![house.folder.path().to_owned()],
        out: house.out(),
        started: now_text(),
        engine: "test".to_owned(),
        machine: fingerprint.digest,
        program: Digest::of_file(&program).unwrap(),
        data: Some(plan.data()),
    };
    let mut session = Session::begin(&store, begun).unwrap();
    let progress = Progress::stderr(true);
    let conditions = Conditions {
        store: &store,
        launcher: &launcher,
        progress: &progress,
        spec_name: &loaded.spec.name,
        fresh: false,
        fingerprint: &fingerprint,
        begin: Instant::now(),
    };
    execute(&loaded.spec, plan, &mut session, &conditions).unwrap()
}

const DEVICES: &str = "
  sound: {device: cuda:0, stages: [{export: {format: onnx}}]}
  strays: {device: cuda:1, stages: [{export: {format: onnx}}]}
  allowed: {device: cuda:1, expect: {provider_fallback: allow}, stages: [{export: {format: onnx}}]}
  absent: {device: cuda:2, stages: [{export: {format: onnx}}, {session: {threads: 1}}]}
";

#[test]
fn a_run_on_a_mock_device_measures_skips_checks_and_reports() {
    let house = House::new();
    let loaded = load(&spec(&house, DEVICES));
    let plan = planned(&house, &loaded, true);
    let record = carried_out(&house, &loaded, &plan);
    let variant = |name: &str| &record.variants[name];
    let state = |id: &str| record.steps.iter().find(|step| step.id == id).map(|step| step.state);
    let measured = |name: &str| {
        let own = record.cells.iter().filter(|cell| cell.variant == name);
        let launches = own.flat_map(|cell| &cell.launches);
        launches.filter(|launch| matches!(launch.outcome, Outcome::Measured(_))).count()
    };
    let judged = |name: &str| {
        let own = record.quality.iter().find(|quality| quality.variant == name).unwrap();
        own.unmeasured.is_none()
    };

    for name in ["plain", "sound", "allowed"] {
        let variant = variant(name);
        assert_eq!((&variant.failed, &variant.skipped), (&None, &None), "{name}");
        assert_eq!((measured(name), judged(name)), (2, true), "{name}");
    }
    assert!(variant("plain").device.is_none());
    let device = variant("sound").device.as_ref().unwrap();
    assert_eq!((device.device.as_str(), device.fallback), ("mock:0", false));
    assert_eq!(device.name.as_deref(), Some("mock device"));
    assert_eq!(device.nodes.keys().collect::<Vec<_>>(), ["MockExecutionProvider"]);
    let device = variant("allowed").device.as_ref().unwrap();
    assert_eq!((device.nodes["CPUExecutionProvider"], device.fallback), (1, true));

    let why = variant("strays").failed.as_ref().expect("a node fell back");
    assert!(why.contains("1 on CPUExecutionProvider: `/mock/last`"), "{why}");
    assert_eq!((measured("strays"), judged("strays")), (0, false));

    let why = variant("absent").skipped.as_ref().expect("it is not there");
    assert!(why.contains("`mock:2`: ") && why.contains("there is no such device"), "{why}");
    assert_eq!(variant("absent").failed, None);
    assert_eq!((measured("absent"), judged("absent")), (0, false));
    assert_eq!(state("device/mock:0"), Some(StepState::Done));
    assert_eq!(state("device/mock:2"), Some(StepState::Skipped));
    assert_eq!(state("absent/judge-held"), Some(StepState::Skipped));
    assert_eq!(state("absent/session"), Some(StepState::Skipped), "nothing is made for it");
    assert_eq!(state("sound/export"), Some(StepState::Done), "others share the export");

    let records = [record];
    let report = build(&records);
    let page = export(&report, "html", &Options::default()).unwrap();
    for shown in ["onnxruntime on mock:0 (mock device); nodes:", "there is no such device"] {
        assert!(page.contains(shown), "the report lacks {shown}");
    }
}

#[test]
fn keys_of_judgements_tell_devices_apart_and_leave_the_cpu_as_it_was() {
    let house = House::new();
    let variants = "
  cpu: {stages: [{export: {format: onnx}}]}
  gpu: {device: cuda:0, stages: [{export: {format: onnx}}]}
  other: {device: cuda:1, stages: [{export: {format: onnx}}]}
  allowed: {device: cuda:0, expect: {provider_fallback: allow}, stages: [{export: {format: onnx}}]}
  half: {device: cuda:0, tensorrt: {fp16: true}, stages: [{export: {format: onnx}}]}
  whole: {device: cuda:0, tensorrt: {}, stages: [{export: {format: onnx}}]}
";
    let loaded = load(&spec(&house, variants));
    let plan = planned(&house, &loaded, false);
    let judge = |name: &str| {
        let step = plan.step(&format!("{name}/judge-held")).expect("a judge step");
        let Stage::Judge(judge) = &step.stage else { panic!("not a judge step") };
        let inputs = step.needs.iter().map(|&need| {
            let digest = match &plan.steps[need].stage {
                Stage::OpenDevice(device) => device.digest(),
                _ => Digest::of_bytes(b"the same"),
            };
            engine::store::Input { step: String::new(), digest }
        });
        judge.recipe(Some(64), inputs.collect())
    };
    assert!(judge("cpu").facts.get("on").is_none());
    let names = ["cpu", "gpu", "other", "allowed", "half", "whole"];
    let keys: Vec<Digest> = names.iter().map(|name| judge(name).key()).collect();
    for (i, key) in keys.iter().enumerate() {
        assert!(!keys[..i].contains(key), "{} has the key of another", names[i]);
    }
    // Variants that run alike share the step that opens their device.
    let devices: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| matches!(step.stage, Stage::OpenDevice(_)))
        .map(|step| step.id.as_str())
        .collect();
    assert_eq!(devices, ["device/cuda:0", "device/cuda:1", "device/cuda:0-tensorrt"]);
}

#[test]
fn a_device_for_what_runs_on_the_cpu_only_is_a_problem_at_its_line() {
    let house = House::new();
    let loaded = load(&spec(&house, "  gpu: {device: cuda:0, stages: [{cast: {to: f16}}]}"));
    let around = Surroundings {
        roots: vec![house.folder.path().to_owned()],
        physical_cores: 1,
        logical_cores: 1,
        gpus: Err("no driver".to_owned()),
        mock: false,
    };
    let problems = expand(&loaded, &around).expect_err("candle runs it");
    let [problem] = &problems.0[..] else { panic!("{problems:?}") };
    assert_eq!((problem.code, problem.at.line), ("plan/no-device", Some(8)));
    assert_eq!(problem.what, "backend `candle` runs on the CPU only");
}

#[test]
fn a_plan_foresees_what_is_skipped_here() {
    let house = House::new();
    let loaded = load(&spec(&house, "  gpu: {device: cuda:0, stages: [{export: {format: onnx}}]}"));
    let plan = planned(&house, &loaded, false);
    let store = Store::open(&house.store()).unwrap();
    let foreseen = preview(&plan, &store, "devices", 2).unwrap();
    let state = |id: &str| {
        let index = plan.steps.iter().position(|step| step.id == id).expect(id);
        foreseen.states[index].clone()
    };
    let State::Skipped { why } = state("device/cuda:0") else { panic!("it cannot be used here") };
    let reason = if cfg!(feature = "cuda") { "no driver" } else { "--features cuda" };
    assert!(why.contains(reason), "{why}");
    let State::Skipped { why } = state("gpu/judge-held") else { panic!("nor can it be judged") };
    assert_eq!(why, "`device/cuda:0` cannot be used here");
    assert!(!matches!(state("plain/judge-held"), State::Skipped { .. }));
}

#[test]
fn without_the_device_the_rest_of_a_run_goes_on() {
    if cfg!(feature = "cuda") {
        return;
    }
    let house = House::new();
    let spec = spec(&house, "  gpu: {device: cuda:0, stages: [{export: {format: onnx}}]}");
    let Some(library) = ort_library() else { return };
    support::run(house.run_command(&spec).arg("--ort-library").arg(&library)).expect(0);
    let record = house.record();
    let why = record["variants"]["gpu"]["skipped"].as_str().expect("a reason");
    assert!(why.contains("cargo build --features cuda"), "{why}");
    assert_eq!(record["variants"]["gpu"]["artifact"], serde_json::Value::Null, "none was made");
    assert_eq!(record["variants"]["plain"]["skipped"], serde_json::Value::Null);
}

#[test]
fn the_runtime_tells_where_nodes_run() {
    let house = House::new();
    let spec = spec(
        &house,
        "  graph: {expect: {provider_fallback: none}, stages: [{export: {format: onnx}}]}",
    );
    let Some(library) = ort_library() else { return };
    support::run(house.run_command(&spec).arg("--ort-library").arg(&library)).expect(0);
    let record = house.record();
    let graph = &record["variants"]["graph"];
    let found = graph["checks"][0]["found"].as_str().expect("a check");
    let nodes = graph["device"]["nodes"]["CPUExecutionProvider"].as_u64().expect("a count");
    assert!(nodes > 10, "{nodes}");
    assert_eq!(found, format!("none: CPUExecutionProvider runs {nodes} nodes"));
    assert_eq!(graph["checks"][0]["passed"], true);

    // No device, no library of the provider, or no feature: a clean error each.
    let device = Device::Cuda(0);
    let placement = Placement { device, ..Placement::default() };
    let runner = Runner { backend: "onnxruntime".to_owned(), placement };
    let how = OpenOptions { runtime: Some(library), ..OpenOptions::default() }.on(&runner);
    let error = backend::of(&runner).expect("known").probe(&how).expect_err("no GPU here");
    let known = matches!(error, BackendError::Unavailable(_) | BackendError::Device { .. });
    assert!(known, "{error}");
    let candle = backend::backend("candle").expect("known");
    assert!(matches!(candle.probe(&how), Err(BackendError::Device { .. })));
    let refused = candle.place(Path::new("x"), Kind::Onnx, &how);
    assert!(matches!(refused, Err(BackendError::Kind { .. })));
    let _: &dyn Backend = candle;
}
