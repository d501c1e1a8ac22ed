//! Graphs that take and give texts are planned, measured and judged like those of numbers.

mod support;

use std::fs;
use std::path::Path;

use engine::backend::{OpenOptions, backend};
use engine::data::{ElementType, Tensor};
use engine::model::Kind;
use engine::model::onnx::build::GraphBuilder;
use engine::model::onnx::{AttributeProto, TensorProto};
use engine::model::signature::Dim;
use prost::Message as _;
use serde_json::Value;
use support::{House, PROJECT, ort_library};

/// `y`: every row of texts twice, side by side.
fn doubling() -> Vec<u8> {
    let named = |name: &str| Dim::Named(name.to_owned());
    let mut graph = GraphBuilder::default();
    let x = graph.input("x", ElementType::String, &[named("batch"), named("words")]);
    graph.output("y", ElementType::String, &[named("batch"), named("twice")]);
    let axis = vec![AttributeProto::int("axis", 1)];
    graph.node("twice", "Concat", "", &[&x.0, &x.0], &["y"], axis);
    graph.model("doubling", 17, &[]).encode_to_vec()
}

/// A tensor as ONNX keeps its test data.
fn pb(shape: &[i64], texts: &[&str]) -> Vec<u8> {
    let string_data = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let (dims, data_type) = (shape.to_vec(), Some(8));
    TensorProto { dims, data_type, string_data, ..TensorProto::default() }.encode_to_vec()
}

fn run(house: &House, model: &str, data: &str, rest: &str, library: &Path) -> Value {
    let text = format!(
        "version: 1
name: texts
why: Do graphs of texts give what they should?
model: {{source: \"file://{model}\"}}
data: {{io: {{source: \"file://{data}\"}}}}
{rest}"
    );
    let spec = house.folder.write("spec.yaml", text);
    support::run(house.run_command(&spec).env("ENGINE_ORT_LIBRARY", library)).expect(0);
    house.record()
}

/// Equal texts and all texts of each document.
fn agreement(record: &Value, variant: &str, data: &str) -> Vec<(f64, u64)> {
    let is = |row: &&Value| {
        let of = (&row["variant"], &row["metric"], row["data"].as_str());
        of == (&variant.into(), &"top1_agreement".into(), Some(data))
    };
    let rows = record["quality"].as_array().unwrap();
    let row = rows.iter().find(is).unwrap_or_else(|| panic!("{variant} {data:?} in {rows:?}"));
    let document = |d: &Value| (d["sum"].as_f64().unwrap(), d["positions"].as_u64().unwrap());
    row["documents"].as_array().unwrap().iter().map(document).collect()
}

const BENCH: &str = "  design: {blocks: {min: 2, max: 2}, max_time: 1h, requests: {warmup: 1, min: 2, max: 2, min_time: 0ms}}
";

#[test]
fn texts_are_recorded_drawn_timed_and_compared() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    house.folder.write("doubling.onnx", doubling());
    house.folder.write("io/input_0.pb", pb(&[2, 2], &["fox", "", "grün", "a b"]));
    // One text of the second row is not what the graph gives.
    let expected = ["fox", "", "fox", "", "grün", "a b", "grün", "a  b"];
    house.folder.write("io/output_0.pb", pb(&[2, 4], &expected));
    let rest = format!(
        "variants:
  plain: {{}}
  bound: {{stages: [{{session: {{io_binding: true}}}}]}}
quality:
  metrics: [{{top1_agreement: {{data: io, against: expected}}}}, {{top1_agreement: {{}}}}]
bench:
  matrix: {{batch: [3], dims: {{words: [5]}}, threads: [1]}}
{BENCH}"
    );
    let record = run(&house, "doubling.onnx", "io", &rest, &library);
    for variant in ["plain", "bound"] {
        assert_eq!(agreement(&record, variant, "io"), [(4.0, 4), (3.0, 4)]);
        assert_eq!(agreement(&record, variant, "synthetic"), vec![(10.0, 10); 16]);
    }
    let cells = record["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2);
    for launch in cells.iter().flat_map(|cell| cell["launches"].as_array().unwrap()) {
        assert!(!launch["outcome"]["measured"].is_null(), "{launch}");
    }
    let notes = record["notes"].to_string();
    assert!(notes.contains("input `x` is seeded synthetic: words out of"), "{notes}");
}

#[test]
fn a_session_gives_texts_as_it_took_them() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    let graph = house.folder.write("doubling.onnx", doubling());
    let how = OpenOptions { runtime: Some(library), ..OpenOptions::default() };
    let mut session = backend("onnxruntime").unwrap().session(&graph, Kind::Onnx, &how).unwrap();
    let mut twice = |shape: [usize; 2], texts: &[&str]| {
        let x = Tensor::of_texts(shape.to_vec(), texts).unwrap();
        Ok::<_, String>(session.run(&[("x".into(), x)]).map_err(|e| e.to_string())?.remove(0).1)
    };
    let out = twice([2, 1], &["fox", "grün"]).unwrap();
    assert_eq!(out, Tensor::of_texts(vec![2, 2], &["fox", "fox", "grün", "grün"]).unwrap());
    // The runtime takes texts that end with a zero.
    assert!(twice([1, 1], &["a\0b"]).is_err());
    assert_eq!(twice([1, 2], &["a", ""]).unwrap().texts().unwrap(), ["a", "", "a", ""]);
}

/// Two of the ONNX project's own graphs that ask for no locale, with its inputs and outputs.
#[test]
fn normalized_texts_are_those_that_the_onnx_project_recorded() {
    let Some(library) = ort_library() else { return };
    let cases = Path::new(PROJECT).join("../shared/data/onnx-conformance/simple");
    for (case, texts) in [
        ("test_strnorm_model_monday_casesensintive_nochangecase", 3),
        ("test_strnorm_model_nostopwords_nochangecase", 2),
    ] {
        let (model, data) =
            (cases.join(case).join("model.onnx"), cases.join(case).join("test_data_set_0"));
        if fs::metadata(&model).is_err() {
            eprintln!("skipped: no file {}", model.display());
            return;
        }
        let rest = format!(
            "variants: {{plain: {{}}}}
quality: {{metrics: [{{top1_agreement: {{data: io, against: expected}}}}]}}
bench:
  data: io
  matrix: {{batch: [1], threads: [1]}}
{BENCH}"
        );
        let house = House::new();
        let (model, data) = (model.to_str().unwrap(), data.to_str().unwrap());
        let record = run(&house, model, data, &rest, &library);
        assert_eq!(agreement(&record, "plain", "io"), [(texts as f64, texts)], "{case}");
    }
}
