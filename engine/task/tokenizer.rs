//! Text to token numbers. The only door to the tokenizers crate.
//!
//! Tokenizer files come from strangers and have crashed and hung their readers before, so they
//! are loaded only inside a job's process, which has a deadline.

use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use crate::model::gguf_names::LLAMA3_SPLIT;
use crate::model::{Gguf, GgufArray, GgufValue, Kind, LlamaConfig, ModelError};

/// Key under which a GGUF file may carry a whole tokenizer.json.
const WHOLE: &str = "tokenizer.huggingface.json";

#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("`{path}` has no tokenizer, so no text can be turned into tokens")]
    None { path: String },
    #[error("the tokenizer of `{path}` cannot be used: {why}")]
    Unusable { path: String, why: String },
    #[error("a text cannot be tokenized: {0}")]
    Encode(String),
    #[error("the tokenizer gives token {token}, the model has a vocabulary of {vocab}")]
    Vocabulary { token: u32, vocab: usize },
}

/// The tokenizer of a model.
pub struct Tokens {
    tokenizer: Tokenizer,
    bos: Option<u32>,
    eos: Vec<u32>,
    vocab: usize,
}

impl Tokens {
    /// Loads the tokenizer that belongs to a checkpoint folder, a GGUF file or an ONNX graph.
    pub fn open(kind: Kind, path: &Path) -> Result<Self, TokenizerError> {
        let shown = || path.display().to_string();
        let unusable = |why: String| TokenizerError::Unusable { path: shown(), why };
        let (config, tokenizer, asked) = match kind {
            Kind::Checkpoint | Kind::Onnx => {
                // Beside a graph lie the same files as in the checkpoint that it came from.
                let folder = if kind == Kind::Onnx { path.parent().unwrap_or(path) } else { path };
                let config = LlamaConfig::of_folder(folder)?;
                let file = folder.join("tokenizer.json");
                if !file.is_file() {
                    return Err(TokenizerError::None { path: shown() });
                }
                let tokenizer = Tokenizer::from_file(file).map_err(|e| unusable(e.to_string()))?;
                (config, tokenizer, checkpoint_asks_for_bos(folder))
            }
            Kind::Gguf => {
                let gguf = Gguf::read(path)?;
                let config = LlamaConfig::from_gguf(&gguf, path)?;
                let text = match gguf.metadata.get(WHOLE).and_then(GgufValue::as_str) {
                    Some(text) => text.to_owned(),
                    None => rebuilt(&gguf).map_err(unusable)?.to_string(),
                };
                let tokenizer = text.parse::<Tokenizer>().map_err(|e| unusable(e.to_string()))?;
                let asked = gguf.metadata.get("tokenizer.ggml.add_bos_token");
                (config, tokenizer, asked.and_then(GgufValue::as_bool))
            }
        };
        let LlamaConfig { bos_token_id, eos_token_ids: eos, vocab_size: vocab, .. } = config;
        let by_itself = || -> Option<bool> {
            let around = tokenizer.encode("", true).ok()?.get_ids().first().copied();
            tokenizer.get_post_processor()?;
            Some(around.is_some() && around == bos_token_id)
        };
        let wanted = asked.or_else(by_itself).unwrap_or(true);
        Ok(Self { tokenizer, bos: bos_token_id.filter(|_| wanted), eos, vocab })
    }

    /// The token before every text, if the model wants one: as `add_bos_token` says, or as the
    /// tokenizer itself does, or, where neither says anything, if the model has such a token.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Tokens that end a text.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// Tokens of a text, without special tokens around it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|error| TokenizerError::Encode(error.to_string()))?;
        let ids = encoding.get_ids().to_vec();
        match ids.iter().find(|&&id| id as usize >= self.vocab) {
            Some(&token) => Err(TokenizerError::Vocabulary { token, vocab: self.vocab }),
            None => Ok(ids),
        }
    }

    /// The text that tokens stand for.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        self.tokenizer
            .decode(tokens, true)
            .map_err(|error| TokenizerError::Encode(error.to_string()))
    }
}

/// `add_bos_token` of a checkpoint's tokenizer_config.json.
pub fn checkpoint_asks_for_bos(folder: &Path) -> Option<bool> {
    let text = std::fs::read_to_string(folder.join("tokenizer_config.json")).ok()?;
    serde_json::from_str::<Value>(&text).ok()?.get("add_bos_token")?.as_bool()
}

/// A tokenizer.json from the keys every GGUF program writes.
fn rebuilt(gguf: &Gguf) -> Result<Value, String> {
    let text = |key: &str| gguf.metadata.get(key).and_then(GgufValue::as_str);
    let strings = |key: &str| gguf.metadata.get(key).and_then(GgufValue::as_strings);
    let tokens = strings("tokenizer.ggml.tokens").ok_or("it has no `tokenizer.ggml.tokens`")?;
    let mut vocab = Map::new();
    for (id, token) in tokens.iter().enumerate() {
        vocab.entry(token.to_owned()).or_insert(json!(id));
    }
    match text("tokenizer.ggml.model") {
        Some("gpt2") => {
            let merges = strings("tokenizer.ggml.merges").ok_or("it has no merges")?;
            let merges: Vec<&str> = merges.iter().collect();
            let pre = pre_tokenizer(text("tokenizer.ggml.pre").unwrap_or("default"))?;
            Ok(json!({
                "version": "1.0",
                "added_tokens": special(gguf, &vocab),
                "pre_tokenizer": pre,
                "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
                "model": {"type": "BPE", "vocab": vocab, "merges": merges},
            }))
        }
        Some("llama") => {
            let merges = merges_from_scores(gguf, &vocab)?;
            Ok(json!({
                "version": "1.0",
                "added_tokens": special(gguf, &vocab),
                "normalizer": {"type": "Sequence", "normalizers": [
                    {"type": "Prepend", "prepend": "▁"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                ]},
                "decoder": {"type": "Sequence", "decoders": [
                    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                    {"type": "ByteFallback"},
                    {"type": "Fuse"},
                    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
                ]},
                "model": {"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": true, "fuse_unk": true, "unk_token": "<unk>"},
            }))
        }
        Some(other) => {
            Err(format!("tokenizer type `{other}` is not known; known are gpt2 and llama"))
        }
        None => Err("it has no `tokenizer.ggml.model`".into()),
    }
}

fn pre_tokenizer(name: &str) -> Result<Value, String> {
    let byte_level = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    match name {
        "default" | "gpt-2" => Ok(byte_level(true)),
        "llama-bpe" | "llama3" | "llama-v3" => Ok(json!({
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": LLAMA3_SPLIT}, "behavior": "Isolated", "invert": false},
                byte_level(false),
            ],
        })),
        other => Err(format!("pre-tokenizer `{other}` is not known")),
    }
}

/// Control tokens, which must never come out of ordinary text.
fn special(gguf: &Gguf, vocab: &Map<String, Value>) -> Value {
    const CONTROL: i32 = 3;
    let types = match gguf.metadata.get("tokenizer.ggml.token_type") {
        Some(GgufValue::Array(GgufArray::I32(types))) => types.as_slice(),
        _ => &[],
    };
    let tokens = vocab.iter().filter(|(_, id)| {
        let id = id.as_u64().unwrap_or(u64::MAX) as usize;
        types.get(id) == Some(&CONTROL)
    });
    let added = tokens.map(|(token, id)| {
        json!({
            "id": id, "content": token, "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        })
    });
    added.collect()
}

/// Merges of a SentencePiece BPE vocabulary: every way to split a token into two others, better
/// scores first, as SentencePiece itself would merge.
fn merges_from_scores(gguf: &Gguf, vocab: &Map<String, Value>) -> Result<Value, String> {
    let Some(GgufValue::Array(GgufArray::F32(scores))) = gguf.metadata.get("tokenizer.ggml.scores")
    else {
        return Err("it has no `tokenizer.ggml.scores`".into());
    };
    let mut merges = Vec::new();
    for (token, id) in vocab {
        let score = scores.get(id.as_u64().unwrap_or(u64::MAX) as usize).copied().unwrap_or(0.0);
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if vocab.contains_key(left) && vocab.contains_key(right) {
                merges.push((score, left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(merges.into_iter().map(|(_, left, right)| json!([left, right])).collect())
}
