//! Llama with biases, Mistral and Qwen2 compute what plain arithmetic computes, on every backend.

#[path = "../support/mod.rs"]
mod support;

mod naive;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use engine::backend::{Generator, OpenOptions, backend};
use engine::model::onnx::GRAPH_FILE;
use engine::model::{
    Architecture, Checkpoint, Gguf, Kind, LlamaConfig, RandomModel, Writer, facts,
};
use engine::pass::{GGUF_FILE, PassJob, pass};
use naive::Naive;
use serde_json::{Value, json};
use support::{Folder, House};

/// The sliding window of the Mistral below.
const WINDOW: usize = 64;

/// A name and a configuration for every way in which decoders differ.
fn decoders() -> Vec<(&'static str, Value)> {
    let with = |kind: &str, more: Value| {
        let mut json = json!({
            "model_type": kind, "hidden_size": 64, "intermediate_size": 96, "vocab_size": 160,
            "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
            "head_dim": 16, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
            "rope_theta": 10_000.0, "tie_word_embeddings": true, "torch_dtype": "float32",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            json[key] = value.clone();
        }
        json
    };
    let halves = json!({"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 8});
    vec![
        ("llama", with("llama", json!({}))),
        ("llama-biased", with("llama", json!({"attention_bias": true}))),
        (
            "mistral",
            with("mistral", json!({"sliding_window": WINDOW, "tie_word_embeddings": false})),
        ),
        ("qwen2", with("qwen2", json!({"use_sliding_window": false, "rms_norm_eps": 1e-6}))),
        // Heads of 8 are turned outside the fused operator.
        ("qwen2-halves", with("qwen2", halves)),
    ]
}

/// Numbers between -1 and 1 that look drawn.
struct Sequence(u32);

impl Sequence {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1_u32 << 23) as f32 - 1.0
    }
}

/// Writes a checkpoint of `config`. Biases are as large as what they are added to.
fn checkpoint(folder: &Folder, name: &str, config: &Value) -> PathBuf {
    let dir = folder.join(name);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let tensors = LlamaConfig::from_json(&dir, config).unwrap().tensors();
    let header: Vec<_> = tensors
        .iter()
        .map(|(name, shape)| (name.clone(), "F32".to_owned(), shape.clone()))
        .collect();
    let file = File::create(dir.join("model.safetensors")).unwrap();
    let mut writer = Writer::new(file, &header).unwrap();
    let mut sequence = Sequence(7);
    for (name, shape) in &tensors {
        let mut value = || match shape.as_slice() {
            [_] if name.contains("_proj.bias") => sequence.next(),
            [_] => 1.0 + 0.2 * sequence.next(),
            [.., cols] => sequence.next() * (2.0 / *cols as f32).sqrt(),
            [] => unreachable!("every weight has a shape"),
        };
        let count = shape.iter().product();
        let bytes: Vec<u8> = (0..count).flat_map(|_: u64| value().to_le_bytes()).collect();
        writer.append(&bytes).unwrap();
    }
    writer.finish().unwrap();
    dir
}

fn tokens(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| (i * 37 + 11) % 160).collect()
}

/// What a chain of passes over the checkpoint `model` leaves, and the notes of the last.
fn made(folder: &Folder, model: &Path, chain: &[(&str, Value)]) -> ((Kind, PathBuf), Vec<String>) {
    let (mut kind, mut at, mut notes) = (Kind::Checkpoint, model.to_owned(), Vec::new());
    for (id, params) in chain {
        let out = folder.join(format!("{}", support::fresh()));
        fs::create_dir(&out).unwrap();
        let (input, progress) = (at.as_path(), &|_| {});
        let job = PassJob { input, kind, params, out: &out, data: None, runtime: None, progress };
        let done = pass(id, params).expect("a known pass").apply(&job).unwrap();
        (kind, notes) = (done.kind, done.notes);
        at = match kind {
            Kind::Onnx => out.join(GRAPH_FILE),
            Kind::Gguf => out.join(GGUF_FILE),
            Kind::Checkpoint => out,
        };
    }
    ((kind, at), notes)
}

fn try_open(
    (kind, path): &(Kind, PathBuf),
    capacity: usize,
    library: Option<&Path>,
) -> Result<Box<dyn Generator>, String> {
    let id = if *kind == Kind::Onnx { "onnxruntime" } else { "candle" };
    let how = OpenOptions {
        capacity,
        threads: Some(2),
        runtime: library.map(Path::to_owned),
        ..OpenOptions::default()
    };
    backend(id).unwrap().open(path, *kind, &how).map_err(|error| error.to_string())
}

fn open(artifact: &(Kind, PathBuf), library: Option<&Path>) -> Box<dyn Generator> {
    try_open(artifact, WINDOW, library).unwrap()
}

fn score(model: &mut dyn Generator, tokens: &[u32]) -> Vec<f64> {
    model.score(tokens).unwrap().values.into_iter().map(f64::from).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

/// Length of the difference over the length of `b`.
fn relative(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: f64 = a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum();
    (difference / b.iter().map(|y| y * y).sum::<f64>()).sqrt()
}

fn greedy(model: &mut dyn Generator, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut out = model.prefill(prompt, 1).unwrap().argmax();
    while out.len() < count {
        let next = model.decode(&out[out.len() - 1..]).unwrap().argmax();
        out.extend(next);
    }
    out
}

/// Largest difference of logits when half of `tokens` is prompt and the rest is decoded.
fn stepwise(a: &mut dyn Generator, b: &mut dyn Generator, tokens: &[u32]) -> f64 {
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let half = tokens.len() / 2;
    let (mut own, mut other) = (a.prefill(&tokens[..half], 1), b.prefill(&tokens[..half], 1));
    let mut worst: f64 = 0.0;
    for token in &tokens[half..] {
        worst =
            worst.max(largest_difference(&wide(own.unwrap().values), &wide(other.unwrap().values)));
        (own, other) = (a.decode(&[*token]), b.decode(&[*token]));
    }
    worst.max(largest_difference(&wide(own.unwrap().values), &wide(other.unwrap().values)))
}

#[test]
fn every_decoder_agrees_with_plain_arithmetic_in_f64() {
    let folder = Folder::new();
    for (name, config) in decoders() {
        let dir = checkpoint(&folder, name, &config);
        let tokens = tokens(40);
        let right = Naive::read(&dir).logits(&tokens);
        let mut model = open(&(Kind::Checkpoint, dir.clone()), None);
        let worst = largest_difference(&score(model.as_mut(), &tokens), &right);
        let largest = right.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        println!("{name}: {worst:e} of {largest}");
        assert!(worst <= 2e-4, "{name}: {worst}");
        let biased =
            Checkpoint::open(&dir).unwrap().tensors.keys().any(|t| t.contains("_proj.bias"));
        assert_eq!(biased, name.starts_with("qwen2") || name == "llama-biased");
        if biased {
            let bare = Naive::read(&dir).without_biases().logits(&tokens);
            let moved = largest_difference(&bare, &right);
            assert!(moved > 0.5, "{name}: biases move logits by {moved} only");
        }
    }
}

#[test]
fn graphs_of_every_decoder_give_its_logits_and_its_text() {
    let Some(library) = support::ort_library() else { return };
    let library = Some(library.as_path());
    let folder = Folder::new();
    for (name, config) in decoders() {
        let dir = checkpoint(&folder, name, &config);
        let tokens = tokens(48);
        let mut reference = open(&(Kind::Checkpoint, dir.clone()), None);
        let right = score(reference.as_mut(), &tokens);
        let text = greedy(reference.as_mut(), &tokens[..8], 40);
        let export = |cache: bool| ("export", json!({"format": "onnx", "kv_cache": cache}));
        let gqa = || ("fuse", json!({"attention": "gqa"}));
        for chain in [vec![export(true)], vec![export(true), gqa()], vec![export(false)]] {
            let (graph, notes) = made(&folder, &dir, &chain);
            let mut own = open(&graph, library);
            let whole = largest_difference(&score(own.as_mut(), &tokens), &right);
            let worst = whole.max(stepwise(own.as_mut(), reference.as_mut(), &tokens));
            println!("{name} {chain:?}: {worst:e}");
            assert!(worst <= 1e-3, "{name} {chain:?}: {worst}");
            assert_eq!(greedy(own.as_mut(), &tokens[..8], 40), text, "{name} {chain:?}");
            if chain.len() == 2 {
                assert!(notes[0].starts_with("2 attentions"), "{notes:?}");
                assert!(notes[1].starts_with("3 residual sums"), "{name}: {notes:?}");
            }
            let made = facts(&graph.1).unwrap();
            assert_eq!(made.architecture, config["model_type"].as_str().unwrap());
        }
        // A lost bias would move logits by more than their own size.
        for stage in [
            json!({"method": "dynamic"}),
            json!({"method": "weight_only", "bits": 8}),
            json!({"method": "weight_only", "bits": 8, "symmetric": false}),
        ] {
            let chain = [export(true), gqa(), ("quantize", stage)];
            let (graph, _) = made(&folder, &dir, &chain);
            let found = score(open(&graph, library).as_mut(), &tokens);
            let error = relative(&found, &right);
            println!("{name} {}: {error:.4}", chain[2].1);
            assert!(error > 0.0 && error < 0.06, "{name} {}: {error}", chain[2].1);
        }
    }
}

#[test]
fn gguf_files_of_every_decoder_give_its_logits() {
    let folder = Folder::new();
    for (name, config) in decoders() {
        let dir = checkpoint(&folder, name, &config);
        let tokens = tokens(40);
        let right = score(open(&(Kind::Checkpoint, dir.clone()), None).as_mut(), &tokens);
        let written = LlamaConfig::of_folder(&dir).unwrap();
        for (format, most) in [("f32", 1e-6), ("q8_0", 0.03)] {
            let stage = ("quantize", json!({"method": "gguf", "format": format}));
            let (file, _) = made(&folder, &dir, &[stage]);
            let error = relative(&score(open(&file, None).as_mut(), &tokens), &right);
            println!("{name} {format}: {error:e}");
            assert!(error <= most, "{name} {format}: {error}");
            assert!(format == "f32" || error > 1e-4, "{name}: q8_0 rounds");

            let gguf = Gguf::read(&file.1).unwrap();
            let read = LlamaConfig::from_gguf(&gguf, &file.1).unwrap();
            assert_eq!(read.tensors(), written.tensors());
            assert_eq!(read.context(), written.context());
            let kind = match written.architecture {
                Architecture::Mistral => Architecture::Llama,
                other => other,
            };
            assert_eq!(read.architecture, kind);
            let key = format!("{}.block_count", kind.model_type());
            assert!(gguf.metadata.contains_key(&key), "{key}");
            let biases = gguf.tensors.iter().filter(|(name, _)| name.ends_with("attn_q.bias"));
            assert!(biases.clone().all(|(_, tensor)| tensor.ggml_type.name() == "f32"));
            assert_eq!(biases.count(), if written.qkv_bias { 2 } else { 0 });
        }
    }
}

#[test]
fn sequences_beyond_a_sliding_window_are_refused_with_the_reason() {
    let library = support::ort_library();
    let folder = Folder::new();
    let config = decoders().into_iter().find(|(name, _)| *name == "mistral").unwrap().1;
    let dir = checkpoint(&folder, "mistral", &config);
    let gguf = ("quantize", json!({"method": "gguf", "format": "f32"}));
    let graph = ("export", json!({"format": "onnx"}));
    let mut artifacts = vec![(Kind::Checkpoint, dir.clone()), made(&folder, &dir, &[gguf]).0];
    artifacts.extend(library.as_ref().map(|_| made(&folder, &dir, &[graph]).0));
    for artifact in &artifacts {
        assert_eq!(facts(&artifact.1).unwrap().context_length, Some(WINDOW as u64));
        assert!(try_open(artifact, WINDOW, library.as_deref()).is_ok());
        let told = try_open(artifact, WINDOW + 1, library.as_deref()).err().unwrap();
        assert!(told.contains("65 positions are longer than the model's sliding window of 64"));
    }
}

#[test]
fn a_plan_with_prompts_longer_than_the_window_says_why_it_cannot_be() {
    let house = House::new();
    let spec = |name: &str, prompt: u32| {
        let text = support::tiny_bench(name, 2, "{min: 2, max: 2}");
        let text = text.replace("llama-tiny", "mistral-tiny");
        house.folder.write(
            &format!("{name}.yaml"),
            text.replace("prompt_tokens: [4]", &format!("prompt_tokens: [{prompt}]")),
        )
    };
    // The window of this model is 128, and there are 4 new tokens.
    support::run(house.engine(&["plan"]).arg(spec("fits", 124))).expect(0);
    let ended = support::run(house.engine(&["plan"]).arg(spec("long", 125))).expect(2);
    let told = "the model's context of 128, its sliding window";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
}

#[test]
fn random_decoders_run_on_every_backend() {
    let library = support::ort_library();
    let folder = Folder::new();
    for name in ["llama-tiny", "qwen2-tiny", "mistral-tiny"] {
        let dir = folder.join(name);
        fs::create_dir(&dir).unwrap();
        RandomModel::parse(&format!("random://{name}?seed=2")).unwrap().generate(&dir).unwrap();
        let tokens = tokens(24);
        let right = score(open(&(Kind::Checkpoint, dir.clone()), None).as_mut(), &tokens);
        let plain = largest_difference(&Naive::read(&dir).logits(&tokens), &right);
        assert!(plain < 1e-4, "{name}: {plain}");
        if let Some(library) = &library {
            let chain =
                [("export", json!({"format": "onnx"})), ("fuse", json!({"attention": "gqa"}))];
            let (graph, _) = made(&folder, &dir, &chain);
            let found = score(open(&graph, Some(library)).as_mut(), &tokens);
            assert!(largest_difference(&found, &right) <= 1e-3, "{name}");
        }
    }
}
