//! A Llama's configuration from the metadata of a GGUF file.

use std::path::Path;

use indexmap::IndexMap;

use super::gguf_names::{ROPE_FACTORS, to_hf};
use super::{
    ARCHITECTURES, Gguf, GgufValue, LlamaConfig, ModelError, RopeScaling, llama_tensors, shown,
};

impl LlamaConfig {
    /// Reads the keys `llama.*` and checks that the file holds every tensor they demand, in the
    /// right shape; `path` is only shown.
    ///
    /// `rope_scaling` is `None` for a file that carries the divisors of its rotary frequencies as
    /// the tensor `rope_freqs.weight`, because the rule behind them is not in the file.
    pub fn from_gguf(gguf: &Gguf, path: &Path) -> Result<Self, ModelError> {
        let keys = Keys { gguf, path };
        let architecture = keys
            .text("general.architecture")?
            .ok_or_else(|| keys.fault("general.architecture", "is missing"))?;
        if !ARCHITECTURES.contains(&architecture) {
            let found = shown(architecture);
            return Err(ModelError::UnknownArchitecture { path: path.to_owned(), found });
        }
        if keys.size("llama.expert_count")?.is_some_and(|experts| experts > 0) {
            return Err(keys.fault("llama.expert_count", "names experts, which are not supported"));
        }
        let hidden_size = keys.needed("llama.embedding_length")?;
        let heads = keys.needed("llama.attention.head_count")?;
        let head_dim = match keys.size("llama.attention.key_length")? {
            Some(length) => length,
            None if heads > 0 && hidden_size % heads == 0 => hidden_size / heads,
            None => {
                let what =
                    format!("must divide `llama.embedding_length` {hidden_size}, found {heads}");
                return Err(keys.fault("llama.attention.head_count", what));
            }
        };
        for key in ["llama.rope.dimension_count", "llama.attention.value_length"] {
            if let Some(other) = keys.size(key)?.filter(|length| *length != head_dim) {
                return Err(
                    keys.fault(key, format!("must be the head size {head_dim}, found {other}"))
                );
            }
        }
        let eps_key = "llama.attention.layer_norm_rms_epsilon";
        let config = Self {
            hidden_size,
            intermediate_size: keys.needed("llama.feed_forward_length")?,
            num_hidden_layers: keys.needed("llama.block_count")?,
            num_attention_heads: heads,
            num_key_value_heads: keys.size("llama.attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            vocab_size: keys.vocab()?,
            max_position_embeddings: keys.needed("llama.context_length")?,
            rms_norm_eps: keys.number(eps_key)?.ok_or_else(|| keys.fault(eps_key, "is missing"))?,
            rope_theta: keys.number("llama.rope.freq_base")?.unwrap_or(10_000.0),
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
}

impl<'a> Keys<'a> {
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
        let key = "llama.rope.scaling.factor";
        let factor = self.number(key)?.or(self.number("llama.rope.scale_linear")?);
        match (self.text("llama.rope.scaling.type")?, factor) {
            // llama.cpp reads a factor of 0 as no scaling.
            (Some("none"), _) | (None, None) | (None | Some("linear"), Some(0.0)) => {
                Ok(RopeScaling::None)
            }
            (None | Some("linear"), Some(factor)) => Ok(RopeScaling::Linear { factor }),
            (Some("linear"), None) => Err(self.fault(key, "is missing")),
            (Some(other), _) => {
                let what = format!("is `{}`, supported are none and linear", shown(other));
                Err(self.fault("llama.rope.scaling.type", what))
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
                None => wrong.push(format!("`{}` is not part of a Llama", shown(name))),
            }
        }
        wrong.extend(llama_tensors::compare(config, &found));
        if wrong.is_empty() {
            return Ok(());
        }
        Err(ModelError::Tensors { path: self.path.to_owned(), wrong })
    }
}
