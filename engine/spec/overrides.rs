//! Values from profiles and the command line, put over those of the document before validation.

use serde_json::{Map, Value};

use super::load;
use super::locate::{Locator, below, dotted};
use super::scalar::shortened;
use super::source::Source;
use super::words::{allowed_note, did_you_mean};
use super::{MAX_DEPTH, tree};
use crate::base::suggest::closest;
use crate::base::{Place, Problem, Problems};

/// What changes a spec without changing its file. Later ones win: profile, `extra`, `set`.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// One of the spec's `profiles`.
    pub profile: Option<String>,
    /// `path=value` as given to `--set`; the value is YAML under the rules of specs.
    pub set: Vec<String>,
    /// Paths and values that options such as `--quick` stand for.
    pub extra: Vec<(String, Value)>,
}

pub(crate) fn apply(
    value: &mut Value,
    locator: &mut Locator,
    overrides: &Overrides,
) -> Result<(), Problems> {
    let mut problems = Vec::new();
    if let Some(name) = &overrides.profile {
        profile(value, locator, name, &mut problems);
    }
    for (path, new) in &overrides.extra {
        let place = option_place(&format!("{path}={new}"));
        put(value, locator, path, new.clone(), place, &mut problems);
    }
    for assignment in &overrides.set {
        match parsed(assignment) {
            Ok((path, new)) => {
                put(value, locator, path, new, option_place(assignment), &mut problems);
            }
            Err(found) => problems.extend(found.0),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

fn option_place(assignment: &str) -> Place {
    let shown: String = assignment.chars().take(120).collect();
    Place { file: format!("--set {shown}").into(), width: 1, ..Place::default() }
}

/// Path and value of one `--set`.
fn parsed(assignment: &str) -> Result<(&str, Value), Problems> {
    let Some((path, text)) = assignment.split_once('=') else {
        let what = format!("`{}` has no `=`", shortened(assignment));
        let problem = Problem::new("spec/bad-override", option_place(assignment), what);
        return Err(problem.hint("write `--set path=value`").into());
    };
    let Place { file, .. } = option_place(assignment);
    let source = Source::option(&file.to_string_lossy(), text)?;
    if text.trim().is_empty() {
        return Ok((path, Value::Null));
    }
    let root = tree::read(&source)?;
    Ok((path, load::value(&source, &root)?))
}

/// Applies `profiles.<name>`. A profile that is not even well-formed is left to validation.
fn profile(value: &mut Value, locator: &mut Locator, name: &str, problems: &mut Vec<Problem>) {
    let profiles = value.get("profiles").and_then(Value::as_object);
    let Some(profile) = profiles.and_then(|p| p.get(name)).cloned() else {
        let names: Vec<&str> = profiles.into_iter().flatten().map(|(k, _)| k.as_str()).collect();
        let file = format!("--profile {}", shortened(name));
        let place = Place { file: file.into(), width: 1, ..Place::default() };
        let what = format!("`{}` is not a profile of this spec", shortened(name));
        let mut problem =
            Problem::new("spec/unknown-profile", place, what).note(allowed_note(&names));
        problem.hint = closest(name, names).map(did_you_mean);
        problems.push(problem);
        return;
    };
    let here = below("/profiles", name);
    for (path, new) in profile.get("set").and_then(Value::as_object).unwrap_or(&Map::new()) {
        let place = locator.place(&below(&below(&here, "set"), path));
        put(value, locator, path, new.clone(), place, problems);
    }
    if profile.get("gates") == Some(&"off".into())
        && let Some(spec) = value.as_object_mut()
    {
        spec.shift_remove("gates");
    }
}

fn put(
    value: &mut Value,
    locator: &mut Locator,
    path: &str,
    new: Value,
    place: Place,
    problems: &mut Vec<Problem>,
) {
    match assign(value, path, new) {
        Ok(pointer) => locator.overlay(pointer, place),
        Err(what) => problems.push(Problem::new("spec/bad-override", place, what)),
    }
}

/// Sets the value at a dotted path and returns the pointer of the outermost value that is new.
///
/// A segment is a key, the index of a list item, the `name` of a list item, or the only key of a
/// one-key item such as a stage. Missing maps are made; whether their keys are allowed is for
/// validation to say.
fn assign(root: &mut Value, path: &str, new: Value) -> Result<String, String> {
    let segments: Vec<&str> = path.trim().split('.').collect();
    if segments.iter().any(|s| s.is_empty()) || segments.len() > MAX_DEPTH {
        return Err(format!("`{}` is not a dotted path", shortened(path)));
    }
    let mut at = root;
    let mut pointer = String::new();
    let mut made = None;
    for segment in segments {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        match at {
            Value::Object(map) => {
                pointer = below(&pointer, segment);
                if !map.contains_key(segment) {
                    made.get_or_insert_with(|| pointer.clone());
                }
                at = map.entry(segment).or_insert(Value::Null);
            }
            Value::Array(items) => {
                let index = item(items, segment).ok_or_else(|| {
                    let has = format!("the list {} has {} items", dotted(&pointer), items.len());
                    format!("{has}, none of them is `{}`", shortened(segment))
                })?;
                pointer = below(&pointer, index);
                at = &mut items[index];
                if at.as_object().is_some_and(|map| is_one_key(map, segment)) {
                    pointer = below(&pointer, segment);
                    at = &mut at[segment];
                }
            }
            _ => {
                let what = dotted(&pointer);
                return Err(format!(
                    "{what} is a single value and has no `{}`",
                    shortened(segment)
                ));
            }
        }
    }
    *at = new;
    Ok(made.unwrap_or(pointer))
}

fn item(items: &[Value], segment: &str) -> Option<usize> {
    let named = |item: &Value| {
        item.get("name").and_then(Value::as_str) == Some(segment)
            || item.as_object().is_some_and(|map| is_one_key(map, segment))
    };
    let index = segment.parse::<usize>().ok().filter(|i| *i < items.len());
    index.or_else(|| items.iter().position(named))
}

fn is_one_key(map: &Map<String, Value>, key: &str) -> bool {
    map.len() == 1 && map.contains_key(key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_through_maps_indexes_names_and_stages() {
        let mut spec = json!({
            "bench": {"matrix": {"batch": [1, 2]}}, "quality": null,
            "gates": [{"name": "decode speed", "ratio": {"min": 1.2}}],
            "stages": [{"cast": {"to": "f32"}}, {"quantize": {"format": "q8_0"}}],
        });
        for (path, new, pointer) in [
            ("bench.matrix.batch", json!([4, 5]), "/bench/matrix/batch"),
            ("bench.matrix.batch.1", json!(8), "/bench/matrix/batch/1"),
            ("bench.design.blocks.max", json!(9), "/bench/design"),
            ("gates.decode speed.ratio.min", json!(1.1), "/gates/0/ratio/min"),
            ("stages.quantize.format", json!("q4_0"), "/stages/1/quantize/format"),
            ("stages.0.cast.to", json!("f16"), "/stages/0/cast/to"),
            ("quality.reference", json!("fp32"), "/quality/reference"),
        ] {
            assert_eq!(assign(&mut spec, path, new).as_deref(), Ok(pointer), "{path}");
        }
        assert_eq!(
            spec,
            json!({
                "bench": {"matrix": {"batch": [4, 8]}, "design": {"blocks": {"max": 9}}},
                "quality": {"reference": "fp32"},
                "gates": [{"name": "decode speed", "ratio": {"min": 1.1}}],
                "stages": [{"cast": {"to": "f16"}}, {"quantize": {"format": "q4_0"}}],
            })
        );
    }

    #[test]
    fn paths_that_lead_nowhere_are_refused() {
        let mut spec = json!({"name": "x", "gates": [{"name": "a"}]});
        for (path, why) in [
            ("name.x", "`name` is a single value and has no `x`"),
            ("gates.b", "the list `gates` has 1 items, none of them is `b`"),
            ("gates.1", "the list `gates` has 1 items, none of them is `1`"),
            ("a..b", "`a..b` is not a dotted path"),
            ("", "`` is not a dotted path"),
        ] {
            assert_eq!(assign(&mut spec, path, Value::Null), Err(why.to_owned()));
        }
    }
}
