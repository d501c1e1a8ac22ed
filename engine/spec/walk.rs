//! The JSON schema seen from one value: what is allowed there.
//!
//! Knows the few forms that schemars generates for the spec's types: references, optional values
//! as `anyOf` with `null` or as a list of types, and closed sets as `enum`, `const` or `oneOf`.
//! Where the value's `method` decides what else is allowed, the value is looked at too.

use serde_json::Value;

use super::locate::segments;

/// Follows more references than a sane schema chains, and no endless ones.
const MOST_HOPS: usize = 16;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub root: &'a Value,
    /// The document; `Value::Null` when there is none.
    pub value: &'a Value,
}

impl<'a> Walk<'a> {
    /// The schema that applies to the value at `pointer`, without its reference and without
    /// `null`. `None` below unknown keys.
    pub fn at(self, pointer: &str) -> Option<&'a Value> {
        let mut value = Some(self.value);
        let mut schema = chosen(self.resolved(self.root), value);
        for segment in segments(pointer) {
            value = value.and_then(|value| match value {
                Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
                other => other.get(&segment),
            });
            schema = chosen(self.step(schema, &segment)?, value);
        }
        Some(schema)
    }

    /// The schema of one key or item of a value with `schema`.
    pub fn step(self, schema: &'a Value, segment: &str) -> Option<&'a Value> {
        let open = || schema.get("additionalProperties").filter(|s| s.is_object());
        let items = || schema.get("items").filter(|_| segment.parse::<usize>().is_ok());
        let next =
            schema.get("properties").and_then(|p| p.get(segment)).or_else(open).or_else(items)?;
        Some(self.resolved(next))
    }

    fn resolved(self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..MOST_HOPS {
            let target = schema
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| self.root.pointer(reference.strip_prefix('#')?));
            let branch = || {
                let branches = schema.get("anyOf")?.as_array()?;
                branches.iter().find(|b| b.get("type") != Some(&"null".into()))
            };
            match target.or_else(branch) {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }
}

/// Of a `schema` whose `method` selects what else is allowed, the part for the method of `value`.
pub(crate) fn chosen<'a>(schema: &'a Value, value: Option<&Value>) -> &'a Value {
    let part = || {
        let method = value?.get("method")?;
        let parts = schema.get("allOf")?.as_array()?;
        let same = |part: &&Value| part.pointer("/if/properties/method/const") == Some(method);
        parts.iter().find(same)?.get("then")
    };
    part().unwrap_or(schema)
}

/// The names of the JSON types that `schema` takes, `null` left out. Empty when it takes all.
pub(crate) fn types(schema: &Value) -> Vec<&str> {
    let names: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    names.into_iter().filter(|name| *name != "null").collect()
}

/// The words of a closed set; empty when `schema` is none. A pattern that lists plain words,
/// such as `^(physical|logical)$`, is a closed set too.
pub(crate) fn options(schema: &Value) -> Vec<&str> {
    let consts = |key: &str| {
        let branches = schema.get(key).and_then(Value::as_array).into_iter().flatten();
        branches.flat_map(options).collect::<Vec<_>>()
    };
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().filter_map(Value::as_str).collect();
    }
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return vec![word];
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        let words = pattern.strip_prefix("^(").and_then(|p| p.strip_suffix(")$")).unwrap_or("");
        let plain = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        return if words.split('|').all(plain) { words.split('|').collect() } else { Vec::new() };
    }
    consts("oneOf")
}

/// The keys of a closed map, in the order of the schema.
pub(crate) fn keys(schema: &Value) -> Vec<&str> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Is a value with `schema` a map with exactly one key, such as a stage? Then what its key names.
pub(crate) fn one_key(schema: &Value) -> Option<&str> {
    let exactly = |key: &str| schema.get(key).and_then(Value::as_u64) == Some(1);
    if !exactly("minProperties") || !exactly("maxProperties") {
        return None;
    }
    Some(schema.get("title").and_then(Value::as_str).unwrap_or("thing"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_and_optional_values_lead_to_what_is_allowed() {
        let schema = json!({
            "properties": {
                "a": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]},
                "m": {"additionalProperties": {"type": ["integer", "null"]}},
            },
            "$defs": {"A": {"properties": {"list": {"items": {"enum": ["x", "y"]}}}}},
        });
        let walk = Walk { root: &schema, value: &Value::Null };
        assert_eq!(keys(walk.at("/a").unwrap()), ["list"]);
        assert_eq!(options(walk.at("/a/list/3").unwrap()), ["x", "y"]);
        assert_eq!(types(walk.at("/m/any").unwrap()), ["integer"]);
        assert!(walk.at("/b").is_none());
        assert!(walk.at("/a/list/x").is_none());
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"$ref": "#"});
        assert!(Walk { root: &schema, value: &Value::Null }.at("/a").is_none());
    }

    #[test]
    fn the_method_of_a_value_selects_its_keys() {
        let part = |method: &str, key: &str| {
            json!({"if": {"properties": {"method": {"const": method}}},
                   "then": {"properties": {"method": {}, key: {}}}})
        };
        let schema = json!({"properties": {"q": {
            "properties": {"method": {}}, "allOf": [part("a", "x"), part("b", "y")]}}});
        let told = |value: &Value| {
            let at = Walk { root: &schema, value }.at("/q").unwrap();
            keys(at).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(told(&json!({"q": {"method": "b"}})), ["method", "y"]);
        assert_eq!(told(&json!({"q": {"method": "c"}})), ["method"]);
        assert_eq!(told(&json!({"q": {}})), ["method"]);
    }

    #[test]
    fn closed_sets_are_found_in_all_their_forms() {
        assert_eq!(options(&json!({"pattern": "^(physical|logical)$"})), ["physical", "logical"]);
        assert_eq!(options(&json!({"oneOf": [{"const": "a"}, {"const": "b"}]})), ["a", "b"]);
        assert!(options(&json!({"pattern": "^[0-9]+(ms|s)$"})).is_empty());
        assert!(options(&json!({"pattern": "^(file|hf)://.+$"})).is_empty());
    }
}
