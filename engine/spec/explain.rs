//! Faults in words: what is wrong, what was found, what is allowed, what was probably meant.

use serde_json::Value;

use super::locate::{Locator, below, dotted};
use super::scalar::shortened;
use super::validate::Wrong;
use super::walk::{Walk, keys, one_key, options};
use super::words::{
    allowed_note, did_you_mean, expected, first_sentence, limits, title, type_hint, unit_hint,
};
use crate::base::Problem;
use crate::base::suggest::closest;

/// The document, its schema and its places: all that an explanation needs.
pub(crate) struct Explain<'a> {
    pub walk: Walk<'a>,
    pub value: &'a Value,
    pub locator: &'a Locator,
}

impl Explain<'_> {
    /// `intended` is the missing key that this one was probably meant to be.
    pub fn unknown_key(&self, pointer: &str, key: &str, intended: Option<&str>) -> Problem {
        let schema = self.walk.at(pointer).unwrap_or(&Value::Null);
        let allowed = keys(schema);
        let present = |name: &&str| self.value.pointer(&below(pointer, name)).is_none();
        let guess = intended
            .or_else(|| closest(key, allowed.iter().copied().filter(present)))
            .or_else(|| closest(key, allowed.iter().copied()));
        let shown = shortened(key);
        let what = match one_key(schema) {
            Some(noun) => format!("`{shown}` is not a {noun}, at {}", dotted(pointer)),
            None => format!("`{shown}` is not a key of {}", dotted(pointer)),
        };
        let place = self.locator.place_of_key(&below(pointer, key));
        let mut problem = Problem::new("spec/unknown-key", place, what);
        problem.hint = guess.map(did_you_mean);
        problem.note(allowed_note(&allowed))
    }

    pub fn missing_key(&self, pointer: &str, key: &str) -> Problem {
        let what = format!("{} has no `{key}`", dotted(pointer));
        let problem = Problem::new("spec/missing-key", self.locator.place_of_key(pointer), what)
            .hint(format!("add `{key}`"));
        let property = self.walk.at(pointer).and_then(|s| s.get("properties")?.get(key));
        let described = property
            .and_then(|p| p.get("description"))
            .or_else(|| self.walk.at(&below(pointer, key))?.get("description"));
        match described.and_then(Value::as_str) {
            Some(text) => problem.note(format!("{key}: {}", first_sentence(text))),
            None => problem,
        }
    }

    /// A key of a free map that is no valid name.
    pub fn name(&self, pointer: &str, name: &str) -> Problem {
        let schema = self.walk.at(pointer).and_then(|s| s.get("propertyNames"));
        let form = schema.and_then(|s| s.get("title")).and_then(Value::as_str);
        let what = format!("`{}` is not {}", shortened(name), form.unwrap_or("a valid name"));
        Problem::new("spec/bad-name", self.locator.place_of_key(&below(pointer, name)), what)
    }

    /// The value at `pointer` has the fault `wrong`.
    pub fn value(&self, pointer: &str, wrong: Wrong) -> Problem {
        let schema = self.walk.at(pointer).unwrap_or(&Value::Null);
        let value = self.value.pointer(pointer).unwrap_or(&Value::Null);
        let allowed = options(schema);
        match (wrong, value) {
            (Wrong::Choice | Wrong::Form, Value::String(text)) if !allowed.is_empty() => {
                self.unknown_value(pointer, text, schema, &allowed)
            }
            (Wrong::Choice, Value::Number(number)) if !numbers(schema).is_empty() => {
                let allowed = numbers(schema);
                let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
                let mut problem =
                    self.unknown_value(pointer, &number.to_string(), schema, &allowed);
                // A number beside another is no typing mistake.
                problem.hint = None;
                problem
            }
            (Wrong::Choice | Wrong::Form, _) => self.unexpected(pointer, value, schema, wrong),
            (Wrong::Range, _) => {
                let limits = limits(schema, "minimum", "maximum", "");
                self.out_of_range(pointer, &format!("be {limits}"), &self.found(pointer, value))
            }
            (Wrong::Length, Value::String(text)) => {
                let limits = limits(schema, "minLength", "maxLength", " characters");
                let found = format!("{} characters", text.chars().count());
                self.out_of_range(pointer, &format!("have {limits}"), &found)
            }
            (Wrong::Length, Value::Array(items)) => {
                let limits = limits(schema, "minItems", "maxItems", " items");
                self.out_of_range(pointer, &format!("have {limits}"), &items.len().to_string())
            }
            (Wrong::Length, Value::Object(map)) => self.key_count(pointer, map, schema),
            (Wrong::Length, _) => self.unexpected(pointer, value, schema, Wrong::Choice),
        }
    }

    fn unknown_value(
        &self,
        pointer: &str,
        text: &str,
        schema: &Value,
        allowed: &[&str],
    ) -> Problem {
        let what = format!("`{}` is not a value of {}", shortened(text), dotted(pointer));
        let mut problem = Problem::new("spec/unknown-value", self.locator.place(pointer), what);
        problem.hint = closest(text, allowed.iter().copied()).map(did_you_mean);
        match title(schema) {
            Some(title) => problem.note(format!("allowed: {title}")),
            None => problem.note(allowed_note(allowed)),
        }
    }

    fn unexpected(&self, pointer: &str, value: &Value, schema: &Value, wrong: Wrong) -> Problem {
        let is_unit = schema.get("examples").is_some() && schema.get("pattern").is_some();
        let code = match wrong {
            _ if is_unit => "spec/wrong-unit",
            Wrong::Form => "spec/bad-form",
            _ => "spec/wrong-type",
        };
        let expected = expected(schema);
        let found = self.found(pointer, value);
        let what = format!("{} must be {expected}, found {found}", dotted(pointer));
        let mut problem = Problem::new(code, self.locator.place(pointer), what);
        problem.hint =
            if is_unit { unit_hint(value, schema) } else { type_hint(value, schema, &found) };
        let allowed = options(schema);
        if allowed.is_empty() || title(schema).is_some() {
            problem
        } else {
            problem.note(allowed_note(&allowed))
        }
    }

    fn out_of_range(&self, pointer: &str, must: &str, found: &str) -> Problem {
        let what = format!("{} must {must}, found {found}", dotted(pointer));
        Problem::new("spec/out-of-range", self.locator.place(pointer), what)
    }

    /// A map with too few or too many keys.
    fn key_count(
        &self,
        pointer: &str,
        map: &serde_json::Map<String, Value>,
        schema: &Value,
    ) -> Problem {
        let path = dotted(pointer);
        let Some(noun) = one_key(schema) else {
            if !map.is_empty() {
                let limits = limits(schema, "minProperties", "maxProperties", " entries");
                return self.out_of_range(
                    pointer,
                    &format!("have {limits}"),
                    &map.len().to_string(),
                );
            }
            let what = format!("{path} is empty");
            let problem = Problem::new("spec/missing-key", self.locator.place(pointer), what);
            let allowed = keys(schema);
            return if allowed.is_empty() {
                problem.hint("name at least one")
            } else {
                problem.hint("give at least one key").note(allowed_note(&allowed))
            };
        };
        let names: Vec<&str> = map.keys().map(String::as_str).collect();
        let [first, rest @ ..] = names.as_slice() else {
            let what = format!("{path} must have one key, the name of a {noun}, found none");
            return Problem::new("spec/one-key", self.locator.place(pointer), what)
                .note(allowed_note(&keys(schema)));
        };
        let shown: Vec<String> = names.iter().map(|n| format!("`{}`", shortened(n))).collect();
        let what =
            format!("{path} must have one key, the name of a {noun}, found {}", shown.join(", "));
        let second = rest.first().copied().unwrap_or(first);
        let place = self.locator.place_of_key(&below(pointer, second));
        let parameters = self.walk.at(&below(pointer, first)).map(keys).unwrap_or_default();
        let hint = if parameters.contains(&second) {
            format!("indent `{second}` below `{first}`, where it belongs")
        } else {
            format!("write each {noun} as its own list item")
        };
        Problem::new("spec/one-key", place, what).hint(hint)
    }

    /// A value as its author sees it.
    fn found(&self, pointer: &str, value: &Value) -> String {
        let written = self.locator.written(pointer);
        match value {
            Value::Null if written == Some("null") => "`null`".into(),
            Value::Null => "nothing".into(),
            Value::Bool(b) => format!("`{b}`"),
            Value::Number(n) => {
                format!("the number `{}`", shortened(written.unwrap_or(&n.to_string())))
            }
            Value::String(s) if s.is_empty() => "empty text".into(),
            Value::String(s) => format!("text `{}`", shortened(s)),
            Value::Array(_) => "a list".into(),
            Value::Object(_) => "a map".into(),
        }
    }
}

/// The numbers that `schema` lists, as they are written.
fn numbers(schema: &Value) -> Vec<String> {
    let listed = schema.get("enum").and_then(Value::as_array);
    listed.into_iter().flatten().filter(|v| v.is_number()).map(Value::to_string).collect()
}
