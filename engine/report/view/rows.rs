//! The rows of the tables.

use serde::Serialize;

use super::{EffectSheet, Finding, Margin, Outcome, Reading, Tone};
use crate::measure::Estimate;
use crate::measure::compare::Comparison;
use crate::measure::quantile::Grade;
use crate::report::steadiness::Steadiness;

/// A row of the verdict table.
#[derive(Debug, Clone, Serialize)]
pub struct Headline {
    pub variant: String,
    /// Index into `settings`; `None` where the run has no cell of this variant.
    pub setting: Option<usize>,
    /// The variant's own primary metric.
    pub value: Reading<Estimate>,
    pub speedup: Reading<Comparison>,
    pub quality: Reading<QualityChange>,
    /// Whether that metric keeps the margin of the spec; `None` where it has none.
    pub quality_margin: Option<Margin>,
    /// Peak memory divided by the baseline's.
    pub memory: Reading<Estimate>,
    /// Whether memory keeps the margin of the spec; `None` without an interval.
    pub memory_margin: Option<Margin>,
    /// Bytes of the artifact, and their ratio to the baseline's.
    pub size: Reading<Size>,
    pub finding: Finding,
    /// Margins of quality that the variant breaks, under whatever setting.
    pub costs: Vec<String>,
    /// What limits or completes the verdict, such as `failed: timeout in 3 of 10 blocks`.
    pub remarks: Vec<String>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Size {
    pub bytes: u64,
    pub ratio: Option<f64>,
}

/// Movement of a quality metric in its own bad direction.
#[derive(Debug, Clone, Serialize)]
pub struct QualityChange {
    pub metric: &'static str,
    pub data: String,
    pub loss: Estimate,
}

#[derive(Debug, Clone, Serialize)]
pub struct QualityRow {
    pub variant: String,
    pub reference: String,
    pub metric: String,
    pub data: String,
    /// The part that was judged by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    pub value: Reading<Estimate>,
    /// Perplexity: ratio to the reference minus 1. Agreement and cosine: 1 minus it. Shares of right answers: that of the reference minus it. KL and errors: themselves.
    pub loss: Reading<Estimate>,
    /// Beside a loss of right answers, where items are right or wrong as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paired: Option<PairedShares>,
    /// Largest error over all items, for the metric that has one.
    pub largest: Option<f64>,
    /// Whether the loss keeps the margin of the spec; `None` where it has none.
    pub margin: Option<Margin>,
    pub documents: usize,
    pub positions: u64,
    pub artifact: Option<String>,
    /// The digest differs from that of the timed artifact.
    pub other_artifact: bool,
}

/// A second interval and a test of what a variant loses of the reference's right answers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PairedShares {
    /// The loss by Newcombe's method 10.
    pub newcombe: Estimate,
    /// McNemar's exact p-value of gaining answers as often as losing them.
    pub mcnemar_p: f64,
}

impl QualityRow {
    /// What was judged on: the data set and, where one was judged by itself, the part.
    pub fn place(&self) -> String {
        match &self.part {
            Some(part) => format!("{}, {part}", self.data),
            None => self.data.clone(),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct GateRow {
    pub name: String,
    /// The variant and the axes it is restricted to.
    pub on: String,
    pub metric: String,
    /// Such as `ratio ≥ 1.2`.
    pub condition: String,
    pub outcome: Outcome,
    /// Why it is undecided or not measured; otherwise what decided.
    pub reason: String,
    /// The cells looked at, in the order of the matrix.
    pub seen: Vec<GateSight>,
}

#[derive(Debug, Clone, Serialize)]
pub struct GateSight {
    /// Index into `settings`; `None` for what does not depend on one.
    pub setting: Option<usize>,
    pub found: Reading<Estimate>,
    pub outcome: Outcome,
    /// It would have passed on the blocks that were measured, but launches failed.
    pub capped: bool,
    /// It would have been decided, but the effect lies within the noise floor.
    pub hidden: bool,
    /// Left undecided although the interval keeps or breaks the bound: launches have no steady state,
    /// and on the interval widened by what they move it does not.
    pub unsteady: bool,
}

/// Everything measured for one variant under one setting.
#[derive(Debug, Clone, Serialize)]
pub struct CellSheet {
    pub variant: String,
    pub setting: usize,
    pub finding: Finding,
    /// Launches in blocks that count, and those of them that gave numbers.
    pub launches: usize,
    pub measured: usize,
    /// Launches by whether they reached a steady state.
    pub steadiness: Steadiness,
    /// What stands beside the verdict.
    pub effects: EffectSheet,
    pub metrics: Vec<MetricSheet>,
}

#[derive(Debug, Clone, Serialize)]
pub struct MetricSheet {
    pub metric: &'static str,
    /// Median over blocks; the mean of fewer than six.
    pub value: Reading<Estimate>,
    /// Speed-up against the baseline, above 1 where the variant is better whichever way the metric
    /// points; `None` for the baseline itself.
    pub speedup: Option<Reading<Comparison>>,
    /// Over launches, for metrics that have one sample per request or token.
    pub quantiles: Vec<QuantileSheet>,
    /// Largest of all samples.
    pub max: Option<f64>,
    pub samples: usize,
    /// The value of each block, in order; what the charts show.
    pub blocks: Vec<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct QuantileSheet {
    pub q: f64,
    /// Point with bounds, or how many independent samples or launches it would take. The method of
    /// the estimate says whether launches were summed up one by one, resampled, or stand alone.
    pub reading: Reading<Estimate>,
    /// Independent samples that all of them are worth for this quantile.
    pub effective: f64,
    /// How firmly it stands; `None` without bounds.
    pub grade: Option<Grade>,
    /// The median by Harrell and Davis, where launches have one middle and samples suffice.
    pub harrell_davis: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct VariantFacts {
    pub name: String,
    pub backend: String,
    pub recipe: Vec<String>,
    pub artifact: Option<String>,
    pub kind: Option<String>,
    pub bytes: Option<u64>,
    pub parameters: Option<u64>,
    /// Bytes of weights by storage type, in the order of the record.
    pub weights: Vec<(String, u64)>,
    pub notes: Vec<String>,
    pub checks: Vec<CheckRow>,
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CheckRow {
    pub what: String,
    pub expected: String,
    pub found: String,
    pub passed: bool,
}

/// Launches of one cell that ended the same way.
#[derive(Debug, Clone, Serialize)]
pub struct FailureRow {
    pub variant: String,
    /// Index into `settings`; `None` when the variant failed before it was launched.
    pub setting: Option<usize>,
    pub verdict: String,
    pub detail: String,
    pub blocks: Vec<u32>,
    pub log_tail: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct StepRow {
    pub id: String,
    pub label: String,
    pub kind: String,
    pub state: &'static str,
    pub tone: Tone,
    pub detail: String,
    pub seconds: f64,
    pub peak_memory: Option<u64>,
    pub key: Option<String>,
}
