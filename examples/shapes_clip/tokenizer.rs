//! The tokenizer: one token per lower-case word, as the captions need it.
//!
//! The end of a text has the highest id of all, so that both ways in which the Transformers
//! library looks for it (the highest id, and the id of the configuration) find the same place.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use crate::model::POSITIONS;
use crate::pictures::{self, Training};

pub const PAD: &str = "<|pad|>";
const UNKNOWN: &str = "<|unk|>";
const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

pub const PAD_ID: u32 = 0;

/// How many training captions the words are collected from.
const CAPTIONS: usize = 20_000;

/// The special ids of a vocabulary of `size` tokens: start and end.
pub fn start_and_end(size: usize) -> (usize, usize) {
    (size - 2, size - 1)
}

/// Writes `tokenizer.json` and `tokenizer_config.json`; returns the number of tokens.
pub fn write(folder: &Path) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let captions = Training::default().take(CAPTIONS).map(|sample| sample.caption);
    let prompts = pictures::classes().into_iter().map(|class| pictures::prompt(&class));
    let words: BTreeSet<String> = captions
        .chain(prompts)
        .flat_map(|text| text.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let tokens: Vec<String> = [PAD.to_owned(), UNKNOWN.to_owned()]
        .into_iter()
        .chain(words)
        .chain([START.to_owned(), END.to_owned()])
        .collect();
    let vocabulary: Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let special = |token: &str| {
        json!({
            "id": vocabulary[token], "content": token, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true,
        })
    };
    let added = [PAD, UNKNOWN, START, END].map(special);
    let mark = |token: &str| json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let sequence = |name: &str| json!({ "Sequence": { "id": name, "type_id": 0 } });
    let known = |token: &str| json!({ "id": token, "ids": [vocabulary[token]], "tokens": [token] });
    let file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [mark(START), sequence("A"), mark(END)],
            "pair": [mark(START), sequence("A"), mark(END), sequence("B"), mark(END)],
            "special_tokens": { START: known(START), END: known(END) },
        },
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": UNKNOWN },
    });
    let config = json!({
        "bos_token": START,
        "clean_up_tokenization_spaces": false,
        "eos_token": END,
        "model_max_length": POSITIONS,
        "pad_token": PAD,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": UNKNOWN,
    });
    fs::create_dir_all(folder)?;
    fs::write(folder.join("tokenizer.json"), format!("{file:#}\n"))?;
    fs::write(folder.join("tokenizer_config.json"), format!("{config:#}\n"))?;
    Ok(tokens.len())
}

/// The ids of a text between its start and its end.
///
/// # Errors
/// Also when the text is longer than the model can read.
pub fn ids(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, Box<dyn Error + Send + Sync>> {
    let ids = tokenizer.encode(text, true)?.get_ids().to_vec();
    if ids.len() > POSITIONS {
        return Err(format!("`{text}` has {} tokens, more than {POSITIONS}", ids.len()).into());
    }
    Ok(ids)
}
