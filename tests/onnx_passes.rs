//! Passes from graph to graph: what comes out opens, and computes what went in.

mod support;

use std::path::{Path, PathBuf};

use engine::backend::{BackendError, OpenOptions, backend};
use engine::data::{ElementType, Tensor};
use engine::model::onnx::build::GraphBuilder;
use engine::model::onnx::{GRAPH_FILE, SessionOptions};
use engine::model::signature::Dim;
use engine::model::{Kind, OnnxModel, facts};
use engine::pass::{PassError, PassJob, pass};
use prost::Message as _;
use serde_json::{Value, json};
use support::{Folder, PROJECT};

/// A graph of the shared data, where it is at hand.
fn shared(path: &str) -> Option<PathBuf> {
    let file = Path::new(PROJECT).join("../shared/data").join(path);
    if !file.is_file() {
        eprintln!("skipped: no file {}", file.display());
        return None;
    }
    Some(file)
}

fn apply(
    folder: &Folder,
    input: &Path,
    id: &str,
    params: &Value,
    runtime: Option<&Path>,
) -> Result<(PathBuf, Vec<String>), PassError> {
    let out = folder.join(support::fresh().to_string());
    std::fs::create_dir(&out).unwrap();
    let job = PassJob {
        input,
        kind: Kind::Onnx,
        params,
        out: &out,
        data: None,
        runtime,
        progress: &|_| {},
    };
    let notes = pass(id, params).expect("a known pass").apply(&job)?;
    Ok((out.join(GRAPH_FILE), notes.notes))
}

/// Results of a graph with one input of `shape`, whose values are all different.
fn run(library: &Path, graph: &Path, shape: &[usize]) -> Vec<(String, Tensor)> {
    let how = OpenOptions { runtime: Some(library.to_owned()), ..OpenOptions::default() };
    let mut session = backend("onnxruntime").unwrap().session(graph, Kind::Onnx, &how).unwrap();
    let port = session.signature().inputs[0].clone();
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|i: usize| ((i * 37) % 255) as f32 / 255.0).collect();
    let input = match port.dtype.as_str() {
        "f16" => {
            let half = |value: &f32| half::f16::from_f32(*value).to_le_bytes();
            let bytes = values.iter().flat_map(half).collect();
            Tensor::new(ElementType::F16, shape.to_vec(), bytes).unwrap()
        }
        _ => Tensor::of_f32(shape.to_vec(), &values),
    };
    session.run(&[(port.name, input)]).unwrap()
}

/// Largest difference of the first outputs, relative to the largest value.
fn difference(own: &[(String, Tensor)], other: &[(String, Tensor)]) -> f64 {
    assert_eq!(own[0].0, other[0].0);
    let (own, other) = (own[0].1.to_f64(), other[0].1.to_f64());
    assert_eq!(own.len(), other.len());
    let largest = other.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    own.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

const RESNET: (&str, &[usize]) = ("resnet8-cifar10/resnet8_cifar10.onnx", &[1, 3, 32, 32]);
const SQUEEZENET: (&str, &[usize]) =
    ("squeezenet-imagenet/SqueezeNet_fp32_upcast.onnx", &[1, 3, 224, 224]);

#[test]
fn fused_graphs_compute_the_same_with_fewer_nodes() {
    let Some(library) = support::ort_library() else { return };
    let folder = Folder::new();
    for (path, shape) in [RESNET, SQUEEZENET] {
        let Some(model) = shared(path) else { return };
        let nodes = |graph: &Path| OnnxModel::read(graph).unwrap().graph().node.len();
        let before = run(&library, &model, shape);
        let mut fewest = nodes(&model);
        for level in ["basic", "extended", "all"] {
            let params = json!({"level": level});
            let (graph, notes) = apply(&folder, &model, "fuse", &params, Some(&library)).unwrap();
            assert!(difference(&run(&library, &graph, shape), &before) < 1e-4, "{path} {level}");
            assert!(notes[0].contains("nodes became"), "{notes:?}");
            // What is timed is what was asked for: sessions stop where the pass did.
            let asked = OnnxModel::read(&graph).unwrap();
            let asked = asked.metadata("engine.session").unwrap_or_default().to_owned();
            assert!(asked.contains(&format!("\"graph_level\":\"{level}\"")), "{asked}");
            assert!(!graph.with_file_name("unfinished").exists());
            if level == "all" {
                assert!(notes.iter().any(|note| note.contains("this machine")), "{notes:?}");
            } else {
                assert!(nodes(&graph) < fewest || level == "basic", "{notes:?}");
                fewest = fewest.min(nodes(&graph));
            }
        }
    }
}

#[test]
fn fusing_by_level_without_a_runtime_says_what_is_missing() {
    let Some(model) = shared(RESNET.0) else { return };
    let folder = Folder::new();
    let told = apply(&folder, &model, "fuse", &json!({"level": "basic"}), None).unwrap_err();
    assert!(told.to_string().contains("ONNX Runtime"), "{told}");
}

#[test]
fn a_graph_in_half_precision_is_half_as_large_and_computes_nearly_the_same() {
    let Some(library) = support::ort_library() else { return };
    let folder = Folder::new();
    for (path, shape) in [RESNET, SQUEEZENET] {
        let Some(model) = shared(path) else { return };
        let before = run(&library, &model, shape);
        for keep_io in [true, false] {
            let params = json!({"to": "f16", "keep_io": keep_io});
            let (graph, notes) = apply(&folder, &model, "cast", &params, None).unwrap();
            let after = run(&library, &graph, shape);
            assert!(difference(&after, &before) < 0.02, "{path}: {notes:?}");
            let dtype = if keep_io { ElementType::F32 } else { ElementType::F16 };
            assert_eq!(after[0].1.dtype, dtype);
            let (old, new) = (facts(&model).unwrap(), facts(&graph).unwrap());
            assert_eq!(new.dtype, "f16");
            let share = new.weight_bytes["f16"] as f64 / old.weight_bytes["f32"] as f64;
            assert!((share - 0.5).abs() < 0.01, "{share}");
        }
        let excluded = json!({"to": "f16", "exclude": ["Conv"]});
        let (graph, notes) = apply(&folder, &model, "cast", &excluded, None).unwrap();
        assert!(notes[2].contains("Conv ("), "{notes:?}");
        assert!(difference(&run(&library, &graph, shape), &before) < 0.02);
    }
}

#[test]
fn what_cannot_be_cast_is_told_with_its_node() {
    let Some(model) = shared(RESNET.0) else { return };
    let folder = Folder::new();
    let told =
        |params: Value| apply(&folder, &model, "cast", &params, None).unwrap_err().to_string();
    let bf16 = told(json!({"to": "bf16"}));
    assert!(bf16.contains("`Conv` in bf16"), "{bf16}");
    assert!(told(json!({"to": "f32"})).contains("f16 or bf16"));
    let idle = told(json!({"to": "f16", "exclude": ["Cnov"]}));
    assert!(idle.contains("`Cnov`"), "{idle}");
}

#[test]
fn session_options_travel_with_the_graph_and_add_up() {
    let Some(model) = shared(RESNET.0) else { return };
    let folder = Folder::new();
    let first = json!({"threads": 2, "execution": "parallel"});
    let (graph, _) = apply(&folder, &model, "session", &first, None).unwrap();
    let second = json!({"threads": 1, "arena": false});
    let (graph, notes) = apply(&folder, &graph, "session", &second, None).unwrap();
    let read = OnnxModel::read(&graph).unwrap();
    let options = SessionOptions::of(&read).unwrap();
    assert_eq!((options.threads, options.arena, options.spinning), (Some(1), Some(false), None));
    assert!(notes[0].contains("execution parallel"), "{notes:?}");
    let old = OnnxModel::read(&model).unwrap();
    let name = &old.graph().initializer[0].name.clone().unwrap();
    assert_eq!(read.bytes_of(name).unwrap(), old.bytes_of(name).unwrap());
}

/// Pictures of the small classifier whose numbers depend on `from`.
fn pictures(count: usize, from: usize) -> (String, Tensor) {
    let value = |i: usize| ((i * 37 + from * 101) % 255) as f32 / 255.0;
    let values: Vec<f32> = (0..count * 28 * 28).map(value).collect();
    ("image".to_owned(), Tensor::of_f32(vec![count, 1, 28, 28], &values))
}

#[test]
fn bound_inputs_and_outputs_give_the_same_bits_for_any_order_of_shapes() {
    let Some(library) = support::ort_library() else { return };
    let folder = Folder::new();
    let model = Path::new(PROJECT).join("examples/models/tiny_conv/model.onnx");
    let how = OpenOptions { runtime: Some(library), ..OpenOptions::default() };
    let open = |bound: bool| {
        let params = json!({"io_binding": bound});
        let (graph, notes) = apply(&folder, &model, "session", &params, None).unwrap();
        assert!(notes[0].contains(&format!("io_binding {bound}")), "{notes:?}");
        backend("onnxruntime").unwrap().session(&graph, Kind::Onnx, &how).unwrap()
    };
    let (mut bound, mut free) = (open(true), open(false));
    let mut plain = backend("onnxruntime").unwrap().session(&model, Kind::Onnx, &how).unwrap();
    let mut all = Vec::new();
    for (at, count) in [1, 1, 4, 4, 2, 4, 1].into_iter().enumerate() {
        let inputs = [pictures(count, at)];
        let outputs = bound.run(&inputs).unwrap();
        assert_eq!(outputs, free.run(&inputs).unwrap(), "run {at}");
        assert_eq!(outputs, plain.run(&inputs).unwrap(), "run {at}");
        assert_eq!(outputs[0].1.shape, [count, 10]);
        // The same inputs again are the same numbers, and what was taken before stays as it was.
        assert_eq!(bound.run(&inputs).unwrap(), outputs, "run {at}");
        all.push(outputs);
    }
    assert_ne!(all[0], all[1], "other pictures have other scores");
}

/// `y = NonZero(x)`: as many columns as `x` has numbers that are not zero.
fn counting(folder: &Folder) -> PathBuf {
    let mut graph = GraphBuilder::default();
    let named = |name: &str| Dim::Named(name.to_owned());
    let x = graph.input("x", ElementType::F32, &[named("n")]);
    graph.output("y", ElementType::I64, &[Dim::Fixed(1), named("found")]);
    graph.node("find", "NonZero", "", &[&x.0], &["y"], Vec::new());
    folder.write("counting.onnx", graph.model("counting", 17, &[]).encode_to_vec())
}

#[test]
fn a_bound_output_may_change_its_size_where_the_inputs_do_not() {
    let Some(library) = support::ort_library() else { return };
    let folder = Folder::new();
    let (graph, _) =
        apply(&folder, &counting(&folder), "session", &json!({"io_binding": true}), None).unwrap();
    let how = OpenOptions { runtime: Some(library), ..OpenOptions::default() };
    let mut session = backend("onnxruntime").unwrap().session(&graph, Kind::Onnx, &how).unwrap();
    for values in [[1.0, 0.0, 2.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0]] {
        let input = ("x".to_owned(), Tensor::of_f32(vec![3], &values));
        let expected: Vec<i64> = (0..3).filter(|&at| values[at as usize] != 0.0).collect();
        let outputs = session.run(&[input]).unwrap();
        assert_eq!(outputs[0].1, Tensor::of_i64(vec![1, expected.len()], &expected));
    }
}

#[test]
fn a_cache_in_place_is_not_opened_without_binding() {
    let Some(library) = support::ort_library() else { return };
    let folder = Folder::new();
    let logits = |kv_cache: bool, bound: bool| {
        let chain = [
            ("export", json!({"format": "onnx", "kv_cache": kv_cache})),
            ("session", json!({"io_binding": bound})),
        ];
        let (graph, _) = llama(&folder, &chain, folder.path(), &library);
        let how =
            OpenOptions { capacity: 8, runtime: Some(library.clone()), ..OpenOptions::default() };
        let mut model = backend("onnxruntime").unwrap().open(&graph, Kind::Onnx, &how)?;
        let first = model.prefill(&[1, 5, 9], 1)?;
        Ok::<_, BackendError>([first.values, model.decode(&[40])?.values])
    };
    let told = logits(true, false).unwrap_err().to_string();
    assert!(told.contains("`io_binding: false`") && told.contains("in place"), "{told}");
    assert!(logits(true, true).is_ok());
    assert_eq!(logits(false, false).unwrap(), logits(false, true).unwrap());
}

/// Steps of a Llama's graph, each `(id, params)`.
fn llama(
    folder: &Folder,
    chain: &[(&str, Value)],
    data: &Path,
    library: &Path,
) -> (PathBuf, Vec<String>) {
    let mut at = Path::new(PROJECT).join("examples/models/story_llama");
    let (mut kind, mut notes) = (Kind::Checkpoint, Vec::new());
    for (id, params) in chain {
        let out = folder.join(support::fresh().to_string());
        std::fs::create_dir(&out).unwrap();
        let job = PassJob {
            input: &at,
            kind,
            params,
            out: &out,
            data: Some(data),
            runtime: Some(library),
            progress: &|_| {},
        };
        let done = pass(id, params).expect("a known pass").apply(&job).unwrap();
        (kind, notes, at) = (done.kind, done.notes, out.join(GRAPH_FILE));
    }
    (at, notes)
}

#[test]
fn a_language_model_is_calibrated_on_texts_and_cast_with_its_cache() {
    let Some(library) = support::ort_library() else { return };
    let folder = Folder::new();
    let texts: Vec<Vec<u32>> =
        (0..6).map(|text| (0..40).map(|i| 5 + (text * 31 + i * 7) % 200).collect()).collect();
    let tokens = json!({"bos": 1, "documents": texts});
    folder.write("tokens.json", tokens.to_string());
    let open = |graph: &Path| {
        let how =
            OpenOptions { capacity: 64, runtime: Some(library.clone()), ..OpenOptions::default() };
        backend("onnxruntime").unwrap().open(graph, Kind::Onnx, &how).unwrap()
    };
    let logits = |graph: &Path| {
        let mut model = open(graph);
        let all = model.score(&texts[0]).unwrap().values;
        model.prefill(&texts[0][..20], 1).unwrap();
        (all, model.decode(&texts[0][20..21]).unwrap().values)
    };
    let export = ("export", json!({"format": "onnx"}));
    let fused = ("fuse", json!({"attention": "gqa"}));
    let (plain, _) = llama(&folder, std::slice::from_ref(&export), folder.path(), &library);
    let reference = logits(&plain);
    let far = |own: &[f32], other: &[f32]| {
        let largest = other.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        own.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
    };
    let level = ("fuse", json!({"attention": "gqa", "level": "extended"}));
    let half = ("cast", json!({"to": "f16"}));
    let eight = (
        "quantize",
        json!({"method": "static", "data": "d", "calibrate": "percentile",
                                    "percentile": 99.99, "exclude": ["lm_head"]}),
    );
    for (chain, most) in [
        (vec![export.clone(), level.clone()], 1e-3),
        (vec![export.clone(), level, half.clone()], 0.02),
        (vec![export.clone(), half.clone()], 0.02),
        (vec![export.clone(), fused.clone(), half], 0.02),
        (vec![export.clone(), eight.clone()], 0.2),
        (vec![export, fused, eight], 0.2),
    ] {
        let (graph, notes) = llama(&folder, &chain, folder.path(), &library);
        let own = logits(&graph);
        let (all, one) = (far(&own.0, &reference.0), far(&own.1, &reference.1));
        println!("{chain:?}: {all} {one} {notes:?}");
        assert!(all < most && one < most, "{all} {one}: {notes:?}");
    }
}
