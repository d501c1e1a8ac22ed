//! Networks of families compute the same on candle and on ONNX Runtime.

mod support;

use std::path::{Path, PathBuf};

use engine::backend::{OpenOptions, Session, backend};
use engine::data::Tensor;
use engine::model::onnx::GRAPH_FILE;
use engine::model::signature::Dim;
use engine::model::{Checkpoint, Kind, RandomModel, Signature};
use engine::pass::{PassJob, pass};
use serde_json::json;
use support::Folder;

/// A small model of every family.
const TINY: &[&str] = &["bert-tiny", "clip-tiny", "vit-tiny", "resnet-tiny"];

fn random(folder: &Folder, name: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir(&path).unwrap();
    RandomModel::parse(&format!("random://{name}?seed=5")).unwrap().generate(&path).unwrap();
    path
}

fn export(folder: &Folder, model: &Path, part: Option<&str>) -> PathBuf {
    let out = folder.join(format!("{}-{}", support::fresh(), part.unwrap_or("whole")));
    std::fs::create_dir(&out).unwrap();
    let mut params = json!({"format": "onnx"});
    if let Some(part) = part {
        params["part"] = json!(part);
    }
    let (kind, params, progress) = (Kind::Checkpoint, &params, &|_| {});
    let job =
        PassJob { input: model, kind, params, out: &out, data: None, runtime: None, progress };
    pass("export", params).unwrap().apply(&job).unwrap();
    out.join(GRAPH_FILE)
}

fn open(path: &Path, kind: Kind, library: &Path, part: Option<&str>) -> Box<dyn Session> {
    let id = if kind == Kind::Onnx { "onnxruntime" } else { "candle" };
    let how = OpenOptions {
        threads: Some(2),
        runtime: Some(library.to_owned()),
        part: part.map(str::to_owned),
        ..OpenOptions::default()
    };
    backend(id).unwrap().session(path, kind, &how).unwrap()
}

/// Three items of 9 positions: numbers that repeat with a long period, and a mask that ends
/// earlier for each item.
fn inputs(signature: &Signature, rows: u64) -> Vec<(String, Tensor)> {
    let port = |port: &engine::model::signature::Port| {
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => *size as usize,
            Dim::Named(name) if name == "batch" => 3,
            Dim::Named(_) => 9,
        };
        let shape: Vec<usize> = port.shape.iter().map(size).collect();
        let count = shape.iter().product::<usize>();
        let tensor = match port.name.as_str() {
            "pixel_values" => {
                let values: Vec<f32> =
                    (0..count).map(|i| ((i * 37 + i / 7) % 211) as f32 / 100.0 - 1.0).collect();
                Tensor::of_f32(shape, &values)
            }
            "attention_mask" => {
                let values: Vec<i64> =
                    (0..count).map(|i| i64::from(i % 9 < 9 - 2 * (i / 9))).collect();
                Tensor::of_i64(shape, &values)
            }
            _ => {
                let values: Vec<i64> =
                    (0..count).map(|i| ((i * 31 + 7) as u64 % rows) as i64).collect();
                Tensor::of_i64(shape, &values)
            }
        };
        (port.name.clone(), tensor)
    };
    signature.inputs.iter().map(port).collect()
}

#[test]
fn exported_networks_give_the_numbers_of_the_checkpoint() {
    let Some(library) = support::ort_library() else { return };
    for name in TINY {
        let folder = Folder::new();
        let model = random(&folder, name);
        let checkpoint = Checkpoint::open(&model).unwrap();
        let networks = checkpoint.config.networks().unwrap();
        let rows = networks.vocab.unwrap_or(1) as u64;
        for part in networks.parts.keys() {
            let part = (!part.is_empty()).then_some(*part);
            let graph = export(&folder, &model, part);
            let mut reference = open(&model, Kind::Checkpoint, &library, part);
            let mut exported = open(&graph, Kind::Onnx, &library, None);
            assert_eq!(reference.signature(), exported.signature(), "{name} {part:?}");
            let given = inputs(reference.signature(), rows);
            let expected = reference.run(&given).unwrap();
            let found = exported.run(&given).unwrap();
            assert_eq!(expected[0].0, found[0].0);
            assert_eq!(expected[0].1.shape, found[0].1.shape);
            let (a, b) = (expected[0].1.to_f64(), found[0].1.to_f64());
            let scale = a.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            let worst = a.iter().zip(&b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
            println!("{name} {part:?}: largest {scale:.3}, largest difference {worst:.1e}");
            assert!(scale > 1e-3, "{name}: outputs say something");
            assert!(worst <= 1e-5 * scale.max(1.0), "{name} {part:?}: {worst}");
            // Items differ, so nothing was pooled over them.
            let width = a.len() / 3;
            assert!(a[..width].iter().zip(&a[width..]).any(|(x, y)| (x - y).abs() > 1e-6));
        }
    }
}

#[test]
fn catalogued_networks_have_the_sizes_of_the_published_models() {
    let published = [
        ("minilm-l6", 22_713_216 - 384 * 385),
        ("bert-base", 109_482_240 - 768 * 769),
        ("clip-vit-base-patch32", 151_277_313 - 1),
        ("vit-base-patch16-224", 86_567_656),
        ("resnet-50", 25_557_032 + 2 * 26_560),
    ];
    for (name, parameters) in published {
        let model = RandomModel::parse(&format!("random://{name}")).unwrap();
        assert_eq!(model.config().parameters(), parameters, "{name}");
    }
}
