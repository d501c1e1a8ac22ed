//! A value against the schema: which faults it has, one for each mistake.
//!
//! The schema says everything that is not so, and one mistake is often several of those: a
//! misspelt required key is both unknown and missing. This file leaves one; [`super::explain`]
//! finds the words. The only door to the jsonschema crate.

use std::collections::BTreeMap;

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Draft, ValidationError};
use serde_json::Value;

use super::MAX_PROBLEMS;
use super::explain::Explain;
use super::locate::{Locator, below};
use super::walk::{Walk, chosen, one_key, types};
use crate::base::suggest::closest;
use crate::base::{Place, Problem, Problems};

/// A schema made ready.
pub(crate) struct Validator<'a> {
    schema: &'a Value,
    compiled: jsonschema::Validator,
}

/// What is wrong with a value itself. Of several the first in this order is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// Its type, or it is none of a closed set.
    Choice,
    /// Text that does not match a pattern.
    Form,
    Range,
    Length,
}

/// The faults at one pointer.
#[derive(Debug, Default)]
struct Faults {
    value: Option<Wrong>,
    unknown: Vec<String>,
    missing: Vec<String>,
    bad_names: Vec<String>,
}

impl<'a> Validator<'a> {
    /// # Errors
    /// When `schema` is no JSON schema, which is the engine's mistake.
    pub fn new(schema: &'a Value) -> Result<Self, Problems> {
        let built = jsonschema::options().with_draft(Draft::Draft202012).build(schema);
        let compiled = built.map_err(|error| {
            let what = format!("the schema of specs is broken: {error}");
            Problem::new("spec/engine-bug", Place::default(), what).hint("please report it")
        })?;
        Ok(Self { schema, compiled })
    }

    /// The mistakes in `value`, in no particular order.
    pub fn validate(&self, value: &Value, locator: &Locator) -> Problems {
        let mut faults = BTreeMap::new();
        for error in self.compiled.iter_errors(value).take(MAX_PROBLEMS) {
            collect(error, &mut faults);
        }
        let walk = Walk { root: self.schema, value };
        whole_floats(walk, walk.at(""), value, "", &mut faults);
        drop_consequences(walk, &mut faults);
        let explain = Explain { walk, value, locator };
        let problems =
            faults.into_iter().flat_map(|(pointer, fault)| fault.explain(&pointer, &explain));
        Problems(problems.collect())
    }
}

fn collect(error: ValidationError<'_>, faults: &mut BTreeMap<String, Faults>) {
    let pointer = error.instance_path().as_str().to_owned();
    let fault = |wrong: Wrong, faults: &mut BTreeMap<String, Faults>| {
        let value = &mut faults.entry(pointer.clone()).or_default().value;
        *value = Some(value.map_or(wrong, |known| known.min(wrong)));
    };
    match error.into_parts().kind {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = &mut faults.entry(pointer.clone()).or_default().unknown;
            known.extend(unexpected.into_iter().take(MAX_PROBLEMS));
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default().to_owned();
            faults.entry(pointer.clone()).or_default().missing.push(name);
        }
        Kind::PropertyNames { error } => {
            let name = error.instance().as_str().unwrap_or_default().to_owned();
            faults.entry(pointer.clone()).or_default().bad_names.push(name);
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            match context.into_iter().find(|branch| meant(branch, &pointer)) {
                Some(branch) => branch.into_iter().for_each(|error| collect(error, faults)),
                None => fault(Wrong::Choice, faults),
            }
        }
        Kind::Pattern { .. } => fault(Wrong::Form, faults),
        Kind::Minimum { .. }
        | Kind::Maximum { .. }
        | Kind::ExclusiveMinimum { .. }
        | Kind::ExclusiveMaximum { .. }
        | Kind::MultipleOf { .. } => fault(Wrong::Range, faults),
        Kind::MinLength { .. }
        | Kind::MaxLength { .. }
        | Kind::MinItems { .. }
        | Kind::MaxItems { .. }
        | Kind::MinProperties { .. }
        | Kind::MaxProperties { .. } => fault(Wrong::Length, faults),
        _ => fault(Wrong::Choice, faults),
    }
}

/// Did the user mean this branch of an `anyOf`? Yes when its type fits and something below fails.
fn meant(branch: &[ValidationError<'_>], pointer: &str) -> bool {
    !branch.is_empty()
        && !branch.iter().any(|error| {
            let here = error.instance_path().as_str() == pointer;
            here && matches!(
                error.kind(),
                Kind::Type { .. } | Kind::Constant { .. } | Kind::Enum { .. }
            )
        })
}

/// JSON schema calls 1.0 an integer. The types do not, and a version 1.0 is no version 1.
fn whole_floats<'s>(
    walk: Walk<'s>,
    schema: Option<&'s Value>,
    value: &Value,
    pointer: &str,
    faults: &mut BTreeMap<String, Faults>,
) {
    let Some(schema) = schema.map(|schema| chosen(schema, Some(value))) else { return };
    match value {
        Value::Number(n) if n.is_f64() => {
            let types = types(schema);
            if types.contains(&"integer") && !types.contains(&"number") {
                faults.entry(pointer.to_owned()).or_default().value = Some(Wrong::Choice);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                let schema = walk.step(schema, &i.to_string());
                whole_floats(walk, schema, item, &below(pointer, i), faults);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                let schema = walk.step(schema, key);
                whole_floats(walk, schema, item, &below(pointer, key), faults);
            }
        }
        _ => {}
    }
}

/// A map that should have one key but has none or several says nothing about what is below it.
fn drop_consequences(walk: Walk<'_>, faults: &mut BTreeMap<String, Faults>) {
    let broken: Vec<String> = faults
        .iter()
        .filter(|(pointer, fault)| {
            fault.value == Some(Wrong::Length) && walk.at(pointer).and_then(one_key).is_some()
        })
        .map(|(pointer, _)| pointer.clone())
        .collect();
    for top in broken {
        let inside = format!("{top}/");
        faults.retain(|pointer, _| !pointer.starts_with(&inside));
        if let Some(fault) = faults.get_mut(&top) {
            fault.unknown.clear();
        }
    }
}

impl Faults {
    /// Pairs each unknown key with the missing one it was probably meant to be.
    fn explain(mut self, pointer: &str, explain: &Explain<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(wrong) = self.value {
            problems.push(explain.value(pointer, wrong));
        }
        for name in &self.bad_names {
            problems.push(explain.name(pointer, name));
        }
        for key in &self.unknown {
            let missing = || self.missing.iter().map(String::as_str);
            // Such as `price_per_hour` for `per_hour`; short names are in many words by chance.
            let within = || missing().find(|name| name.len() > 3 && key.contains(name));
            let intended = closest(key, missing()).or_else(within).map(str::to_owned);
            if let Some(name) = &intended {
                self.missing.retain(|m| m != name);
            }
            problems.push(explain.unknown_key(pointer, key, intended.as_deref()));
        }
        // A strange key where one is missing is one mistake, even when the two look nothing alike.
        let mut missing = self.missing.into_iter();
        let strange = |p: &&mut Problem| p.code == "spec/unknown-key" && p.hint.is_none();
        for problem in problems.iter_mut().filter(strange) {
            problem.hint = missing.next().map(|key| format!("`{key}` is missing here"));
        }
        problems.extend(missing.map(|key| explain.missing_key(pointer, &key)));
        problems
    }
}
