//! Rows around the numbers: variants, failures, checks and steps.

use std::fmt::Write as _;

use serde::Serialize;

use super::shown::{Chip, chip};
use crate::measure::Unit;
use crate::report::view::{FailureRow, StepRow, Study, Tone, VariantFacts};
use crate::report::{escape, format};

#[derive(Serialize)]
pub struct VariantText {
    pub name: String,
    pub backend: String,
    pub recipe: String,
    pub artifact: String,
    pub size: String,
    pub parameters: String,
    pub weights: String,
    pub notes: Vec<String>,
}

#[derive(Serialize)]
pub struct FailureText {
    pub variant: String,
    pub setting: String,
    pub verdict: String,
    pub detail: String,
    pub blocks: String,
    pub log_tail: String,
    /// Opens and closes the log in Markdown.
    pub fence: String,
}

#[derive(Serialize)]
pub struct CheckText {
    pub variant: String,
    pub what: String,
    pub expected: String,
    pub found: String,
    pub chip: Chip,
}

#[derive(Serialize)]
pub struct StepText {
    pub id: String,
    pub label: String,
    pub kind: String,
    pub chip: Chip,
    pub detail: String,
    pub time: String,
    pub peak: String,
    pub key: String,
}

pub(super) fn variants(study: &Study) -> Vec<VariantText> {
    let unknown = || "none".to_owned();
    let text = |v: &VariantFacts| VariantText {
        name: v.name.clone(),
        backend: v.backend.clone(),
        recipe: if v.recipe.is_empty() { "as loaded".into() } else { v.recipe.join(" → ") },
        artifact: match (&v.kind, &v.artifact) {
            (Some(kind), Some(digest)) => format!("{kind} {digest}"),
            _ => unknown(),
        },
        size: v.bytes.map_or_else(unknown, |bytes| format::exact(bytes as f64, Unit::Bytes)),
        parameters: v.parameters.map_or_else(unknown, format::count),
        weights: weights(&v.weights),
        notes: v.notes.clone(),
    };
    study.variants.iter().map(text).collect()
}

fn weights(by_type: &[(String, u64)]) -> String {
    let mut out = String::new();
    for (i, (dtype, bytes)) in by_type.iter().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        let _ = write!(out, "{comma}{dtype} {}", format::exact(*bytes as f64, Unit::Bytes));
    }
    if out.is_empty() { "none".into() } else { out }
}

pub(super) fn checks(study: &Study) -> Vec<CheckText> {
    let rows = study.variants.iter().flat_map(|variant| {
        variant.checks.iter().map(|check| CheckText {
            variant: variant.name.clone(),
            what: check.what.clone(),
            expected: check.expected.clone(),
            found: check.found.clone(),
            chip: if check.passed { chip(Tone::Good, "kept") } else { chip(Tone::Bad, "missed") },
        })
    });
    rows.collect()
}

pub(super) fn steps(study: &Study) -> Vec<StepText> {
    let text = |step: &StepRow| StepText {
        id: step.id.clone(),
        label: step.label.clone(),
        kind: step.kind.clone(),
        chip: chip(step.tone, step.state),
        detail: step.detail.clone(),
        time: format::span(step.seconds),
        peak: step
            .peak_memory
            .map_or_else(String::new, |bytes| format::exact(bytes as f64, Unit::Bytes)),
        key: step.key.clone().unwrap_or_default(),
    };
    study.steps.iter().map(text).collect()
}

pub(super) fn failure(row: &FailureRow, setting: String) -> FailureText {
    FailureText {
        variant: row.variant.clone(),
        setting,
        verdict: row.verdict.clone(),
        detail: row.detail.clone(),
        blocks: format::ranges(&row.blocks),
        fence: escape::fence(&row.log_tail),
        log_tail: row.log_tail.clone(),
    }
}
