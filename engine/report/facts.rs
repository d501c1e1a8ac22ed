//! Everything around the numbers: model, variants, steps, machine, and what was left to chance.

use serde_json::Value;

use super::format;
use super::view::{CheckRow, Fact, StepRow, Study, Tone, VariantFacts};
use crate::record::{Record, StepState, Variant};

fn fact(name: &str, value: impl Into<String>) -> Fact {
    Fact { name: name.to_owned(), value: value.into() }
}

pub fn model(record: &Record) -> Vec<Fact> {
    let model = &record.model;
    let unknown = || "unknown".to_owned();
    let mut out = vec![fact("source", model.source.clone()), fact("task", model.task.clone())];
    out.push(fact("architecture", model.architecture.clone().unwrap_or_else(unknown)));
    out.push(fact("parameters", model.parameters.map_or_else(unknown, format::count)));
    out.push(fact("stored as", model.dtype.clone().unwrap_or_else(unknown)));
    out.push(fact("context length", model.context_length.map_or_else(unknown, format::count)));
    out.push(fact("digest", model.digest.map_or_else(unknown, |digest| digest.hex())));
    out.extend(record.runtimes.iter().map(|runtime| {
        let version = runtime.version.as_deref().unwrap_or("of unknown version");
        let digest = runtime.digest.short();
        fact(&runtime.name, format!("{version}, SHA-256 {digest}, from {}", runtime.origin))
    }));
    if model.random_weights {
        out.push(fact("weights", "random: the shape is real, the answers are not"));
    }
    out
}

pub fn variants(record: &Record) -> Vec<VariantFacts> {
    let told = record.variants.iter().map(|(name, variant)| {
        let artifact = variant.artifact.as_ref();
        let checks = variant.checks.iter().map(|check| CheckRow {
            what: check.what.clone(),
            expected: check.expected.clone(),
            found: check.found.clone(),
            passed: check.passed,
        });
        VariantFacts {
            name: name.clone(),
            backend: runs_on(variant),
            recipe: variant.recipe.clone(),
            artifact: artifact.map(|artifact| artifact.digest.short()),
            kind: artifact.map(|artifact| artifact.kind.clone()),
            bytes: artifact.map(|artifact| artifact.bytes),
            parameters: artifact.map(|artifact| artifact.parameters),
            weights: artifact.map_or_else(Vec::new, |artifact| {
                artifact.weight_bytes.iter().map(|(dtype, bytes)| (dtype.clone(), *bytes)).collect()
            }),
            notes: artifact.map_or_else(Vec::new, |artifact| artifact.notes.clone()),
            checks: checks.collect(),
            trouble: variant.failed.clone().or_else(|| variant.skipped.clone()),
        }
    });
    told.collect()
}

/// The backend, and the device where it is another than the CPU.
fn runs_on(variant: &Variant) -> String {
    let mut out = variant.backend.clone();
    let Some(device) = &variant.device else { return out };
    if device.device != "cpu" {
        out.push_str(&format!(" on {}", device.device));
        let facts = [device.name.clone(), device.driver.as_ref().map(|d| format!("driver {d}"))];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        if !facts.is_empty() {
            out.push_str(&format!(" ({})", facts.join(", ")));
        }
        if let Some(options) = &device.tensorrt {
            out.push_str(" with TensorRT");
            for name in ["fp16", "int8"] {
                if options[name] == true {
                    out.push_str(&format!(" {name}"));
                }
            }
        }
    }
    let nodes: Vec<String> =
        device.nodes.iter().map(|(provider, nodes)| format!("{nodes} on {provider}")).collect();
    if !nodes.is_empty() {
        out.push_str(&format!("; nodes: {}", nodes.join(", ")));
    }
    out
}

pub fn steps(record: &Record) -> Vec<StepRow> {
    let row = |step: &crate::record::Step| {
        let (state, tone) = match step.state {
            StepState::Hit => ("from the store", Tone::Plain),
            StepState::Done => ("done", Tone::Good),
            StepState::Failed => ("failed", Tone::Bad),
            StepState::Skipped => ("skipped", Tone::Unsure),
        };
        StepRow {
            id: step.id.clone(),
            label: step.label.clone(),
            kind: step.kind.clone(),
            state,
            tone,
            detail: step.detail.clone().unwrap_or_default(),
            seconds: step.seconds,
            peak_memory: step.peak_memory,
            key: step.key.map(|key| key.short()),
        }
    };
    record.steps.iter().map(row).collect()
}

/// Facts shown at most; a fingerprint with more of them is in `machine.json` in full.
const MOST_FACTS: usize = 200;

/// The fingerprint, flattened: `cpu / model name` and so on.
pub fn machine(value: &Value) -> Vec<Fact> {
    let mut out = Vec::new();
    flatten(value, String::new(), &mut out);
    out.truncate(MOST_FACTS);
    out
}

fn flatten(value: &Value, path: String, out: &mut Vec<Fact>) {
    let below = |key: &str| {
        let key = key.replace('_', " ");
        if path.is_empty() { key } else { format!("{path} / {key}") }
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| flatten(value, below(key), out));
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items
                .iter()
                .enumerate()
                .for_each(|(i, item)| flatten(item, below(&i.to_string()), out));
        }
        Value::Array(items) if !items.is_empty() => {
            let texts: Vec<String> = items.iter().map(scalar).collect();
            out.push(Fact { name: path, value: texts.join(", ") });
        }
        Value::Null => {
            // A fingerprint has null for what it could not read, except for these two.
            let value = match path.rsplit(" / ").next() {
                Some("quota") => "none",
                Some("gpus unseen") => return,
                _ => "not readable",
            };
            out.push(fact(&path, value));
        }
        other => {
            // Sizes are stored in bytes, which nobody reads.
            let is_size = ["memory", "swap", "cache"].iter().any(|name| path.ends_with(name));
            let value = match other.as_u64().filter(|_| is_size) {
                Some(bytes) => crate::base::Bytes(bytes).to_string(),
                None => scalar(other),
            };
            out.push(Fact { name: path, value });
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Array(_) | Value::Object(_) => "none".into(),
        Value::Number(number) => number.to_string(),
    }
}

/// Why runs must not be set side by side: their machines differ or are not known.
pub fn not_comparable(studies: &[Study]) -> Option<String> {
    let (first, rest) = studies.split_first()?;
    if rest.is_empty() {
        return None;
    }
    let unknown = studies.iter().any(|study| study.machine_digest.is_none());
    if unknown {
        return Some("Not comparable: a run does not say which machine it was made on.".into());
    }
    let other = rest.iter().any(|study| study.machine_digest != first.machine_digest);
    if !other {
        return None;
    }
    let known = |fact: &&Fact| {
        fact.name != "digest"
            && rest.iter().any(|study| {
                !study.machine.iter().any(|f| f.name == fact.name && f.value == fact.value)
            })
    };
    let names: Vec<&str> =
        first.machine.iter().filter(known).map(|fact| fact.name.as_str()).take(6).collect();
    let told = if names.is_empty() { "their fingerprints".to_owned() } else { names.join(", ") };
    Some(format!("Not comparable: different machines. They differ in {told}."))
}

/// Influences this design does not hold still. Pairing inside blocks keeps most of them out of
/// the ratios; none of them is kept out of the absolute times.
pub fn not_controlled(record: &Record) -> Vec<String> {
    let mut out: Vec<String> = [
        "Clock frequency, boost and temperature of the processor were left to the machine. Both halves of a pair meet them within one block; absolute times move with them.",
        "Other processes on the machine were not stopped.",
        "Which cores and memory nodes the threads ran on was left to the operating system, within the limits under Machine.",
        "Files were read through the page cache as the run found it, so that load times are warm ones unless the notes say otherwise.",
        "Quality holds for the data sets named here. Other text may lose more or less.",
        "Samples of one process are not independent of each other. Intervals of means and ratios count blocks, and bounds of quantiles count launches; the share of a launch's samples that repeats what others of it say is only estimated.",
    ]
    .map(str::to_owned)
    .to_vec();
    if record.model.random_weights {
        out.push(
            "The weights are random: speed and memory are those of the shape, quality is not."
                .into(),
        );
    }
    if record.run.resumed > 0 {
        out.push("The machine may have changed between the parts of this resumed run.".into());
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{machine, model, variants};
    use crate::base::Digest;
    use crate::record::{Device, Runtime};
    use crate::report::fixture;

    #[test]
    fn the_libraries_that_were_loaded_are_told_with_version_digest_and_origin() {
        let mut record = fixture::record();
        assert!(!model(&record).iter().any(|fact| fact.name == "onnxruntime"));
        let digest = Digest::of_bytes(b"library");
        record.runtimes.push(Runtime {
            name: "onnxruntime".into(),
            version: Some("1.31.1".into()),
            digest,
            origin: "file://lib/libonnxruntime.so".into(),
        });
        let facts = model(&record);
        let told = facts.iter().find(|fact| fact.name == "onnxruntime").expect("a fact");
        for part in ["1.31.1", &digest.short(), "file://lib/libonnxruntime.so"] {
            assert!(told.value.contains(part), "{}", told.value);
        }
    }

    #[test]
    fn a_variant_on_a_device_says_so_with_what_is_known_about_it() {
        let mut record = fixture::record();
        let of = |record: &crate::record::Record| variants(record)[0].backend.clone();
        assert_eq!(of(&record), "candle", "the CPU goes without saying");
        record.variants[0].device = Some(Device {
            device: "cuda:0".into(),
            name: Some("H100".into()),
            driver: Some("550.1".into()),
            tensorrt: Some(json!({"fp16": true, "int8": false})),
            fallback: true,
            nodes: [("TensorrtExecutionProvider".into(), 9)].into_iter().collect(),
        });
        let told = "candle on cuda:0 (H100, driver 550.1) with TensorRT fp16; \
                    nodes: 9 on TensorrtExecutionProvider";
        assert_eq!(of(&record), told);
    }

    #[test]
    fn nothing_read_and_no_limit_are_told_apart() {
        let facts = machine(&json!({
            "cpu": {"quota": null, "governor": null, "cache": 2_097_152},
            "gpus": [],
            "gpus_unseen": null,
        }));
        let told: Vec<_> = facts.iter().map(|f| (f.name.as_str(), f.value.as_str())).collect();
        assert_eq!(
            told,
            [
                ("cpu / quota", "none"),
                ("cpu / governor", "not readable"),
                ("cpu / cache", "2MiB"),
                ("gpus", "none")
            ]
        );
    }
}
