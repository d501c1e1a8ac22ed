//! `judge`: quality of one variant against the reference, on one data set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::{Artifact, Job, MatchingJudge, TensorJudge};
use crate::backend::{self, Backend, Runner};
use crate::store::{Input, Recipe};
use crate::task::{InputPort, JudgeJob, MetricRequest, Origin, TensorInputs, tokenizer_version};

#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    pub variant: String,
    pub reference: String,
    pub backend: Runner,
    pub reference_backend: Runner,
    /// The part that is judged, of a model of several.
    pub part: Option<String>,
    /// Name of the data set, or of what stands in for one.
    pub data: String,
    pub on: JudgeOn,
    pub metrics: Vec<MetricRequest>,
}

/// What is judged on.
#[derive(Debug, Clone, PartialEq)]
pub enum JudgeOn {
    /// Windows over texts, as the spec says; the model's context decides what is left open.
    Windows { window: Option<u32>, stride: Option<u32> },
    /// Runs of a graph, on this many items where the inputs are synthetic. `classes` are the names
    /// of its classes, where it has some.
    Items { inputs: TensorInputs, synthetic: u64, seed: u64, classes: Vec<String> },
    /// Pictures against texts: captions, or classes in the words of `prompt`.
    /// `texts` and `longest` are inputs of the text part and most tokens of a text.
    Matching { images: TensorInputs, texts: Vec<InputPort>, longest: usize, prompt: Option<String> },
}

impl JudgeOn {
    /// Where the inputs come from; `None` for windows, whose tokens are a step of their own.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Windows { .. } => None,
            Self::Items { inputs, .. } | Self::Matching { images: inputs, .. } => {
                Some(&inputs.origin)
            }
        }
    }

    /// Versions of the packages that make the inputs.
    fn versions(&self) -> BTreeMap<String, String> {
        let mut versions = self.origin().map(Origin::versions).unwrap_or_default();
        if matches!(self, Self::Matching { .. }) {
            versions.extend(tokenizer_version());
        }
        versions
    }
}

/// Longest window when neither spec nor model say less: logits of a window are kept whole.
const LONGEST_WINDOW: usize = 2048;

impl Judge {
    pub fn label(&self) -> String {
        let part = self.part.as_ref().map(|part| format!(", {part}")).unwrap_or_default();
        format!("judge {} on {}{part}", self.variant, self.data)
    }

    /// Windows for a model with `context` positions; `None` where none are needed.
    pub fn windows(&self, context: Option<u64>) -> Option<JudgeJob> {
        let JudgeOn::Windows { window, stride } = self.on else { return None };
        let context = context.map_or(LONGEST_WINDOW, |c| c as usize).max(2);
        let window = window.map_or(LONGEST_WINDOW, |w| w as usize).min(context);
        let stride = stride.map_or(window / 2, |s| s as usize).clamp(1, window);
        Some(JudgeJob { window, stride, metrics: self.metrics.clone() })
    }

    /// `context` is that of the variant's model.
    pub fn recipe(&self, context: Option<u64>, inputs: Vec<Input>) -> Recipe {
        let version = |runner| backend::of(runner).map_or(String::new(), Backend::version);
        let mut facts = match &self.on {
            JudgeOn::Windows { .. } => {
                json!({"stage": "judge", "job": self.windows(context)})
            }
            // Of recorded inputs only what they hold counts, not where they lie.
            JudgeOn::Items { inputs, synthetic, seed, classes } => json!({
                "stage": "judge tensors",
                "metrics": self.metrics,
                "inputs": inputs.inputs,
                "recorded": inputs.origin.facts(),
                "synthetic": inputs.origin.is_synthetic().then(|| json!([synthetic, seed])),
                "classes": classes,
            }),
            JudgeOn::Matching { images, texts, longest, prompt } => json!({
                "stage": "judge matching",
                "metrics": self.metrics,
                "images": [json!(images.inputs), images.origin.facts()],
                "texts": [json!(texts), json!(longest)],
                "prompt": prompt,
            }),
        };
        if let Some(part) = &self.part {
            facts["part"] = json!(part);
        }
        for (role, runner) in [("on", &self.backend), ("reference on", &self.reference_backend)] {
            if let Some(placement) = runner.placement.facts() {
                facts[role] = placement;
            }
        }
        // ONNX Runtime chooses its kernels by the processor it runs on.
        let chosen = [&self.backend, &self.reference_backend]
            .into_iter()
            .any(|runner| backend::of(runner).is_some_and(|b| b.runtime().is_some()));
        if chosen {
            facts["cpu"] = json!(crate::machine::Cpu::read().features);
        }
        let mut versions = BTreeMap::from([
            ("backend".to_owned(), version(&self.backend)),
            ("reference backend".to_owned(), version(&self.reference_backend)),
            // Kernels of other vector extensions sum in another order.
            ("compiled for".to_owned(), env!("ENGINE_TARGET_FEATURES").to_owned()),
        ]);
        versions.extend(self.on.versions());
        versions.extend(crate::model::family::versions());
        Recipe { facts, inputs, epoch: 2, versions }
    }

    /// `variant` and `reference` are artifacts and what runs them: as planned, and with folders for
    /// what they keep; `others` are the artifacts of their second parts, where both are judged.
    /// `tokens` is the folder of the texts' tokens, for windows over texts.
    pub fn job(
        &self,
        context: Option<u64>,
        (variant, backend): (&Artifact, Runner),
        (reference, reference_backend): (&Artifact, Runner),
        others: Option<(&Artifact, &Artifact)>,
        tokens: Option<PathBuf>,
        runtime: Option<PathBuf>,
    ) -> Job {
        let alike = others.is_none_or(|(own, other)| own.digest == other.digest);
        let itself =
            alike && reference.digest == variant.digest && self.backend == self.reference_backend;
        let variant = variant.clone();
        let reference = (!itself).then(|| (reference.clone(), reference_backend));
        match (&self.on, self.windows(context)) {
            (JudgeOn::Matching { images, texts, longest, prompt }, _) => {
                let (own, other) = others.expect("pictures and texts are judged with both parts");
                Job::JudgeMatching(Box::new(MatchingJudge {
                    variant: [variant, own.clone()],
                    backend,
                    reference: reference
                        .map(|(artifact, runner)| ([artifact, other.clone()], runner)),
                    runtime,
                    images: images.clone(),
                    texts: texts.clone(),
                    longest: *longest,
                    prompt: prompt.clone(),
                    metrics: self.metrics.clone(),
                }))
            }
            (JudgeOn::Items { inputs, synthetic, seed, classes }, _) => {
                Job::JudgeTensors(TensorJudge {
                    variant,
                    backend,
                    reference,
                    runtime,
                    part: self.part.clone(),
                    inputs: inputs.clone(),
                    synthetic: *synthetic,
                    seed: *seed,
                    classes: classes.clone(),
                    metrics: self.metrics.clone(),
                })
            }
            (_, judge) => Job::Judge {
                variant,
                backend,
                reference,
                tokens: tokens.expect("a judge of texts needs tokens, and its recipe found them"),
                runtime,
                judge: judge.expect("texts are judged in windows"),
            },
        }
    }
}
