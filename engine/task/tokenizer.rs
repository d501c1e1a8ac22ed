//! Text to token numbers. The only door to the tokenizers crate.
//!
//! Tokenizer files come from strangers and have crashed and hung their readers before, so they
//! are loaded only inside a job's process, which has a deadline.

use std::path::Path;

use serde_json::Value;
use tokenizers::utils::truncation::TruncationDirection;
use tokenizers::{PostProcessor, Tokenizer};

use super::tokenizer_gguf::rebuilt;
use crate::model::{Configuration, Gguf, GgufValue, Kind, LlamaConfig, ModelError};

/// Key under which a GGUF file may carry a whole tokenizer.json.
const WHOLE: &str = "tokenizer.huggingface.json";

#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("`{path}` has no tokenizer, so no text can be turned into tokens")]
    None { path: String },
    #[error("`{path}` holds a model that takes no text")]
    NoText { path: String },
    #[error("the tokenizer of `{path}` cannot be used: {why}")]
    Unusable { path: String, why: String },
    #[error("a text cannot be tokenized: {0}")]
    Encode(String),
    #[error("the tokenizer gives token {token}, the model has a vocabulary of {vocab}")]
    Vocabulary { token: u32, vocab: usize },
    #[error("the tokenizer puts {added} tokens around a text, and only {most} are allowed in all")]
    Narrow { added: usize, most: usize },
}

/// The tokenizer of a model.
pub struct Tokens {
    tokenizer: Tokenizer,
    bos: Option<u32>,
    eos: Vec<u32>,
    pad: u32,
    vocab: usize,
    /// Texts of encoders lose their capitals first.
    lower: bool,
    /// Where texts that are too long lose tokens.
    cut: TruncationDirection,
}

impl Tokens {
    /// Loads the tokenizer that belongs to a checkpoint folder, a GGUF file or an ONNX graph.
    pub fn open(kind: Kind, path: &Path) -> Result<Self, TokenizerError> {
        let shown = || path.display().to_string();
        let unusable = |why: String| TokenizerError::Unusable { path: shown(), why };
        let (config, mut tokenizer, asked) = match kind {
            Kind::Checkpoint | Kind::Onnx => {
                let folder = folder_of(kind, path);
                let config = Configuration::of_folder(folder)?;
                let file = folder.join("tokenizer.json");
                if !file.is_file() {
                    return Err(TokenizerError::None { path: shown() });
                }
                let tokenizer = Tokenizer::from_file(file).map_err(|e| unusable(e.to_string()))?;
                (config, tokenizer, checkpoint_asks_for_bos(folder))
            }
            Kind::Gguf => {
                let gguf = Gguf::read(path)?;
                let config = Configuration::Llama(LlamaConfig::from_gguf(&gguf, path)?);
                let text = match gguf.metadata.get(WHOLE).and_then(GgufValue::as_str) {
                    Some(text) => text.to_owned(),
                    None => rebuilt(&gguf).map_err(unusable)?.to_string(),
                };
                let tokenizer = text.parse::<Tokenizer>().map_err(|e| unusable(e.to_string()))?;
                let asked = gguf.metadata.get("tokenizer.ggml.add_bos_token");
                (config, tokenizer, asked.and_then(GgufValue::as_bool))
            }
        };
        let vocab = config.vocab().and_then(|vocab| usize::try_from(vocab).ok());
        let vocab = vocab.ok_or_else(|| TokenizerError::NoText { path: shown() })?;
        let (bos, eos) = match config {
            Configuration::Llama(config) => (config.bos_token_id, config.eos_token_ids),
            Configuration::Networks(_) => (None, Vec::new()),
        };
        let settings = Settings { folder: (kind != Kind::Gguf).then(|| folder_of(kind, path)) };
        let pad = settings.pad(&tokenizer).filter(|&pad| (pad as usize) < vocab).unwrap_or(0);
        // A tokenizer.json may cut and pad every text to one length, as its author last used it.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| unusable(e.to_string()))?;
        let by_itself = || -> Option<bool> {
            let around = tokenizer.encode("", true).ok()?.get_ids().first().copied();
            tokenizer.get_post_processor()?;
            Some(around.is_some() && around == bos)
        };
        let wanted = asked.or_else(by_itself).unwrap_or(true);
        let (bos, lower, cut) = (bos.filter(|_| wanted), settings.lower(), settings.cut());
        Ok(Self { tokenizer, bos, eos, pad, vocab, lower, cut })
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

    /// The token that fills a batch of texts up to one length: as tokenizer_config.json,
    /// special_tokens_map.json or tokenizer.json says, 0 where none does. Nothing looks at it.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// Tokens of a text, without special tokens around it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self.tokenizer.encode(text, false).map_err(|error| failed(&error))?;
        self.known(encoding.get_ids().to_vec())
    }

    /// Tokens of a text as encoders take it: with the special tokens that the tokenizer itself
    /// puts around it, at most `most` in all. What is too long loses tokens of the text, never
    /// special ones. The second value is true if some were lost.
    pub fn encode_text(&self, text: &str, most: usize) -> Result<(Vec<u32>, bool), TokenizerError> {
        let lower = if self.lower { text.to_lowercase() } else { String::new() };
        let text = if self.lower { lower.as_str() } else { text };
        let mut encoding = self.tokenizer.encode(text, false).map_err(|error| failed(&error))?;
        let added = self.tokenizer.get_post_processor().map_or(0, |p| p.added_tokens(false));
        let room = most.checked_sub(added).filter(|&room| room > 0);
        let room = room.ok_or(TokenizerError::Narrow { added, most })?;
        let cut = encoding.len() > room;
        if cut {
            encoding.truncate(room, 0, self.cut);
            encoding.take_overflowing();
        }
        let whole =
            self.tokenizer.post_process(encoding, None, true).map_err(|error| failed(&error))?;
        Ok((self.known(whole.get_ids().to_vec())?, cut))
    }

    /// `ids`, if the model has them all.
    fn known(&self, ids: Vec<u32>) -> Result<Vec<u32>, TokenizerError> {
        match ids.iter().find(|&&id| id as usize >= self.vocab) {
            Some(&token) => Err(TokenizerError::Vocabulary { token, vocab: self.vocab }),
            None => Ok(ids),
        }
    }

    /// The text that tokens stand for.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        self.tokenizer.decode(tokens, true).map_err(|error| failed(&error))
    }
}

fn failed(error: &tokenizers::Error) -> TokenizerError {
    TokenizerError::Encode(error.to_string())
}

/// The folder that holds what belongs to a model: beside a graph lie the same files as in the
/// checkpoint that it came from.
fn folder_of(kind: Kind, path: &Path) -> &Path {
    let around = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if kind == Kind::Onnx { around.unwrap_or(Path::new(".")) } else { path }
}

/// What the files beside a tokenizer.json say about it.
struct Settings<'a> {
    folder: Option<&'a Path>,
}

impl Settings<'_> {
    /// The value of `key` in the file `name`.
    fn get(&self, name: &str, key: &str) -> Option<Value> {
        let text = std::fs::read_to_string(self.folder?.join(name)).ok()?;
        serde_json::from_str::<Value>(&text).ok()?.get(key).cloned()
    }

    fn pad(&self, tokenizer: &Tokenizer) -> Option<u32> {
        let named = ["tokenizer_config.json", "special_tokens_map.json"].iter().find_map(|file| {
            // A token is written as its text or with its properties.
            let token = self.get(file, "pad_token")?;
            tokenizer.token_to_id(token.get("content").unwrap_or(&token).as_str()?)
        });
        named.or_else(|| tokenizer.get_padding().map(|padding| padding.pad_id))
    }

    fn lower(&self) -> bool {
        let said = self.get("sentence_bert_config.json", "do_lower_case");
        said.as_ref().and_then(Value::as_bool).unwrap_or(false)
    }

    fn cut(&self) -> TruncationDirection {
        match self.get("tokenizer_config.json", "truncation_side").as_ref().and_then(Value::as_str)
        {
            Some("left") => TruncationDirection::Left,
            _ => TruncationDirection::Right,
        }
    }
}

/// `add_bos_token` of a checkpoint's tokenizer_config.json.
pub fn checkpoint_asks_for_bos(folder: &Path) -> Option<bool> {
    let text = std::fs::read_to_string(folder.join("tokenizer_config.json")).ok()?;
    serde_json::from_str::<Value>(&text).ok()?.get("add_bos_token")?.as_bool()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::model::RandomModel;
    use crate::model::hostile::folder;

    /// A folder with a small encoder and a tokenizer of words that puts `[CLS]` and `[SEP]` around
    /// texts, and was last used with a length of 4 for all.
    fn words(name: &str, config: &Value) -> std::path::PathBuf {
        let dir = folder(name);
        RandomModel::parse("random://bert-tiny").unwrap().generate(&dir).unwrap();
        let names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "two", "three", "four", "[FILL]"];
        let vocab: Value =
            names.iter().enumerate().map(|(id, name)| ((*name).to_owned(), json!(id))).collect();
        let special = |id: usize| json!({"id": names[id], "ids": [id], "tokens": [names[id]]});
        let token = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
        let text = json!({"Sequence": {"id": "A", "type_id": 0}});
        let tokenizer = json!({
            "version": "1.0", "added_tokens": [], "normalizer": null, "decoder": null,
            "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
            "padding": {"strategy": {"Fixed": 4}, "direction": "Right", "pad_to_multiple_of": null,
                "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {"type": "TemplateProcessing",
                "single": [token("[CLS]"), text, token("[SEP]")], "pair": [text],
                "special_tokens": {"[CLS]": special(2), "[SEP]": special(3)}},
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
        });
        fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        fs::write(dir.join("tokenizer_config.json"), config.to_string()).unwrap();
        dir
    }

    fn open(name: &str, config: &Value) -> Tokens {
        let dir = words(name, config);
        let tokens = Tokens::open(Kind::Checkpoint, &dir).unwrap();
        fs::remove_dir_all(dir).unwrap();
        tokens
    }

    #[test]
    fn texts_of_encoders_keep_their_special_tokens_when_they_are_cut() {
        let tokens = open("encode_text", &json!({}));
        let text = " one two three four one\n";
        assert_eq!(tokens.encode(text).unwrap(), [4, 5, 6, 7, 4]);
        assert_eq!(tokens.encode_text(text, 7).unwrap(), (vec![2, 4, 5, 6, 7, 4, 3], false));
        assert_eq!(tokens.encode_text(text, 5).unwrap(), (vec![2, 4, 5, 6, 3], true));
        assert_eq!(tokens.encode_text("", 5).unwrap(), (vec![2, 3], false));
        for most in [0, 1, 2] {
            let error = tokens.encode_text(text, most).unwrap_err().to_string();
            assert!(error.contains(&format!("only {most} are allowed")), "{error}");
        }
        assert_eq!((tokens.pad(), tokens.bos()), (0, None));
    }

    #[test]
    fn the_configuration_of_a_tokenizer_chooses_the_end_that_is_cut_and_the_pad() {
        let left = open("cut_left", &json!({"truncation_side": "left", "pad_token": "[FILL]"}));
        assert_eq!(left.encode_text("one two three", 4).unwrap(), (vec![2, 5, 6, 3], true));
        assert_eq!(left.pad(), 8);
        let whole =
            open("pad_object", &json!({"pad_token": {"content": "[UNK]", "special": true}}));
        assert_eq!(whole.pad(), 1);
    }
}
