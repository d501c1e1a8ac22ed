//! The spec language as Rust types: one source for parsing, JSON schema and editor completion.
//!
//! Doc comments here are what a user reads in the editor. Stages and quality metrics are one-key
//! maps whose parameters belong to other rooms: the catalogue fills `$defs/Stage` and
//! `$defs/QualityMetric` of the schema in, closed and described.

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::batch::Batch;
use super::device::{Device, TensorRt};
use crate::base::{Bytes, Nanos, Percent};

/// One question about one model: what to load, how to optimize it, what to measure, and how to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "engine spec, version 1")]
pub struct Spec {
    /// Version of the spec language.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Names the results folder: lowercase letters, digits, `_` and `-`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,63}$"), extend("title" = "a name of up to 64 lowercase letters, digits, `_` and `-` that starts with a letter"))]
    pub name: String,
    /// The question this spec answers. It heads the report.
    #[schemars(length(min = 1, max = 1000))]
    pub why: String,
    pub model: Model,
    #[serde(default)]
    pub runtime: Runtime,
    /// Data sets by name. Stages, metrics and the benchmark refer to them by that name.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 1000, "propertyNames" = {"title": "a name of up to 64 letters, digits, `_` and `-` that starts with a letter", "pattern": r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"}))]
    pub data: IndexMap<String, Data>,
    /// What is compared, by name and in the order reports show it. The baseline is a variant like any other.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1000, "propertyNames" = {"title": "a name of up to 64 letters, digits, `_` and `-` that starts with a letter", "pattern": r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"}))]
    pub variants: IndexMap<String, Variant>,
    /// Judges every variant on held-out data, on the same artifact that is timed.
    #[serde(default)]
    pub quality: Option<Quality>,
    /// The benchmark matrix. Without it nothing is timed.
    #[serde(default)]
    pub bench: Option<Bench>,
    #[serde(default)]
    pub compare: Compare,
    /// Conditions on the bounds of intervals. A failed gate ends `engine run` with exit code 4, an undecided one with 5.
    #[serde(default)]
    pub gates: Vec<Gate>,
    #[serde(default)]
    pub report: Report,
    /// Named sets of changes: `engine run SPEC --profile NAME`.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 32, "propertyNames" = {"title": "a name of up to 64 letters, digits, `_` and `-` that starts with a letter", "pattern": r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"}))]
    pub profiles: IndexMap<String, Profile>,
}

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

/// A data set: JSON lines or plain text; pictures; for a graph, recorded inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// `file://` a .jsonl or .txt file. For pictures, a folder with one folder per class, or a .jsonl or .csv file that names them. For a graph, inputs by name in an .npz file, an .npy or .pb file for one input, or a folder with `input_0.pb` and `output_0.pb` in the order of the graph, or of such folders.
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

/// One way to run the model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Start from another variant's artifact. Shared stages are built once.
    #[serde(default)]
    pub from: Option<String>,
    /// What runs the artifact. When left out, what opens the artifact that the stages leave: `onnxruntime` for a graph, else `candle`.
    #[serde(default)]
    pub backend: Option<Backend>,
    /// What computes: `cpu`, or `cuda:0` for an NVIDIA GPU, which backend `onnxruntime` can use. Where it cannot be used, the variant is skipped with the reason.
    #[serde(default)]
    pub device: Device,
    /// Run through the TensorRT provider; needs a GPU as `device`.
    #[serde(default)]
    pub tensorrt: Option<TensorRt>,
    /// Optimizations in order. Each is a map with one key.
    #[serde(default)]
    pub stages: Vec<Stage>,
    /// Post-conditions on the artifact, checked before any time is spent on measuring.
    #[serde(default)]
    pub expect: Option<Expect>,
}

/// What runs an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    Candle,
    Onnxruntime,
}

/// Post-conditions on an artifact. Each one that does not hold fails the variant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Size on disk, relative to another variant.
    #[serde(default)]
    pub size_vs: Option<SizeVs>,
    /// Share of weight elements stored in fewer than 16 bits.
    #[serde(default)]
    pub quantized_weights: Option<ShareBounds>,
    /// Number of tensors by storage type, such as `{q8_0: {min: 40}}`.
    #[serde(default)]
    pub tensors: IndexMap<String, CountBounds>,
    /// Number of nodes of a graph by operator, such as `{GroupQueryAttention: {equals: layers}}`. Operators beyond the standard set may be named with their set or without: `com.microsoft.GroupQueryAttention`.
    #[serde(default)]
    pub ops: IndexMap<String, NodeBounds>,
    /// Number of Cast nodes of a graph: each turns numbers from one type into another while the graph runs.
    #[serde(default)]
    pub casts: Option<CountBounds>,
    /// Version of a graph's standard operator set.
    #[serde(default)]
    pub opset: Option<CountBounds>,
    /// Whether nodes may run on another provider than the one that was asked for. On a GPU the answer is `none` unless it is given.
    #[serde(default)]
    pub provider_fallback: Option<ProviderFallback>,
}

/// Whether nodes may run on another provider than the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderFallback {
    /// None may: a single such node fails the variant.
    None,
    Allow,
}

/// Bounds on a number of nodes: numbers, or `layers` for the model's number of layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct NodeBounds {
    /// Smallest number that passes.
    #[serde(default)]
    pub min: Option<NodeCount>,
    /// Largest number that passes.
    #[serde(default)]
    pub max: Option<NodeCount>,
    /// The only number that passes.
    #[serde(default)]
    pub equals: Option<NodeCount>,
}

/// A number of nodes, or the model's number of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeCount {
    Layers,
    Count(u64),
}

impl Serialize for NodeCount {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Layers => s.serialize_str("layers"),
            Self::Count(n) => s.serialize_u64(*n),
        }
    }
}

impl<'de> Deserialize<'de> for NodeCount {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(d)?;
        match (value.as_str(), value.as_u64()) {
            (Some("layers"), _) => Ok(Self::Layers),
            (_, Some(n)) => Ok(Self::Count(n)),
            _ => Err(serde::de::Error::custom("expected `layers` or a number")),
        }
    }
}

impl JsonSchema for NodeCount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NodeCount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "`layers` or a number from 0",
            "description": "A number of nodes, or `layers` for the model's number of layers.",
            "type": ["string", "integer"],
            "pattern": "^(layers)$",
            "minimum": 0,
            "maximum": 1_000_000_000,
        })
    }
}

/// Size on disk, relative to another variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SizeVs {
    /// The variant compared with.
    pub variant: String,
    /// Largest allowed share of that variant's size.
    pub max: Percent,
}

/// Bounds on a share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct ShareBounds {
    /// Smallest share that passes.
    #[serde(default)]
    pub min: Option<Percent>,
    /// Largest share that passes.
    #[serde(default)]
    pub max: Option<Percent>,
}

/// Bounds on a count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct CountBounds {
    /// Smallest count that passes.
    #[serde(default)]
    pub min: Option<u64>,
    /// Largest count that passes.
    #[serde(default)]
    pub max: Option<u64>,
    /// The only count that passes.
    #[serde(default)]
    pub equals: Option<u64>,
}

/// A map with exactly one key: what is done, and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct OneKey {
    pub id: String,
    /// An object; the schema has closed it before anyone reads it.
    pub params: Value,
}

impl Serialize for OneKey {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = Map::new();
        map.insert(self.id.clone(), self.params.clone());
        map.serialize(s)
    }
}

impl<'de> Deserialize<'de> for OneKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(d)?;
        let mut entries = map.into_iter();
        match (entries.next(), entries.next()) {
            (Some((id, params)), None) => Ok(Self { id, params }),
            _ => Err(serde::de::Error::custom("expected a map with exactly one key")),
        }
    }
}

macro_rules! one_key_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub OneKey);

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            /// An open placeholder; the catalogue replaces it by the closed composition.
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "object", "minProperties": 1, "maxProperties": 1})
            }
        }
    };
}

one_key_type!(
    /// One optimization: `{pass: {parameters}}`.
    Stage
);
one_key_type!(
    /// One quality metric: `{metric: {parameters}}`.
    QualityMetric
);

/// How good the answers of each variant still are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// The variant whose answers count as right; the baseline of `compare` when left out.
    #[serde(default)]
    pub reference: Option<String>,
    /// What is judged, each on a data set.
    #[schemars(length(min = 1))]
    pub metrics: Vec<QualityMetric>,
}

/// What is timed, under which settings, and when it is enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bench {
    /// Data set the prompts or inputs come from: real text, fresh for every request, cut to the cell's length; or recorded inputs, drawn at random. Seeded synthetic ones when left out.
    #[serde(default)]
    pub data: Option<String>,
    #[serde(default)]
    pub matrix: Matrix,
    /// What is reported. Everything the task has when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<MetricName>", length(min = 1))]
    pub measure: Option<Vec<MetricName>>,
    #[serde(default)]
    pub design: Design,
    #[serde(default)]
    pub limits: Limits,
    /// Shows where the time goes: time by operator and by layer, against what the machine can do, from launches of their own after everything is timed. Left out: no profile.
    #[serde(default)]
    pub profile: Option<OpProfile>,
}

/// What is profiled after timing, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpProfile {
    /// Time, work and bytes of operators, grouped by type and by layer.
    pub ops: bool,
    /// Peak rates of the machine (int8, bf16, f32, memory), measured once and kept, to compare the operators with.
    pub roofline: bool,
    /// The cells that are profiled. All variants under the first setting of the matrix when left out.
    #[schemars(length(max = 100))]
    pub cells: Vec<OpProfileCell>,
}

impl Default for OpProfile {
    fn default() -> Self {
        Self { ops: true, roofline: true, cells: Vec::new() }
    }
}

/// Cells to profile, chosen by variant and values of the matrix.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpProfileCell {
    /// Only this variant. All when left out.
    pub variant: Option<String>,
    /// Only settings of this part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Only settings with this batch.
    pub batch: Option<u32>,
    /// Only settings with this prompt length.
    pub prompt_tokens: Option<u32>,
    /// Only settings that generate this many tokens.
    pub new_tokens: Option<u32>,
    /// Only settings with these sizes of free dimensions.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub dims: IndexMap<String, u32>,
}

/// A performance metric. Definitions stand in every report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricName {
    Load,
    FirstCall,
    Ttft,
    Itl,
    PrefillTps,
    DecodeTps,
    E2e,
    Latency,
    Throughput,
    Decode,
    Preprocess,
    PeakMemory,
    ModelSize,
}

/// Every combination of these values is one setting that all variants are measured under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Matrix {
    /// Parts of a model of several, such as `image` and `text` of CLIP, each measured by itself; all of them when left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1, max = 64)))]
    pub part: Vec<String>,
    /// Sequences or other items side by side: a list of sizes, or `{search: {p99_latency: 50ms}}` for the largest one that keeps a bound on its latency.
    pub batch: Batch,
    /// Length of the prompt in tokens; `[128]` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<u32>", length(min = 1), inner(range(min = 1, max = 1_048_576)))]
    pub prompt_tokens: Option<Vec<u32>>,
    /// Tokens generated per request, end-of-text is ignored so that the work is equal; `[32]` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<u32>", length(min = 1), inner(range(min = 1, max = 1_048_576)))]
    pub new_tokens: Option<Vec<u32>>,
    /// Sizes of a graph's free dimensions by name, such as `{height: [224, 320]}`. Recorded inputs have their own.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 1_048_576}}))]
    pub dims: IndexMap<String, Vec<u32>>,
    /// Threads the backend may use.
    #[schemars(length(min = 1))]
    pub threads: Vec<Threads>,
}

impl Default for Matrix {
    fn default() -> Self {
        Self {
            part: Vec::new(),
            batch: Batch::default(),
            prompt_tokens: None,
            new_tokens: None,
            dims: IndexMap::new(),
            threads: vec![Threads::Physical],
        }
    }
}

/// A number of threads, or a property of the machine that gives one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One per physical core that the process may use.
    Physical,
    /// One per logical core that the process may use.
    Logical,
    Count(u32),
}

impl Serialize for Threads {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Physical => s.serialize_str("physical"),
            Self::Logical => s.serialize_str("logical"),
            Self::Count(n) => s.serialize_u32(*n),
        }
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(d)?;
        match (value.as_str(), value.as_u64()) {
            (Some("physical"), _) => Ok(Self::Physical),
            (Some("logical"), _) => Ok(Self::Logical),
            (_, Some(n @ 1..=4096)) => Ok(Self::Count(n as u32)),
            _ => Err(serde::de::Error::custom("expected `physical`, `logical` or a number from 1")),
        }
    }
}

impl JsonSchema for Threads {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Threads".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "`physical`, `logical` or a number from 1",
            "description": "A number of threads, or `physical` or `logical` for one per core that the process may use.",
            "type": ["string", "integer"],
            "pattern": "^(physical|logical)$",
            "minimum": 1,
            "maximum": 4096,
        })
    }
}

/// Order, repetition and the end of measuring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Design {
    /// Every block launches each variant once, in a fresh process and in balanced random order.
    pub order: Order,
    /// How many blocks at least and at most.
    pub blocks: Blocks,
    pub stop: Stop,
    /// Longest time for one setting of the matrix. The block under way is finished.
    pub max_time: Nanos,
    /// Requests of one launch after the first call.
    pub requests: Requests,
    /// Seeds the order of variants, the choice of prompts and synthetic tokens.
    pub seed: u64,
}

impl Default for Design {
    fn default() -> Self {
        Self {
            order: Order::Interleaved,
            blocks: Blocks::default(),
            stop: Stop::default(),
            max_time: Nanos::seconds(600),
            requests: Requests::default(),
            seed: 42,
        }
    }
}

/// How launches of the variants are ordered within a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    Interleaved,
}

/// How many blocks at least and at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Blocks {
    /// Blocks before the first look at the intervals; fewer only when `max_time` runs out.
    #[schemars(range(min = 2, max = 10_000))]
    pub min: u32,
    /// Measuring ends here even when the intervals are still wide.
    #[schemars(range(min = 2, max = 10_000))]
    pub max: u32,
}

impl Default for Blocks {
    fn default() -> Self {
        Self { min: 10, max: 60 }
    }
}

/// When the numbers are good enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stop {
    /// Relative half-width of the interval of every speed-up.
    pub half_width: Percent,
    /// The metric whose speed-up decides. When left out `decode_tps` of text, `latency` of a graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MetricName")]
    pub metric: Option<MetricName>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { half_width: Percent(0.02), metric: None }
    }
}

/// Requests of one launch after the first call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Requests {
    /// Requests before those that count.
    #[schemars(range(max = 1000))]
    pub warmup: u32,
    /// Requests that count, at least.
    #[schemars(range(min = 1, max = 10_000))]
    pub min: u32,
    /// Requests that count, at most.
    #[schemars(range(min = 1, max = 10_000))]
    pub max: u32,
    /// Keep on requesting, up to `max`, until the counted requests have taken this long.
    pub min_time: Nanos,
}

impl Default for Requests {
    fn default() -> Self {
        Self { warmup: 1, min: 3, max: 20, min_time: Nanos(500_000_000) }
    }
}

/// What one launch may use before it is ended and shown as a failed row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Wall time of one launch.
    pub time: Nanos,
    /// Memory of one launch; nine tenths of what the machine has when left out.
    pub memory: Option<Bytes>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Nanos::seconds(600), memory: None }
    }
}

/// What is compared with what, and what a difference must be to count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Compare {
    /// The first variant when left out.
    pub baseline: Option<String>,
    /// Confidence of every interval.
    pub confidence: Percent,
    /// How intervals widen when several comparisons are made at once.
    pub correction: Correction,
    /// A speed-up counts as `improved` when its lower bound reaches this.
    #[schemars(range(min = 1.0, max = 1000.0))]
    pub improved_from: f64,
    /// Speed-ups within this margin of 1 count as `equivalent`.
    pub equivalence: Percent,
}

impl Default for Compare {
    fn default() -> Self {
        Self {
            baseline: None,
            confidence: Percent(0.95),
            correction: Correction::Holm,
            improved_from: 1.2,
            equivalence: Percent(0.03),
        }
    }
}

/// How intervals widen when several comparisons are made at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    Holm,
    None,
}

/// A condition on the bound of an interval, never on its point. Exactly one of `ratio`, `loss` and `value`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Shown in the report.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    pub on: GateTarget,
    /// The metric that is judged.
    pub metric: GateMetric,
    /// Bounds on variant divided by baseline.
    #[serde(default)]
    pub ratio: Option<NumberBounds>,
    /// Largest movement in the metric's own bad direction, relative to the baseline (or the reference, for quality). Of `top1`, `top5` and recalls, percentage points lost against the reference.
    #[serde(default)]
    pub loss: Option<LossBound>,
    /// Bounds on the variant's own value, in the metric's unit: seconds, tokens or items per second, bytes.
    #[serde(default)]
    pub value: Option<NumberBounds>,
}

/// Which cells a gate looks at. With several, all must pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateTarget {
    /// The variant that is judged.
    pub variant: String,
    /// Only cells of this part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Only cells with this batch.
    #[serde(default)]
    pub batch: Option<u32>,
    /// Only cells with this prompt length.
    #[serde(default)]
    pub prompt_tokens: Option<u32>,
    /// Only cells that generate this many tokens.
    #[serde(default)]
    pub new_tokens: Option<u32>,
    /// Only cells with these sizes of free dimensions.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub dims: IndexMap<String, u32>,
}

/// A metric of `bench.measure` or `quality.metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateMetric {
    Load,
    FirstCall,
    Ttft,
    Itl,
    PrefillTps,
    DecodeTps,
    E2e,
    Latency,
    Throughput,
    Decode,
    Preprocess,
    PeakMemory,
    ModelSize,
    Perplexity,
    Kl,
    #[serde(rename = "top1_agreement")]
    Top1Agreement,
    Cosine,
    CosineP01,
    Snr,
    MaxAbsError,
    MeanAbsError,
    Top1,
    Top5,
    Accuracy,
    #[serde(rename = "recall@1")]
    RecallAt1,
    #[serde(rename = "recall@5")]
    RecallAt5,
    #[serde(rename = "recall@10")]
    RecallAt10,
}

/// Bounds on a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct NumberBounds {
    /// The lower bound of the interval must reach this.
    #[serde(default)]
    pub min: Option<f64>,
    /// The upper bound of the interval must not exceed this.
    #[serde(default)]
    pub max: Option<f64>,
}

/// The largest loss that passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LossBound {
    /// Largest loss of the interval's bad bound. For shares of right answers, which are `top1`, `top5` and recalls, in percentage points: `2%` allows 88 % after 90 %.
    pub max: Percent,
}

/// What is written beside the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Report {
    /// Written beside `record.json`, which is always written.
    #[schemars(length(min = 1))]
    pub formats: Vec<Format>,
    /// Heads the report; the spec's name when left out.
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            formats: vec![Format::Markdown, Format::Html, Format::Json, Format::Csv],
            title: None,
        }
    }
}

/// A form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Markdown,
    Html,
    Json,
    Csv,
}

/// Changes to this spec under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// New values by dotted path, such as `bench.design.blocks.max: 10`.
    #[serde(default)]
    pub set: IndexMap<String, Value>,
    /// `off` leaves the gates out.
    #[serde(default)]
    pub gates: GateSwitch,
}

/// Whether the gates are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateSwitch {
    #[default]
    On,
    Off,
}
