//! The configuration of a Llama or of a decoder like it, with every number bounded so that later
//! arithmetic is safe.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::fields::{CONTEXT_LIMIT, Fields, LAYER_LIMIT, SIZE_LIMIT, VOCAB_LIMIT};
pub use super::rope::RopeScaling;
use super::{Architecture, ModelError, llama_tensors, shown};

/// A decoder of the Llama family as its `config.json` describes it.
///
/// Holds: no size is 0, `num_attention_heads` is a multiple of `num_key_value_heads`, `head_dim`
/// is even, and all products of sizes that occur in a model fit an `i64`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LlamaConfig {
    #[serde(skip)]
    pub architecture: Architecture,
    /// Query, key and value projections have biases.
    #[serde(skip)]
    pub qkv_bias: bool,
    /// The output projection of attention has a bias.
    #[serde(skip)]
    pub output_bias: bool,
    /// How many positions a position sees, itself included, in the layer that sees fewest; `None`
    /// where all see everything before them. Longer sequences are refused, see
    /// [`LlamaConfig::context`].
    #[serde(skip)]
    pub sliding_window: Option<usize>,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub vocab_size: usize,
    /// Context length in tokens, before a sliding window.
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    pub rope_scaling: RopeScaling,
    /// The output projection is the embedding.
    pub tie_word_embeddings: bool,
    /// As the file writes it, such as `bfloat16`.
    pub torch_dtype: Option<String>,
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; empty when the model names none.
    #[serde(rename = "eos_token_id")]
    pub eos_token_ids: Vec<u32>,
}

const HEAD_DIM_LIMIT: usize = 1 << 12;

impl LlamaConfig {
    /// Numbers that a cache of keys and values holds for one token: `2 · layers · kv_heads ·
    /// head_dim`.
    pub fn cache_per_token(&self) -> u64 {
        2 * (self.num_hidden_layers * self.num_key_value_heads * self.head_dim) as u64
    }

    /// Reads the text of a `config.json`; `path` is only shown.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ModelError> {
        let value: Value = serde_json::from_str(text).map_err(|e| ModelError::Layout {
            path: path.to_owned(),
            what: format!("is not JSON: {e}"),
            advice: None,
        })?;
        Self::from_json(path, &value)
    }

    /// Reads a parsed `config.json`; `path` is only shown.
    pub fn from_json(path: &Path, value: &Value) -> Result<Self, ModelError> {
        let Some(map) = value.as_object() else {
            return Err(ModelError::Layout {
                path: path.to_owned(),
                what: "is not a JSON object".to_owned(),
                advice: None,
            });
        };
        let fields = Fields { path, map };
        let architecture = fields.architecture()?;
        let biases = fields.biases(architecture)?;
        fields.refuse_others()?;

        let hidden_size = fields.needed("hidden_size", SIZE_LIMIT)?;
        let heads = fields.needed("num_attention_heads", SIZE_LIMIT)?;
        let head_dim = match fields.size("head_dim", HEAD_DIM_LIMIT)? {
            Some(head_dim) => head_dim,
            None if hidden_size % heads == 0 => hidden_size / heads,
            None => {
                let what = format!("must divide `hidden_size` {hidden_size}, found {heads}");
                return Err(fields.fault("num_attention_heads", what));
            }
        };
        let (rope_scaling, rope_theta) = fields.rope()?;
        let kv_heads = match map.contains_key("num_key_value_heads") {
            true => fields.size("num_key_value_heads", SIZE_LIMIT)?.unwrap_or(heads),
            false => architecture.default_kv_heads(heads),
        };
        let layers = fields.needed("num_hidden_layers", LAYER_LIMIT)?;
        let config = Self {
            architecture,
            qkv_bias: biases.qkv,
            output_bias: biases.output,
            sliding_window: fields.sliding_window(architecture, layers)?,
            hidden_size,
            intermediate_size: fields.needed("intermediate_size", SIZE_LIMIT)?,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim,
            vocab_size: fields.needed("vocab_size", VOCAB_LIMIT)?,
            max_position_embeddings: fields
                .size("max_position_embeddings", CONTEXT_LIMIT)?
                .unwrap_or(architecture.default_context()),
            rms_norm_eps: fields.number("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            tie_word_embeddings: fields.flag("tie_word_embeddings")?,
            torch_dtype: fields.text("torch_dtype")?.or(fields.text("dtype")?).map(str::to_owned),
            bos_token_id: fields.tokens("bos_token_id")?.first().copied(),
            eos_token_ids: fields.tokens("eos_token_id")?,
        };
        config.check().map_err(|(field, what)| fields.fault(field, what))?;
        Ok(config)
    }

    /// What must hold between the fields, whichever file they came from.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let sizes = [
            ("hidden_size", self.hidden_size, SIZE_LIMIT),
            ("intermediate_size", self.intermediate_size, SIZE_LIMIT),
            ("num_hidden_layers", self.num_hidden_layers, LAYER_LIMIT),
            ("num_attention_heads", self.num_attention_heads, SIZE_LIMIT),
            ("num_key_value_heads", self.num_key_value_heads, SIZE_LIMIT),
            ("head_dim", self.head_dim, HEAD_DIM_LIMIT),
            ("vocab_size", self.vocab_size, VOCAB_LIMIT),
            ("max_position_embeddings", self.max_position_embeddings, CONTEXT_LIMIT),
        ];
        for (field, found, limit) in sizes {
            if found == 0 || found > limit {
                return Err((field, format!("must lie between 1 and {limit}, found {found}")));
            }
        }
        if let Some(window) = self.sliding_window.filter(|n| !(1..=CONTEXT_LIMIT).contains(n)) {
            let what = format!("must lie between 1 and {CONTEXT_LIMIT}, found {window}");
            return Err(("sliding_window", what));
        }
        let (heads, kv_heads) = (self.num_attention_heads, self.num_key_value_heads);
        if heads % kv_heads != 0 {
            let what = format!("must divide `num_attention_heads` {heads}, found {kv_heads}");
            return Err(("num_key_value_heads", what));
        }
        if !self.head_dim.is_multiple_of(2) {
            let what = format!("must be even for rotary positions, found {}", self.head_dim);
            return Err(("head_dim", what));
        }
        // Both factors have passed their limits, so the product cannot overflow.
        if heads * self.head_dim > SIZE_LIMIT {
            let what = format!("times `head_dim` must not exceed {SIZE_LIMIT}");
            return Err(("num_attention_heads", what));
        }
        if !(self.rms_norm_eps > 0.0 && self.rms_norm_eps < 1.0) {
            let what = format!("must lie between 0 and 1, found {}", self.rms_norm_eps);
            return Err(("rms_norm_eps", what));
        }
        if !(self.rope_theta >= 1.0 && self.rope_theta <= 1e15) {
            let what = format!("must lie between 1 and 1e15, found {}", self.rope_theta);
            return Err(("rope_theta", what));
        }
        self.check_scaling().map_err(|what| ("rope_scaling", what))
    }

    fn check_scaling(&self) -> Result<(), String> {
        let factor = match self.rope_scaling {
            RopeScaling::None => return Ok(()),
            RopeScaling::Linear { factor } => factor,
            RopeScaling::Llama3 {
                factor, low_freq_factor: low, high_freq_factor: high, ..
            } => {
                if !(low > 0.0 && low < high && high <= 1e6) {
                    return Err(format!(
                        "needs 0 < `low_freq_factor` < `high_freq_factor`, found {low} and {high}"
                    ));
                }
                factor
            }
        };
        let sound = (1.0..=1e6).contains(&factor);
        if sound { Ok(()) } else { Err(format!("has a `factor` of {factor}, expected 1 to 1e6")) }
    }

    /// Longest sequence in tokens. Where a sliding window is shorter than what the model was made
    /// for, it ends there: up to its length every position sees all before it, and the numbers are
    /// those of the model.
    pub fn context(&self) -> usize {
        self.sliding_window
            .map_or(self.max_position_embeddings, |window| window.min(self.max_position_embeddings))
    }

    /// Why sequences of `positions` cannot be computed, where the sliding window is the reason.
    pub fn beyond_window(&self, positions: usize) -> Option<String> {
        let window = self.sliding_window.filter(|window| positions > *window)?;
        Some(format!(
            "{positions} positions are longer than the model's sliding window of {window}, and \
             attention within a window is not computed: stay within {window} tokens"
        ))
    }

    /// Number of weights; a tied output projection counts once.
    pub fn parameters(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().product::<u64>()).sum()
    }

    /// Every tensor that a checkpoint must hold, by its Hugging Face name, with its shape.
    pub fn tensors(&self) -> Vec<(String, Vec<u64>)> {
        llama_tensors::expected(self)
    }

    /// A `config.json` that [`LlamaConfig::from_json`] and transformers read as this model.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("architectures".to_owned(), json!([self.architecture.class()]));
        out.insert("model_type".to_owned(), json!(self.architecture.model_type()));
        out.insert("hidden_act".to_owned(), json!("silu"));
        match self.architecture {
            Architecture::Llama => {
                out.insert("attention_bias".to_owned(), json!(self.qkv_bias));
                out.insert("mlp_bias".to_owned(), json!(false));
            }
            Architecture::Mistral => {
                out.insert("sliding_window".to_owned(), json!(self.sliding_window));
            }
            Architecture::Qwen2 => {
                let windowed = self.sliding_window.is_some();
                out.insert("use_sliding_window".to_owned(), json!(windowed));
                out.insert("sliding_window".to_owned(), json!(self.sliding_window));
                let first = if windowed { 0 } else { self.num_hidden_layers };
                out.insert("max_window_layers".to_owned(), json!(first));
            }
        }
        let fields = serde_json::to_value(self).expect("a plain struct of finite numbers");
        if let Value::Object(fields) = fields {
            out.extend(fields);
        }
        if self.rope_scaling == RopeScaling::None {
            out.insert("rope_scaling".to_owned(), Value::Null);
        }
        Value::Object(out)
    }
}

/// What only decoders of this family have.
impl Fields<'_> {
    /// Refuses variants of the architecture that would compute something else.
    fn refuse_others(&self) -> Result<(), ModelError> {
        match self.text("hidden_act")? {
            None | Some("silu" | "swish") => {}
            Some(other) => {
                let what = format!("is `{}`, supported is `silu`", shown(other));
                return Err(self.fault("hidden_act", what));
            }
        }
        match self.number("partial_rotary_factor")? {
            None | Some(1.0) => {}
            Some(other) => {
                let what = format!("is {other}, supported is 1");
                return Err(self.fault("partial_rotary_factor", what));
            }
        }
        self.refuse_quantized()
    }

    /// Scaling and base of the rotary positions, in the older form (`rope_scaling` beside
    /// `rope_theta`) or the newer one (both in `rope_parameters`).
    fn rope(&self) -> Result<(RopeScaling, f64), ModelError> {
        let theta = self.number("rope_theta")?;
        let (field, value) = match (self.get("rope_parameters"), self.get("rope_scaling")) {
            (Some(value), _) => ("rope_parameters", value),
            (None, Some(value)) => ("rope_scaling", value),
            (None, None) => return Ok((RopeScaling::None, theta.unwrap_or(10_000.0))),
        };
        let Some(map) = value.as_object() else {
            return Err(self.fault(field, "must be an object"));
        };
        let inner = Fields { path: self.path, map };
        let theta = inner.number("rope_theta")?.or(theta).unwrap_or(10_000.0);
        let needed = |name: &str| {
            inner.number(name)?.ok_or_else(|| self.fault(field, format!("misses `{name}`")))
        };
        let scaling = match inner.text("rope_type")?.or(inner.text("type")?) {
            Some("default") => RopeScaling::None,
            None if map.len() == usize::from(map.contains_key("rope_theta")) => RopeScaling::None,
            None => return Err(self.fault(field, "misses `rope_type`")),
            Some("linear") => RopeScaling::Linear { factor: needed("factor")? },
            Some("llama3") => RopeScaling::Llama3 {
                factor: needed("factor")?,
                low_freq_factor: needed("low_freq_factor")?,
                high_freq_factor: needed("high_freq_factor")?,
                original_max_position_embeddings: inner
                    .needed("original_max_position_embeddings", CONTEXT_LIMIT)?,
            },
            Some(other) => {
                let what = format!(
                    "has the type `{}`, supported are default, linear, llama3",
                    shown(other)
                );
                return Err(self.fault(field, what));
            }
        };
        Ok((scaling, theta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::random::{self, RandomModel};

    fn parse(text: &str) -> Result<LlamaConfig, ModelError> {
        LlamaConfig::parse(Path::new("config.json"), text)
    }

    fn tiny() -> Value {
        RandomModel::parse("random://llama-tiny").unwrap().config().decoder().unwrap().to_json()
    }

    fn with(field: &str, value: Value) -> Result<LlamaConfig, ModelError> {
        let mut json = tiny();
        json[field] = value;
        LlamaConfig::from_json(Path::new("config.json"), &json)
    }

    /// The fields that matter of the published `config.json` of Llama 3.2 1B.
    const ONE_B: &str = r#"{
        "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000,
        "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu",
        "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 131072,
        "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32,
        "num_hidden_layers": 16, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "vocab_size": 128256}"#;

    #[test]
    fn llama_3_2_1b_has_its_published_number_of_parameters() {
        let config = parse(ONE_B).unwrap();
        assert_eq!(config.parameters(), 1_235_814_400);
        assert_eq!(config.eos_token_ids, [128_001, 128_008, 128_009]);
        assert!(matches!(config.rope_scaling, RopeScaling::Llama3 { factor: 32.0, .. }));
    }

    #[test]
    fn the_newer_form_of_rotary_parameters_means_the_same() {
        let old = parse(ONE_B).unwrap();
        let mut json: Value = serde_json::from_str(ONE_B).unwrap();
        let map = json.as_object_mut().unwrap();
        let mut rope = map.remove("rope_scaling").unwrap();
        rope["rope_theta"] = map.remove("rope_theta").unwrap();
        map.insert("rope_parameters".into(), rope);
        let dtype = map.remove("torch_dtype").unwrap();
        map.insert("dtype".into(), dtype);
        assert_eq!(LlamaConfig::from_json(Path::new("c"), &json).unwrap(), old);
    }

    #[test]
    fn written_configurations_read_back_the_same() {
        for name in random::names() {
            let model = RandomModel::parse(&format!("random://{name}")).unwrap();
            let Some(config) = model.config().decoder().cloned() else { continue };
            assert_eq!(parse(&config.to_json().to_string()).unwrap(), config, "{name}");
        }
        let one_b = parse(ONE_B).unwrap();
        assert_eq!(parse(&one_b.to_json().to_string()).unwrap(), one_b);
    }

    #[test]
    fn absent_fields_have_the_defaults_of_transformers() {
        let mut json = tiny();
        for field in ["num_key_value_heads", "head_dim", "rope_theta", "rope_scaling"] {
            json.as_object_mut().unwrap().remove(field);
        }
        let config = LlamaConfig::from_json(Path::new("c"), &json).unwrap();
        assert_eq!(config.num_key_value_heads, config.num_attention_heads);
        assert_eq!(config.head_dim, config.hidden_size / config.num_attention_heads);
        assert_eq!((config.rope_theta, config.rope_scaling), (10_000.0, RopeScaling::None));
    }

    #[test]
    fn what_would_compute_something_else_is_refused_by_name() {
        let cases = [
            ("mlp_bias", json!(true), "biases"),
            ("hidden_act", json!("gelu"), "gelu"),
            ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), "yarn"),
            ("rope_scaling", json!({"type": "dynamic", "factor": 4.0}), "dynamic"),
            ("rope_scaling", json!({"rope_type": "linear"}), "misses `factor`"),
            ("rope_scaling", json!({"factor": 2.0}), "misses `rope_type`"),
            ("rope_scaling", json!({"rope_type": "linear", "factor": 0.0}), "expected 1 to 1e6"),
            ("quantization_config", json!({"quant_method": "gptq"}), "gptq"),
            ("partial_rotary_factor", json!(0.5), "0.5"),
            ("architectures", json!(["MixtralForCausalLM"]), "Mixtral"),
            ("model_type", json!("mixtral"), "cannot load"),
            ("model_type", json!("mistral"), "`model_type` is `mistral`"),
        ];
        for (field, value, told) in cases {
            let error = with(field, value.clone()).unwrap_err().to_string();
            assert!(error.contains(told), "{field} {value}: {error}");
        }
    }

    #[test]
    fn hostile_numbers_are_refused_with_the_field() {
        let fields = [
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
            "vocab_size",
            "max_position_embeddings",
        ];
        let values =
            [json!(0), json!(-1), json!(1.5), json!("8"), json!(u64::MAX), json!([]), json!(true)];
        for field in fields {
            for value in &values {
                let error = with(field, value.clone()).unwrap_err().to_string();
                assert!(error.contains(field), "{field} {value}: {error}");
            }
        }
        for (field, value) in [
            ("num_key_value_heads", json!(3)),
            ("head_dim", json!(7)),
            ("rms_norm_eps", json!(0)),
            ("rms_norm_eps", json!(-1e-5)),
            ("rope_theta", json!(0)),
            ("rope_theta", json!("x")),
            ("eos_token_id", json!(-1)),
            ("eos_token_id", json!(4_294_967_296_u64)),
            ("tie_word_embeddings", json!(1)),
        ] {
            let error = with(field, value.clone()).unwrap_err().to_string();
            assert!(error.contains(field), "{field} {value}: {error}");
        }
    }

    #[test]
    fn the_largest_allowed_sizes_do_not_overflow() {
        let tiny = RandomModel::parse("random://llama-tiny").unwrap();
        let mut config = tiny.config().decoder().unwrap().clone();
        (config.qkv_bias, config.output_bias) = (true, true);
        config.hidden_size = SIZE_LIMIT;
        config.intermediate_size = SIZE_LIMIT;
        config.num_hidden_layers = LAYER_LIMIT;
        config.num_attention_heads = SIZE_LIMIT / HEAD_DIM_LIMIT;
        config.num_key_value_heads = SIZE_LIMIT / HEAD_DIM_LIMIT;
        config.head_dim = HEAD_DIM_LIMIT;
        config.vocab_size = VOCAB_LIMIT;
        config.tie_word_embeddings = false;
        config.check().unwrap();
        assert!(i64::try_from(config.parameters() * 8).is_ok());
    }
}
