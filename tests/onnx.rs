//! Graphs made from checkpoints compute what the checkpoints compute.

mod support;

use std::path::{Path, PathBuf};

use engine::backend::{Generator, OpenOptions, backend};
use engine::data::Texts;
use engine::model::Kind;
use engine::model::onnx::GRAPH_FILE;
use engine::pass::{PassJob, pass};
use engine::task::{JudgeJob, MetricRequest, Tokens, judge};
use serde_json::{Value, json};
use support::{Folder, PROJECT};

/// Positions that prefill and decode are compared over.
const POSITIONS: usize = 64;

fn story() -> PathBuf {
    Path::new(PROJECT).join("examples/models/story_llama")
}

/// The small trained Llama of the shared data, where it is at hand.
fn stories260k() -> Option<PathBuf> {
    let folder = Path::new(PROJECT).join("../shared/data/stories260k/hf");
    folder.is_dir().then_some(folder)
}

/// A chain of passes over `model`; gives what the last one leaves.
fn made(folder: &Folder, model: &Path, chain: &[(&str, Value)]) -> (Kind, PathBuf) {
    let (mut kind, mut at) = (Kind::Checkpoint, model.to_owned());
    for (number, (id, params)) in chain.iter().enumerate() {
        let name = format!("{}-{number}", support::fresh());
        let out = folder.join(&name);
        std::fs::create_dir(&out).unwrap();
        let job = PassJob {
            input: &at,
            kind,
            params,
            out: &out,
            data: None,
            runtime: None,
            progress: &|_| {},
        };
        let notes = pass(id, params).expect("a known pass").apply(&job).unwrap();
        kind = notes.kind;
        at = if kind == Kind::Onnx { out.join(GRAPH_FILE) } else { out };
    }
    (kind, at)
}

fn open(library: &Path, (kind, path): &(Kind, PathBuf), capacity: usize) -> Box<dyn Generator> {
    let id = if *kind == Kind::Onnx { "onnxruntime" } else { "candle" };
    let how = OpenOptions {
        capacity,
        threads: Some(2),
        runtime: Some(library.to_owned()),
        ..OpenOptions::default()
    };
    backend(id).unwrap().open(path, *kind, &how).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

/// Largest difference of logits over prefill of every length and decoding along `tokens`.
fn compare(model: &mut dyn Generator, reference: &mut dyn Generator, tokens: &[u32]) -> f32 {
    let (own, other) = (model.score(tokens).unwrap(), reference.score(tokens).unwrap());
    let mut worst = largest_difference(&own.values, &other.values);
    let half = tokens.len() / 2;
    let mut own = model.prefill(&tokens[..half], 1).unwrap();
    let mut other = reference.prefill(&tokens[..half], 1).unwrap();
    for token in &tokens[half..] {
        worst = worst.max(largest_difference(&own.values, &other.values));
        own = model.decode(&[*token]).unwrap();
        other = reference.decode(&[*token]).unwrap();
    }
    worst.max(largest_difference(&own.values, &other.values))
}

fn greedy(model: &mut dyn Generator, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut out = model.prefill(prompt, 1).unwrap().argmax();
    while out.len() < count {
        let next = model.decode(&out[out.len() - 1..]).unwrap().argmax();
        out.extend(next);
    }
    out
}

fn export() -> (&'static str, Value) {
    ("export", json!({"format": "onnx", "kv_cache": true}))
}

fn gqa() -> (&'static str, Value) {
    ("fuse", json!({"attention": "gqa"}))
}

#[test]
fn exported_and_fused_graphs_give_the_logits_and_tokens_of_the_checkpoint() {
    let Some(library) = support::ort_library() else { return };
    let models: Vec<PathBuf> = [Some(story()), stories260k()].into_iter().flatten().collect();
    for model in models {
        let folder = Folder::new();
        let cast = made(&folder, &model, &[("cast", json!({"to": "f32"}))]);
        let mut reference = open(&library, &cast, 256);
        let tokens: Vec<u32> = (0..POSITIONS as u32).map(|i| 3 + (i * 37) % 400).collect();
        let text = greedy(reference.as_mut(), &tokens[..8], 64);
        let whole = ("export", json!({"format": "onnx", "kv_cache": false}));
        for chain in [vec![export()], vec![export(), gqa()], vec![whole]] {
            let graph = made(&folder, &model, &chain);
            let mut own = open(&library, &graph, 256);
            let worst = compare(own.as_mut(), reference.as_mut(), &tokens);
            println!("{} {chain:?}: {worst:e}", model.display());
            assert!(worst <= 1e-3, "{chain:?}: {worst}");
            assert_eq!(greedy(own.as_mut(), &tokens[..8], 64), text, "{chain:?}");
        }
    }
}

#[test]
fn rows_of_a_batch_do_not_see_each_other() {
    let Some(library) = support::ort_library() else { return };
    let folder = Folder::new();
    for chain in [vec![export()], vec![export(), gqa()]] {
        let mut model = open(&library, &made(&folder, &story(), &chain), 64);
        let (first, second) = ([5_u32, 9, 40, 77], [8_u32, 300, 21, 6]);
        let mut alone = Vec::new();
        for prompt in [&first, &second] {
            let prefill = model.prefill(prompt, 1).unwrap();
            alone.push([prefill.values, model.decode(&[12]).unwrap().values]);
        }
        let prefill = model.prefill(&[first, second].concat(), 2).unwrap();
        let decode = model.decode(&[12, 12]).unwrap();
        for (row, alone) in alone.iter().enumerate() {
            for (together, alone) in [&prefill, &decode].into_iter().zip(alone) {
                let together = together.rows().nth(row).unwrap();
                assert!(largest_difference(together, alone) < 1e-4, "row {row}");
            }
        }
    }
}

/// Perplexity of the held-out stories.
fn perplexity(model: &mut dyn Generator, documents: &[Vec<u32>]) -> f64 {
    let metrics = vec![MetricRequest { metric: "perplexity".into(), ..MetricRequest::default() }];
    let job = JudgeJob { window: 128, stride: 64, metrics };
    let judged = judge(model, None, documents, &job, &|_| {}).unwrap();
    let documents = &judged[0].documents;
    let sum: f64 = documents.iter().map(|d| d.sum).sum();
    let positions: u32 = documents.iter().map(|d| d.positions).sum();
    (sum / f64::from(positions)).exp()
}

#[test]
fn quantized_graphs_keep_the_perplexity_of_the_checkpoint() {
    let Some(library) = support::ort_library() else { return };
    let stories = Path::new(PROJECT).join("examples/data/stories/heldout.jsonl");
    let excerpt = Path::new(PROJECT).join("../shared/data/tinystories-excerpt/stories.jsonl");
    let models = [Some((story(), stories)), stories260k().map(|model| (model, excerpt))];
    for (model, text) in models.into_iter().flatten() {
        let folder = Folder::new();
        let tokens = Tokens::open(Kind::Checkpoint, &model).unwrap();
        let texts = Texts::read(&text, "text", Some(30), None).unwrap();
        let with_bos = |text: &str| -> Vec<u32> {
            let mut ids: Vec<u32> = tokens.bos().into_iter().collect();
            ids.extend(tokens.encode(text).unwrap());
            ids
        };
        let documents: Vec<_> = texts.documents.iter().map(|d| with_bos(&d.text)).collect();
        let cast = made(&folder, &model, &[("cast", json!({"to": "f32"}))]);
        let right = perplexity(open(&library, &cast, 128).as_mut(), &documents);
        // A model of 260 thousand weights has few to spare: 4 bits for all of them cost it more.
        let plain = if model == story() { 0.06 } else { 0.16 };
        let wide = ["lm_head", "embed", "qkv"];
        let dynamic = |more: Value| ("quantize", merged(json!({"method": "dynamic"}), &more));
        let blocks = |more: Value| ("quantize", merged(json!({"method": "weight_only"}), &more));
        for (stage, most) in [
            (dynamic(json!({})), 0.01),
            (dynamic(json!({"symmetric": false})), 0.01),
            (dynamic(json!({"per_channel": false, "embedding": false})), 0.02),
            (dynamic(json!({"reduce_range": true})), 0.02),
            (blocks(json!({"bits": 8})), 0.005),
            (blocks(json!({"bits": 8, "symmetric": false})), 0.005),
            (blocks(json!({"bits": 4})), plain),
            (blocks(json!({"bits": 4, "symmetric": false})), plain),
            (blocks(json!({"bits": 4, "search": true})), plain),
            (blocks(json!({"bits": 4, "search": true, "eight_bit": wide})), 0.06),
        ] {
            for fused in [true, false] {
                let mut chain = vec![export()];
                chain.extend(fused.then(gqa));
                chain.push(stage.clone());
                let graph = made(&folder, &model, &chain);
                let found = perplexity(open(&library, &graph, 128).as_mut(), &documents);
                let loss = found / right - 1.0;
                println!(
                    "{} fused {fused} {}: {found:.4} ({:+.2} %)",
                    model.display(),
                    stage.1,
                    loss * 100.0
                );
                assert!(loss.abs() <= most, "{} {}: {loss}", model.display(), stage.1);
            }
        }
    }
}

fn merged(mut base: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    base
}
