//! Quality of language models on held-out text: likelihood, divergence, agreement.
//!
//! Variant and reference see the same windows one after the other, so no logits are ever stored:
//! memory is two models and two windows of logits, whatever the vocabulary.

use serde::{Deserialize, Serialize};

use crate::backend::{BackendError, Generator, argmax};
use crate::record::DocumentScore;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricRequest {
    /// One of [`super::METRICS`].
    pub metric: String,
    /// Largest number of positions over all documents.
    pub positions: Option<u64>,
    #[serde(default, skip_serializing_if = "Against::is_reference")]
    pub against: Against,
}

/// What answers are compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    #[default]
    Reference,
    /// Outputs that were recorded with the inputs.
    Expected,
}

impl Against {
    // By reference, as serde calls it.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn is_reference(&self) -> bool {
        *self == Self::Reference
    }
}

/// How documents are cut into windows, and what is asked of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeJob {
    /// Tokens the model sees at once, beginning-of-text token included.
    pub window: usize,
    /// How far the window moves; at most `window`.
    pub stride: usize,
    pub metrics: Vec<MetricRequest>,
}

/// Scores of one metric, document by document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    pub metric: String,
    pub documents: Vec<DocumentScore>,
}

#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("variant and reference have vocabularies of {variant} and {reference} tokens")]
    Vocabulary { variant: usize, reference: usize },
    #[error("the logits of document {document} are not finite")]
    NotFinite { document: usize },
    #[error("no document has two tokens or more")]
    Empty,
    #[error(transparent)]
    Inputs(#[from] super::InputError),
    #[error("there is no item to judge on")]
    NoItems,
    #[error("item {item} has no recorded outputs to compare with")]
    NothingExpected { item: usize },
    #[error("output `{output}` of item {item} cannot be compared: {what}")]
    Outputs { output: String, item: usize, what: String },
    #[error("the outputs of item {item} are not finite numbers")]
    OutputNotFinite { item: usize },
    #[error("`{metric}` needs an output of floating numbers, and the graph has none")]
    NoFloats { metric: String },
    #[error("`{metric}` cannot be judged from these outputs")]
    Foreign { metric: String },
    #[error("`{metric}` needs more than {more_than} {what}, found {found}")]
    TooFew { metric: String, more_than: usize, what: &'static str, found: usize },
    #[error("variant and reference have {variant} and {reference} classes")]
    Classes { variant: usize, reference: usize },
    #[error("variant and reference have rows of {variant} and {reference} numbers")]
    RowWidths { variant: usize, reference: usize },
    #[error("there are {outputs} rows of outputs for {items} items")]
    Items { outputs: usize, items: usize },
    #[error("item {item} cannot be judged: {what}")]
    Item { item: usize, what: String },
    #[error("a class score of item {item} is not a number")]
    NotANumber { item: usize },
    #[error("the embedding of {what} {row} has numbers that are not finite")]
    Embedding { what: &'static str, row: usize },
    #[error("embeddings of items have {items} numbers and those of texts {texts}")]
    Widths { items: usize, texts: usize },
}

impl JudgeError {
    /// The same about item number `item`, where it was judged by itself.
    pub(super) fn of_item(self, item: usize) -> Self {
        match self {
            Self::Item { what, .. } => Self::Item { item, what },
            Self::NotANumber { .. } => Self::NotANumber { item },
            other => other,
        }
    }
}

/// A window over one document: tokens `start..end`, of which targets `scored..end` count.
#[derive(Debug, PartialEq, Eq)]
struct Window {
    start: usize,
    scored: usize,
    end: usize,
}

/// Windows over a document of `len` tokens such that each token after the first is a target
/// exactly once, with at least `window - stride` tokens of context after the first window.
fn windows(len: usize, window: usize, stride: usize) -> Vec<Window> {
    let mut out = Vec::new();
    let mut scored = 1;
    let mut start = 0;
    while scored < len {
        let end = (start + window).min(len);
        out.push(Window { start, scored, end });
        scored = end;
        // A target needs the token before it, even when the window moves by its whole length.
        start = (start + stride.max(1)).min(scored - 1);
    }
    out
}

/// Judges `variant` against `reference` on `documents` (token sequences that begin with the
/// model's beginning-of-text token). `progress` is told the share that is done.
///
/// `reference` is `None` when the variant is its own reference: divergence is then 0 and
/// agreement 1 by definition, and the model runs once.
pub fn judge(
    variant: &mut dyn Generator,
    mut reference: Option<&mut dyn Generator>,
    documents: &[Vec<u32>],
    job: &JudgeJob,
    progress: &dyn Fn(f64),
) -> Result<Vec<Judged>, JudgeError> {
    if let Some(reference) = &reference
        && reference.vocab() != variant.vocab()
    {
        let (variant, reference) = (variant.vocab(), reference.vocab());
        return Err(JudgeError::Vocabulary { variant, reference });
    }
    let empty = DocumentScore { positions: 0, sum: 0.0, reference_sum: 0.0 };
    let mut scores: Vec<Vec<DocumentScore>> = vec![Vec::new(); job.metrics.len()];
    let mut left: Vec<u64> = job.metrics.iter().map(|m| m.positions.unwrap_or(u64::MAX)).collect();
    for (number, tokens) in documents.iter().enumerate() {
        if left.iter().all(|&left| left == 0) {
            break;
        }
        let mut sums = vec![empty; job.metrics.len()];
        for window in windows(tokens.len(), job.window, job.stride) {
            let seen = &tokens[window.start..window.end];
            let own = variant.score(seen)?;
            let other = match &mut reference {
                Some(reference) => Some(reference.score(seen)?),
                None => None,
            };
            for (target, &token) in tokens.iter().enumerate().take(window.end).skip(window.scored) {
                let row = target - 1 - window.start;
                let at = row * own.vocab..(row + 1) * own.vocab;
                let own = Row::new(&own.values[at.clone()]);
                let other = other.as_ref().map_or(own, |o| Row::new(&o.values[at]));
                if !own.log_sum.is_finite() || !other.log_sum.is_finite() {
                    return Err(JudgeError::NotFinite { document: number });
                }
                for ((request, sum), left) in job.metrics.iter().zip(&mut sums).zip(&mut left) {
                    if *left > 0 {
                        *left -= 1;
                        add(sum, &request.metric, own, other, token);
                    }
                }
            }
        }
        for (all, sum) in scores.iter_mut().zip(sums) {
            if sum.positions > 0 {
                all.push(sum);
            }
        }
        progress((number + 1) as f64 / documents.len() as f64);
    }
    if scores.iter().any(Vec::is_empty) {
        return Err(JudgeError::Empty);
    }
    let metrics = job.metrics.iter().map(|m| m.metric.clone());
    Ok(metrics.zip(scores).map(|(metric, documents)| Judged { metric, documents }).collect())
}

/// One row of logits with the logarithm of its summed exponentials.
#[derive(Clone, Copy)]
struct Row<'a> {
    logits: &'a [f32],
    log_sum: f64,
}

impl<'a> Row<'a> {
    fn new(logits: &'a [f32]) -> Self {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&l| f64::from(l - max).exp()).sum();
        Self { logits, log_sum: f64::from(max) + sum.ln() }
    }

    fn log_probability(&self, token: usize) -> f64 {
        f64::from(self.logits[token]) - self.log_sum
    }
}

fn add(sum: &mut DocumentScore, metric: &str, own: Row<'_>, reference: Row<'_>, target: u32) {
    sum.positions += 1;
    match metric {
        "perplexity" => {
            sum.sum -= own.log_probability(target as usize);
            sum.reference_sum -= reference.log_probability(target as usize);
        }
        "kl" => sum.sum += divergence(reference, own),
        _ => {
            sum.sum += f64::from(u8::from(argmax(own.logits) == argmax(reference.logits)));
            sum.reference_sum += 1.0;
        }
    }
}

/// `KL(p || q) = Σ p (ln p − ln q)` in nats.
fn divergence(p: Row<'_>, q: Row<'_>) -> f64 {
    let shift = q.log_sum - p.log_sum;
    let sum: f64 = p
        .logits
        .iter()
        .zip(q.logits)
        .map(|(&a, &b)| {
            let probability = (f64::from(a) - p.log_sum).exp();
            // A token the model rules out (logit of minus infinity) contributes nothing.
            if probability == 0.0 {
                0.0
            } else {
                probability * (f64::from(a) - f64::from(b) + shift)
            }
        })
        .sum();
    sum.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Logits;

    /// A model over three tokens whose logits depend on the last token only.
    struct Table([[f32; 3]; 3]);

    impl Generator for Table {
        fn vocab(&self) -> usize {
            3
        }

        fn prefill(&mut self, _: &[u32], _: usize) -> Result<Logits, BackendError> {
            unreachable!("judging only scores")
        }

        fn decode(&mut self, _: &[u32]) -> Result<Logits, BackendError> {
            unreachable!("judging only scores")
        }

        fn score(&mut self, tokens: &[u32]) -> Result<Logits, BackendError> {
            let values = tokens.iter().flat_map(|&t| self.0[t as usize]).collect();
            Ok(Logits { values, vocab: 3 })
        }
    }

    fn job(metrics: &[(&str, Option<u64>)]) -> JudgeJob {
        let metrics = metrics
            .iter()
            .map(|(metric, positions)| MetricRequest {
                metric: (*metric).into(),
                positions: *positions,
                ..MetricRequest::default()
            })
            .collect();
        JudgeJob { window: 4, stride: 2, metrics }
    }

    fn logs(p: [f32; 3]) -> [f32; 3] {
        p.map(f32::ln)
    }

    #[test]
    fn each_target_is_scored_once_with_context() {
        for len in 0..40 {
            for (window, stride) in [(4, 2), (4, 4), (8, 1), (2, 1), (5, 3)] {
                let mut seen = vec![0; len];
                for w in windows(len, window, stride) {
                    assert!(w.end - w.start <= window && w.start < w.scored);
                    if w.start > 0 {
                        assert!(w.scored - w.start >= window - stride);
                    }
                    seen[w.scored..w.end].iter_mut().for_each(|n| *n += 1);
                }
                assert!(seen.iter().skip(1).all(|&n| n == 1), "{len} {window} {stride}");
            }
        }
    }

    #[test]
    fn likelihood_divergence_and_agreement_are_the_hand_computed_ones() {
        let p = logs([0.5, 0.25, 0.25]);
        let q = logs([0.25, 0.5, 0.25]);
        let mut reference = Table([p, p, p]);
        let mut variant = Table([q, p, p]);
        let documents = vec![vec![0, 1, 0, 2]];
        let request = job(&[("perplexity", None), ("kl", None), ("top1_agreement", None)]);
        let out = judge(&mut variant, Some(&mut reference), &documents, &request, &|_| {}).unwrap();
        // Targets 1, 0, 2 after 0, 1, 0: the variant gives 0.5, 0.5, 0.25, the reference 0.25, 0.5, 0.25.
        let nll = out[0].documents[0];
        assert!((nll.sum - (-(0.5 * 0.5 * 0.25_f64).ln())).abs() < 1e-6, "{nll:?}");
        assert!((nll.reference_sum - (-(0.25 * 0.5 * 0.25_f64).ln())).abs() < 1e-6);
        // KL(p||q) = 0.5 ln 2 − 0.25 ln 2 = 0.25 ln 2, at the two positions after token 0.
        assert!((out[1].documents[0].sum - 0.5 * 2_f64.ln()).abs() < 1e-6);
        assert_eq!(out[2].documents[0].sum, 1.0);
        assert_eq!(out[2].documents[0].positions, 3);
    }

    #[test]
    fn positions_are_limited_over_all_documents() {
        let p = logs([0.5, 0.25, 0.25]);
        let documents = vec![vec![0, 1, 0, 2]; 5];
        let request = job(&[("perplexity", None), ("kl", Some(4))]);
        let out = judge(&mut Table([p; 3]), None, &documents, &request, &|_| {}).unwrap();
        let count = |j: &Judged| j.documents.iter().map(|d| d.positions).sum::<u32>();
        assert_eq!((count(&out[0]), count(&out[1])), (15, 4));
    }

    #[test]
    fn logits_that_are_not_numbers_are_an_error() {
        let bad = [f32::NAN; 3];
        let request = job(&[("perplexity", None)]);
        let result = judge(&mut Table([bad; 3]), None, &[vec![0, 1]], &request, &|_| {});
        assert!(matches!(result, Err(JudgeError::NotFinite { document: 0 })));
    }
}
