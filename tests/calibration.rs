//! A graph is calibrated on recorded tensors, judged and measured, from a spec alone.

mod support;

#[path = "../examples/tiny_graph/graph.rs"]
mod graph;
#[path = "../examples/tiny_graph/pictures.rs"]
mod pictures;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use engine::backend::{OpenOptions, backend};
use engine::data::Tensor;
use engine::model::Kind;
use pictures::{PIXELS, npz};
use serde_json::Value;
use support::{House, PROJECT, ort_library};

const SHAPE: [usize; 3] = [1, 28, 28];

/// Writes pictures under the name of an input.
fn save(house: &House, file: &str, input: &str, values: &[f32]) {
    let shape = [&[values.len() / PIXELS], SHAPE.as_slice()].concat();
    house.folder.write(file, npz(input, &shape, values).expect("a small archive"));
}

/// A house with the small classifier and its pictures.
fn house() -> House {
    let house = House::new();
    house.folder.write("tiny.onnx", graph::classifier());
    for (name, values) in pictures::sets() {
        save(&house, name, "image", &values);
    }
    house
}

fn spec(house: &House, calib: &str, heldout: &str) -> PathBuf {
    let text = format!(
        "version: 1
name: tiny
why: Is static INT8 worth it for this graph?
model: {{source: file://tiny.onnx}}
data:
  calib: {{source: file://{calib}, take: 12, seed: 3}}
  heldout: {{source: file://{heldout}}}
variants:
  fp32: {{}}
  int8: {{stages: [{{quantize: {{method: static, data: calib}}}}]}}
quality: {{metrics: [{{cosine: {{data: heldout}}}}, {{top1_agreement: {{data: heldout}}}}, {{snr: {{data: heldout}}}}]}}
bench:
  matrix: {{batch: [2], threads: [1]}}
  design: {{blocks: {{min: 2, max: 2}}, max_time: 1h, requests: {{warmup: 1, min: 2, max: 2, min_time: 0ms}}}}
"
    );
    house.folder.write("spec.yaml", text)
}

fn refused(house: &House, spec: &Path) -> String {
    let ended = support::run(&mut house.engine(&["validate", spec.to_str().unwrap()]));
    assert_eq!(ended.code, Some(2), "{}\n{}", ended.stdout, ended.stderr);
    ended.stderr
}

/// Scores of a variant by document, each per position.
fn scores(record: &Value, variant: &str, metric: &str) -> Vec<f64> {
    let is = |row: &&Value| row["variant"] == variant && row["metric"] == metric;
    let rows = record["quality"].as_array().unwrap();
    let documents = rows.iter().find(is).unwrap()["documents"].as_array().unwrap();
    let score = |d: &Value| d["sum"].as_f64().unwrap() / d["positions"].as_f64().unwrap();
    documents.iter().map(score).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The different answers of the small classifier to the pictures that are judged on.
fn answers(house: &House, library: &Path) -> BTreeSet<usize> {
    let how = OpenOptions { runtime: Some(library.to_owned()), ..OpenOptions::default() };
    let graph = house.folder.join("tiny.onnx");
    let mut session = backend("onnxruntime").unwrap().session(&graph, Kind::Onnx, &how).unwrap();
    let [_, (_, heldout)] = pictures::sets();
    let shape = [&[heldout.len() / PIXELS], SHAPE.as_slice()].concat();
    let outputs = session.run(&[("image".to_owned(), Tensor::of_f32(shape, &heldout))]).unwrap();
    let scores = outputs[0].1.to_f64();
    let largest = |row: &[f64]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    scores.chunks_exact(10).map(largest).collect()
}

#[test]
fn static_int8_is_calibrated_on_recorded_items_judged_and_measured() {
    let Some(library) = ort_library() else { return };
    let house = house();
    let spec = spec(&house, "calib.npz", "heldout.npz");
    support::run(house.run_command(&spec).env("ENGINE_ORT_LIBRARY", &library)).expect(0);
    let record = house.record();
    let of = |name: &str| scores(&record, "int8", name);
    let cosines = of("cosine");
    println!("cosine {}, top1 {}", mean(&cosines), mean(&of("top1_agreement")));
    assert_eq!(cosines.len(), 32);
    assert!(cosines.iter().all(|c| (0.97..1.0).contains(c)), "{cosines:?}");
    assert_eq!(mean(&scores(&record, "fp32", "cosine")), 1.0);
    let snr = mean(&of("snr"));
    assert!((20.0..60.0).contains(&snr), "{snr} dB");
    assert_eq!(mean(&scores(&record, "fp32", "snr")), 150.0);
    assert!(answers(&house, &library).len() >= 3, "pictures with one answer show no agreement");
    let steps = record["steps"].as_array().unwrap();
    let step = |id: &str| steps.iter().find(|step| step["id"] == id).unwrap();
    assert_eq!(step("data/calib")["state"], "done");
    let needs = step("int8/quantize")["needs"].as_array().unwrap();
    assert!(needs.contains(&"data/calib".into()), "{needs:?}");
    let notes = record["variants"]["int8"].to_string();
    assert!(notes.contains("of 12 runs"), "`take` is what is calibrated on: {notes}");
    for cell in record["cells"].as_array().unwrap() {
        assert_eq!(cell["launches"].as_array().unwrap().len(), 2);
        for launch in cell["launches"].as_array().unwrap() {
            assert!(!launch["outcome"]["measured"].is_null(), "{launch}");
        }
    }
    // The key has what was recorded, not where it lies; another choice of items is another key.
    fs::rename(house.folder.join("calib.npz"), house.folder.join("moved.npz")).unwrap();
    let states = |spec: &Path, change: &str| {
        let arguments = ["plan", "--format", "json", "--set", change, spec.to_str().unwrap()];
        let plan = house.engine(&arguments).env("ENGINE_ORT_LIBRARY", &library).output().unwrap();
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        let steps = plan["steps"].as_array().unwrap().clone();
        let state = |id: &str| steps.iter().find(|s| s["id"] == id).unwrap()["state"].clone();
        (state("data/calib"), state("int8/quantize"))
    };
    let moved = self::spec(&house, "moved.npz", "heldout.npz");
    assert_eq!(states(&moved, "data.calib.take=12"), ("hit".into(), "hit".into()));
    assert_eq!(states(&moved, "data.calib.take=11"), ("miss".into(), "miss".into()));
}

#[test]
fn items_that_are_judged_on_are_refused_at_the_line_that_calibrates() {
    let house = house();
    let [(_, calib), (_, heldout)] = pictures::sets();
    let shared = [&heldout[..PIXELS], &calib[PIXELS..3 * PIXELS]].concat();
    save(&house, "sets/a.npz", "image", &shared);
    let spec = spec(&house, "calib.npz", "sets");
    let all = fs::read_to_string(&spec).unwrap().replace(", take: 12, seed: 3", "");
    fs::write(&spec, all).unwrap();
    let told = refused(&house, &spec);
    assert!(told.contains("2 items of `calib` are also in `heldout`"), "{told}");
    assert!(told.contains("spec.yaml:10") && told.contains("plan/overlap"), "{told}");
}

#[test]
fn an_input_that_was_not_recorded_is_named_once() {
    let house = house();
    let [(_, calib), _] = pictures::sets();
    save(&house, "other.npz", "picture", &calib);
    let told = refused(&house, &spec(&house, "other.npz", "heldout.npz"));
    assert!(told.contains("nothing for input `image`; found: `picture`"), "{told}");
    assert!(told.contains("1 error"), "{told}");
    let told = refused(&house, &spec(&house, "absent.npz", "heldout.npz"));
    assert!(told.contains("absent.npz") && told.contains("1 error"), "{told}");
}

#[test]
fn the_shipped_graph_and_pictures_are_what_the_program_makes() {
    let same = |path: &str, made: Vec<u8>| {
        let shipped = fs::read(Path::new(PROJECT).join("examples").join(path)).unwrap();
        assert!(shipped == made, "{path}: run `cargo run --example tiny_graph`");
    };
    same("models/tiny_conv/model.onnx", graph::classifier());
    for (name, values) in pictures::sets() {
        let shape = [&[values.len() / PIXELS], SHAPE.as_slice()].concat();
        same(&format!("data/tiny_conv/{name}"), npz("image", &shape, &values).unwrap());
    }
}

/// Digits that are calibrated on, and those that are judged on.
const CALIB: usize = 100;
const HELDOUT: usize = 1000;

/// Real digits on a graph that takes one at a time.
#[test]
fn digits_stay_what_they_are_in_static_int8() {
    let Some(library) = ort_library() else { return };
    let shared = Path::new(PROJECT).join("../shared/data");
    let images = shared.join("mnist-test/t10k-images-idx3-ubyte.gz");
    let Ok(packed) = fs::File::open(&images) else {
        eprintln!("skipped: no file {}", images.display());
        return;
    };
    let mut idx = vec![0; 16 + (CALIB + HELDOUT) * PIXELS];
    flate2::read::GzDecoder::new(packed).read_exact(&mut idx).unwrap();
    let digits: Vec<f32> = idx[16..].iter().map(|&byte| f32::from(byte)).collect();
    let house = House::new();
    let (calib, heldout) = digits.split_at(CALIB * PIXELS);
    save(&house, "calib.npz", "Input3", calib);
    save(&house, "heldout.npz", "Input3", heldout);
    let text = format!(
        "version: 1
name: digits
why: Does static INT8 read the same digits?
model: {{source: \"file://{}\"}}
data: {{calib: {{source: file://calib.npz}}, heldout: {{source: file://heldout.npz}}}}
variants:
  fp32: {{}}
  int8: {{stages: [{{quantize: {{method: static, data: calib}}}}]}}
quality: {{metrics: [{{cosine: {{data: heldout}}}}, {{top1_agreement: {{data: heldout}}}}]}}
",
        shared.join("mnist-cnn/mnist.onnx").display()
    );
    let spec = house.folder.write("spec.yaml", text);
    support::run(house.run_command(&spec).env("ENGINE_ORT_LIBRARY", library)).expect(0);
    let record = house.record();
    let of = |metric: &str| scores(&record, "int8", metric);
    let (cosine, agreement) = (mean(&of("cosine")), mean(&of("top1_agreement")));
    println!(
        "mnist-cnn, static INT8 against f32 on {HELDOUT} digits: top1_agreement {agreement}, cosine {cosine}"
    );
    assert_eq!(of("cosine").len(), HELDOUT);
    assert!(agreement >= 0.99 && cosine > 0.99, "{agreement} {cosine}");
}
