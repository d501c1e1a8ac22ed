//! The JSON schema of a spec, generated from the types. The only door to schemars' generator.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::types::Spec;

/// The full schema, draft 2020-12.
///
/// `stages` and `metrics` are (id, closed object schema of the parameters, one line for editors).
/// They replace the open placeholders `$defs/Stage` and `$defs/QualityMetric` by maps with exactly
/// one of the ids as key. Definitions inside a parameter schema move to the root.
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
        properties.insert((*id).into(), params);
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
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                assert_eq!(schema.get("additionalProperties"), Some(&json!(false)), "{path}");
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
    fn stages_join_the_schema_as_closed_one_key_maps() {
        let inner = json!({"type": "object", "title": "T", "$schema": "x",
            "properties": {"a": {"$ref": "#/$defs/Inner"}}, "$defs": {"Inner": {"type": "string"}}});
        let schema = schema(&[("pass", inner, "does it")], &[]);
        let stage = Walk { root: &schema }.at("/variants/v/stages/0").unwrap();
        assert_eq!(stage["properties"]["pass"]["description"], "does it");
        assert_eq!(stage["properties"]["pass"].get("title"), None);
        assert_eq!(stage["additionalProperties"], false);
        assert_eq!(schema["$defs"]["Inner"]["type"], "string");
        let batch = Walk { root: &schema }.at("/gates/0/on/batch").unwrap();
        assert_eq!(batch["maximum"], u32::MAX);
    }
}
