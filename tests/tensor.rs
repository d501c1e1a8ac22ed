//! Any ONNX graph is planned, measured and judged with a few lines of spec.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use engine::data::ElementType::F32;
use engine::model::onnx::TensorProto;
use engine::model::onnx::build::GraphBuilder;
use engine::model::signature::Dim;
use prost::Message as _;
use support::{House, ort_library};

/// Rows and columns of the two matrices of the graph.
const WIDE: usize = 32;
const DEEP: usize = 16;
const OUT: usize = 8;

fn matrix(rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) / 100.0).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// `y = relu(x · a) · b` with a free batch and a free number of steps.
fn perceptron(folder: &Path) -> PathBuf {
    let named = |name: &str| Dim::Named(name.to_owned());
    let mut graph = GraphBuilder::default();
    let x = graph.input("x", F32, &[named("batch"), named("steps"), Dim::Fixed(WIDE as u64)]);
    graph.output("y", F32, &[named("batch"), named("steps"), Dim::Fixed(OUT as u64)]);
    let weight = |name: &str, rows: usize, columns: usize| {
        let shape = [rows as u64, columns as u64];
        TensorProto::inline(name, F32, &shape, bytes(&matrix(rows, columns)))
    };
    let a = graph.initializer(weight("a", WIDE, DEEP));
    let b = graph.initializer(weight("b", DEEP, OUT));
    let hidden = graph.op("hidden", "MatMul", &[&x, &a]);
    let rectified = graph.op("rectified", "Relu", &[&hidden]);
    graph.node("last", "MatMul", "", &[&rectified.0, &b.0], &["y"], Vec::new());
    let path = folder.join("perceptron.onnx");
    fs::write(&path, graph.model("perceptron", 17, &[]).encode_to_vec()).unwrap();
    path
}

/// What the graph gives for one row, computed step by step.
fn expected(x: &[f32]) -> Vec<f32> {
    let product = |x: &[f32], matrix: &[f32], columns: usize| -> Vec<f32> {
        (0..columns)
            .map(|c| x.iter().enumerate().map(|(r, v)| v * matrix[r * columns + c]).sum())
            .collect()
    };
    let hidden = product(x, &matrix(WIDE, DEEP), DEEP);
    let rectified: Vec<f32> = hidden.into_iter().map(|v| v.max(0.0)).collect();
    product(&rectified, &matrix(DEEP, OUT), OUT)
}

/// A folder as ONNX keeps its test data: three items of two steps.
fn recorded(folder: &Path) {
    let x: Vec<f32> = (0..3 * 2 * WIDE).map(|i| ((i * 13 % 29) as f32 - 14.0) / 10.0).collect();
    let y: Vec<f32> = x.chunks_exact(WIDE).flat_map(expected).collect();
    let folder = folder.join("test_data_set_0");
    fs::create_dir_all(&folder).unwrap();
    for (name, values, width) in [("input_0.pb", x, WIDE), ("output_0.pb", y, OUT)] {
        let tensor = TensorProto::inline(name, F32, &[3, 2, width as u64], bytes(&values));
        fs::write(folder.join(name), tensor.encode_to_vec()).unwrap();
    }
}

fn spec(house: &House, rest: &str) -> PathBuf {
    let text = format!(
        "version: 1
name: perceptron
why: Is dynamic INT8 worth it for this graph?
model: {{source: file://perceptron.onnx}}
{rest}"
    );
    house.folder.write("spec.yaml", text)
}

const VARIANTS: &str = "variants:
  fp32: {}
  int8: {stages: [{quantize: {method: dynamic}}]}
";

#[test]
fn a_dimension_without_a_size_is_told_with_the_line_to_write() {
    let house = House::new();
    perceptron(house.folder.path());
    let told = |matrix: &str| {
        let spec = spec(&house, &format!("{VARIANTS}bench: {{matrix: {matrix}}}\n"));
        let ended = support::run(&mut house.engine(&["validate", spec.to_str().unwrap()]));
        (ended.code, ended.stderr)
    };
    let (code, text) = told("{batch: [1, 8]}");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("`x [batch, steps, 32] f32` leaves `steps` open"), "{text}");
    assert!(text.contains("write `dims: {steps: [1]}`") && text.contains("spec.yaml:8"), "{text}");
    let (_, text) = told("{dims: {stesp: [4]}}");
    assert!(text.contains("did you mean `steps`?"), "{text}");
    let (_, text) = told("{dims: {steps: [4], batch: [4]}}");
    assert!(text.contains("write it as `batch`"), "{text}");
    let (_, text) = told("{prompt_tokens: [4]}");
    assert!(text.contains("about task `text_generation`"), "{text}");
    let (code, text) = told("{batch: [1, 8], dims: {steps: [4]}}");
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_first_spec_of_a_graph_is_valid() {
    let house = House::new();
    let model = perceptron(house.folder.path());
    let written = support::run(&mut house.engine(&["init", model.to_str().unwrap()])).expect(0);
    assert!(written.stdout.contains("\"steps\": [1]"), "{}", written.stdout);
    assert!(written.stdout.contains("batch: [1, 8]"), "{}", written.stdout);
    let path = house.folder.write("first.yaml", &written.stdout);
    support::run(&mut house.engine(&["validate", path.to_str().unwrap()])).expect(0);
}

#[test]
fn a_plan_shows_the_defaults_of_the_task_and_its_resolved_spec_is_a_spec() {
    let house = House::new();
    perceptron(house.folder.path());
    let rest = format!(
        "{VARIANTS}quality: {{metrics: [{{cosine: {{}}}}]}}
bench: {{matrix: {{batch: [1, 2], dims: {{steps: [4]}}, threads: [1]}}}}\n"
    );
    let spec = spec(&house, &rest);
    let plan =
        house.engine(&["plan", "--format", "json", spec.to_str().unwrap()]).output().unwrap();
    assert!(plan.status.success(), "{}", String::from_utf8_lossy(&plan.stderr));
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    let steps: Vec<&str> =
        plan["steps"].as_array().unwrap().iter().filter_map(|step| step["id"].as_str()).collect();
    for id in ["int8/judge-synthetic", "bench/b1-steps4-t1", "bench/b2-steps4-t1"] {
        assert!(steps.contains(&id), "{id} in {steps:?}");
    }
    let resolved = &plan["spec"];
    assert_eq!(resolved["model"]["task"], "tensor");
    assert_eq!(resolved["bench"]["design"]["stop"]["metric"], "latency");
    assert!(resolved["bench"]["matrix"].get("prompt_tokens").is_none());
    let again = house.folder.write("again.yaml", resolved.to_string());
    support::run(&mut house.engine(&["validate", again.to_str().unwrap()])).expect(0);
}

#[test]
fn a_graph_is_measured_and_judged_against_reference_and_recording() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    perceptron(house.folder.path());
    recorded(&house.folder.join("io"));
    let rest = format!(
        "data: {{io: {{source: file://io}}}}
{VARIANTS}quality:
  metrics:
    - cosine: {{data: io}}
    - top1_agreement: {{data: io}}
    - max_abs_error: {{data: io, against: expected}}
    - mean_abs_error: {{}}
bench:
  matrix: {{batch: [2], dims: {{steps: [4]}}, threads: [1]}}
  profile: {{roofline: false, cells: [{{variant: int8, dims: {{steps: 4}}}}]}}
  design: {{blocks: {{min: 2, max: 2}}, max_time: 1h, requests: {{warmup: 1, min: 2, max: 2, min_time: 0ms}}}}
gates:
  - {{name: exact, on: {{variant: fp32}}, metric: max_abs_error, value: {{max: 0.00001}}}}
  - {{name: close, on: {{variant: int8, batch: 2, dims: {{steps: 4}}}}, metric: cosine, loss: {{max: 1%}}}}
"
    );
    let spec = spec(&house, &rest);
    let ended = support::run(house.run_command(&spec).env("ENGINE_ORT_LIBRARY", library)).expect(0);
    assert!(ended.stdout.contains("int8"), "{}", ended.stdout);
    let record = house.record();
    assert_eq!(record["model"]["task"], "tensor");
    let cells = record["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2);
    for cell in cells {
        let axes = serde_json::json!({"batch": 2, "steps": 4, "threads": 1});
        assert_eq!(cell["axes"], axes);
        for launch in cell["launches"].as_array().unwrap() {
            let first = &launch["outcome"]["measured"]["first_call"];
            assert_eq!(
                (first["tokens"].as_array().unwrap().len(), &first["batch"]),
                (1, &2.into())
            );
        }
    }
    let quality = record["quality"].as_array().unwrap();
    let of = |variant: &str, metric: &str| {
        let is = |row: &&serde_json::Value| row["variant"] == variant && row["metric"] == metric;
        quality.iter().find(is).unwrap()
    };
    let exact = of("fp32", "max_abs_error");
    assert_eq!(
        (exact["reference"].as_str(), exact["data"].as_str()),
        (Some("recorded outputs"), Some("io"))
    );
    assert_eq!(exact["documents"].as_array().unwrap().len(), 3);
    assert_eq!(of("int8", "top1_agreement")["documents"][0]["positions"], 2);
    let synthetic = of("int8", "mean_abs_error");
    assert_eq!(synthetic["documents"].as_array().unwrap().len(), 16);
    let profile = &record["profiles"][0];
    assert_eq!(
        (&profile["variant"], &profile["phases"][0]["name"]),
        (&"int8".into(), &"run".into())
    );
    assert!(!profile["phases"][0]["groups"].as_array().unwrap().is_empty(), "{profile}");
    let notes = record["notes"].to_string();
    assert!(notes.contains("input `x` is seeded synthetic: normal numbers"), "{notes}");
    let report = fs::read_to_string(house.result().join("report.md")).unwrap();
    for text in ["latency", "throughput", "items/s", "steps 4"] {
        assert!(report.contains(text), "{text} is in the report");
    }
    assert!(!report.contains("tok/s"), "nothing is about tokens");
}
