//! What tells the decoders of the Llama family apart.
//!
//! Mistral and Qwen2 compute what a Llama computes; they differ in biases, in how far a position
//! may look back, in defaults of their configurations and in how GGUF lays them out.

use super::fields::{CONTEXT_LIMIT, Fields};
use super::{ModelError, shown};

/// A decoder with RMS norms, rotary positions, grouped-query attention and SwiGLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Architecture {
    #[default]
    Llama,
    /// Attention may be limited to a sliding window.
    Mistral,
    /// Query, key and value projections have biases.
    Qwen2,
}

/// Biases of the projections of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Biases {
    pub qkv: bool,
    pub output: bool,
}

impl Architecture {
    /// In the order of [`super::ARCHITECTURES`].
    pub const ALL: [Self; 3] = [Self::Llama, Self::Mistral, Self::Qwen2];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "Llama",
            Self::Mistral => "Mistral",
            Self::Qwen2 => "Qwen2",
        }
    }

    /// `model_type` of `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
        }
    }

    /// The name in `architectures` of `config.json`.
    pub fn class(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
        }
    }

    /// `general.architecture` of GGUF, where a Mistral is a Llama; also the prefix of the file's
    /// keys.
    pub fn gguf(self) -> &'static str {
        match self {
            Self::Llama | Self::Mistral => "llama",
            Self::Qwen2 => "qwen2",
        }
    }

    /// The architecture that GGUF calls `name`.
    pub fn of_gguf(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|architecture| architecture.gguf() == name)
    }

    /// Whether GGUF keeps the rows of query and key projections in the order of interleaved
    /// rotary pairs (`llama_model_rope_type` of llama.cpp: `NORM` for llama, `NEOX` for qwen2).
    pub fn interleaves_in_gguf(self) -> bool {
        self.gguf() == "llama"
    }

    /// `max_position_embeddings` where the file leaves it out, as transformers has it.
    pub(crate) fn default_context(self) -> usize {
        match self {
            Self::Llama => 2048,
            Self::Mistral => 4096 * 32,
            Self::Qwen2 => 32_768,
        }
    }

    /// `num_key_value_heads` where the file leaves it out, for a model with `heads` heads, as
    /// transformers has it. A `null` means `heads` in every architecture.
    pub(crate) fn default_kv_heads(self, heads: usize) -> usize {
        match self {
            Self::Llama => heads,
            Self::Mistral => 8,
            Self::Qwen2 => 32,
        }
    }
}

/// `sliding_window` of Mistral and Qwen2 where the file leaves it out, as transformers has it.
const DEFAULT_WINDOW: usize = 4096;
/// `max_window_layers` of Qwen2 where the file leaves it out.
const DEFAULT_FULL_LAYERS: usize = 28;

impl Fields<'_> {
    /// Which decoder `model_type` and `architectures` name; both must agree.
    pub(super) fn architecture(&self) -> Result<Architecture, ModelError> {
        let class = match self.get("architectures") {
            None => None,
            Some(list) => match list.as_array().and_then(|list| list.first()?.as_str()) {
                Some(name) => Some(name),
                None => return Err(self.fault("architectures", "must be a list of names")),
            },
        };
        let kind = self.text("model_type")?;
        let unknown = |found: &str| ModelError::UnknownArchitecture {
            path: self.path.to_owned(),
            found: shown(found),
        };
        let known = |name: &str, of: fn(Architecture) -> &'static str| {
            Architecture::ALL.into_iter().find(|architecture| of(*architecture) == name)
        };
        let by_class = match class {
            Some(name) => Some(known(name, Architecture::class).ok_or_else(|| unknown(name))?),
            None => None,
        };
        let by_kind = match kind {
            Some(kind) => Some(known(kind, Architecture::model_type).ok_or_else(|| unknown(kind))?),
            None => None,
        };
        match (by_kind, by_class) {
            (Some(kind), Some(class)) if kind != class => {
                let (class, kind) = (class.class(), kind.model_type());
                let what = format!("names `{class}`, and `model_type` is `{kind}`");
                Err(self.fault("architectures", what))
            }
            (Some(found), _) | (None, Some(found)) => Ok(found),
            (None, None) => Err(self.fault("model_type", "is missing")),
        }
    }

    /// Which projections have biases. A file that says otherwise than its architecture does would
    /// be read by transformers without its biases, or without its say.
    pub(super) fn biases(&self, architecture: Architecture) -> Result<Biases, ModelError> {
        if self.flag("mlp_bias")? {
            let what = "is true, and biases of the feed-forward block are not supported";
            return Err(self.fault("mlp_bias", what));
        }
        let asked = self.flag("attention_bias")?;
        match architecture {
            Architecture::Llama => Ok(Biases { qkv: asked, output: asked }),
            Architecture::Mistral if asked => {
                Err(self.fault("attention_bias", "is true, and a Mistral has no biases"))
            }
            Architecture::Mistral => Ok(Biases { qkv: false, output: false }),
            Architecture::Qwen2 => Ok(Biases { qkv: true, output: false }),
        }
    }

    /// How many positions a position sees, itself included, in the layer that sees fewest of
    /// `layers`; `None` where it sees all.
    pub(super) fn sliding_window(
        &self,
        architecture: Architecture,
        layers: usize,
    ) -> Result<Option<usize>, ModelError> {
        let window = match self.map.contains_key("sliding_window") {
            true => self.size("sliding_window", CONTEXT_LIMIT)?,
            false => Some(DEFAULT_WINDOW),
        };
        Ok(match architecture {
            Architecture::Llama => None,
            Architecture::Mistral => window,
            Architecture::Qwen2 => {
                // A list of layers is not looked into: a window that no layer uses costs length,
                // one that is overlooked costs the right answer.
                let first = match self.get("max_window_layers") {
                    None => DEFAULT_FULL_LAYERS,
                    Some(value) if value.as_u64() == Some(0) => 0,
                    Some(_) => self.needed("max_window_layers", CONTEXT_LIMIT)?,
                };
                let somewhere = first < layers || self.get("layer_types").is_some();
                let used = self.flag("use_sliding_window")? && somewhere;
                window.filter(|_| used)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::model::{ARCHITECTURES, LlamaConfig};

    fn parse(json: &Value) -> Result<LlamaConfig, ModelError> {
        LlamaConfig::from_json(Path::new("config.json"), json)
    }

    /// The published `config.json` of Qwen2-0.5B, without what no decoder reads.
    fn qwen2() -> Value {
        json!({
            "architectures": ["Qwen2ForCausalLM"], "bos_token_id": 151_643, "eos_token_id": 151_643,
            "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
            "max_position_embeddings": 131_072, "max_window_layers": 24, "model_type": "qwen2",
            "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2,
            "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0, "sliding_window": 131_072,
            "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_sliding_window": false,
            "vocab_size": 151_936,
        })
    }

    /// Mistral 7B v0.1.
    fn mistral() -> Value {
        json!({
            "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
            "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14_336,
            "max_position_embeddings": 32_768, "model_type": "mistral", "num_attention_heads": 32,
            "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
            "rope_theta": 10_000.0, "sliding_window": 4096, "tie_word_embeddings": false,
            "torch_dtype": "bfloat16", "vocab_size": 32_000,
        })
    }

    fn with(mut json: Value, field: &str, value: Value) -> Value {
        json[field] = value;
        json
    }

    fn without(mut json: Value, field: &str) -> Value {
        json.as_object_mut().unwrap().remove(field);
        json
    }

    #[test]
    fn the_list_of_names_is_that_of_the_architectures() {
        assert_eq!(Architecture::ALL.map(Architecture::model_type).as_slice(), ARCHITECTURES);
        assert_eq!(Architecture::of_gguf("llama"), Some(Architecture::Llama));
        assert_eq!(Architecture::of_gguf("qwen2"), Some(Architecture::Qwen2));
        assert_eq!(Architecture::of_gguf("mistral"), None);
    }

    #[test]
    fn published_configurations_have_their_biases_windows_and_sizes() {
        let config = parse(&qwen2()).unwrap();
        assert_eq!(config.architecture, Architecture::Qwen2);
        assert!(config.qkv_bias && !config.output_bias);
        assert_eq!((config.sliding_window, config.context()), (None, 131_072));
        assert_eq!((config.head_dim, config.parameters()), (64, 494_032_768));

        let config = parse(&mistral()).unwrap();
        assert_eq!(config.architecture, Architecture::Mistral);
        assert!(!config.qkv_bias && !config.output_bias);
        assert_eq!((config.sliding_window, config.context()), (Some(4096), 4096));
        assert_eq!(config.parameters(), 7_241_732_096);
    }

    #[test]
    fn written_configurations_of_all_architectures_read_back_the_same() {
        let sliding =
            with(with(qwen2(), "use_sliding_window", json!(true)), "sliding_window", json!(9));
        let open = with(mistral(), "sliding_window", Value::Null);
        let llama =
            with(with(mistral(), "model_type", json!("llama")), "attention_bias", json!(true));
        let llama = without(llama, "architectures");
        for json in [qwen2(), sliding, mistral(), open, llama] {
            // The window of this Qwen2 begins after its last layer.
            let json = match json["use_sliding_window"] {
                Value::Bool(true) => with(json, "max_window_layers", json!(3)),
                _ => json,
            };
            let config = parse(&json).unwrap();
            assert_eq!(parse(&config.to_json()).unwrap(), config, "{json}");
        }
    }

    #[test]
    fn absent_fields_have_the_defaults_of_each_architecture() {
        for (json, context, kv_heads) in [(mistral(), 131_072, 8), (qwen2(), 32_768, 32)] {
            let json = with(json, "num_attention_heads", json!(32));
            let mut json = with(json, "hidden_size", json!(2048));
            for field in ["max_position_embeddings", "num_key_value_heads", "rope_theta"] {
                json = without(json, field);
            }
            for field in ["tie_word_embeddings", "rms_norm_eps"] {
                json = without(json, field);
            }
            let config = parse(&json).unwrap();
            assert_eq!(config.max_position_embeddings, context);
            assert_eq!(config.num_key_value_heads, kv_heads);
            assert_eq!((config.rope_theta, config.rms_norm_eps), (10_000.0, 1e-6));
            assert!(!config.tie_word_embeddings);
            // A `null` is not an absence.
            let config = parse(&with(json, "num_key_value_heads", Value::Null)).unwrap();
            assert_eq!(config.num_key_value_heads, 32);
        }
        let window = |json: &Value| parse(json).unwrap().sliding_window;
        assert_eq!(window(&without(mistral(), "sliding_window")), Some(4096));
        assert_eq!(window(&with(mistral(), "sliding_window", Value::Null)), None);
        assert_eq!(window(&without(qwen2(), "sliding_window")), None);
    }

    #[test]
    fn a_window_that_some_layer_uses_bounds_the_context() {
        let used =
            with(with(qwen2(), "use_sliding_window", json!(true)), "sliding_window", json!(512));
        // `max_window_layers` is 24, and so is the number of layers.
        assert_eq!(parse(&used).unwrap().context(), 131_072);
        for first in [0, 23] {
            let config = parse(&with(used.clone(), "max_window_layers", json!(first))).unwrap();
            assert_eq!(config.context(), 512, "{first}");
            assert_eq!(config.beyond_window(512), None);
            let told = config.beyond_window(513).unwrap();
            assert!(told.contains("513 positions") && told.contains("window of 512"), "{told}");
        }
        let listed = with(used, "layer_types", json!(["sliding_attention"]));
        assert_eq!(parse(&listed).unwrap().context(), 512);
        let wide = with(mistral(), "sliding_window", json!(1_000_000));
        assert_eq!(parse(&wide).unwrap().context(), 32_768);
    }

    #[test]
    fn what_an_architecture_cannot_have_is_refused_by_name() {
        let cases = [
            (mistral(), "attention_bias", json!(true), "a Mistral has no biases"),
            (qwen2(), "mlp_bias", json!(true), "feed-forward"),
            (qwen2(), "attention_bias", json!("yes"), "true or false"),
            (qwen2(), "use_sliding_window", json!(1), "true or false"),
            (qwen2(), "max_window_layers", json!(-1), "must be an integer"),
            (qwen2(), "sliding_window", json!("x"), "must be an integer"),
            (mistral(), "sliding_window", json!(0), "from 1 to"),
            (mistral(), "sliding_window", json!(-4), "from 1 to"),
            (mistral(), "sliding_window", json!(1.5), "from 1 to"),
            (mistral(), "num_key_value_heads", json!(5), "must divide"),
            (mistral(), "architectures", json!(["Qwen2ForCausalLM"]), "`model_type` is `mistral`"),
            (qwen2(), "architectures", json!(["Qwen2ForSequenceClassification"]), "cannot load"),
            (qwen2(), "model_type", json!("qwen2_moe"), "`qwen2_moe`"),
            (qwen2(), "model_type", json!(7), "must be text"),
        ];
        for (json, field, value, told) in cases {
            let error = parse(&with(json, field, value.clone())).unwrap_err().to_string();
            assert!(error.contains(told), "{field} {value}: {error}");
        }
    }
}
