//! The spec language: from YAML text to a checked [`Spec`], or to problems a person can act on.
//!
//! One way through: text → [`tree`] (positions, limits, no YAML tricks) → [`load`] (JSON value) →
//! [`overrides`] (profile, `--set`) → [`validate`] (the generated JSON schema) → typed [`Spec`] →
//! [`check`] (rules between fields). A floor is entered only when the one below found nothing, so
//! one mistake gives one message. [`Locator`] leads every message back to file, line and column,
//! [`show`] renders it.
//!
//! The types in [`types`] are the only source: [`schema()`] is generated from them, and stages and
//! metrics of other rooms join it as closed objects. Deliberately absent: what a stage or a metric
//! means, templating, includes, environment variables, and any reading of files but the spec's own.

mod batch;
mod cells;
mod check;
mod cost;
mod design;
mod device;
mod explain;
mod gates;
mod load;
mod locate;
mod overrides;
mod quality;
mod scalar;
mod scenarios;
mod schema;
pub mod show;
mod source;
mod task;
mod tree;
pub mod types;
mod validate;
mod walk;
mod words;

use std::path::Path;

use serde_json::Value;

pub use batch::{Batch, BatchSearch};
pub use check::check;
pub use device::{Device, TensorRt};
pub use gates::gated_metric;
pub use locate::Locator;
pub use overrides::Overrides;
pub use scenarios::{ObjectiveBound, Scenario};
pub use schema::schema;
pub use source::{decode, read};
pub use types::*;

use crate::base::{Problem, Problems};

/// Largest size of a spec in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of maps and lists.
pub const MAX_DEPTH: usize = 64;
/// Longest line in bytes: the reader looks ahead to the end of a line.
pub const MAX_LINE: usize = 16 << 10;
/// Longest text of one value in bytes.
pub const MAX_TEXT: usize = 64 << 10;
/// Most keys and values of one spec.
pub const MAX_NODES: usize = 20_000;
/// Most cells: variants times all combinations of the matrix.
pub const MAX_CELLS: u64 = 100_000;
/// Key of every stage that chooses parts of a model of several.
pub const PARTS_KEY: &str = "parts";
/// Collecting stops here; nobody reads further.
pub(crate) const MAX_PROBLEMS: usize = 200;

/// A spec without known mistakes.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub spec: Spec,
    /// The spec with every default written out, as plans show it and records keep it; those of the
    /// task once that is known.
    pub resolved: Value,
    pub locator: Locator,
}

/// Reads, overrides, validates and checks the spec in `text`. `file` is only named in problems;
/// `schema` comes from [`schema()`].
///
/// # Errors
/// All problems found on the first floor that has any, in the order of the file. Every profile of
/// the spec is tried too, so that it does not break on the day it is needed.
pub fn parse(
    text: &str,
    file: &Path,
    schema: &Value,
    overrides: &Overrides,
) -> Result<Loaded, Problems> {
    let locator = Locator::read(text, file)?;
    let document = load::value(&locator.document().source, &locator.document().root)?;
    let validator = validate::Validator::new(schema)?;
    let loaded = settle(document.clone(), locator.clone(), &validator, overrides)?;
    for profile in loaded.spec.profiles.keys() {
        let alone = Overrides { profile: Some(profile.clone()), ..Overrides::default() };
        if let Err(mut problems) = settle(document.clone(), locator.clone(), &validator, &alone) {
            for problem in &mut problems.0 {
                problem.notes.push(format!("in profile: {}", crate::base::text::inert(profile)));
            }
            return Err(problems);
        }
    }
    Ok(loaded)
}

/// Everything that follows once the document is a JSON value.
fn settle(
    mut value: Value,
    mut locator: Locator,
    validator: &validate::Validator<'_>,
    overrides: &Overrides,
) -> Result<Loaded, Problems> {
    overrides::apply(&mut value, &mut locator, overrides)?;
    in_order(validator.validate(&value, &locator))?;
    let spec: Spec = serde_json::from_value(value).map_err(|error| typing_bug(&error, &locator))?;
    finish(spec, locator)
}

/// Defaults of the task, where it is known, and the rules between fields.
fn finish(mut spec: Spec, locator: Locator) -> Result<Loaded, Problems> {
    if let Some(task) = spec.model.task {
        in_order(check::fit(&spec, &locator, task))?;
        task::fill(&mut spec, task);
    }
    in_order(check(&spec, &locator))?;
    let resolved = serde_json::to_value(&spec).map_err(|error| typing_bug(&error, &locator))?;
    Ok(Loaded { spec, resolved, locator })
}

impl Loaded {
    /// The same spec with the defaults of `task`, which somebody has found by looking at the model.
    ///
    /// # Errors
    /// What of the spec does not fit the task.
    pub fn for_task(mut self, task: Task) -> Result<Self, Problems> {
        self.spec.model.task = Some(task);
        finish(self.spec, self.locator)
    }
}

fn in_order(mut problems: Problems) -> Result<(), Problems> {
    problems.0.sort_by_key(|p| (p.at.line.unwrap_or(usize::MAX), p.at.column));
    problems.0.truncate(MAX_PROBLEMS);
    if problems.0.is_empty() { Ok(()) } else { Err(problems) }
}

/// Schema and types come from one source, so this says that the engine is wrong, not the user.
fn typing_bug(error: &serde_json::Error, locator: &Locator) -> Problems {
    let what = format!("the schema accepts this spec but its types do not: {error}");
    Problem::new("spec/engine-bug", locator.place(""), what).hint("please report it").into()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A schema with the stages and metrics that these tests use.
    pub fn sample_schema() -> Value {
        let closed = |properties: Value, required: Value| {
            json!({"type": "object", "properties": properties, "required": required,
                   "additionalProperties": false})
        };
        let data = json!({"type": "string", "description": "Name of a data set."});
        let positions = json!({"type": ["integer", "null"], "format": "uint64", "minimum": 1,
            "description": "Positions that are compared; all when left out."});
        let stages = [
            (
                "cast",
                closed(
                    json!({"to": {"type": "string", "enum": ["f32", "f16", "bf16"], "description": "Type of the weights."}}),
                    json!(["to"]),
                ),
                "Stores the weights in another float type.",
            ),
            (
                "quantize",
                closed(
                    json!({
                        "method": {"type": "string", "enum": ["gguf"], "description": "How weights are quantized."},
                        "format": {"type": "string", "description": "Storage type of the weights.",
                            "enum": ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"]},
                    }),
                    json!(["method", "format"]),
                ),
                "Stores the weights in blocks of few bits.",
            ),
        ];
        let metrics = [
            ("perplexity", closed(json!({"data": data}), json!(["data"])), "Surprise per token."),
            (
                "kl",
                closed(json!({"data": data, "positions": positions}), json!(["data"])),
                "Distance of the distributions.",
            ),
            (
                "top1_agreement",
                closed(json!({"data": data, "positions": positions}), json!(["data"])),
                "Share of equal answers.",
            ),
        ];
        schema(&stages, &metrics)
    }

    const SMALL: &str =
        "version: 1\nname: t\nwhy: w\nmodel: {source: file://m}\nvariants: {a: {}, b: {from: a}}\n";

    fn load(text: &str, set: &[&str]) -> Result<Loaded, Problems> {
        let set = set.iter().map(|s| (*s).to_owned()).collect();
        let overrides = Overrides { set, ..Overrides::default() };
        parse(text, Path::new("t.yaml"), &sample_schema(), &overrides)
    }

    #[test]
    fn the_smallest_spec_loads_with_every_default_visible_and_loads_again() {
        let loaded = load(SMALL, &[]).unwrap();
        assert_eq!(loaded.resolved["compare"]["confidence"], "95%");
        assert_eq!(loaded.spec.variants.keys().collect::<Vec<_>>(), ["a", "b"]);
        let again = load(&loaded.resolved.to_string(), &[]).unwrap();
        assert_eq!(again.spec, loaded.spec);
        assert_eq!(again.resolved, loaded.resolved);
    }

    /// A run is resumed from its resolved spec, in which every default is written.
    #[test]
    fn whatever_was_left_out_may_be_written_as_resolved() {
        for bench in [
            "{guard: {enabled: false}}",
            "{guard: {canary: false}}",
            "{design: {residency: keep, noise_floor: off, stop: {early_decision: true}}}",
            "{design: {requests: {count: fixed, max: 20}}}",
            "{scenarios: [single_stream, {server: {rate: [5]}}], soak: {duration: 10s}}",
            "{scenarios: [{server: {search: {p99_latency: 1s}}}], soak: {duration: 300s, load: 80%}}",
        ] {
            let text = format!("{SMALL}bench: {bench}\n");
            let loaded = load(&text, &[]).unwrap_or_else(|found| panic!("{bench}: {found:?}"));
            let again = load(&loaded.resolved.to_string(), &[]);
            assert_eq!(
                again.unwrap_or_else(|found| panic!("{bench}: {found:?}")).spec,
                loaded.spec
            );
        }
    }

    #[test]
    fn shuffled_keys_give_the_same_spec() {
        let other = "variants: {a: {}, b: {from: a}}\nmodel: {source: file://m}\nwhy: w\nname: t\nversion: 1\n";
        assert_eq!(load(SMALL, &[]).unwrap().resolved, load(other, &[]).unwrap().resolved);
    }

    #[test]
    fn overridden_values_count_and_their_problems_point_at_the_option() {
        let loaded = load(SMALL, &["bench.matrix.batch=[1, 4]", "why=1 + 1"]).unwrap();
        assert_eq!(loaded.spec.bench.unwrap().matrix.batch.sizes(), [1, 4]);
        assert_eq!(loaded.spec.why, "1 + 1");
        for (set, code) in [
            ("bench.matrx.batch=[1]", "spec/unknown-key"),
            ("bench.matrix.batch=4", "spec/wrong-type"),
            ("bench.design.blocks.max=1", "spec/out-of-range"),
            ("variants.b.from=c", "spec/bad-reference"),
            ("why=~", "spec/ambiguous"),
            ("why=[1", "spec/yaml"),
            ("why", "spec/bad-override"),
            ("variants.a.stages=[{cast: {to: f3}}]", "spec/unknown-value"),
        ] {
            let Problems(problems) = load(SMALL, &[set]).unwrap_err();
            assert_eq!(problems.len(), 1, "{set}: {problems:?}");
            assert_eq!(problems[0].code, code, "{set}");
            assert_eq!(problems[0].at.file, Path::new(&format!("--set {set}")));
            assert_eq!(problems[0].at.line, None);
        }
    }

    #[test]
    fn profiles_change_values_leave_gates_out_and_are_tried_before_they_are_needed() {
        let gated = format!(
            "{SMALL}bench: {{}}\ngates: [{{name: g, on: {{variant: b}}, metric: ttft, ratio: {{max: 1}}}}]\n"
        );
        let good =
            format!("{gated}profiles: {{ci: {{set: {{bench.matrix.batch: [8]}}, gates: off}}}}\n");
        let overrides = Overrides { profile: Some("ci".into()), ..Overrides::default() };
        let loaded = parse(&good, Path::new("t.yaml"), &sample_schema(), &overrides).unwrap();
        assert!(loaded.spec.gates.is_empty());
        assert_eq!(loaded.spec.bench.unwrap().matrix.batch.sizes(), [8]);

        let bad = good.replace("matrix.batch", "matrix.bach");
        let Problems(problems) = load(&bad, &[]).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!((problems[0].at.line, problems[0].code), (Some(8), "spec/unknown-key"));
        assert_eq!(problems[0].notes.last().unwrap(), "in profile: ci");

        let other = Overrides { profile: Some("cii".into()), ..Overrides::default() };
        let Problems(problems) =
            parse(&good, Path::new("t.yaml"), &sample_schema(), &other).unwrap_err();
        assert_eq!(problems[0].hint.as_deref(), Some("did you mean `ci`?"));
    }
}
