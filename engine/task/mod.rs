//! Tasks: how data becomes inputs of a model, and outputs become scores.
//!
//! A task names the quality metrics that make sense for it; each is one entry of [`METRICS`] with
//! its parameters. Deliberately absent: timing, and any model-specific code.

use serde_json::{Value, json};

mod classify;
mod continuation;
mod dimensions;
mod draw;
mod fill;
mod image_class;
mod inputs;
mod judge;
mod judge_matching;
mod judge_pairs;
mod judge_tensors;
mod origin;
mod pictures;
mod preprocess;
mod preprocess_config;
#[cfg(test)]
mod preprocess_golden;
mod prompts;
mod recorded;
mod requests;
mod resample;
mod retrieval;
mod rows;
mod sampling;
mod sounds;
mod texts;
mod tokenizer;
mod tokenizer_gguf;

pub use classify::{best_classes, judge_classes};
pub use continuation::{Finish, continuation};
pub use dimensions::{Free, FreeDimensions, usual_size};
pub use draw::{Drawn, Requests};
pub use fill::Fill;
pub use inputs::{
    Beside, InputError, InputPort, JUDGED_ITEMS, Named, OutputPort, Size, TensorInputs,
};
pub use judge::{Against, JudgeError, JudgeJob, Judged, MetricRequest, judge};
pub use judge_matching::{Matter, Side, judge_matching};
pub use judge_pairs::judge_pairs;
pub use judge_tensors::{in_types_of, judge_rows, judge_tensors};
pub use origin::{Origin, PictureFile, RecordedFile, TextFile, tokenizer_version};
pub use pictures::{Looked, Pictures, PicturesError};
pub use preprocess::{ImageProcessor, PreprocessError, Target};
pub use prompts::{PromptError, PromptSource, Prompts};
pub use recorded::{Extract, Item, Recorded, RecordedError};
pub use requests::requests;
pub use resample::Filter;
pub use retrieval::{Direction, Embedded, Pairs, depth, judge_retrieval, nearness};
pub use rows::Rows;
pub use sampling::{Sampler, Sampling};
pub use tokenizer::{TokenizerError, Tokens};

/// A task as `engine list` shows it.
pub struct Task {
    pub id: &'static str,
    pub about: &'static str,
}

pub static TASKS: &[Task] = &[
    Task { id: "text_generation", about: "continues token sequences; judged on held-out text" },
    Task { id: "tensor", about: "runs any ONNX graph; judged by the distance of its outputs" },
    Task {
        id: "embedding",
        about: "turns texts into vectors; judged by their angle and by retrieval",
    },
    Task {
        id: "image_classification",
        about: "puts pictures into classes; judged by how often it is right",
    },
    Task {
        id: "zero_shot_image_classification",
        about: "compares pictures with texts; judged by classes in words and by retrieval",
    },
];

/// A quality metric of a spec: its id, the tasks it judges and the parameters it takes.
pub struct QualityMetric {
    pub id: &'static str,
    pub about: &'static str,
    pub tasks: &'static [&'static str],
    /// The number of positions can be limited, because each costs two rows of logits.
    pub positions: bool,
}

const TEXT: &str = "text_generation";
const TENSOR: &str = "tensor";
const EMBEDDING: &str = "embedding";
const CLASSES: &str = "image_classification";
const ZERO_SHOT: &str = "zero_shot_image_classification";
/// Tasks whose outputs are compared with those of the reference variant number by number.
const OUTPUTS: &[&str] = &[TENSOR, EMBEDDING, CLASSES, ZERO_SHOT];
/// Tasks whose items have a right class.
const LABELLED: &[&str] = &[CLASSES, ZERO_SHOT];
/// Tasks whose items belong in pairs.
const PAIRED: &[&str] = &[EMBEDDING, ZERO_SHOT];

pub static METRICS: &[QualityMetric] = &[
    QualityMetric {
        id: "perplexity",
        about: "exp of the mean negative log-likelihood per token of held-out text",
        tasks: &[TEXT],
        positions: false,
    },
    QualityMetric {
        id: "kl",
        about: "mean divergence of the next-token distribution from the reference variant's",
        tasks: &[TEXT],
        positions: true,
    },
    QualityMetric {
        id: "top1_agreement",
        about: "share of positions at which the most likely token is the reference variant's; of a graph, share of rows of its first output",
        tasks: &[TEXT, TENSOR, CLASSES],
        positions: true,
    },
    QualityMetric {
        id: "cosine",
        about: "cosine of the angle between a graph's outputs and the reference variant's, mean over items; reported with the first percentile over items, `cosine_p01`, where there are enough (368 at 95 %) or a gate asks for it",
        tasks: OUTPUTS,
        positions: false,
    },
    QualityMetric {
        id: "snr",
        about: "power of the reference variant's outputs over that of the differences from them, in dB, at most 150, mean over items",
        tasks: &[TENSOR, CLASSES],
        positions: false,
    },
    QualityMetric {
        id: "max_abs_error",
        about: "largest difference of a graph's outputs from the reference variant's, mean over items",
        tasks: OUTPUTS,
        positions: false,
    },
    QualityMetric {
        id: "mean_abs_error",
        about: "mean difference of a graph's outputs from the reference variant's, mean over items",
        tasks: OUTPUTS,
        positions: false,
    },
    QualityMetric {
        id: "top1",
        about: "share of items whose best class is a right one; its `loss` is in percentage points of the reference variant's",
        tasks: LABELLED,
        positions: false,
    },
    QualityMetric {
        id: "top5",
        about: "share of items with a right class among the best five, of six classes or more; its `loss` is in percentage points of the reference variant's",
        tasks: LABELLED,
        positions: false,
    },
    QualityMetric {
        id: "accuracy",
        about: "another name of `top1`, and reported as that",
        tasks: LABELLED,
        positions: false,
    },
    QualityMetric {
        id: "recall",
        about: "share of items whose right partner is among the nearest k, in both directions, as `recall@k`; its `loss` is in percentage points of the reference variant's",
        tasks: PAIRED,
        positions: false,
    },
];

/// Whether a metric compares what the parts of a model give, rather than each by itself.
pub fn needs_all_parts(metric: &str) -> bool {
    matches!(metric, "top1" | "top5" | "accuracy") || metric.starts_with("recall")
}

impl QualityMetric {
    /// JSON schema of the parameters.
    pub fn params(&self) -> Value {
        let tensor = self.tasks.contains(&TENSOR);
        let data = match tensor {
            true => {
                "Name of the data set that is judged on; of a graph 16 seeded synthetic items when left out."
            }
            false => "Name of the data set that is judged on.",
        };
        let mut schema = json!({
            "type": "object",
            "properties": {"data": {"type": "string", "description": data}},
            "required": if tensor { json!([]) } else { json!(["data"]) },
            "additionalProperties": false,
        });
        if self.id == "recall" {
            schema["properties"]["at"] = json!({
                "type": "array",
                "items": {"type": "integer", "enum": [1, 5, 10]},
                "minItems": 1,
                "description": "How many of the nearest are looked at: each number is a metric of its own, such as `recall@5`. 1 and 5 when left out.",
            });
        }
        if self.positions {
            schema["properties"]["positions"] = json!({
                "type": "integer",
                "minimum": 1,
                "description": "Judge at most this many positions, document by document; all when left out.",
            });
        }
        if tensor {
            schema["properties"]["against"] = json!({
                "type": "string",
                "enum": ["reference", "expected"],
                "description": "What a graph's outputs are compared with: those of the reference variant (the default), or those recorded in the data set.",
            });
        }
        schema
    }
}
