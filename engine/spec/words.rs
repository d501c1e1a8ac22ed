//! The words of messages: what a schema expects, what a mistake suggests.

use serde_json::Value;

use super::scalar::shortened;
use super::walk::{one_key, options, types};

pub(crate) fn title(schema: &Value) -> Option<&str> {
    schema.get("title").and_then(Value::as_str)
}

pub(crate) fn expected(schema: &Value) -> String {
    if let Some(noun) = one_key(schema) {
        if types(schema).contains(&"string") {
            return format!("`single_stream` or a map with one key, the name of another {noun}");
        }
        return format!("a map with one key, the name of a {noun}");
    }
    if let Some(title) = title(schema).filter(|_| types(schema) != ["object"]) {
        return title.to_owned();
    }
    if !options(schema).is_empty() {
        return "one of its allowed words".into();
    }
    let words: Vec<&str> = types(schema)
        .into_iter()
        .map(|name| match name {
            "string" => "text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "`true` or `false`",
            "array" => "a list",
            _ => "a map",
        })
        .collect();
    if words.is_empty() { "something else".into() } else { words.join(" or ") }
}

pub(crate) fn type_hint(value: &Value, schema: &Value, found: &str) -> Option<String> {
    let types = types(schema);
    let takes = |name: &str| types.contains(&name);
    match value {
        Value::Number(n) if takes("integer") => {
            let whole = n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e15)?;
            Some(format!("write `{whole}`"))
        }
        Value::Number(_) | Value::Bool(_) if takes("string") && options(schema).is_empty() => {
            let text = found.rsplit_once(" `").map_or(found, |(_, number)| number);
            Some(format!("for text, write it in quotes: '{}'", text.trim_matches('`')))
        }
        Value::Array(_) | Value::Object(_) | Value::Null => None,
        scalar if takes("array") => {
            let text = scalar.as_str().map_or_else(|| scalar.to_string(), shortened);
            Some(format!("write `[{text}]`"))
        }
        Value::String(s) if takes("integer") || takes("number") => {
            let digits: String = s.chars().filter(|c| *c != '_' && *c != ' ').collect();
            let number: f64 = digits.parse().ok().filter(|f: &f64| f.is_finite())?;
            Some(format!("write `{number}`"))
        }
        Value::String(s) if takes("boolean") => match s.to_lowercase().as_str() {
            "yes" | "on" | "y" => Some("write `true`".into()),
            "no" | "off" | "n" => Some("write `false`".into()),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn unit_hint(value: &Value, schema: &Value) -> Option<String> {
    let example = schema.get("examples")?.get(0)?.as_str()?;
    let number = match value {
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.trim().trim_end_matches('%').trim_end().to_owned(),
        _ => return None,
    };
    let is_number = number.parse::<f64>().is_ok_and(|f| f.is_finite() && f >= 0.0);
    Some(match example.strip_suffix('%') {
        Some(_) if value.as_f64().is_some_and(|share| share > 0.0 && share < 1.0) => {
            let percent = crate::base::Percent(value.as_f64().unwrap_or_default());
            format!("write `{percent}`, or `{number}%` if you mean that little")
        }
        Some(_) if is_number => format!("write `{number}%`"),
        _ => format!("write it like `{example}`"),
    })
}

/// "between 2 and 10", "at least 2 items", "at most 10".
pub(crate) fn limits(schema: &Value, least: &str, most: &str, unit: &str) -> String {
    match (schema.get(least), schema.get(most)) {
        (Some(a), Some(b)) if a == b => format!("{a}{unit}"),
        (Some(a), Some(b)) => format!("between {a} and {b}{unit}"),
        (Some(a), None) if *a == 1 => format!("at least 1{}", unit.trim_end_matches('s')),
        (Some(a), None) => format!("at least {a}{unit}"),
        (None, Some(b)) => format!("at most {b}{unit}"),
        (None, None) => format!("another number of{unit}"),
    }
}

pub(crate) fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// More names than this are not listed.
const MOST_NAMES: usize = 40;

pub(crate) fn allowed_note(names: &[&str]) -> String {
    match names {
        [] => "allowed: nothing".into(),
        names if names.len() <= MOST_NAMES => format!("allowed: {}", names.join(", ")),
        names => {
            let shown = names[..MOST_NAMES].join(", ");
            format!("allowed: {shown} and {} more", names.len() - MOST_NAMES)
        }
    }
}

pub(crate) fn first_sentence(text: &str) -> String {
    let line = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
    match line.find(". ") {
        Some(end) => line[..=end].to_owned(),
        None => line,
    }
}
