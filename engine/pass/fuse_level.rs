//! What ONNX Runtime itself makes of a graph when it opens it, kept.

use std::path::{Path, PathBuf};

use super::{PassError, PassJob};
use crate::backend::{OpenOptions, optimize};
use crate::model::OnnxModel;
use crate::model::onnx::session_options::{GraphLevel, METADATA_KEY, SessionOptions};
use crate::model::onnx::{ModelProto, OnnxFacts};

/// Which of the runtime's fusions are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fusions {
    pub layer_norm: bool,
    pub gelu: bool,
    pub skip: bool,
}

impl Fusions {
    /// Names of the optimizers that are switched off, as `graph_transformer_utils.cc` of ONNX
    /// Runtime registers them.
    fn without(self) -> Vec<&'static str> {
        let mut names = Vec::new();
        if !self.layer_norm {
            names.extend(["LayerNormFusionL1", "LayerNormFusionL2", "SimplifiedLayerNormFusion"]);
        }
        if !self.gelu {
            names.extend(["GeluFusionL1", "GeluFusionL2", "FastGeluFusion"]);
            names.extend(["BiasGeluFusion", "QuickGeluFusion"]);
        }
        if !self.skip {
            names.extend(["SkipLayerNormFusion", "BiasSkipLayerNormFusion"]);
        }
        names
    }
}

/// Optimizes the graph at `from` in the folder `scratch`; gives it with what has changed.
pub fn optimized(
    job: &PassJob<'_>,
    from: &Path,
    scratch: &Path,
    level: GraphLevel,
    fusions: Fusions,
) -> Result<(OnnxModel, Vec<String>), PassError> {
    let runtime = job.runtime.ok_or(PassError::NoRuntime { what: "`fuse` with a level" })?;
    let how = OpenOptions { runtime: Some(PathBuf::from(runtime)), ..OpenOptions::default() };
    let to = scratch.join("optimized.onnx");
    let before = OnnxModel::read(from)?;
    optimize(&before, &how, level, &fusions.without(), &to, "optimized.data")?;
    let mut after = OnnxModel::read(&to)?;
    carry_over(&before.proto, &mut after.proto);
    let mut notes = vec![format!(
        "ONNX Runtime's graph optimizations up to level `{}`, saved; {}",
        level.name(),
        changes(&before.facts(), &after.facts())
    )];
    let off = fusions.without();
    if !off.is_empty() {
        notes.push(format!("left out: {}", off.join(", ")));
    }
    // A session would go on optimizing where this left off, and something else would be timed.
    let asked = SessionOptions {
        graph_level: Some(level),
        without: off.iter().map(|&name| name.to_owned()).collect(),
        ..SessionOptions::default()
    };
    let asked = asked.over(&SessionOptions::of(&before)?);
    after.proto.set_metadata(METADATA_KEY, &asked.text());
    notes.push(format!("sessions optimize it up to level `{}` too", level.name()));
    if level == GraphLevel::All {
        let features = features().join(", ");
        notes.push(format!(
            "layouts fit this machine ({features}); another may run the graph slower or not at all"
        ));
    }
    Ok((after, notes))
}

/// Vector extensions of this machine, which decide about layouts.
pub fn features() -> Vec<String> {
    crate::machine::Cpu::read().features
}

/// What the runtime's writer does not keep: metadata, and who made the graph.
fn carry_over(from: &ModelProto, to: &mut ModelProto) {
    for entry in &from.metadata_props {
        if let (Some(key), Some(value)) = (&entry.key, &entry.value) {
            to.set_metadata(key, value);
        }
    }
    to.producer_name.clone_from(&from.producer_name);
    to.producer_version.clone_from(&from.producer_version);
}

/// Numbers of nodes by operator that have changed, in words.
fn changes(before: &OnnxFacts, after: &OnnxFacts) -> String {
    let total = |facts: &OnnxFacts| facts.operators.values().sum::<u64>();
    let count = |facts: &OnnxFacts, name: &str| facts.operators.get(name).copied().unwrap_or(0);
    let mut names: Vec<&String> = before.operators.keys().chain(after.operators.keys()).collect();
    names.sort();
    names.dedup();
    let changed: Vec<String> = names
        .into_iter()
        .map(|name| (name, count(before, name), count(after, name)))
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| format!("{name} {old} → {new}"))
        .collect();
    let nodes = format!("{} nodes became {}", total(before), total(after));
    match changed.is_empty() {
        true => format!("{nodes}: no operator was fused"),
        false => format!("{nodes}: {}", changed.join(", ")),
    }
}
