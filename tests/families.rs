//! Networks of families compute the same on candle and on ONNX Runtime.

mod support;

use std::path::{Path, PathBuf};

use engine::backend::{OpenOptions, Session, backend};
use engine::data::Tensor;
use engine::model::onnx::GRAPH_FILE;
use engine::model::signature::Dim;
use engine::model::{Checkpoint, Kind, RandomModel, Signature};
use engine::pass::{PassJob, pass};
use serde_json::{Value, json};
use support::{Folder, House, run};

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

/// A folder of `tests/cases/families`, made by `reference.py` there.
fn case(name: &str) -> PathBuf {
    Path::new(support::PROJECT).join("tests/cases/families").join(name)
}

/// Numbers of a nested list with their shape.
fn numbers(value: &Value) -> (Vec<usize>, Vec<f64>) {
    match value.as_array() {
        None => (Vec::new(), vec![value.as_f64().expect("a number")]),
        Some(list) => {
            let inner: Vec<_> = list.iter().map(numbers).collect();
            let shape = [vec![list.len()], inner[0].0.clone()].concat();
            (shape, inner.into_iter().flat_map(|(_, values)| values).collect())
        }
    }
}

/// What `reference.py` gave the reference library: recorded tokens, or the pictures of `pixels`.
fn recorded_inputs(signature: &Signature, expected: &Value) -> Vec<(String, Tensor)> {
    let port = |port: &engine::model::signature::Port| {
        let tensor = match (expected.get(&port.name), &port.shape[..]) {
            (Some(value), _) => {
                let (shape, values) = numbers(value);
                let values: Vec<i64> = values.into_iter().map(|value| value as i64).collect();
                Tensor::of_i64(shape, &values)
            }
            (None, [_, Dim::Fixed(channels), Dim::Fixed(height), Dim::Fixed(width)]) => {
                let shape = [2, *channels as usize, *height as usize, *width as usize];
                let numbers = (0..shape.iter().product()).map(|i: usize| (i * 37 + i / 7) % 211);
                let values: Vec<f32> =
                    numbers.map(|number| (number as f64 / 100.0 - 1.0) as f32).collect();
                Tensor::of_f32(shape.to_vec(), &values)
            }
            other => panic!("no input for {other:?}"),
        };
        (port.name.clone(), tensor)
    };
    signature.inputs.iter().map(port).collect()
}

/// Largest difference from what was recorded under the output's name.
fn compared(session: &mut dyn Session, expected: &Value) -> f64 {
    let inputs = recorded_inputs(session.signature(), expected);
    let outputs = session.run(&inputs).unwrap();
    let (shape, wanted) = numbers(&expected[&outputs[0].0]);
    assert_eq!(outputs[0].1.shape, shape);
    let found = outputs[0].1.to_f64();
    found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn networks_give_the_numbers_of_the_reference_library() {
    let names = [
        "bert",
        "bert-masked-lm",
        "roberta",
        "xlm-roberta",
        "distilbert",
        "clip",
        "clip-legacy",
        "vit",
        "vit-no-bias",
        "resnet",
        "resnet-basic",
        "resnet-early",
    ];
    let library = support::ort_library();
    let folder = Folder::new();
    let mut wrong = Vec::new();
    for name in names {
        let model = case(name);
        let expected = support::read_json(&model.join("expected.json"));
        let checkpoint = Checkpoint::open(&model).unwrap_or_else(|e| panic!("{name}: {e}"));
        for part in checkpoint.config.networks().unwrap().parts.keys() {
            let part = (!part.is_empty()).then_some(*part);
            let mut candle = open(&model, Kind::Checkpoint, Path::new(""), part);
            let mut worst = vec![compared(candle.as_mut(), &expected)];
            if let Some(library) = &library {
                let graph = export(&folder, &model, part);
                let mut session = open(&graph, Kind::Onnx, library, None);
                worst.push(compared(session.as_mut(), &expected));
            }
            let shown: Vec<String> = worst.iter().map(|worst| format!("{worst:.1e}")).collect();
            let shown = shown.join(", ");
            println!("{name} {part:?}: largest difference on candle, on ONNX Runtime: {shown}");
            if worst.iter().any(|worst| worst.is_nan() || *worst > 1e-5) {
                wrong.push(format!("{name} {part:?}: {shown}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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

#[test]
fn what_only_decoders_can_do_is_refused_before_anything_runs() {
    let house = House::new();
    let vit = "random://vit-tiny";
    for (stage, told) in [
        ("quantize: {method: gguf, format: q8_0}", "takes decoders, and this model is a `vit`"),
        ("export: {format: onnx, kv_cache: true}", "`vit` model has no key and value cache"),
    ] {
        let text = format!(
            "version: 1\nname: t\nwhy: Is it refused?\n\
             model: {{source: \"{vit}\", task: image_classification}}\n\
             variants:\n  plain: {{}}\n  other: {{stages: [{{{stage}}}]}}\n"
        );
        let spec = house.folder.write("spec.yaml", text);
        let ended = run(house.engine(&["plan"]).arg(&spec)).expect(2);
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
        assert!(ended.stderr.contains("plan/impossible-chain"), "{}", ended.stderr);
    }
}

#[test]
fn every_family_is_listed_with_its_line() {
    let listed = engine::catalog::list("models").unwrap();
    for family in ["llama", "bert", "clip", "vit", "resnet"] {
        let line = listed.iter().find(|line| line.id == family).expect(family);
        assert!(!line.about.is_empty());
    }
}
