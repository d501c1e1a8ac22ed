//! Models that are known by name: sizes from public model cards.

use serde_json::{Value, json};

use crate::model::family::{Family, families};
use crate::model::{Architecture, LlamaConfig, RopeScaling};

/// hidden, inner, layers, heads, key heads, head size, vocabulary, context.
type Sizes = [usize; 8];

struct Entry {
    name: &'static str,
    architecture: Architecture,
    sizes: Sizes,
    eps: f64,
    rope_theta: f64,
    /// Factor of the `llama3` rule, if the model uses it.
    scaling: Option<f64>,
    /// Sliding window, if the model has one.
    window: Option<usize>,
    tied: bool,
    dtype: &'static str,
    /// First token and last token of a text.
    ends: (u32, u32),
}

const CATALOG: &[Entry] = &[
    Entry {
        name: "llama-3.2-1b",
        architecture: Architecture::Llama,
        sizes: [2048, 8192, 16, 32, 8, 64, 128_256, 131_072],
        eps: 1e-5,
        rope_theta: 500_000.0,
        scaling: Some(32.0),
        window: None,
        tied: true,
        dtype: "bfloat16",
        ends: (128_000, 128_001),
    },
    Entry {
        name: "llama-3.2-3b",
        architecture: Architecture::Llama,
        sizes: [3072, 8192, 28, 24, 8, 128, 128_256, 131_072],
        eps: 1e-5,
        rope_theta: 500_000.0,
        scaling: Some(32.0),
        window: None,
        tied: true,
        dtype: "bfloat16",
        ends: (128_000, 128_001),
    },
    Entry {
        name: "llama-3.1-8b",
        architecture: Architecture::Llama,
        sizes: [4096, 14_336, 32, 32, 8, 128, 128_256, 131_072],
        eps: 1e-5,
        rope_theta: 500_000.0,
        scaling: Some(8.0),
        window: None,
        tied: false,
        dtype: "bfloat16",
        ends: (128_000, 128_001),
    },
    Entry {
        name: "tinyllama-1.1b",
        architecture: Architecture::Llama,
        sizes: [2048, 5632, 22, 32, 4, 64, 32_000, 2048],
        eps: 1e-5,
        rope_theta: 10_000.0,
        scaling: None,
        window: None,
        tied: false,
        dtype: "bfloat16",
        ends: (1, 2),
    },
    Entry {
        name: "smollm2-135m",
        architecture: Architecture::Llama,
        sizes: [576, 1536, 30, 9, 3, 64, 49_152, 8192],
        eps: 1e-5,
        rope_theta: 100_000.0,
        scaling: None,
        window: None,
        tied: true,
        dtype: "bfloat16",
        ends: (0, 0),
    },
    Entry {
        name: "qwen2-0.5b",
        architecture: Architecture::Qwen2,
        sizes: [896, 4864, 24, 14, 2, 64, 151_936, 131_072],
        eps: 1e-6,
        rope_theta: 1_000_000.0,
        scaling: None,
        window: None,
        tied: true,
        dtype: "bfloat16",
        ends: (151_643, 151_643),
    },
    // Version 0.3.
    Entry {
        name: "mistral-7b",
        architecture: Architecture::Mistral,
        sizes: [4096, 14_336, 32, 32, 8, 128, 32_768, 32_768],
        eps: 1e-5,
        rope_theta: 1_000_000.0,
        scaling: None,
        window: None,
        tied: false,
        dtype: "bfloat16",
        ends: (1, 2),
    },
    // No published models: small enough for tests.
    Entry {
        name: "llama-tiny",
        architecture: Architecture::Llama,
        sizes: [64, 128, 2, 4, 2, 16, 256, 512],
        eps: 1e-5,
        rope_theta: 10_000.0,
        scaling: None,
        window: None,
        tied: true,
        dtype: "float32",
        ends: (1, 2),
    },
    Entry {
        name: "qwen2-tiny",
        architecture: Architecture::Qwen2,
        sizes: [64, 128, 2, 4, 2, 16, 256, 512],
        eps: 1e-6,
        rope_theta: 1_000_000.0,
        scaling: None,
        window: None,
        tied: true,
        dtype: "float32",
        ends: (1, 2),
    },
    Entry {
        name: "mistral-tiny",
        architecture: Architecture::Mistral,
        sizes: [64, 128, 2, 4, 2, 16, 256, 512],
        eps: 1e-5,
        rope_theta: 10_000.0,
        scaling: None,
        window: Some(128),
        tied: false,
        dtype: "float32",
        ends: (1, 2),
    },
];

impl Entry {
    fn config(&self) -> LlamaConfig {
        let [hidden, inner, layers, heads, key_heads, head_dim, vocab, context] = self.sizes;
        LlamaConfig {
            architecture: self.architecture,
            qkv_bias: self.architecture == Architecture::Qwen2,
            output_bias: false,
            sliding_window: self.window,
            hidden_size: hidden,
            intermediate_size: inner,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: key_heads,
            head_dim,
            vocab_size: vocab,
            max_position_embeddings: context,
            rms_norm_eps: self.eps,
            rope_theta: self.rope_theta,
            rope_scaling: self.scaling.map_or(RopeScaling::None, |factor| RopeScaling::Llama3 {
                factor,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position_embeddings: 8192,
            }),
            tie_word_embeddings: self.tied,
            torch_dtype: Some(self.dtype.to_owned()),
            bos_token_id: Some(self.ends.0),
            eos_token_ids: vec![self.ends.1],
        }
    }
}

/// Names in the catalogue, in its order.
pub fn names() -> impl Iterator<Item = &'static str> {
    let networks = families().flat_map(Family::catalog);
    CATALOG.iter().map(|entry| entry.name).chain(networks.map(|(name, _)| name))
}

/// The `config.json` of a name of the catalogue.
pub(super) fn described(name: &str) -> Value {
    if let Some(entry) = CATALOG.iter().find(|entry| entry.name == name) {
        return entry.config().to_json();
    }
    let mut networks = families().flat_map(Family::catalog);
    networks.find(|(known, _)| *known == name).map_or(Value::Null, |(_, json)| json)
}

/// Gives the model, or each of its towers, this many layers; false where it has no such number.
pub(super) fn set_layers(json: &mut Value, layers: u64) -> bool {
    let mut found = false;
    for at in
        ["/num_hidden_layers", "/vision_config/num_hidden_layers", "/text_config/num_hidden_layers"]
    {
        if let Some(value) = json.pointer_mut(at) {
            *value = json!(layers);
            found = true;
        }
    }
    found
}
