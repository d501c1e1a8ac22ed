//! A decoder's configuration from the metadata of a GGUF file.

use std::path::Path;

use indexmap::IndexMap;

use super::gguf_names::{ROPE_FACTORS, to_hf};
use super::{
    Architecture, Gguf, GgufValue, LlamaConfig, ModelError, RopeScaling, llama_tensors, shown,
};

impl LlamaConfig {
    /// Reads the keys of the file's architecture, such as `llama.block_count`, and checks that the
    /// file holds every tensor they demand, in the right shape; `path` is only shown.
    ///
    /// A Mistral comes back as a Llama, which GGUF says it is, with its sliding window.
    /// `rope_scaling` is `None` for a file that carries the divisors of its rotary frequencies as
    /// the tensor `rope_freqs.weight`, because the rule behind them is not in the file.
    pub fn from_gguf(gguf: &Gguf, path: &Path) -> Result<Self, ModelError> {
        let mut keys = Keys { gguf, path, architecture: Architecture::default() };
        let named = keys
            .text("general.architecture")?
            .ok_or_else(|| keys.fault("general.architecture", "is missing"))?;
        keys.architecture = Architecture::of_gguf(named).ok_or_else(|| {
            ModelError::UnknownArchitecture { path: path.to_owned(), found: shown(named) }
        })?;
        let architecture = keys.architecture;
        // Llamas with biases say so by having them.
        let has = |part: &str| gguf.tensors.contains_key(&format!("blk.0.{part}.bias"));
        if keys.size(&keys.own("expert_count"))?.is_some_and(|experts| experts > 0) {
            let key = keys.own("expert_count");
            return Err(keys.fault(&key, "names experts, which are not supported"));
        }
        let hidden_size = keys.needed(&keys.own("embedding_length"))?;
        let heads = keys.needed(&keys.own("attention.head_count"))?;
        let head_dim = match keys.size(&keys.own("attention.key_length"))? {
            Some(length) => length,
            None if heads > 0 && hidden_size % heads == 0 => hidden_size / heads,
            None => {
                let length = keys.own("embedding_length");
                let what = format!("must divide `{length}` {hidden_size}, found {heads}");
                return Err(keys.fault(&keys.own("attention.head_count"), what));
            }
        };
        for key in ["rope.dimension_count", "attention.value_length"].map(|key| keys.own(key)) {
            if let Some(other) = keys.size(&key)?.filter(|length| *length != head_dim) {
                return Err(
                    keys.fault(&key, format!("must be the head size {head_dim}, found {other}"))
                );
            }
        }
        let eps_key = keys.own("attention.layer_norm_rms_epsilon");
        let window = keys.size(&keys.own("attention.sliding_window"))?;
        let config = Self {
            architecture,
            qkv_bias: architecture == Architecture::Qwen2 || has("attn_q"),
            output_bias: has("attn_output"),
            sliding_window: window.filter(|window| *window > 0),
            hidden_size,
            intermediate_size: keys.needed(&keys.own("feed_forward_length"))?,
            num_hidden_layers: keys.needed(&keys.own("block_count"))?,
            num_attention_heads: heads,
            num_key_value_heads: keys.size(&keys.own("attention.head_count_kv"))?.unwrap_or(heads),
            head_dim,
            vocab_size: keys.vocab()?,
            max_position_embeddings: keys.needed(&keys.own("context_length"))?,
            rms_norm_eps: keys
                .number(&eps_key)?
                .ok_or_else(|| keys.fault(&eps_key, "is missing"))?,
            rope_theta: keys.number(&keys.own("rope.freq_base"))?.unwrap_or(10_000.0),
            rope_scaling: keys.scaling()?,
            tie_word_embeddings: !gguf.tensors.contains_key("output.weight"),
            torch_dtype: None,
            bos_token_id: keys.token("tokenizer.ggml.bos_token_id")?,
            eos_token_ids: [
                keys.token("tokenizer.ggml.eos_token_id")?,
                keys.token("tokenizer.ggml.eot_token_id")?,
            ]
            .into_iter()
            .flatten()
            .collect(),
        };
        config.check().map_err(|(field, what)| keys.fault(field, what))?;
        keys.check_tensors(&config)?;
        Ok(config)
    }
}

struct Keys<'a> {
    gguf: &'a Gguf,
    path: &'a Path,
    architecture: Architecture,
}

impl<'a> Keys<'a> {
    /// A key of the file's architecture.
    fn own(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture.gguf())
    }

    fn fault(&self, key: &str, what: impl Into<String>) -> ModelError {
        let (path, field) = (self.path.to_owned(), key.to_owned());
        ModelError::Config { path, field, what: what.into() }
    }

    fn typed<T>(
        &self,
        key: &str,
        what: &str,
        read: impl Fn(&'a GgufValue) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        match self.gguf.metadata.get(key) {
            None => Ok(None),
            Some(value) => {
                read(value).map(Some).ok_or_else(|| self.fault(key, format!("must be {what}")))
            }
        }
    }

    fn size(&self, key: &str) -> Result<Option<usize>, ModelError> {
        self.typed(key, "a single integer, not negative", |value| value.as_u64()?.try_into().ok())
    }

    fn needed(&self, key: &str) -> Result<usize, ModelError> {
        self.size(key)?.ok_or_else(|| self.fault(key, "is missing"))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.typed(key, "a float", GgufValue::as_f64)
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, ModelError> {
        self.typed(key, "a string", GgufValue::as_str)
    }

    fn token(&self, key: &str) -> Result<Option<u32>, ModelError> {
        self.typed(key, "a token id", |value| value.as_u64()?.try_into().ok())
    }

    /// Rows of the embedding, else the number of tokens in the vocabulary.
    fn vocab(&self) -> Result<usize, ModelError> {
        let rows = self.gguf.tensors.get("token_embd.weight").and_then(|tensor| tensor.dims.get(1));
        let tokens =
            self.gguf.metadata.get("tokenizer.ggml.tokens").and_then(GgufValue::as_strings);
        rows.and_then(|rows| usize::try_from(*rows).ok())
            .or_else(|| tokens.map(super::Strings::len))
            .ok_or_else(|| self.fault("tokenizer.ggml.tokens", "is missing"))
    }

    fn scaling(&self) -> Result<RopeScaling, ModelError> {
        let (key, kind) = (self.own("rope.scaling.factor"), self.own("rope.scaling.type"));
        let factor = self.number(&key)?.or(self.number(&self.own("rope.scale_linear"))?);
        match (self.text(&kind)?, factor) {
            // llama.cpp reads a factor of 0 as no scaling.
            (Some("none"), _) | (None, None) | (None | Some("linear"), Some(0.0)) => {
                Ok(RopeScaling::None)
            }
            (None | Some("linear"), Some(factor)) => Ok(RopeScaling::Linear { factor }),
            (Some("linear"), None) => Err(self.fault(&key, "is missing")),
            (Some(other), _) => {
                let what = format!("is `{}`, supported are none and linear", shown(other));
                Err(self.fault(&kind, what))
            }
        }
    }

    fn check_tensors(&self, config: &LlamaConfig) -> Result<(), ModelError> {
        let mut found = IndexMap::new();
        let mut wrong = Vec::new();
        for (name, tensor) in &self.gguf.tensors {
            match to_hf(name) {
                Some(hf) => drop(found.insert(hf, tensor.shape())),
                None if name == ROPE_FACTORS => {
                    let expected = [config.head_dim as u64 / 2];
                    if tensor.dims != expected {
                        let shape = &tensor.dims;
                        wrong.push(format!("`{name}` has shape {shape:?}, expected {expected:?}"));
                    }
                }
                None => {
                    let kind = config.architecture.name();
                    wrong.push(format!("`{}` is not part of a {kind}", shown(name)));
                }
            }
        }
        wrong.extend(llama_tensors::compare(config, &found));
        if wrong.is_empty() {
            return Ok(());
        }
        Err(ModelError::Tensors { path: self.path.to_owned(), wrong })
    }
}
