//! Quality metrics: what each of them is called once it is judged, and what does not go together.

use std::collections::HashSet;

use serde_json::Value;

use super::check::Rules;
use super::locate::{below, dotted};
use super::types::QualityMetric;

/// Depths of `recall` when the spec leaves them out.
const DEPTHS: [u64; 2] = [1, 5];

impl QualityMetric {
    /// Ids under which its scores are recorded: `accuracy` is `top1`, and `recall` one metric for
    /// each depth, such as `recall@5`.
    pub fn judged(&self) -> Vec<String> {
        match self.0.id.as_str() {
            "accuracy" => vec!["top1".to_owned()],
            "recall" => {
                let given = self.0.params.get("at").and_then(Value::as_array);
                let depths = given.map_or_else(
                    || DEPTHS.to_vec(),
                    |depths| depths.iter().filter_map(Value::as_u64).collect(),
                );
                depths.into_iter().map(|k| format!("recall@{k}")).collect()
            }
            id => vec![id.to_owned()],
        }
    }

    /// Ids that gates may name because of it: those it is recorded under, and what is derived from
    /// the same scores.
    pub fn gated(&self) -> Vec<String> {
        let mut ids = self.judged();
        if self.0.id == "cosine" {
            ids.push("cosine_p01".to_owned());
        }
        ids
    }
}

/// Ids that gates may name because of the metric `id`, whatever its parameters.
pub(crate) fn gated_by(id: &'static str) -> Vec<&'static str> {
    match id {
        "accuracy" => Vec::new(),
        "cosine" => vec!["cosine", "cosine_p01"],
        "recall" => vec!["recall@1", "recall@5", "recall@10"],
        id => vec![id],
    }
}

/// What to write under `quality.metrics` so that `id` is judged.
pub(crate) fn asked_by(id: &str) -> String {
    match id.split_once('@') {
        Some((_, depth)) => format!("recall: {{data: …, at: [{depth}]}}"),
        None if id == "cosine_p01" => "cosine".to_owned(),
        None => id.to_owned(),
    }
}

/// Whether a loss of the metric is in points: the reference has a share of its own.
pub(crate) fn in_points(id: &str) -> bool {
    matches!(id, "top1" | "top5") || id.starts_with("recall")
}

pub(crate) fn check(rules: &mut Rules<'_>) {
    let Some(quality) = &rules.spec.quality else { return };
    let mut first: Option<&str> = None;
    for (i, metric) in quality.metrics.iter().enumerate() {
        let id = metric.0.id.as_str();
        let here = below(&below("/quality/metrics", i), id);
        if matches!(id, "accuracy" | "top1") {
            if let Some(first) = first.filter(|first| *first != id) {
                let what = format!("{} is `{first}` under another name", dotted(&here));
                let place = rules.locator.place_of_key(&here);
                let problem = rules.report("spec/duplicate-value", &here, what);
                problem.at = place;
                problem.hint = Some("leave one of them out".into());
            }
            first.get_or_insert(id);
        }
        let depths = metric.0.params.get("at").and_then(Value::as_array);
        let mut seen = HashSet::new();
        for (j, depth) in depths.into_iter().flatten().enumerate() {
            if !seen.insert(depth.as_u64()) {
                let list = below(&here, "at");
                let what = format!("`{depth}` is given twice in {}", dotted(&list));
                rules.report("spec/duplicate-value", &below(&list, j), what).hint =
                    Some("leave one out".into());
            }
        }
    }
}
