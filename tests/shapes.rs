//! The small CLIP and its pictures are what `examples/shapes_clip` makes, and two forward passes
//! of our own agree on what they mean.
//!
//! Pixels are compared, not PNG bytes, because encoders change. Weights cannot be made again
//! within a test; their names, shapes and results are checked.

mod support;

#[path = "../examples/shapes_clip/model.rs"]
mod model;
#[path = "../examples/shapes_clip/ops/mod.rs"]
mod ops;
#[path = "../examples/shapes_clip/pictures/mod.rs"]
mod pictures;
#[path = "../examples/shapes_clip/reference/mod.rs"]
mod reference;
#[path = "../examples/shapes_clip/tokenizer.rs"]
mod tokenizer;
#[path = "../examples/shapes_clip/towers.rs"]
#[allow(dead_code, reason = "training needs more of it")]
mod towers;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{D, Device, Tensor};
use model::Clip;
use pictures::{SEED, SIDE, Training};
use reference::{Network, dot, unit};
use serde_json::Value;
use support::{Folder, PROJECT};
use tokenizers::Tokenizer;

fn model_folder() -> PathBuf {
    Path::new(PROJECT).join("examples/models/shapes_clip")
}

fn data_folder() -> PathBuf {
    Path::new(PROJECT).join("examples/data/shapes")
}

fn json(name: &str) -> Value {
    let path = model_folder().join(name);
    serde_json::from_str(&fs::read_to_string(path).expect("a shipped file")).expect("JSON")
}

fn pixels(image: &str) -> Vec<u8> {
    let picture = image::open(data_folder().join(image)).expect("a shipped picture");
    assert_eq!((picture.width(), picture.height()), (SIDE as u32, SIDE as u32), "{image}");
    picture.into_rgb8().into_raw()
}

/// The bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a shipped folder").map(|entry| entry.expect("read"));
    let size = entries.map(|entry| match entry.metadata().expect("readable") {
        about if about.is_dir() => size(&entry.path()),
        about => about.len(),
    });
    size.sum()
}

/// The shipped weights in the form that training uses, with the tokenizer.
fn shipped_clip() -> (Clip, Tokenizer) {
    let tokenizer = Tokenizer::from_file(model_folder().join("tokenizer.json")).expect("shipped");
    let clip = Clip::new(tokenizer.get_vocab_size(true)).expect("fresh weights");
    let path = model_folder().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(path, &Device::Cpu).expect("shipped weights");
    for (name, var) in clip.named() {
        let tensor = tensors.remove(name).unwrap_or_else(|| panic!("`{name}` is missing"));
        assert_eq!(tensor.dims(), var.dims(), "{name}");
        var.set(&tensor).expect("the same shape");
    }
    assert!(tensors.is_empty(), "weights that the network does not have: {:?}", tensors.keys());
    (clip, tokenizer)
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer::ids(tokenizer, text).expect("a short text")
}

fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    let rows = tensor.to_vec2::<f32>().expect("a matrix");
    rows.iter().map(|row| unit(&row.iter().map(|x| f64::from(*x)).collect::<Vec<_>>())).collect()
}

#[test]
fn shipped_pictures_and_captions_come_from_the_seed() {
    for (split, samples) in pictures::shipped() {
        let lines: Vec<String> = samples
            .iter()
            .enumerate()
            .map(|(at, sample)| pictures::line(split, at, sample) + "\n")
            .collect();
        let shipped = fs::read_to_string(data_folder().join(format!("{split}.jsonl")));
        assert!(shipped.expect("a shipped split") == lines.concat(), "{split}.jsonl differs");
        for (at, sample) in samples.iter().enumerate().step_by(19) {
            let image = format!("{split}/{at:04}.png");
            assert!(pixels(&image) == sample.picture(), "{image} differs");
        }
        assert!(!data_folder().join(format!("{split}/{:04}.png", samples.len())).exists());
    }
    let card = fs::read_to_string(data_folder().join("README.md")).expect("a card");
    assert!(card.contains(&format!("seed {SEED}:")));
}

#[test]
fn no_layout_is_in_two_places() {
    let shipped: Vec<_> = pictures::shipped().into_iter().flat_map(|(_, all)| all).collect();
    let layouts: HashSet<_> = shipped.iter().map(|sample| sample.layout).collect();
    let captions: HashSet<_> = shipped.iter().map(|sample| &sample.caption).collect();
    assert_eq!((layouts.len(), captions.len()), (528, 528));
    assert!(Training::default().take(20_000).all(|sample| !layouts.contains(&sample.layout)));
    let mut classes = HashSet::new();
    for sample in &shipped {
        classes.insert(sample.class());
    }
    assert_eq!(classes, pictures::classes().into_iter().collect());
}

#[test]
fn files_keep_to_their_bounds() {
    assert!(size(&model_folder()) <= 4_000_000, "the model has {}", size(&model_folder()));
    assert!(size(&data_folder()) <= 2_000_000, "the data have {}", size(&data_folder()));
}

#[test]
fn configuration_and_tokenizer_are_what_the_program_writes() {
    let folder = Folder::new();
    let count = tokenizer::write(folder.path()).expect("a writable folder");
    let clip = Clip::new(count).expect("fresh weights");
    clip.save(folder.path()).expect("a writable folder");
    for name in
        ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"]
    {
        let [ours, shipped] =
            [folder.join(name), model_folder().join(name)].map(fs::read_to_string);
        assert!(ours.expect("written") == shipped.expect("shipped"), "{name} differs");
    }
    let config = json("config.json");
    assert_eq!(config["text_config"]["eos_token_id"], count - 1);
    assert_eq!(json("training.json")["parameters"], clip.parameters());
}

#[test]
fn reference_json_holds_what_both_passes_compute() {
    let (clip, tokenizer) = shipped_clip();
    let network = Network::read(&model_folder()).expect("a shipped model");
    let recorded = json("reference.json");
    let values = |value: &Value| -> Vec<f64> {
        value.as_array().expect("a list").iter().filter_map(Value::as_f64).collect()
    };
    let near = |name: &str, ours: &[f64], theirs: &[f64], most: f64| {
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst <= most, "{name}: {worst:e} apart");
    };
    for (at, item) in recorded["images"].as_array().expect("a list").iter().enumerate().step_by(3) {
        let image = item["image"].as_str().expect("a path");
        let (pixels, embedding) = (pixels(image), values(&item["embedding"]));
        let normalized = values(&item["normalized"]);
        near(image, &network.image(&pixels), &embedding, 1e-8);
        near(image, &unit(&embedding), &normalized, 1e-8);
        near(image, &rows(&clip.images(&[pixels]).expect("a picture"))[0], &normalized, 1e-5);
        let item = &recorded["texts"][at];
        let text = item["text"].as_str().expect("a caption");
        let (ids, embedding) = (ids(&tokenizer, text), values(&item["embedding"]));
        assert_eq!(serde_json::json!(ids), item["ids"], "{text}");
        near(text, &network.text(&ids), &embedding, 1e-8);
        let own = dot(&normalized, &unit(&embedding)) * network.scale;
        near(text, &[own], &[values(&recorded["logits_per_image"][at])[at]], 1e-6);
        // Beside a longer text, which must not change it.
        let longer = tokenizer::ids(&tokenizer, &format!("{text} and green"));
        let texts = [ids, longer.expect("a short text")];
        let both = rows(&clip.texts(&texts).expect("two texts"));
        near(text, &both[0], &values(&item["normalized"]), 1e-5);
    }
}

#[test]
fn zero_shot_accuracy_is_that_of_the_card() {
    let (clip, tokenizer) = shipped_clip();
    let classes = pictures::classes();
    let prompts: Vec<Vec<u32>> =
        classes.iter().map(|class| ids(&tokenizer, &pictures::prompt(class))).collect();
    let prompts = clip.texts(&prompts).expect("short prompts");
    let lengths = prompts.sqr().and_then(|x| x.sum_keepdim(1)).and_then(|x| x.sqrt());
    let prompts = prompts.broadcast_div(&lengths.expect("rows")).expect("rows");
    let lines = fs::read_to_string(data_folder().join("heldout.jsonl")).expect("a shipped split");
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let images: Vec<Vec<u8>> =
        lines.iter().map(|line| pixels(line["image"].as_str().expect("a path"))).collect();
    let scores = clip.images(&images).and_then(|images| images.matmul(&prompts.t()?));
    let best = scores.and_then(|scores| scores.argmax(D::Minus1)?.to_vec1::<u32>());
    let best = best.expect("a class for each picture");
    let right =
        best.iter().zip(&lines).filter(|(best, line)| line["class"] == classes[**best as usize]);
    let (right, recorded) = (right.count() as i64, json("reference.json"));
    let stated = recorded["heldout"]["zero_shot_top1"].as_i64().expect("a count");
    assert!((right - stated).abs() <= 1, "{right} of {} right, not {stated}", lines.len());
    assert!(stated * 10 >= lines.len() as i64 * 9, "fewer than nine in ten: {stated}");
}
