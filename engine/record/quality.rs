//! Quality of one variant under one metric, document by document.

use serde::{Deserialize, Serialize};

use crate::base::Digest;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    pub variant: String,
    /// The variant it was compared with, or `recorded outputs`; scores of both come from the same
    /// positions.
    pub reference: String,
    /// Such as `perplexity` or `cosine`.
    pub metric: String,
    /// Name of the data set in the spec.
    pub data: String,
    /// The part that was judged by itself, of a model of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The artifact that was judged: the same that was timed.
    pub artifact: Option<Digest>,
    /// Empty when `unmeasured` says why.
    pub documents: Vec<DocumentScore>,
    pub unmeasured: Option<String>,
}

/// Sums over the scored positions of one document. Metrics are ratios of such sums, and documents
/// are the independent units behind their intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentScore {
    /// Scored positions.
    pub positions: u32,
    /// Sum over positions of the metric's per-position value: negative log-likelihood in nats
    /// for `perplexity`, divergence in nats for `kl`, 0 or 1 for `top1_agreement`. An item of a
    /// graph has one position, whose value is the metric itself; for `top1` and `top5` that is 0
    /// or 1. For `recall@5` it has one in each direction, whose value is the share of its searches
    /// that found a right answer.
    pub sum: f64,
    /// The same sum for the reference variant; equal to `sum` where variant and reference are one.
    pub reference_sum: f64,
}
