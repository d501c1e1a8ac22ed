//! The small classifier of shapes is what `examples/shapes_resnet` makes, and the engine finds with
//! it what its card says.

mod support;

#[path = "../examples/shapes_resnet/config.rs"]
mod config;
#[path = "../examples/shapes_resnet/network.rs"]
#[allow(dead_code, reason = "training needs more of it")]
mod network;
#[path = "../examples/shapes_resnet/ops/mod.rs"]
mod ops;
#[path = "../examples/shapes_clip/pictures/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the pictures are those of shapes_clip")]
mod pictures;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use engine::backend::{OpenOptions, backend};
use engine::data::{ElementType, Look};
use engine::model::{Checkpoint, Kind};
use engine::task::{Beside, Fill, InputPort, PictureFile, Pictures, Size};
use network::{ResNet, labels};
use pictures::SIDE;
use serde_json::Value;
use support::{Folder, PROJECT};

fn folder() -> PathBuf {
    Path::new(PROJECT).join("examples/models/shapes_resnet")
}

fn json(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(name)).expect("a shipped file");
    serde_json::from_str(&text).expect("JSON")
}

/// The held-out pictures as the engine prepares them, in the order of their file.
fn heldout() -> Pictures {
    let path = Path::new(PROJECT).join("examples/data/shapes/heldout.jsonl");
    let label = Some("class".to_owned());
    let mut file = PictureFile { label, ..PictureFile::at(path) };
    let looked = Pictures::look(&mut file).expect("readable pictures");
    assert!(looked.excluded.is_empty() && looked.empty_labels.is_empty());
    let port = InputPort {
        name: "pixel_values".to_owned(),
        dtype: ElementType::F32,
        shape: vec![Size::Batch, Size::Fixed(3), Size::Fixed(SIDE), Size::Fixed(SIDE)],
        fill: Fill::Normal,
    };
    let model = Beside { kind: Kind::Checkpoint, path: &folder() };
    Pictures::open(&file, &[port], model, Look::Bytes).expect("a configuration beside the model")
}

#[test]
fn files_are_what_the_program_writes() {
    let ours = Folder::new();
    ResNet::new().expect("fresh weights").save(ours.path()).expect("a writable folder");
    for name in ["config.json", "preprocessor_config.json"] {
        let [ours, shipped] = [ours.join(name), folder().join(name)].map(fs::read_to_string);
        assert!(ours.expect("written") == shipped.expect("shipped"), "{name} differs");
    }
    let shapes = |folder: &Path| -> BTreeMap<String, (DType, Vec<usize>)> {
        let path = folder.join("model.safetensors");
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).expect("weights");
        let about = tensors.iter();
        about.map(|(name, at)| (name.clone(), (at.dtype(), at.dims().to_vec()))).collect()
    };
    assert_eq!(shapes(ours.path()), shapes(&folder()));
    let network = ResNet::open(&folder()).expect("shipped weights");
    assert_eq!(json("training.json")["parameters"], network.parameters());
    let files = fs::read_dir(folder()).expect("a shipped folder");
    let size: u64 = files.map(|file| file.and_then(|file| file.metadata()).unwrap().len()).sum();
    assert!(size <= 1_500_000, "the model has {size}");
}

#[test]
fn the_engine_finds_the_accuracy_of_the_card() {
    let checkpoint = Checkpoint::open(&folder()).expect("a checkpoint that the engine knows");
    let networks = checkpoint.config.networks().expect("a family of networks");
    let pictures = heldout();
    assert_eq!(networks.labels, labels());
    assert_eq!(pictures.labels(), labels());
    let how = OpenOptions { threads: Some(1), ..OpenOptions::default() };
    let candle = backend("candle").expect("a backend");
    let mut session = candle.session(&folder(), Kind::Checkpoint, &how).expect("a session");
    let reference = json("reference.json");
    let shown = reference["images"].as_array().expect("a list");
    let items = pictures.items().expect("readable pictures");
    let step = items.len() / shown.len();
    let (mut right, mut worst) = (0, 0.0_f64);
    for (at, item) in items.iter().enumerate() {
        let logits = session.run(&item.inputs).expect("scores").remove(0).1.to_f64();
        let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
        right += i64::from(best == item.class);
        if at % step == 0 {
            let recorded = shown[at / step]["logits"].as_array().expect("a list");
            let recorded = recorded.iter().map(|score| score.as_f64().expect("a number"));
            assert_eq!(recorded.len(), logits.len());
            worst = recorded.zip(&logits).map(|(a, b)| (a - b).abs()).fold(worst, f64::max);
        }
    }
    println!("{right} of {} right, scores {worst:.1e} from those recorded", items.len());
    let stated = reference["heldout"]["top1"].as_i64().expect("a count");
    assert!((right - stated).abs() <= 1, "{right} of {} right, not {stated}", items.len());
    assert!(stated * 20 >= items.len() as i64 * 17, "fewer than 17 in 20: {stated}");
    assert!(worst <= 1e-3, "scores are {worst:e} from those recorded");
    let share = format!("{:.2} %", 100.0 * stated as f64 / items.len() as f64);
    let card = fs::read_to_string(folder().join("README.md")).expect("a card");
    assert!(card.contains(&format!("| **{share} [")), "the card does not say {share}");
}
