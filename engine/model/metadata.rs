//! What can be said about a model without loading it.

use std::path::Path;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::content::{self, Content};
use super::gguf_names::ROPE_FACTORS;
use super::onnx::{ARCHITECTURE_KEY, OnnxFacts, RANDOM_KEY, TASK_KEY, TEXT_GENERATION};
use super::{
    Checkpoint, Configuration, Gguf, GgufValue, LlamaConfig, ModelError, OnnxModel, Signature,
    random,
};

/// How an artifact is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A folder with `config.json` and safetensors.
    Checkpoint,
    /// A single GGUF file.
    Gguf,
    /// An ONNX graph, with its weights inside or in data files beside it.
    Onnx,
}

impl Kind {
    /// The kind with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Checkpoint, Self::Gguf, Self::Onnx].into_iter().find(|kind| kind.name() == name)
    }

    /// As specs and records write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Gguf => "gguf",
            Self::Onnx => "onnx",
        }
    }
}

/// Facts from headers and configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelFacts {
    pub kind: Kind,
    /// Such as `llama`; `onnx` for a graph that does not say what it was made from.
    pub architecture: String,
    /// Such as `text_generation` or `embedding`; `tensor` for a graph that is not known to be about text.
    pub task: String,
    /// Number of weights; a tied output projection counts once. In a graph all constants count
    /// that it stores like weights, see [`OnnxFacts::parameters`].
    pub parameters: u64,
    /// The storage type of most weights.
    pub dtype: String,
    /// Tokens; `None` for a model that is not about tokens, or does not say.
    pub context_length: Option<u64>,
    /// How many positions a position sees, where that bounds the context.
    pub sliding_window: Option<u64>,
    pub vocab_size: Option<u64>,
    /// Numbers that a cache of keys and values holds for one token, where the model has one.
    pub cache_per_token: Option<u64>,
    /// Bytes of weights by storage type, such as `{"q8_0": 4456448}`.
    pub weight_bytes: IndexMap<String, u64>,
    /// Number of tensors by storage type.
    pub tensor_counts: IndexMap<String, u64>,
    /// All files that belong to the model.
    pub bytes_on_disk: u64,
    /// Share of the weights, counted as elements, that are stored in fewer than 16 bits; see
    /// [`OnnxFacts::quantized_elements`] for what counts in a graph.
    pub quantized_share: f64,
    /// The weights were drawn, not trained: speed means something, quality does not.
    pub random_weights: bool,
    pub signature: Signature,
    /// Of an ONNX graph.
    pub onnx: Option<OnnxFacts>,
}

/// Facts about a checkpoint folder, a GGUF file or an ONNX graph, told apart by content.
pub fn facts(path: &Path) -> Result<ModelFacts, ModelError> {
    if path.is_dir() {
        return of_checkpoint(&Checkpoint::open(path)?);
    }
    let told = content::weights(path);
    match told {
        Ok(Some(Content::Gguf)) => return of_gguf(path),
        Ok(Some(Content::Safetensors)) => {
            return Err(ModelError::Layout {
                path: path.to_owned(),
                what: "is a file of weights without its configuration".to_owned(),
                advice: Some("name the folder that holds it and `config.json`"),
            });
        }
        Ok(None) | Err(_) => {}
    }
    // Any bytes may be the beginning of a protobuf message, also those of other formats.
    match OnnxModel::read(path) {
        Ok(model) => of_onnx(&model),
        Err(error) => {
            told?;
            let is_onnx = path.extension().is_some_and(|suffix| suffix == "onnx");
            if is_onnx { Err(error) } else { of_gguf(path) }
        }
    }
}

/// How the model at `path` is laid out, told by content.
pub fn kind(path: &Path) -> Result<Kind, ModelError> {
    if path.is_dir() {
        return Ok(Kind::Checkpoint);
    }
    match content::weights(path) {
        Ok(Some(Content::Gguf)) => Ok(Kind::Gguf),
        Ok(Some(Content::Safetensors)) => facts(path).map(|facts| facts.kind),
        told => match OnnxModel::read(path) {
            Ok(_) => Ok(Kind::Onnx),
            Err(error) => {
                told?;
                let is_onnx = path.extension().is_some_and(|suffix| suffix == "onnx");
                if is_onnx { Err(error) } else { Ok(Kind::Gguf) }
            }
        },
    }
}

/// One tensor as it counts: storage type, whether that has fewer than 16 bits, elements, bytes.
type Counted = (String, bool, u64, u64);

fn of_checkpoint(checkpoint: &Checkpoint) -> Result<ModelFacts, ModelError> {
    let counted = checkpoint
        .tensors
        .values()
        .map(|(_, info)| (info.dtype.to_ascii_lowercase(), false, info.elements(), info.bytes()));
    let mut bytes_on_disk = 0;
    for file in &checkpoint.files {
        bytes_on_disk += std::fs::metadata(file).map_err(ModelError::read(file))?.len();
    }
    Ok(facts_of(
        Kind::Checkpoint,
        &checkpoint.config,
        counted,
        bytes_on_disk,
        checkpoint.random_weights,
    ))
}

fn of_gguf(path: &Path) -> Result<ModelFacts, ModelError> {
    let gguf = Gguf::read(path)?;
    let config = Configuration::Llama(LlamaConfig::from_gguf(&gguf, path)?);
    let weights = gguf.tensors.iter().filter(|(name, _)| *name != ROPE_FACTORS);
    let counted = weights.map(|(_, tensor)| {
        let kind = tensor.ggml_type;
        (kind.name().to_owned(), kind.bits_per_element() < 16.0, tensor.elements(), tensor.bytes)
    });
    let bytes_on_disk = std::fs::metadata(path).map_err(ModelError::read(path))?.len();
    let random_weights = match gguf.metadata.get(random::GGUF_MARK) {
        None | Some(GgufValue::Bool(false)) => false,
        Some(_) => true,
    };
    Ok(facts_of(Kind::Gguf, &config, counted, bytes_on_disk, random_weights))
}

fn of_onnx(model: &OnnxModel) -> Result<ModelFacts, ModelError> {
    let facts = model.facts();
    let text = |key: &str, otherwise: &str| model.metadata(key).unwrap_or(otherwise).to_owned();
    let task = text(TASK_KEY, "tensor");
    let mut bytes_on_disk = 0;
    for file in model.all_files()? {
        bytes_on_disk += std::fs::metadata(&file).map_err(ModelError::read(&file))?.len();
    }
    let config = match task.as_str() {
        TEXT_GENERATION => Some(LlamaConfig::of_folder(model.folder())?),
        _ => None,
    };
    let total: u64 = facts.weight_elements.values().sum();
    let dominant = facts.weight_elements.iter().max_by_key(|(_, count)| **count);
    Ok(ModelFacts {
        kind: Kind::Onnx,
        architecture: text(ARCHITECTURE_KEY, "onnx"),
        task,
        parameters: facts.parameters,
        dtype: dominant.map(|(dtype, _)| dtype.clone()).unwrap_or_default(),
        context_length: config.as_ref().map(|config| config.context() as u64),
        sliding_window: config.as_ref().and_then(|config| Some(config.sliding_window? as u64)),
        vocab_size: config.as_ref().map(|config| config.vocab_size as u64),
        cache_per_token: config.as_ref().map(LlamaConfig::cache_per_token),
        weight_bytes: facts.weight_bytes.clone(),
        tensor_counts: facts.tensor_counts.clone(),
        bytes_on_disk,
        quantized_share: facts.quantized_elements as f64 / total.max(1) as f64,
        random_weights: model.metadata(RANDOM_KEY) == Some("true"),
        signature: facts.signature.clone(),
        onnx: Some(facts),
    })
}

fn facts_of(
    kind: Kind,
    config: &Configuration,
    tensors: impl Iterator<Item = Counted>,
    bytes_on_disk: u64,
    random_weights: bool,
) -> ModelFacts {
    let mut weight_bytes = IndexMap::new();
    let mut tensor_counts = IndexMap::new();
    let mut elements: IndexMap<String, u64> = IndexMap::new();
    let mut quantized = 0;
    for (dtype, is_quantized, count, bytes) in tensors {
        *weight_bytes.entry(dtype.clone()).or_default() += bytes;
        *tensor_counts.entry(dtype.clone()).or_default() += 1;
        *elements.entry(dtype).or_default() += count;
        quantized += if is_quantized { count } else { 0 };
    }
    let total: u64 = elements.values().sum();
    let dominant = elements.into_iter().max_by_key(|(_, count)| *count);
    ModelFacts {
        kind,
        architecture: config.architecture().to_owned(),
        task: config.task().to_owned(),
        parameters: config.parameters(),
        dtype: dominant.map(|(dtype, _)| dtype).unwrap_or_default(),
        context_length: config.context(),
        sliding_window: config.sliding_window(),
        vocab_size: config.vocab(),
        cache_per_token: config.cache_per_token(),
        weight_bytes,
        tensor_counts,
        bytes_on_disk,
        quantized_share: quantized as f64 / total.max(1) as f64,
        random_weights,
        signature: config.signature(),
        onnx: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile::folder;
    use crate::model::{GgmlType, GgufWriter, RandomModel, gguf_names};

    #[test]
    fn a_trained_checkpoint_shows_its_facts() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/stories260k/hf");
        if !dir.is_dir() {
            eprintln!("skipped: no folder {}", dir.display());
            return;
        }
        let checkpoint = Checkpoint::open(&dir).unwrap();
        let config = checkpoint.decoder("this test").unwrap();
        assert_eq!((config.num_hidden_layers, config.hidden_size), (5, 64));
        assert!(checkpoint.tokenizer.is_some());
        let facts = facts(&dir).unwrap();
        assert_eq!(facts.dtype, "f32");
        assert_eq!(
            (facts.parameters, facts.vocab_size, facts.context_length),
            (260_032, Some(512), Some(512))
        );
        assert_eq!(facts.weight_bytes["f32"], 4 * facts.parameters);
        assert!(!facts.random_weights);
        assert_eq!(facts.quantized_share, 0.0);
    }

    /// A GGUF file of the model at `uri` with matrices as zeros in `matrix_type`.
    pub(crate) fn gguf_of(uri: &str, matrix_type: GgmlType, mark: bool) -> Vec<u8> {
        let model = RandomModel::parse(uri).unwrap();
        let config = model.config().decoder().unwrap();
        let key =
            |name: &str, value: usize| (format!("llama.{name}"), GgufValue::U32(value as u32));
        let mut metadata = vec![
            ("general.architecture".to_owned(), GgufValue::String("llama".to_owned())),
            key("context_length", config.max_position_embeddings),
            key("embedding_length", config.hidden_size),
            key("block_count", config.num_hidden_layers),
            key("feed_forward_length", config.intermediate_size),
            key("attention.head_count", config.num_attention_heads),
            key("attention.head_count_kv", config.num_key_value_heads),
            key("attention.key_length", config.head_dim),
            key("rope.dimension_count", config.head_dim),
            (
                "llama.attention.layer_norm_rms_epsilon".to_owned(),
                GgufValue::F32(config.rms_norm_eps as f32),
            ),
            ("llama.rope.freq_base".to_owned(), GgufValue::F32(config.rope_theta as f32)),
        ];
        if mark {
            metadata.push((random::GGUF_MARK.to_owned(), GgufValue::Bool(true)));
        }
        let tensors: Vec<_> = config
            .tensors()
            .into_iter()
            .map(|(name, mut shape)| {
                shape.reverse();
                let kind = if shape.len() == 1 { GgmlType::F32 } else { matrix_type };
                (gguf_names::to_gguf(&name).unwrap(), kind, shape)
            })
            .collect();
        let mut writer = GgufWriter::new(Vec::new(), &metadata, &tensors).unwrap();
        for (_, kind, dims) in &tensors {
            writer.append(&vec![0; kind.bytes(dims).unwrap() as usize]).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn a_gguf_file_and_its_checkpoint_agree() {
        let dir = folder("agree");
        let model = RandomModel::parse("random://llama-tiny").unwrap();
        model.generate(&dir).unwrap();
        let path = dir.join("model.gguf");
        std::fs::write(&path, gguf_of("random://llama-tiny", GgmlType::Q8_0, true)).unwrap();
        let (checkpoint, gguf) = (facts(&dir).unwrap(), facts(&path).unwrap());
        assert_eq!((checkpoint.kind, gguf.kind), (Kind::Checkpoint, Kind::Gguf));
        assert_eq!(checkpoint.parameters, gguf.parameters);
        assert_eq!(checkpoint.signature, gguf.signature);
        assert_eq!(gguf.dtype, "q8_0");
        assert!(checkpoint.random_weights && gguf.random_weights);
        let norms = model.config().decoder().unwrap().hidden_size as f64 * 5.0;
        assert_eq!(gguf.quantized_share, 1.0 - norms / gguf.parameters as f64);
        assert_eq!(gguf.weight_bytes["q8_0"], (gguf.parameters - norms as u64) / 32 * 34);
        assert_eq!(gguf.tensor_counts["f32"], 5);
        let config = LlamaConfig::from_gguf(&Gguf::read(&path).unwrap(), &path).unwrap();
        assert_eq!(config.tensors(), model.config().tensors());
        let alone = facts(&dir.join("model.safetensors")).unwrap_err();
        assert!(alone.hint().unwrap().contains("folder"));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_gguf_file_that_does_not_hold_what_its_keys_say_is_refused() {
        let bytes = gguf_of("random://llama-tiny", GgmlType::F16, false);
        let sound = Gguf::parse(&bytes[..], bytes.len() as u64).unwrap();
        let told = |spoil: &dyn Fn(&mut Gguf)| {
            let mut gguf = sound.clone();
            spoil(&mut gguf);
            LlamaConfig::from_gguf(&gguf, Path::new("x.gguf")).unwrap_err().to_string()
        };
        let set = |key: &'static str, value: GgufValue| {
            told(&|gguf| drop(gguf.metadata.insert(key.to_owned(), value.clone())))
        };
        let missing = told(&|gguf| drop(gguf.tensors.shift_remove("blk.1.ffn_up.weight")));
        assert!(missing.contains("`model.layers.1.mlp.up_proj.weight` is missing"), "{missing}");
        let with = |name: &'static str| {
            told(&|gguf| {
                let tensor = gguf.tensors["output_norm.weight"].clone();
                gguf.tensors.insert(name.to_owned(), tensor);
            })
        };
        for (name, shown) in [
            ("blk.0.ffn_up.bias", "`model.layers.0.mlp.up_proj.bias` is not part"),
            ("blk.1.attn_q.bias", "`model.layers.1.self_attn.q_proj.bias` is not part"),
            ("blk.0.attn_sub_norm.weight", "`blk.0.attn_sub_norm.weight` is not part"),
            // A first layer with one bias is a model of which all others are missing.
            ("blk.0.attn_q.bias", "`model.layers.0.self_attn.k_proj.bias` is missing"),
        ] {
            let foreign = with(name);
            assert!(foreign.contains(shown), "{foreign}");
        }
        let sliding = set("llama.attention.sliding_window", GgufValue::U64(u64::MAX));
        assert!(sliding.contains("sliding_window"), "{sliding}");
        let qwen2 = set("general.architecture", GgufValue::String("qwen2".to_owned()));
        assert!(qwen2.contains("`qwen2.embedding_length`"), "{qwen2}");
        assert!(set("llama.block_count", GgufValue::U32(3)).contains("layers.2"));
        assert!(set("llama.block_count", GgufValue::U64(u64::MAX)).contains("between 1 and"));
        assert!(set("llama.attention.head_count_kv", GgufValue::U32(0)).contains("between 1 and"));
        assert!(set("llama.attention.head_count", GgufValue::F32(4.0)).contains("integer"));
        assert!(set("llama.feed_forward_length", GgufValue::I32(-1)).contains("not negative"));
        assert!(set("llama.rope.dimension_count", GgufValue::U32(8)).contains("head size 16"));
        assert!(set("llama.expert_count", GgufValue::U32(8)).contains("experts"));
        let yarn = GgufValue::String("yarn".to_owned());
        assert!(set("llama.rope.scaling.type", yarn).contains("`yarn`"));
        assert!(set("llama.rope.freq_base", GgufValue::F32(f32::NAN)).contains("rope_theta"));
    }

    #[test]
    fn another_architecture_is_named() {
        let dir = folder("other_architecture");
        let path = dir.join("model.gguf");
        let metadata = [("general.architecture".to_owned(), GgufValue::String("mamba".to_owned()))];
        let bytes = GgufWriter::new(Vec::new(), &metadata, &[]).unwrap().finish().unwrap();
        std::fs::write(&path, bytes).unwrap();
        let told = facts(&path).unwrap_err().to_string();
        assert!(told.contains("`mamba`") && told.contains("known: llama"), "{told}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
