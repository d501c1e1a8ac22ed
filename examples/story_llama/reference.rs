//! What the naive forward pass finds about the shipped weights, written to `reference.json`.

use std::error::Error;
use std::fs;
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use crate::naive::Network;
use crate::tokenizer::{self, EOS_ID};

/// How documents are scored; the words are part of the file, so that nobody has to guess.
const PROTOCOL: &str = "each document alone; BOS first; no EOS; cut at 512 tokens; \
                        mean negative log-likelihood over all predicted tokens";
/// The prompt is a held-out story up to the word that brings it to this many tokens.
const PROMPT_TOKENS: usize = 24;
/// Documents of the short score, for tests that have little time.
const FEW: usize = 40;

type Failure = Box<dyn Error + Send + Sync>;

/// Writes `reference.json` and returns its value.
pub fn write(model: &Path, data: &Path) -> Result<Value, Failure> {
    let network = Network::read(model)?;
    let tokenizer = tokenizer::read(model)?;
    let texts = fs::read_to_string(data.join("heldout.jsonl"))?
        .lines()
        .map(|line| {
            Ok(serde_json::from_str::<Value>(line)?["text"].as_str().ok_or("no text")?.to_owned())
        })
        .collect::<Result<Vec<String>, Failure>>()?;
    let (prompt, prompt_ids) = prompt(&tokenizer, &texts[0])?;
    let logits = network.logits(&prompt_ids);
    let positions: Vec<usize> = (prompt_ids.len() - 4..prompt_ids.len()).collect();
    let last: Vec<Vec<f32>> =
        positions.iter().map(|at| logits[*at].iter().map(|x| *x as f32).collect()).collect();
    let documents =
        texts.iter().map(|text| tokenizer::ids(&tokenizer, text)).collect::<Result<Vec<_>, _>>()?;
    let scores: Vec<(usize, f64)> = documents.par_iter().map(|ids| network.score(ids)).collect();
    let story = network.greedy(&prompt_ids, 220);
    let end = story.iter().position(|id| *id == EOS_ID).unwrap_or(story.len());
    let reference = json!({
        "made_with": "examples/story_llama/reference.rs: f64 arithmetic over the bf16 weights, plain loops",
        "prompt": prompt,
        "prompt_ids": prompt_ids,
        "positions": positions,
        "logits": last,
        "greedy_32": story[..32],
        "continuation": tokenizer.decode(&story[..end], true)?,
        "continuation_ended": end < story.len(),
        "heldout": summary(&scores[..FEW]),
        "heldout_all": summary(&scores),
    });
    fs::write(model.join("reference.json"), reference.to_string() + "\n")?;
    Ok(reference)
}

fn prompt(tokenizer: &Tokenizer, text: &str) -> Result<(String, Vec<u32>), Failure> {
    let mut prompt = String::new();
    for word in text.split(' ') {
        prompt += word;
        let ids = tokenizer::ids(tokenizer, &prompt)?;
        if ids.len() >= PROMPT_TOKENS {
            return Ok((prompt, ids));
        }
        prompt.push(' ');
    }
    Err("the first held-out story is too short for a prompt".into())
}

fn summary(scores: &[(usize, f64)]) -> Value {
    let tokens: usize = scores.iter().map(|(tokens, _)| tokens).sum();
    let nll = scores.iter().map(|(_, nll)| nll).sum::<f64>() / tokens as f64;
    json!({
        "protocol": PROTOCOL,
        "documents": scores.len(),
        "tokens": tokens,
        "nll_per_token": nll,
        "perplexity": nll.exp(),
    })
}
