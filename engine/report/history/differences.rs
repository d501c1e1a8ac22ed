//! What differs between two runs besides their numbers: told before any of them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::measure::Unit;
use crate::record::{Record, Variant};
use crate::report::{facts, format};

/// One fact that is another in the two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `engine`, `runtime`, `model`, `artifact`, `spec` or `machine`.
    pub topic: &'static str,
    pub what: String,
    pub before: String,
    pub after: String,
}

impl Difference {
    pub fn new(
        topic: &'static str,
        what: impl Into<String>,
        before: impl Into<String>,
        after: impl Into<String>,
    ) -> Self {
        Self { topic, what: what.into(), before: before.into(), after: after.into() }
    }
}

/// What stands for something that a run does not have.
const ABSENT: &str = "–";

/// Keys of a spec that say nothing about how numbers came about.
const WORDS: &[&str] = &["why", "name", "report", "gates", "profiles", "cost"];

/// Engine, runtimes, model, artifacts and spec, in this order.
pub fn of(before: &Record, after: &Record) -> Vec<Difference> {
    let mut out = Vec::new();
    let mut differ = |topic, what: &str, b: Option<String>, a: Option<String>| {
        let text = |value: Option<String>| value.unwrap_or_else(|| ABSENT.into());
        if b != a {
            out.push(Difference::new(topic, what, text(b), text(a)));
        }
    };
    differ("engine", "version", Some(before.run.engine.clone()), Some(after.run.engine.clone()));
    let build = |record: &Record| {
        let build = record.machine.get("engine").map(facts::machine).unwrap_or_default();
        build.into_iter().map(|fact| (fact.name, fact.value)).collect::<BTreeMap<_, _>>()
    };
    each(&build(before), &build(after), |name, b, a| {
        if name != "version" {
            differ("engine", name, b, a);
        }
    });
    let runtimes = |record: &Record| {
        let told = record.runtimes.iter().map(|runtime| {
            let version = runtime.version.as_deref().unwrap_or("of unknown version");
            (runtime.name.clone(), format!("{version} ({})", runtime.digest.short()))
        });
        told.collect::<BTreeMap<_, _>>()
    };
    each(&runtimes(before), &runtimes(after), |name, b, a| differ("runtime", name, b, a));
    let (b, a) = (&before.model, &after.model);
    differ("model", "source", Some(b.source.clone()), Some(a.source.clone()));
    differ("model", "task", Some(b.task.clone()), Some(a.task.clone()));
    differ("model", "digest", b.digest.map(|d| d.short()), a.digest.map(|d| d.short()));
    let artifact = |variant: Option<&Variant>| {
        let artifact = variant?.artifact.as_ref()?;
        let bytes = format::exact(artifact.bytes as f64, Unit::Bytes);
        Some(format!("{} ({bytes})", artifact.digest.short()))
    };
    let names = before
        .variants
        .keys()
        .chain(after.variants.keys().filter(|name| !before.variants.contains_key(*name)));
    for name in names {
        let (b, a) = (before.variants.get(name), after.variants.get(name));
        differ("artifact", name, artifact(b), artifact(a));
        let place = |v: &Variant| v.device.as_ref().map(|d| d.device.clone());
        let told = |v: &Variant| {
            let device = place(v).map_or_else(String::new, |d| format!(" on {d}"));
            format!("{}{device}", v.backend)
        };
        if let (Some(b), Some(a)) = (b, a) {
            differ("artifact", &format!("{name} runs on"), Some(told(b)), Some(told(a)));
        }
    }
    let spec = |record: &Record| {
        let mut leaves = BTreeMap::new();
        for (key, value) in record.spec.as_object().into_iter().flatten() {
            if !WORDS.contains(&key.as_str()) {
                flatten(key, value, &mut leaves);
            }
        }
        leaves
    };
    each(&spec(before), &spec(after), |name, b, a| differ("spec", name, b, a));
    out
}

/// Every name of either side, in order, with its two values.
fn each(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    mut tell: impl FnMut(&str, Option<String>, Option<String>),
) {
    let new = after.keys().filter(|name| !before.contains_key(*name));
    let mut names: Vec<&String> = before.keys().chain(new).collect();
    names.sort_unstable();
    for name in names {
        tell(name, before.get(name).cloned(), after.get(name).cloned());
    }
}

/// Values by dotted path; lists of plain values stay one value, and what is `null` is not there.
fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| flatten(&format!("{path}.{key}"), value, out));
        }
        Value::Array(items) if items.iter().any(|i| i.is_object() || i.is_array()) => {
            items.iter().enumerate().for_each(|(i, v)| flatten(&format!("{path}.{i}"), v, out));
        }
        Value::Null | Value::Object(_) => {}
        Value::String(text) => drop(out.insert(path.to_owned(), text.clone())),
        other => drop(out.insert(path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;
    use crate::report::fixture::{digest, record};

    #[test]
    fn what_differs_is_named_by_topic_and_words_about_numbers_are_not() {
        let before = record();
        assert!(of(&before, &before).is_empty());
        let mut after = record();
        after.run.engine = "0.2.0".into();
        after.spec["bench"]["design"]["seed"] = json!(7);
        after.spec["why"] = json!("another question");
        after.variants["q8"].artifact.as_mut().unwrap().digest = digest("new");
        after.variants.shift_remove("q4");
        let found = of(&before, &after);
        let told: Vec<_> = found.iter().map(|d| (d.topic, d.what.as_str())).collect();
        assert_eq!(
            told,
            [
                ("engine", "version"),
                ("artifact", "q8"),
                ("artifact", "q4"),
                ("spec", "bench.design.seed")
            ]
        );
        assert_eq!((found[3].before.as_str(), found[3].after.as_str()), ("42", "7"));
        assert_eq!(found[2].after, "–");
    }
}
