//! Fused and quantized encoders: what comes out opens in ONNX Runtime and computes what went in.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::backend::{OpenOptions, Session, backend};
use engine::data::{ItemFile, Tensor};
use engine::model::onnx::GRAPH_FILE;
use engine::model::signature::{Dim, Port};
use engine::model::{Kind, OnnxModel, RandomModel, Signature};
use engine::pass::{PassError, PassJob, pass};
use serde_json::{Value, json};
use support::Folder;

/// A pass by its key and parameters.
type Step = (&'static str, Value);

fn carry_out(
    folder: &Folder,
    input: &Path,
    kind: Kind,
    (id, params): &Step,
) -> Result<(PathBuf, Vec<String>), PassError> {
    let out = folder.join(support::fresh().to_string());
    std::fs::create_dir(&out).unwrap();
    let runtime = support::ort_library();
    let (data, runtime) = (Some(folder.path()), runtime.as_deref());
    let job = PassJob { input, kind, params, out: &out, data, runtime, progress: &|_| {} };
    let notes = pass(id, params).expect("a known pass").apply(&job)?.notes;
    Ok((out.join(GRAPH_FILE), notes))
}

/// The graph of a drawn model.
fn exported(folder: &Folder, name: &str, part: Option<&str>) -> PathBuf {
    let model = folder.join(format!("{name}-{}", support::fresh()));
    std::fs::create_dir(&model).unwrap();
    RandomModel::parse(&format!("random://{name}?seed=5")).unwrap().generate(&model).unwrap();
    let mut params = json!({"format": "onnx"});
    if let Some(part) = part {
        params["part"] = json!(part);
    }
    carry_out(folder, &model, Kind::Checkpoint, &("export", params)).unwrap().0
}

fn then(folder: &Folder, graph: &Path, steps: &[Step]) -> (PathBuf, Vec<String>) {
    let mut all = Vec::new();
    let mut at = graph.to_owned();
    for step in steps {
        let (next, notes) = carry_out(folder, &at, Kind::Onnx, step).unwrap();
        at = next;
        all.extend(notes);
    }
    (at, all)
}

fn open(graph: &Path) -> Box<dyn Session> {
    let how = OpenOptions { runtime: support::ort_library(), ..OpenOptions::default() };
    backend("onnxruntime").unwrap().session(graph, Kind::Onnx, &how).unwrap()
}

/// Three items of 9 positions; the mask of each ends earlier than that of the one before.
fn inputs(signature: &Signature, seed: usize) -> Vec<(String, Tensor)> {
    let input = |port: &Port| {
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => *size as usize,
            Dim::Named(name) if name == "batch" => 3,
            Dim::Named(_) => 9,
        };
        let shape: Vec<usize> = port.shape.iter().map(size).collect();
        let count = shape.iter().product::<usize>();
        let whole = |value: &dyn Fn(usize) -> i64| {
            Tensor::of_i64(shape.clone(), &(0..count).map(value).collect::<Vec<i64>>())
        };
        let tensor = match port.name.as_str() {
            "pixel_values" => {
                let value = |i: usize| ((i * 37 + i / 7 + seed * 53) % 211) as f32 / 100.0 - 1.0;
                Tensor::of_f32(shape, &(0..count).map(value).collect::<Vec<f32>>())
            }
            "attention_mask" => whole(&|i| i64::from(i % 9 < 9 - 2 * (i / 9))),
            _ => whole(&|i| ((i * 31 + 7 + seed) % 60) as i64),
        };
        (port.name.clone(), tensor)
    };
    signature.inputs.iter().map(input).collect()
}

fn run(graph: &Path) -> Vec<f64> {
    let mut session = open(graph);
    let given = inputs(session.signature(), 0);
    session.run(&given).unwrap().swap_remove(0).1.to_f64()
}

fn difference(own: &[f64], other: &[f64]) -> f64 {
    assert_eq!(own.len(), other.len());
    let largest = other.iter().fold(1e-3_f64, |most, v| most.max(v.abs()));
    own.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

fn cosine(own: &[f64], other: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    dot(own, other) / (dot(own, own) * dot(other, other)).sqrt()
}

/// Numbers of nodes by operator.
fn operators(graph: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in &OnnxModel::read(graph).unwrap().graph().node {
        *counts.entry(node.op().to_owned()).or_default() += 1;
    }
    counts
}

fn count(operators: &BTreeMap<String, usize>, name: &str) -> usize {
    operators.get(name).copied().unwrap_or(0)
}

/// An encoder of two layers.
struct Encoder {
    name: &'static str,
    part: Option<&'static str>,
    /// The activation that it can have fused.
    activation: &'static str,
    /// Products with constants: four in each layer, the patches of a picture, what comes last.
    products: usize,
    /// Residual sums that a norm follows: two in each layer, but in the last one only where all its
    /// positions are read.
    sums: usize,
}

const ENCODERS: &[Encoder] = &[
    Encoder { name: "bert-tiny", part: None, activation: "bias_gelu", products: 8, sums: 4 },
    Encoder {
        name: "clip-tiny",
        part: Some("image"),
        activation: "quick_gelu",
        products: 10,
        sums: 2,
    },
    Encoder {
        name: "clip-tiny",
        part: Some("text"),
        activation: "quick_gelu",
        products: 9,
        sums: 2,
    },
    Encoder { name: "vit-tiny", part: None, activation: "bias_gelu", products: 10, sums: 2 },
];

#[test]
fn fused_encoders_compute_the_same() {
    if support::ort_library().is_none() {
        return;
    }
    for Encoder { name, part, activation, sums, .. } in ENCODERS {
        let folder = Folder::new();
        let plain = exported(&folder, name, *part);
        let expected = run(&plain);
        let mha = json!({"attention": "mha"});
        let skip = json!({"operators": ["skip_layer_norm"]});
        let gelu = json!({"operators": [activation]});
        let all = json!({"attention": "mha", "operators": [activation, "skip_layer_norm"]});
        let mut level = all.clone();
        level["level"] = json!("extended");
        for params in [mha, skip, gelu, all, level] {
            let (graph, notes) = then(&folder, &plain, &[("fuse", params.clone())]);
            let worst = difference(&run(&graph), &expected);
            println!("{name} {part:?} {params}: {worst:.1e} {notes:?}");
            assert!(worst < 1e-5, "{name} {part:?} {params}: {worst}");
            let (found, asked) = (operators(&graph), params.to_string());
            if asked.contains("mha") {
                assert_eq!(count(&found, "MultiHeadAttention"), 2, "{found:?}");
                // The mask is no longer widened for every pair of positions.
                assert_eq!(count(&found, "Attention"), 0, "{found:?}");
                assert!(*name != "bert-tiny" || count(&found, "Expand") == 0, "{found:?}");
            }
            if asked.contains("skip") {
                assert_eq!(count(&found, "SkipLayerNormalization"), *sums, "{found:?}");
            }
        }
    }
}

#[test]
fn rows_that_nothing_may_look_at_are_masked_in_the_fused_graph_too() {
    if support::ort_library().is_none() {
        return;
    }
    let folder = Folder::new();
    let plain = exported(&folder, "bert-tiny", None);
    let (fused, _) = then(&folder, &plain, &[("fuse", json!({"attention": "mha"}))]);
    let mut session = open(&fused);
    let mut given = inputs(session.signature(), 0);
    let before = session.run(&given).unwrap().swap_remove(0).1.to_f64();
    // The last position of the second item is hidden by its mask; the first one's is not.
    let ids = given.iter_mut().find(|(name, _)| name == "input_ids").unwrap();
    let mut values: Vec<i64> = ids.1.to_f64().iter().map(|&id| id as i64).collect();
    values[17] += 1;
    ids.1 = Tensor::of_i64(vec![3, 9], &values);
    let after = session.run(&given).unwrap().swap_remove(0).1.to_f64();
    assert_eq!(before, after);
    values[8] += 1;
    given.iter_mut().find(|(name, _)| name == "input_ids").unwrap().1 =
        Tensor::of_i64(vec![3, 9], &values);
    assert_ne!(session.run(&given).unwrap().swap_remove(0).1.to_f64(), after);
}

#[test]
fn what_cannot_be_fused_is_refused_with_a_reason() {
    let folder = Folder::new();
    let refused = |graph: &Path, params: Value| {
        carry_out(&folder, graph, Kind::Onnx, &("fuse", params)).unwrap_err().to_string()
    };
    let resnet = exported(&folder, "resnet-tiny", None);
    let none = refused(&resnet, json!({"attention": "mha"}));
    assert!(none.contains("no `Attention`"), "{none}");
    let norm = refused(&resnet, json!({"operators": ["skip_layer_norm"]}));
    assert!(norm.contains("no `LayerNormalization`"), "{norm}");
    let clip = exported(&folder, "clip-tiny", Some("text"));
    let gelu = refused(&clip, json!({"operators": ["bias_gelu"]}));
    assert!(gelu.contains("no exact `Gelu`"), "{gelu}");
    let bert = exported(&folder, "bert-tiny", None);
    for operator in ["fast_gelu", "quick_gelu"] {
        let told = refused(&bert, json!({"operators": [operator]}));
        assert!(told.contains("in it"), "{told}");
    }
    let decoder = refused(&bert, json!({"attention": "gqa"}));
    assert!(decoder.contains("not an attention that GroupQueryAttention computes"), "{decoder}");
    let llama = Path::new(support::PROJECT).join("examples/models/story_llama");
    let export = ("export", json!({"format": "onnx"}));
    let (llama, _) = carry_out(&folder, &llama, Kind::Checkpoint, &export).unwrap();
    let encoder = refused(&llama, json!({"attention": "mha"}));
    assert!(encoder.contains("`attention: gqa`"), "{encoder}");
}

#[test]
fn every_quantized_product_of_an_encoder_is_one_kernel() {
    if support::ort_library().is_none() {
        return;
    }
    let dynamic = ("quantize", json!({"method": "dynamic"}));
    for Encoder { name, part, products, .. } in ENCODERS {
        let folder = Folder::new();
        let plain = exported(&folder, name, *part);
        let expected = run(&plain);
        let fuse = ("fuse", json!({"attention": "mha", "operators": ["skip_layer_norm"]}));
        for steps in [vec![dynamic.clone()], vec![fuse, dynamic.clone()]] {
            let (graph, notes) = then(&folder, &plain, &steps);
            let alike = cosine(&run(&graph), &expected);
            println!("{name} {part:?}: cosine {alike:.5} {notes:?}");
            assert!(alike > 0.99, "{name} {part:?}: {alike}");
            let level = ("fuse", json!({"level": "all"}));
            let (opened, _) = then(&folder, &graph, &[level]);
            let found = operators(&opened);
            assert_eq!(count(&found, "DynamicQuantizeMatMul"), *products, "{found:?}");
            for left in ["MatMulInteger", "DynamicQuantizeLinear"] {
                assert_eq!(count(&found, left), 0, "{name} {part:?}: {found:?}");
            }
            // Sums of layers and of the embeddings only: biases are added by the kernels.
            assert!(count(&found, "Add") <= 6, "{name} {part:?}: {found:?}");
            assert!(count(&found, "Expand") <= 1, "{found:?}");
        }
    }
}

#[test]
fn towers_and_convolutions_are_quantized_with_scales_from_data() {
    if support::ort_library().is_none() {
        return;
    }
    let pictures = [("clip-tiny", Some("image")), ("vit-tiny", None), ("resnet-tiny", None)];
    for (name, part) in pictures {
        let folder = Folder::new();
        let mut graph = exported(&folder, name, part);
        let expected = run(&graph);
        let items: Vec<_> = {
            let session = open(&graph);
            (0..4).map(|seed| inputs(session.signature(), seed)).collect()
        };
        ItemFile::write(folder.path(), items.iter().map(Vec::as_slice)).unwrap();
        if name.starts_with("resnet") {
            graph = then(&folder, &graph, &[("fuse", json!({"level": "basic"}))]).0;
        }
        for extra in [json!({}), json!({"per_channel": false}), json!({"reduce_range": true})] {
            let mut params = json!({"method": "static", "data": "d"});
            params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let (eight, notes) = then(&folder, &graph, &[("quantize", params)]);
            let alike = cosine(&run(&eight), &expected);
            println!("{name} {extra}: cosine {alike:.5} {notes:?}");
            assert!(alike > 0.98, "{name} {extra}: {alike}");
            let share = engine::model::facts(&eight).unwrap().quantized_share;
            assert!(share > 0.7, "{name}: {share}");
            // The runtime computes none of them in floats, heads over single vectors included.
            let level = ("fuse", json!({"level": "all"}));
            let found = operators(&then(&folder, &eight, &[level]).0);
            for left in ["Gemm", "MatMul", "Conv", "FusedConv"] {
                assert_eq!(count(&found, left), 0, "{name} {extra}: {found:?}");
            }
            assert!(count(&found, "QGemm") > 0, "{name} {extra}: {found:?}");
        }
    }
}
