//! Whether two runs were made on one machine, by what their fingerprints have in common.

use serde_json::Value;

use super::differences::Difference;
use crate::report::facts;

/// What belongs to the program or the moment and not to the machine; `memory` is compared as a
/// number.
const BESIDE: &[&str] = &["digest", "load", "os", "engine", "gpus unseen", "gpus_unseen", "memory"];

/// Share by which the memory that the kernel leaves may vary from boot to boot.
const SAME_MEMORY: f64 = 0.01;

/// What differs between the machines of two runs; nothing where it is one machine.
///
/// A fact that one of them does not know (an older engine read less) is no difference, as long as
/// both know their processor.
pub fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let digest = |machine: &Value| machine.get("digest").and_then(Value::as_str).map(str::to_owned);
    if digest(before).is_some() && digest(before) == digest(after) {
        return Vec::new();
    }
    let known = |machine: &Value| machine.get("cpu").is_some_and(Value::is_object);
    if !known(before) || !known(after) {
        let told = |machine| if known(machine) { "known" } else { "not recorded" };
        return vec![Difference::new("machine", "fingerprint", told(before), told(after))];
    }
    let mut out = Vec::new();
    let memory = |machine: &Value| machine.get("memory").and_then(Value::as_f64);
    if let (Some(b), Some(a)) = (memory(before), memory(after))
        && (b - a).abs() > SAME_MEMORY * a.max(b)
    {
        let text = |bytes: f64| crate::base::Bytes(bytes as u64).to_string();
        out.push(Difference::new("machine", "memory", text(b), text(a)));
    }
    let after = facts::machine(after);
    for fact in facts::machine(before) {
        let first = fact.name.split(" / ").next().unwrap_or_default();
        let other = after.iter().find(|other| other.name == fact.name);
        let Some(other) = other.filter(|_| !BESIDE.contains(&first)) else { continue };
        let unread = |value: &str| value == "not readable";
        if fact.value != other.value && !unread(&fact.value) && !unread(&other.value) {
            out.push(Difference::new("machine", &fact.name, &fact.value, &other.value));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn program_and_moment_are_not_the_machine_and_every_real_difference_is_named() {
        let machine = |digest: &str, model: &str, memory: u64, version: &str| {
            json!({"digest": digest, "cpu": {"model": model, "governor": null}, "kernel": "6.1",
                   "memory": memory, "load": 0.5, "engine": {"version": version}})
        };
        let base = machine("a", "EPYC", 1_000_000_000, "0.1.0");
        assert!(differences(&base, &base).is_empty());
        assert!(differences(&base, &machine("b", "EPYC", 1_000_500_000, "0.2.0")).is_empty());
        let other = differences(&base, &machine("b", "Xeon", 2_000_000_000, "0.1.0"));
        let names: Vec<_> = other.iter().map(|d| d.what.as_str()).collect();
        assert_eq!(names, ["memory", "cpu / model"]);
        assert_eq!((other[1].before.as_str(), other[1].after.as_str()), ("EPYC", "Xeon"));
    }

    #[test]
    fn a_run_that_does_not_know_its_machine_is_comparable_to_none() {
        let base = json!({"digest": "a", "cpu": {"model": "EPYC"}});
        for unknown in [json!(null), json!({}), json!({"kernel": "6.1"})] {
            assert_eq!(differences(&base, &unknown).len(), 1, "{unknown}");
            assert_eq!(differences(&unknown, &unknown).len(), 1, "{unknown}");
        }
    }

    #[test]
    fn a_fact_that_an_older_engine_did_not_read_is_no_difference() {
        let old = json!({"digest": "a", "cpu": {"model": "EPYC"}});
        let new = json!({"digest": "b", "cpu": {"model": "EPYC", "microcode": "0x1"}, "swap": 0});
        assert!(differences(&old, &new).is_empty() && differences(&new, &old).is_empty());
    }
}
