//! `judge`: quality of one variant against the reference, on one data set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::{Artifact, Job};
use crate::backend::{self, Backend};
use crate::store::{Input, Recipe};
use crate::task::{JudgeJob, MetricRequest};

#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    pub variant: String,
    pub reference: String,
    pub backend: String,
    pub reference_backend: String,
    /// Name of the data set.
    pub data: String,
    /// As the spec says; the model's context decides what is left open.
    pub window: Option<u32>,
    pub stride: Option<u32>,
    pub metrics: Vec<MetricRequest>,
}

/// Longest window when neither spec nor model say less: logits of a window are kept whole.
const LONGEST_WINDOW: usize = 2048;

impl Judge {
    pub fn label(&self) -> String {
        format!("judge {} on {}", self.variant, self.data)
    }

    /// Windows for a model with `context` positions.
    pub fn windows(&self, context: Option<u64>) -> JudgeJob {
        let context = context.map_or(LONGEST_WINDOW, |c| c as usize).max(2);
        let window = self.window.map_or(LONGEST_WINDOW, |w| w as usize).min(context);
        let stride = self.stride.map_or(window / 2, |s| s as usize).clamp(1, window);
        JudgeJob { window, stride, metrics: self.metrics.clone() }
    }

    pub fn recipe(&self, job: &JudgeJob, inputs: Vec<Input>) -> Recipe {
        let version = |id: &str| backend::backend(id).map_or(String::new(), Backend::version);
        Recipe {
            facts: json!({"stage": "judge", "job": job}),
            inputs,
            epoch: 1,
            versions: BTreeMap::from([
                ("backend".to_owned(), version(&self.backend)),
                ("reference backend".to_owned(), version(&self.reference_backend)),
                // Kernels of other vector extensions sum in another order.
                ("compiled for".to_owned(), env!("ENGINE_TARGET_FEATURES").to_owned()),
            ]),
        }
    }

    pub fn job(
        &self,
        job: JudgeJob,
        variant: &Artifact,
        reference: &Artifact,
        tokens: PathBuf,
        runtime: Option<PathBuf>,
    ) -> Job {
        Job::Judge {
            variant: variant.clone(),
            backend: self.backend.clone(),
            reference: (reference.digest != variant.digest
                || self.backend != self.reference_backend)
                .then(|| (reference.clone(), self.reference_backend.clone())),
            tokens,
            runtime,
            judge: job,
        }
    }
}
