//! What every variant starts from: the model, its libraries and its data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The model every variant starts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// `file://` a checkpoint folder, a .gguf file or an .onnx graph, `hf://org/name`, or `random://llama-3.2-1b?seed=7`. Relative paths start at the working directory, then at the spec's folder and the folders above it.
    #[schemars(regex(pattern = r"^(file|hf|random)://.+$"), extend("title" = "a source such as `file://path`, `hf://org/name` or `random://name?seed=7`"))]
    pub source: String,
    /// Branch, tag or commit of an `hf://` source.
    #[serde(default)]
    pub revision: Option<String>,
    /// Inferred from the model when left out.
    #[serde(default)]
    pub task: Option<Task>,
}

/// Libraries that are loaded at run time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    #[serde(default)]
    pub onnxruntime: OnnxRuntime,
}

/// The library behind backend `onnxruntime`. Its digest is part of every key and record.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnnxRuntime {
    /// `file://` a libonnxruntime.so of API level 31 or later. When left out, the pinned release is fetched once through Python's package client and kept in the store.
    #[serde(default)]
    #[schemars(regex(pattern = r"^file://.+$"), extend("title" = "a source such as `file://lib/libonnxruntime.so`"))]
    pub library: Option<String>,
}

/// What the model is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Continues token sequences.
    TextGeneration,
    /// Runs a graph on tensors.
    Tensor,
    /// Turns texts into vectors.
    Embedding,
    /// Puts pictures into classes.
    ImageClassification,
    /// Finds the text that fits a picture, and the picture that fits a text.
    ZeroShotImageClassification,
}

/// A data set: JSON lines or plain text; pictures; for a graph, recorded inputs or sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// `file://` a .jsonl or .txt file. For pictures, a folder with one folder per class, a .jsonl or .csv file that names them, or an idx file (`…-idx3-ubyte`, packed or not). For a graph, inputs by name in an .npz file, an .npy, .pb or idx file for one input, or a folder with `input_0.pb` and `output_0.pb` in the order of the graph, or of such folders; or a .wav or .flac file or a folder of them.
    #[schemars(regex(pattern = r"^file://.+$"), extend("title" = "a source such as `file://data/heldout.jsonl`"))]
    pub source: String,
    /// The field of each JSON line that holds the text.
    #[serde(default = "default_field")]
    pub field: String,
    /// The field or column that names the picture, beginning at the folder of the file; `image` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The field or column that names the class. In a folder of pictures it is the folder they lie in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `file://` the idx file of labels that belongs to an idx file of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^file://.+$"), extend("title" = "a source such as `file://t10k-labels-idx1-ubyte.gz`"))]
    pub labels: Option<String>,
    /// Use only the items of this split: lines or rows whose field or column `split` says so, or the folder of this name at the top of a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// The field of each JSON line that holds the text, or the list of texts, which belongs to the one in `field`: what `recall` looks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// Cut sound into windows of this many samples, one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub samples: Option<u32>,
    /// What a class is called in words, with `{label}` for its name: for models that compare pictures with texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"\{label\}"), extend("title" = "a text with `{label}` in it"))]
    pub prompt: Option<String>,
    /// Use this many items only, the first ones or a seeded choice.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub take: Option<u64>,
    /// Choose the items of `take` at random with this seed instead of taking the first.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Cut every item to this many tokens.
    #[serde(default)]
    #[schemars(range(min = 2))]
    pub tokens: Option<u32>,
    /// Tokens a quality metric sees at once; when left out 2048, or the model's context length where that is shorter.
    #[serde(default)]
    #[schemars(range(min = 2))]
    pub window: Option<u32>,
    /// How far the window moves; half the window when left out. Each token is scored once, with at least `window - stride` tokens of context after the first window.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub stride: Option<u32>,
}

fn default_field() -> String {
    "text".into()
}
