//! Tasks: how data becomes inputs of a model, and outputs become scores.
//!
//! A task names the quality metrics that make sense for it; each is one entry of [`METRICS`] with
//! its parameters. Deliberately absent: timing, and any model-specific code.

use serde_json::{Value, json};

mod continuation;
mod judge;
mod prompts;
mod sampling;
mod tokenizer;

pub use continuation::{Finish, continuation};
pub use judge::{JudgeError, JudgeJob, Judged, MetricRequest, judge};
pub use prompts::{PromptError, PromptSource, Prompts};
pub use sampling::{Sampler, Sampling};
pub use tokenizer::{TokenizerError, Tokens};

/// A task as `engine list` shows it.
pub struct Task {
    pub id: &'static str,
    pub about: &'static str,
}

pub static TASKS: &[Task] =
    &[Task { id: "text_generation", about: "continues token sequences; judged on held-out text" }];

/// A quality metric of a spec: its id and the parameters it takes besides `data`.
pub struct QualityMetric {
    pub id: &'static str,
    pub about: &'static str,
    /// The number of positions can be limited, because each costs two rows of logits.
    pub positions: bool,
}

pub static METRICS: &[QualityMetric] = &[
    QualityMetric {
        id: "perplexity",
        about: "exp of the mean negative log-likelihood per token of held-out text",
        positions: false,
    },
    QualityMetric {
        id: "kl",
        about: "mean divergence of the next-token distribution from the reference variant's",
        positions: true,
    },
    QualityMetric {
        id: "top1_agreement",
        about: "share of positions at which the most likely token is the reference variant's",
        positions: true,
    },
];

impl QualityMetric {
    /// JSON schema of the parameters.
    pub fn params(&self) -> Value {
        let mut schema = json!({
            "type": "object",
            "properties": {
                "data": {
                    "type": "string",
                    "description": "Name of the data set that is judged on.",
                },
            },
            "required": ["data"],
            "additionalProperties": false,
        });
        if self.positions {
            schema["properties"]["positions"] = json!({
                "type": "integer",
                "minimum": 1,
                "description": "Judge at most this many positions, document by document; all when left out.",
            });
        }
        schema
    }
}
