//! `expect:`: post-conditions on an artifact, checked before any time is spent on measuring.

use super::{Artifact, check_graph};
use crate::backend::{Assigned, Runner};
use crate::base::{Bytes, Percent};
use crate::model::ModelFacts;
use crate::record::Check;
use crate::spec::{CountBounds, Expect};

/// Where the nodes of an artifact run, or why nobody knows.
pub type Placed = Result<Vec<Assigned>, String>;

/// Checks `facts` of a variant's artifact, which `runner` will run. `size` is that of all parts of
/// the variant, given once; `placed` is what opening it
/// there has told, where somebody looked; `size_of` gives the size of another variant.
pub fn check(
    expect: &Expect,
    facts: &ModelFacts,
    artifact: &Artifact,
    size: Option<u64>,
    runner: &Runner,
    placed: Option<&Placed>,
    size_of: &dyn Fn(&str) -> Option<u64>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    // Without the other artifact there is nothing to compare with, which is no fault of this one.
    if let (Some(size), Some(bytes)) = (&expect.size_vs, size)
        && let Some(other) = size_of(&size.variant).filter(|&other| other > 0)
    {
        checks.push(Check {
            what: format!("size relative to `{}`", size.variant),
            expected: format!("at most {}", size.max),
            found: format!(
                "{} ({} of {})",
                Percent(bytes as f64 / other as f64),
                Bytes(bytes),
                Bytes(other)
            ),
            passed: bytes as f64 <= size.max.0 * other as f64,
        });
    }
    if let Some(share) = &expect.quantized_weights {
        let found = facts.quantized_share;
        let enough = share.min.is_none_or(|min| found >= min.0);
        let named = if enough { String::new() } else { check_graph::unquantized(artifact) };
        checks.push(Check {
            what: "share of weights stored in fewer than 16 bits".into(),
            expected: bounds(share.min.map(|p| p.to_string()), share.max.map(|p| p.to_string())),
            found: format!("{}{named}", Percent(found)),
            passed: enough && share.max.is_none_or(|max| found <= max.0),
        });
    }
    for (kind, count) in &expect.tensors {
        let found = facts.tensor_counts.get(kind).copied().unwrap_or(0);
        checks.push(counted(format!("tensors stored as {kind}"), count, found, ""));
    }
    checks.extend(check_graph::check(expect, facts, artifact, runner, placed));
    checks
}

/// A number within bounds. `named` tells more about what was found.
pub(super) fn counted(what: String, count: &CountBounds, found: u64, named: &str) -> Check {
    let exactly = count.equals.map(|n| format!("exactly {n}"));
    Check {
        what,
        expected: exactly.unwrap_or_else(|| {
            bounds(count.min.map(|n| n.to_string()), count.max.map(|n| n.to_string()))
        }),
        found: format!("{found}{named}"),
        passed: count.min.is_none_or(|min| found >= min)
            && count.max.is_none_or(|max| found <= max)
            && count.equals.is_none_or(|n| found == n),
    }
}

fn bounds(min: Option<String>, max: Option<String>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "anything".into(),
    }
}
