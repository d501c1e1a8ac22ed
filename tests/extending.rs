//! Programs around the engine: `examples/custom_model` and `examples/custom_pass` run as
//! `docs/EXTENDING.md` says, are as short as it says, and mistakes are told at the start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use engine::Extensions;
use engine::catalog::ExtensionError;
use engine::model::ModelError;
use engine::model::family::{ConfigFile, Description, Family};

mod support;

use support::{Ended, House, PROJECT, read_json, run};

/// The program of `examples/NAME.rs`. Cargo builds examples before it runs all tests, but not
/// before it runs this one alone: one that is missing or older than its sources is built here.
fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test has a program");
    let profile = own.parent().and_then(Path::parent).expect("cargo's folders");
    let program = profile.join("examples").join(name);
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified());
    let source = Path::new(PROJECT).join(format!("examples/{name}.rs"));
    let sources = support::files(&Path::new(PROJECT).join("engine"));
    let newest = sources.iter().chain([&source]).filter_map(|path| changed(path).ok()).max();
    let is_old = |built: SystemTime| newest.is_some_and(|newest| built < newest);
    if changed(&program).map_or(true, is_old) {
        let target = profile.parent().expect("cargo's folders");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--example", name, "--target-dir"]).arg(target);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo.current_dir(PROJECT).output().expect("cargo starts");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    }
    program
}

/// `program` with `arguments` in a store of the test's own.
fn start(program: &Path, house: &House, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program);
    command.current_dir(PROJECT).args(arguments).arg("--store").arg(house.store());
    for name in ["ENGINE_STORE", "RUST_LOG", "ENGINE_ORT_LIBRARY"] {
        command.env_remove(name);
    }
    run(&mut command)
}

/// The result folder of the only run in `house`.
fn run_spec(program: &Path, house: &House, spec: &str) -> PathBuf {
    let out = house.out();
    start(program, house, &["run", spec, "--quiet", "--out", out.to_str().unwrap()]).expect(0);
    house.result()
}

#[test]
fn a_family_of_ones_own_is_listed_planned_timed_and_exported() {
    let (program, house) = (example("custom_model"), House::new());
    let listed = start(&program, &house, &["list"]).expect(0).stdout;
    for line in ["  bag ", "  bert ", "  random://bag-tiny", "  markdown "] {
        assert_eq!(listed.matches(line).count(), 1, "{line} in\n{listed}");
    }
    let spec = "examples/custom_model.yaml";
    let plan = start(&program, &house, &["plan", spec]).expect(0).stdout;
    assert!(plan.contains("random://bag-tiny?seed=1") && plan.contains("2 cells"), "{plan}");
    run_spec(&program, &house, spec);
    let record = house.record();
    let cells = record["cells"].as_array().expect("a record has cells");
    assert_eq!(cells.len(), 2);
    for cell in cells {
        let launches = cell["launches"].as_array().expect("a cell has launches");
        assert_eq!(launches.len(), 2, "{cell}");
        for launch in launches {
            assert!(launch["outcome"].get("measured").is_some(), "{launch}");
        }
    }

    let text = fs::read_to_string(Path::new(PROJECT).join(spec)).unwrap();
    let (head, _) = text.split_once("variants:").expect("a spec has variants");
    let text = format!("{head}variants:\n  onnx: {{stages: [{{export: {{format: onnx}}}}]}}\n");
    let graph = house.folder.write("graph.yaml", text);
    let plan = start(&program, &house, &["plan", graph.to_str().unwrap()]).expect(0).stdout;
    assert!(plan.contains("onnx/export"), "{plan}");
    // The engine without the family knows neither the name nor the type.
    let stranger = Path::new(env!("CARGO_BIN_EXE_engine"));
    let ended = start(stranger, &house, &["plan", graph.to_str().unwrap()]).expect(2);
    assert!(ended.stderr.contains("`bag-tiny` is unknown"), "{}", ended.stderr);
}

#[test]
fn a_pass_of_ones_own_is_checked_keyed_and_applied() {
    let (program, house) = (example("custom_pass"), House::new());
    let spec = "
version: 1
name: rounded
why: Does a pass of one's own run?
model: {source: \"random://bert-tiny?seed=1\"}
variants:
  r3: {backend: candle, stages: [{round: {bits: 3}}]}
";
    let bad = house.folder.write("bad.yaml", spec.replace("bits: 3", "bits: 30"));
    let ended = start(&program, &house, &["validate", bad.to_str().unwrap()]).expect(2);
    for words in [
        "`variants.r3.stages.0.round.bits` must be between 1 and 22, found the number `30`",
        "bad.yaml:7:49",
    ] {
        assert!(ended.stderr.contains(words), "{words} in\n{}", ended.stderr);
    }
    let unknown = house.folder.write("unknown.yaml", spec.replace("bits: 3", "bit: 3"));
    let ended = start(&program, &house, &["validate", unknown.to_str().unwrap()]).expect(2);
    assert!(ended.stderr.contains("unknown.yaml:7:"), "{}", ended.stderr);
    let stranger = Path::new(env!("CARGO_BIN_EXE_engine"));
    let good = house.folder.write("good.yaml", spec);
    let good = good.to_str().unwrap();
    let ended = start(stranger, &house, &["validate", good]).expect(2);
    assert!(ended.stderr.contains("`round` is not a stage"), "{}", ended.stderr);

    run_spec(&program, &house, good);
    let wanted = "origin\":\"custom_pass::Round";
    assert!(!support::holding(&house.store(), wanted).is_empty(), "{wanted}");
    assert_rounded(&house.store());
    let plan = start(&program, &house, &["plan", good]).expect(0).stdout;
    assert!(plan.contains("2 hits, 0 to build"), "{plan}");
}

/// Every weight of the rounded model in `store` is the nearest with 3 bits to the drawn one.
fn assert_rounded(store: &Path) {
    let all = support::files(&store.join("objects"));
    let weights = all.iter().filter(|path| path.ends_with("model.safetensors"));
    let mut read: Vec<Vec<u8>> = weights.map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(read.len(), 2, "{all:?}");
    let values = |bytes: &[u8]| -> Vec<u32> {
        let head = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let words = bytes[8 + head..].chunks_exact(4);
        words.map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    };
    let is_rounded = |bytes: &Vec<u8>| values(bytes).iter().all(|raw| raw.trailing_zeros() >= 20);
    read.sort_by_key(is_rounded);
    let [drawn, rounded] = [values(&read[0]), values(&read[1])];
    assert!(!is_rounded(&read[0]) && is_rounded(&read[1]));
    assert_eq!(drawn.len(), rounded.len());
    for (&from, &to) in drawn.iter().zip(&rounded) {
        let (from, to) = (f32::from_bits(from), f32::from_bits(to));
        // Half of the last place that stays: 2^-4 of the power of two below.
        assert!((from - to).abs() <= from.abs() / 16.0, "{from} became {to}");
    }
}

#[test]
fn the_walk_through_of_the_pass_runs() {
    let (program, house) = (example("custom_pass"), House::new());
    let result = run_spec(&program, &house, "examples/custom_pass.yaml");
    let report = read_json(&result.join("report.json")).to_string();
    assert!(report.contains("weights with 3 bits of mantissa, ties to even"), "{report}");
}

#[test]
fn examples_are_as_short_as_the_page_says() {
    for (name, most) in [("custom_model", 50), ("custom_pass", 100)] {
        let path = Path::new(PROJECT).join(format!("examples/{name}.rs"));
        let text = fs::read_to_string(path).unwrap();
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
        let lines = text.lines().filter(is_code).count();
        assert!(lines > 10 && lines < most, "examples/{name}.rs has {lines} lines of code");
    }
}

/// A family whose name the engine has already.
struct Doubled;

impl Family for Doubled {
    fn id(&self) -> &'static str {
        "bert"
    }

    fn about(&self) -> &'static str {
        "a second family of this name"
    }

    fn model_types(&self) -> &'static [&'static str] {
        &["second"]
    }

    fn read(&self, config: &ConfigFile<'_>) -> Result<Description, ModelError> {
        Err(config.fields.fault("model_type", "is never read"))
    }
}

const CHILD: &str = "EXTENDING_CHILD";

/// Runs itself again as a program that adds a name twice.
#[test]
fn a_name_that_is_taken_ends_the_program_at_its_start() {
    if std::env::var_os(CHILD).is_some() {
        let extensions = Extensions { families: &[&Doubled], ..Extensions::default() };
        let code = engine::run_with(extensions);
        assert_eq!(code, 1.into());
        let again = Extensions::default().register();
        assert_eq!(again, Err(ExtensionError::Twice));
        return;
    }
    let own = std::env::current_exe().expect("a test has a program");
    let name = "a_name_that_is_taken_ends_the_program_at_its_start";
    let mut command = Command::new(own);
    let ended = run(command.args(["--exact", name, "--nocapture"]).env(CHILD, "1")).expect(0);
    assert!(ended.stderr.contains("error: there is a family `bert` already"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: choose another name"), "{}", ended.stderr);
}
