//! Names of the settings: short ones that tell them apart, long ones that say everything.

use std::collections::BTreeSet;

use indexmap::{IndexMap, IndexSet};
use serde_json::Value;

use super::conduct;
use super::evidence::Evidence;
use super::parallel::each;
use super::view::{CellSheet, Setting, Terms, cells_of};
use crate::record::{Cell, StopReason};

/// `cells` stand setting by setting.
pub fn all(evidence: &Evidence<'_>, terms: &Terms, cells: &[CellSheet]) -> Vec<Setting> {
    let shorts = shorts(evidence);
    each(evidence.settings.len(), |i| {
        let cell = evidence.settings[i];
        Setting {
            short: shorts[i].clone(),
            long: long(cell),
            stop: cell.stop.map(|reason| stopped(reason).to_owned()),
            notes: conduct::notes(evidence, terms, i, cells_of(cells, i)),
        }
    })
}

/// What tells each setting from the others, in the order of the evidence.
pub fn shorts(evidence: &Evidence<'_>) -> Vec<String> {
    let varying = varying(&evidence.settings);
    let scenarios: BTreeSet<_> = evidence.settings.iter().map(|cell| &cell.scenario).collect();
    evidence.settings.iter().map(|cell| short(cell, &varying, scenarios.len() > 1)).collect()
}

/// Axes that have more than one value over the settings.
fn varying(settings: &[&Cell]) -> Vec<String> {
    let names: IndexSet<&String> = settings.iter().flat_map(|cell| cell.axes.keys()).collect();
    let many = |name: &&&String| {
        let values: BTreeSet<String> = settings
            .iter()
            .map(|cell| cell.axes.get(**name).map_or_else(String::new, text))
            .collect();
        values.len() > 1
    };
    names.iter().filter(many).map(|name| (*name).clone()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn short(cell: &Cell, varying: &[String], several: bool) -> String {
    let told = |name: &String| Some(format!("{} {}", axis(name), text(cell.axes.get(name)?)));
    let scenario = several.then(|| cell.scenario.replace('_', " "));
    let parts: Vec<String> = scenario.into_iter().chain(varying.iter().filter_map(told)).collect();
    if parts.is_empty() { "the one setting".into() } else { parts.join(", ") }
}

fn long(cell: &Cell) -> String {
    let axes = cell.axes.iter().map(|(name, value)| format!(", {} {}", axis(name), text(value)));
    format!("{}{}", cell.scenario.replace('_', " "), axes.collect::<String>())
}

/// Axes and their values, without those of a scenario.
pub fn told(axes: &IndexMap<String, Value>) -> String {
    let told = axes.iter().map(|(name, value)| format!("{} {}", axis(name), text(value)));
    told.collect::<Vec<_>>().join(", ")
}

/// [`told`] of a cell, with its scenario before it where requests do not come one after the other.
pub fn place(cell: &Cell, axes: &IndexMap<String, Value>) -> String {
    let scenario = cell.is_under_load().then(|| cell.scenario.replace('_', " "));
    let axes = Some(told(axes)).filter(|axes| !axes.is_empty());
    scenario.into_iter().chain(axes).collect::<Vec<_>>().join(", ")
}

fn axis(name: &str) -> &str {
    match name {
        "prompt_tokens" => "prompt",
        "new_tokens" => "new",
        other => other,
    }
}

fn stopped(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Target => "stopped at the asked precision",
        StopReason::MaxBlocks => "stopped at the most blocks allowed",
        StopReason::Budget => "stopped because the time allowed ran out",
        StopReason::Unreachable => "stopped early: the asked precision is out of reach",
        StopReason::Decision => "stopped as soon as every verdict was decided",
        StopReason::NothingLeft => "stopped because nothing was left to compare",
        StopReason::Crowded => "stopped because kept processes no longer fitted into memory",
        StopReason::Interrupted => "interrupted",
    }
}
