//! Writes the logits that a language model's graph gives on ONNX Runtime, for comparing them with
//! those of another program, number by number.
//!
//! ```text
//! cargo run --example graph_logits -- LIBRARY GRAPH OUT.npz TOKEN... -- TOKEN...
//! ```
//!
//! Tokens before `--` are the prompt, those behind it follow one by one, whatever the logits say.
//! The array `logits` has a row for the last position of the prompt, one for each token that
//! follows, and then one for every position of all tokens run at once.

#[path = "../tiny_graph/pictures.rs"]
#[allow(dead_code, reason = "only the writer of archives is of use here")]
mod pictures;

use std::error::Error;
use std::path::PathBuf;

use engine::backend::{OpenOptions, backend};
use engine::model::Kind;

const USAGE: &str = "usage: graph_logits LIBRARY GRAPH OUT.npz TOKEN... -- TOKEN...";

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut path = || words.next().map(PathBuf::from).ok_or(USAGE);
    let (library, graph, out) = (path()?, path()?, path()?);
    let words: Vec<String> = words.collect();
    let tokens = |words: &[String]| -> Result<Vec<u32>, std::num::ParseIntError> {
        words.iter().map(|word| word.parse()).collect()
    };
    let end = words.iter().position(|word| word == "--").ok_or(USAGE)?;
    let (prompt, following) = (tokens(&words[..end])?, tokens(&words[end + 1..])?);
    let all = [prompt.clone(), following.clone()].concat();
    let how = OpenOptions {
        capacity: all.len(),
        threads: Some(1),
        runtime: Some(std::path::absolute(library)?),
        ..OpenOptions::default()
    };
    let backend = backend("onnxruntime").ok_or("this engine has no backend `onnxruntime`")?;
    let mut model = backend.open(&graph, Kind::Onnx, &how)?;
    let mut logits = model.prefill(&prompt, 1)?.values;
    for token in following {
        logits.extend(model.decode(&[token])?.values);
    }
    logits.extend(model.score(&all)?.values);
    let shape = [logits.len() / model.vocab(), model.vocab()];
    std::fs::write(&out, pictures::npz("logits", &shape, &logits)?)?;
    println!("{}: {} rows of {} logits", out.display(), shape[0], shape[1]);
    Ok(())
}
