//! The JSON schema of a spec, generated from the types. The only door to schemars' generator.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::types::Spec;

/// The full schema, draft 2020-12.
///
/// `stages` and `metrics` are (id, closed object schema of the parameters, one line for editors).
/// They replace the open placeholders `$defs/Stage` and `$defs/QualityMetric` by maps with exactly
/// one of the ids as key. Several entries of one id differ by their parameter `method`, which then
/// selects what else is allowed. Definitions inside a parameter schema move to the root.
pub fn schema(stages: &[(&str, Value, &str)], metrics: &[(&str, Value, &str)]) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Spec>().to_value();
    let defs = schema
        .as_object_mut()
        .expect("the schema of a struct is an object")
        .entry("$defs")
        .or_insert_with(|| json!({}))
        .as_object_mut()
        .expect("schemars writes definitions as an object");
    let stage = one_key_map("stage", "One optimization: `{stage: {parameters}}`.", stages, defs);
    defs.insert("Stage".into(), stage);
    let metric = one_key_map(
        "quality metric",
        "One quality metric: `{metric: {parameters}}`.",
        metrics,
        defs,
    );
    defs.insert("QualityMetric".into(), metric);
    bound_integers(&mut schema);
    schema
}

fn one_key_map(
    title: &str,
    description: &str,
    entries: &[(&str, Value, &str)],
    defs: &mut Map<String, Value>,
) -> Value {
    let mut properties = Map::new();
    for (id, params, line) in entries {
        let mut params = params.clone();
        if let Some(object) = params.as_object_mut() {
            for generated in ["$schema", "title"] {
                object.shift_remove(generated);
            }
            if let Some(Value::Object(inner)) = object.shift_remove("$defs") {
                for (name, definition) in inner {
                    defs.entry(name).or_insert(definition);
                }
            }
            object.insert("description".into(), (*line).into());
        }
        let joined = match properties.shift_remove(*id) {
            Some(known) => by_method(known, params),
            None => params,
        };
        properties.insert((*id).into(), joined);
    }
    json!({
        "title": title,
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
    })
}

/// The schema that takes what `known` or `other` take, told apart by `method`. Either holds its own
/// methods as the closed set of that parameter.
fn by_method(known: Value, other: Value) -> Value {
    let methods = |schema: &Value| {
        schema.pointer("/properties/method/enum").and_then(Value::as_array).cloned()
    };
    let part = |schema: Value| {
        let method = methods(&schema).and_then(|methods| methods.into_iter().next());
        json!({
            "if": {"properties": {"method": {"const": method}}, "required": ["method"]},
            "then": schema,
        })
    };
    let names: Vec<Value> = [&known, &other].into_iter().filter_map(methods).flatten().collect();
    let mut parts = match known.get("allOf") {
        Some(Value::Array(parts)) => parts.clone(),
        _ => vec![part(known)],
    };
    parts.push(part(other));
    let lines: Vec<String> = parts
        .iter()
        .map(|part| {
            let text = |pointer: &str| part.pointer(pointer).and_then(Value::as_str);
            let method = text("/if/properties/method/const").unwrap_or_default();
            format!("`{method}` {}", text("/then/description").unwrap_or_default())
        })
        .collect();
    json!({
        "description": lines.join("; "),
        "type": "object",
        "properties": {"method": {"description": "Which way; it decides what else can be said.", "enum": names}},
        "required": ["method"],
        "allOf": parts,
    })
}

/// Turns schemars' `format: uint32`, which validators ignore, into the bounds it stands for.
/// Without them the schema would accept numbers that the types cannot hold.
fn bound_integers(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        let limits: Option<(Value, Value)> = match object.get("format").and_then(Value::as_str) {
            Some("uint8") => Some((0.into(), u8::MAX.into())),
            Some("uint16") => Some((0.into(), u16::MAX.into())),
            Some("uint32") => Some((0.into(), u32::MAX.into())),
            Some("uint64" | "uint") => Some((0.into(), u64::MAX.into())),
            Some("int32") => Some((i32::MIN.into(), i32::MAX.into())),
            Some("int64" | "int") => Some((i64::MIN.into(), i64::MAX.into())),
            Some("float" | "double") => {
                object.shift_remove("format");
                None
            }
            _ => None,
        };
        if let Some((least, most)) = limits {
            object.shift_remove("format");
            object.entry("minimum").or_insert(least);
            object.entry("maximum").or_insert(most);
        }
    }
    match schema {
        Value::Object(map) => map.values_mut().for_each(bound_integers),
        Value::Array(items) => items.iter_mut().for_each(bound_integers),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::walk::Walk;

    #[test]
    fn every_property_is_described_and_every_map_of_known_keys_is_closed() {
        fn visit(schema: &Value, root: &Value, path: &str) {
            if path.ends_with("/if") {
                return;
            }
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                // Where `method` selects what is allowed, the parts are closed.
                let no = json!(false);
                let closed = if schema.get("allOf").is_some() { None } else { Some(&no) };
                assert_eq!(schema.get("additionalProperties"), closed, "{path}");
                for (key, property) in properties {
                    let target = || {
                        let any = property.pointer("/anyOf/0").unwrap_or(property);
                        let name = any.get("$ref")?.as_str()?.strip_prefix('#')?;
                        root.pointer(name)?.get("description")
                    };
                    let described = property.get("description").or_else(target);
                    assert!(described.is_some(), "{path}/{key} has no description");
                }
            }
            match schema {
                Value::Object(map) => {
                    map.iter().for_each(|(k, v)| visit(v, root, &format!("{path}/{k}")));
                }
                Value::Array(items) => items.iter().for_each(|v| visit(v, root, path)),
                _ => {}
            }
        }
        let schema = crate::spec::tests::sample_schema();
        visit(&schema, &schema, "");
    }

    #[test]
    fn stages_of_one_id_are_told_apart_by_their_method() {
        let stage = |method: &str, key: &str| {
            json!({"type": "object", "additionalProperties": false, "required": ["method", key],
                   "properties": {"method": {"enum": [method]}, key: {"type": "integer"}}})
        };
        let stages = [
            ("q", stage("a", "x"), "one"),
            ("q", stage("b", "y"), "two"),
            ("q", stage("c", "z"), "three"),
        ];
        let schema = schema(&stages, &[]);
        let told = |params: Value| {
            let value = json!({"version": 1, "name": "t", "why": "w", "model": {"source": "file://m"},
                               "variants": {"v": {"stages": [{"q": params}]}}});
            let file = std::path::Path::new("t.yaml");
            let locator = crate::spec::locate::Locator::read(&value.to_string(), file).unwrap();
            let validator = crate::spec::validate::Validator::new(&schema).unwrap();
            let problems = validator.validate(&value, &locator);
            problems.0.into_iter().map(|p| (p.code, p.notes.join(" "))).collect::<Vec<_>>()
        };
        assert!(told(json!({"method": "b", "y": 1})).is_empty());
        let wrong = told(json!({"method": "b", "y": 1, "x": 1}));
        assert_eq!(wrong, [("spec/unknown-key", "allowed: method, y".to_owned())]);
        let wrong = told(json!({"method": "d", "y": 1}));
        assert_eq!(wrong, [("spec/unknown-value", "allowed: a, b, c".to_owned())]);
        assert_eq!(told(json!({"method": "c", "z": "1"}))[0].0, "spec/wrong-type");
        assert_eq!(told(json!({"z": 1})).len(), 1);
    }

    #[test]
    fn stages_join_the_schema_as_closed_one_key_maps() {
        let inner = json!({"type": "object", "title": "T", "$schema": "x",
            "properties": {"a": {"$ref": "#/$defs/Inner"}}, "$defs": {"Inner": {"type": "string"}}});
        let schema = schema(&[("pass", inner, "does it")], &[]);
        let stage = Walk { root: &schema, value: &Value::Null }.at("/variants/v/stages/0").unwrap();
        assert_eq!(stage["properties"]["pass"]["description"], "does it");
        assert_eq!(stage["properties"]["pass"].get("title"), None);
        assert_eq!(stage["additionalProperties"], false);
        assert_eq!(schema["$defs"]["Inner"]["type"], "string");
        let batch = Walk { root: &schema, value: &Value::Null }.at("/gates/0/on/batch").unwrap();
        assert_eq!(batch["maximum"], u32::MAX);
    }
}
