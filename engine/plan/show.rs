//! A plan as text, JSON, Mermaid or Graphviz.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Plan, Preview, State};
use crate::base::text::inert;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
    Mermaid,
    Dot,
}

/// Renders `plan` with what `preview` found. `resolved` is the spec with every default.
pub fn show(plan: &Plan, preview: &Preview, resolved: &Value, format: Format) -> String {
    match format {
        Format::Text => text(plan, preview, resolved),
        Format::Json => json_text(plan, preview, resolved),
        Format::Mermaid => mermaid(plan, preview),
        Format::Dot => dot(plan, preview),
    }
}

impl State {
    fn word(&self) -> &'static str {
        match self {
            Self::Hit { .. } => "hit",
            Self::Miss { .. } | Self::After { .. } => "miss",
            Self::Read => "read",
            Self::Measured { .. } => "measure",
            Self::Tried => "try",
            Self::Skipped { .. } => "skip",
            Self::Broken { .. } => "broken",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Hit { seconds: 0 } | Self::Read | Self::Tried => String::new(),
            Self::Hit { seconds } => format!("saves {seconds} s"),
            Self::Miss { reason } => reason.clone(),
            Self::After { step } => format!("`{step}` runs first"),
            Self::Measured { launches_at_least } => {
                let s = if *launches_at_least == 1 { "" } else { "es" };
                format!("at least {launches_at_least} launch{s}")
            }
            Self::Skipped { why } | Self::Broken { why } => why.clone(),
        }
    }
}

fn text(plan: &Plan, preview: &Preview, resolved: &Value) -> String {
    let mut out = String::new();
    let width = plan.steps.iter().map(|s| s.id.chars().count()).max().unwrap_or(0);
    let labels = plan.steps.iter().map(|s| inert(&s.stage.label())).collect::<Vec<_>>();
    let label_width = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    for ((step, state), label) in plan.steps.iter().zip(&preview.states).zip(&labels) {
        let line = format!(
            "{:<7}  {:<width$}  {label:<label_width$}  {}",
            state.word(),
            step.id,
            inert(&state.detail())
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let count = |word: &str| preview.states.iter().filter(|s| s.word() == word).count();
    let _ = writeln!(
        out,
        "\n{} steps: {} hits, {} to build, {} read in place, {} to measure · {} cells · baseline {}",
        plan.steps.len(),
        count("hit"),
        count("miss"),
        count("read"),
        count("measure"),
        plan.cells(),
        plan.baseline,
    );
    if let Some(why) = &plan.unmeasured {
        let _ = writeln!(out, "quality: unmeasured: {why}");
    }
    let _ = writeln!(out, "\nspec with every default:");
    list(&mut out, resolved, 1);
    out
}

/// A JSON value as indented `key: value` lines; short lists stay on one line.
fn list(out: &mut String, value: &Value, depth: usize) {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if is_leaf(value) {
                    let _ = writeln!(out, "{pad}{}: {}", inert(key), inert(&value.to_string()));
                } else {
                    let _ = writeln!(out, "{pad}{}:", inert(key));
                    list(out, value, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                if is_leaf(item) {
                    let _ = writeln!(out, "{pad}- {}", inert(&item.to_string()));
                } else {
                    let _ = writeln!(out, "{pad}-");
                    list(out, item, depth + 1);
                }
            }
        }
        leaf => {
            let _ = writeln!(out, "{pad}{}", inert(&leaf.to_string()));
        }
    }
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(map) => {
            map.values().all(|v| !v.is_object() && !v.is_array()) && map.len() <= 4
        }
        Value::Array(items) => items.iter().all(|v| !v.is_object() && !v.is_array()),
        _ => true,
    }
}

fn json_text(plan: &Plan, preview: &Preview, resolved: &Value) -> String {
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .zip(&preview.states)
        .map(|(step, state)| {
            json!({
                "id": step.id,
                "kind": step.stage.kind(),
                "label": step.stage.label(),
                "needs": step.needs.iter().map(|&n| &plan.steps[n].id).collect::<Vec<_>>(),
                "state": state.word(),
                "detail": state.detail(),
            })
        })
        .collect();
    let out = json!({
        "steps": steps,
        "cells": plan.cells(),
        "baseline": plan.baseline,
        "unmeasured": plan.unmeasured,
        "spec": resolved,
    });
    format!("{out:#}\n")
}

fn mermaid(plan: &Plan, preview: &Preview) -> String {
    let mut out = String::from("flowchart LR\n");
    for (index, (step, state)) in plan.steps.iter().zip(&preview.states).enumerate() {
        let label = format!("{} · {}", step.stage.label(), state.word());
        // Mermaid knows HTML entities inside quotes and nothing else that could end the label.
        let label = inert(&label).replace('&', "#amp;").replace('"', "#quot;").replace('<', "#lt;");
        let _ = writeln!(out, "  s{index}[\"{label}\"]:::{}", state.word());
        for need in &step.needs {
            let _ = writeln!(out, "  s{need} --> s{index}");
        }
    }
    out.push_str("  classDef hit fill:#d7f0dd,stroke:#2e7d4f,color:#10331f\n");
    out.push_str("  classDef miss fill:#fde9cf,stroke:#b26a00,color:#3d2600\n");
    out.push_str("  classDef measure fill:#dbe7fb,stroke:#2f5fb3,color:#0f2550\n");
    out.push_str("  classDef broken fill:#fbd9d9,stroke:#b3261e,color:#4a0d0a\n");
    out
}

fn dot(plan: &Plan, preview: &Preview) -> String {
    let mut out =
        String::from("digraph plan {\n  rankdir=LR; node [shape=box, fontname=\"sans-serif\"];\n");
    for (index, (step, state)) in plan.steps.iter().zip(&preview.states).enumerate() {
        let label = format!("{} · {}", step.stage.label(), state.word());
        let label = inert(&label).replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(out, "  s{index} [label=\"{label}\"];");
        for need in &step.needs {
            let _ = writeln!(out, "  s{need} -> s{index};");
        }
    }
    out.push_str("}\n");
    out
}
