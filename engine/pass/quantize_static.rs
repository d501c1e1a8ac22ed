//! `quantize: {method: static}`: weights and activations in eight bits, scales fixed beforehand.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::calibration::{Rule, ranges, watch};
use super::files::copy_beside;
use super::linear::idle;
use super::qdq::{Formula, rewrite};
use super::qdq_plan::{Plan, is_product, plan};
use super::samples::Samples;
use super::{Pass, PassError, PassJob, PassNotes, file_error, qdq_gemm};
use crate::backend::{self, OpenOptions, onnxruntime};
use crate::data::ElementType;
use crate::model::onnx::session_options::{GraphLevel, METADATA_KEY, SessionOptions};
use crate::model::onnx::upgrade::upgrade;
use crate::model::onnx::{GRAPH_FILE, GraphWriter};
use crate::model::{self, Kind, OnnxModel};

pub struct QuantizeStatic;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "method")]
    _method: String,
    #[serde(default, rename = "format")]
    _format: Option<String>,
    /// Named in the spec; the job brings its folder.
    #[serde(rename = "data")]
    _data: String,
    #[serde(default)]
    calibrate: Calibrate,
    #[serde(default = "percentile")]
    percentile: f64,
    #[serde(default)]
    take: Option<usize>,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    per_channel: bool,
    #[serde(default = "seven_bits")]
    reduce_range: bool,
    #[serde(default)]
    exclude: Vec<String>,
}

fn seven_bits() -> bool {
    !crate::machine::Cpu::read().sums_bytes_in_32_bits()
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Calibrate {
    #[default]
    Minmax,
    Entropy,
    Percentile,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Activation {
    #[default]
    U8,
    S8,
}

fn percentile() -> f64 {
    99.999
}

fn yes() -> bool {
    true
}

impl Params {
    fn rule(&self) -> Rule {
        match self.calibrate {
            Calibrate::Minmax => Rule::MinMax,
            Calibrate::Entropy => Rule::Entropy,
            Calibrate::Percentile => Rule::Percentile(self.percentile),
        }
    }

    fn formula(&self) -> Formula {
        let activation = match self.activation {
            Activation::U8 => ElementType::U8,
            Activation::S8 => ElementType::I8,
        };
        Formula { activation, reduce_range: self.reduce_range }
    }
}

impl Pass for QuantizeStatic {
    fn id(&self) -> &'static str {
        "quantize"
    }

    fn method(&self) -> Option<&'static str> {
        Some("static")
    }

    fn epoch(&self) -> u32 {
        3
    }

    fn about(&self) -> &'static str {
        "weights and activations of a graph in 8 bits, with scales found by running it on data"
    }

    fn params(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "method": {
                    "description": "`static`: 8-bit weights and activations whose scales are found beforehand, on a data set.",
                    "enum": ["static"],
                },
                "format": {
                    "description": "`qdq`: pairs of QuantizeLinear and DequantizeLinear around each operator, which the runtime fuses.",
                    "enum": ["qdq"],
                },
                "data": {
                    "description": "Data set to calibrate with. It shares no item with one that quality is judged on.",
                    "type": "string",
                },
                "calibrate": {
                    "description": "Range of a tensor: `minmax`, all its values; `entropy`, the range around zero whose quantized histogram is nearest to the real one; `percentile`, without the rarest values on either side. `minmax` when left out.",
                    "enum": ["minmax", "entropy", "percentile"],
                },
                "percentile": {
                    "description": "Percent of the values that `calibrate: percentile` keeps; 99.999 when left out.",
                    "type": "number",
                    "minimum": 50,
                    "maximum": 100,
                },
                "take": {
                    "description": "Use the first so many items of the data set only.",
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 1_000_000,
                },
                "activation": {
                    "description": "Type of quantized activations; `u8` when left out, which is what the kernels of x86 processors take.",
                    "enum": ["u8", "s8"],
                },
                "per_channel": {
                    "description": "One scale for each output channel of a weight instead of one for all. True when left out.",
                    "type": "boolean",
                },
                "reduce_range": {
                    "description": "Weights in 7 bits, so that sums of products do not overflow 16 bits on processors without VNNI. When left out: as this processor needs it.",
                    "type": "boolean",
                },
                "exclude": {
                    "description": "Operators (such as `Gemm`) and parts of node names that stay as they are.",
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                },
            },
            "required": ["method", "data"],
            "additionalProperties": false,
        })
    }

    fn takes(&self, kind: Kind) -> Result<Kind, String> {
        super::graph_only("quantize` with method `static", kind)
    }

    fn facts(&self, _params: &Value) -> Value {
        // Ranges come from running the graph, and kernels differ between processors.
        json!({"cpu": super::fuse_level::features()})
    }

    fn runtime(&self, _params: &Value) -> bool {
        true
    }

    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError> {
        let context = model::facts(job.input)?.context_length;
        let signature = OnnxModel::read(job.input)?.facts().signature;
        let folder =
            job.data.ok_or_else(|| PassError::Calibration("it was not loaded".to_owned()))?;
        let params: Params = serde_json::from_value(job.params.clone())?;
        let samples = Samples::open(folder, &signature, params.take, context)?;
        quantize(job, &params, &samples)
    }
}

/// Calibrates on `samples` and writes the quantized graph.
fn quantize(job: &PassJob<'_>, params: &Params, samples: &Samples) -> Result<PassNotes, PassError> {
    let mut model = OnnxModel::read(job.input)?;
    let failed = |what: String| PassError::Graph { path: job.input.display().to_string(), what };
    if let Some(pattern) = idle(model.graph(), &params.exclude).first() {
        return Err(failed(format!("`exclude` names `{pattern}`, which fits no node")));
    }
    let mut notes = Vec::new();
    notes.extend(upgrade(&mut model.proto).map_err(failed)?);
    let mut chosen = plan(&model, params.per_channel, &params.exclude);
    if chosen.nodes.is_empty() {
        return Err(failed(format!(
            "it has no convolution or matrix product that could be quantized{}",
            listed(&chosen)
        )));
    }
    let names: HashSet<String> = chosen.observed().map(str::to_owned).collect();
    let found = {
        let watched = Watched::new(job, &model, &chosen)?;
        let how = OpenOptions {
            runtime: job.runtime.map(std::path::Path::to_path_buf),
            ..OpenOptions::default()
        };
        let backend = backend::backend(onnxruntime::ID)
            .ok_or(PassError::NoRuntime { what: "calibration" })?;
        let mut session = backend.session(&watched.graph, Kind::Onnx, &how)?;
        let share = |done: f64| (job.progress)(0.8 * done);
        ranges(session.as_mut(), samples, &names, params.rule(), &share)?
    };
    let graph = model.proto.graph.as_mut().expect("a model that was read has a graph");
    if qdq_gemm::join(graph, &found.matrices, &params.exclude) > 0 {
        // Of the same tensors: what a joined product reads was read by the product.
        chosen = plan(&model, params.per_channel, &params.exclude);
    }
    let mut plan = chosen;
    plan.without(&found.other, model.graph());
    if plan.nodes.is_empty() {
        return Err(failed(format!("nothing in it could be quantized{}", listed(&plan))));
    }
    let mut writer = GraphWriter::new(job.out);
    let formula = params.formula();
    let share = |done: f64| (job.progress)(0.8 + 0.2 * done);
    let (mut proto, counts) = rewrite(&model, &plan, &found.ranges, formula, &mut writer, &share)?;
    let mut options = SessionOptions::of(&model)?;
    if options.graph_level == Some(GraphLevel::Basic) {
        // What folded norms into convolutions would keep the pairs from becoming integer kernels.
        options.graph_level = None;
        proto.set_metadata(METADATA_KEY, &options.text());
        notes.push("sessions no longer stop at level basic, at which the runtime leaves QuantizeLinear and DequantizeLinear as they are".to_owned());
    }
    writer.finish_from(proto, &model, &|_| {})?;
    copy_beside(job.input, job.out)?;

    let is_product = |at: &&usize| is_product(&model.graph().node[**at]);
    let products = plan.nodes.keys().filter(is_product);
    notes.push(format!(
        "{} nodes compute in 8 bits, {} of them products; {} weights and {} activations quantized",
        plan.nodes.len(),
        products.count(),
        counts.weights,
        counts.activations
    ));
    notes.push(words(params, samples.count));
    if !plan.kept.is_empty() {
        notes.push(format!("products that stay in floating point{}", listed(&plan)));
    }
    Ok(PassNotes { kind: Kind::Onnx, notes })
}

/// The formulas in one line.
fn words(params: &Params, runs: usize) -> String {
    let most = if params.reduce_range { 64 } else { 127 };
    let of = if params.per_channel { "each output channel" } else { "each weight" };
    let range = match params.rule() {
        Rule::MinMax => "all values".to_owned(),
        Rule::Entropy => "least Kullback-Leibler divergence, 8001 bins, 255 levels".to_owned(),
        Rule::Percentile(share) => format!("{share} percent of the values, 8001 bins"),
    };
    let activation = match params.activation {
        Activation::U8 => "u8",
        Activation::S8 => "s8",
    };
    format!(
        "weights s8, scale = max |w| / {most} for {of}; activations {activation}, scale = (max - min) / 255 with a zero point, range from {range} of {runs} runs, zero included; biases s32, scale = input scale × weight scale; all rounded to nearest, ties to even"
    )
}

fn listed(plan: &Plan) -> String {
    const SHOWN: usize = 10;
    if plan.kept.is_empty() {
        return String::new();
    }
    let shown = plan.kept.iter().take(SHOWN).map(|(node, why)| format!("`{node}` ({why})"));
    let more = match plan.kept.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(": {}{more}", shown.collect::<Vec<_>>().join(", "))
}

/// The graph with its inner tensors as outputs, on disk as long as this lives.
struct Watched {
    folder: std::path::PathBuf,
    graph: std::path::PathBuf,
}

impl Watched {
    fn new(job: &PassJob<'_>, model: &OnnxModel, plan: &Plan) -> Result<Self, PassError> {
        let folder = job.out.join("calibration");
        std::fs::create_dir(&folder).map_err(file_error("create", &folder))?;
        let watched = Self { graph: folder.join(GRAPH_FILE), folder };
        let mut proto = model.proto.clone();
        watch(&mut proto, plan.observed());
        GraphWriter::new(&watched.folder).finish_from(proto, model, &|_| {})?;
        Ok(watched)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // What is left over would only make the artifact larger than it should be.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
