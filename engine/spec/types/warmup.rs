//! How many requests come before those that count.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Requests between the first call and those that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warmup {
    /// As many as it takes until times no longer change.
    Detect,
    Count(u32),
}

impl Serialize for Warmup {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Detect => s.serialize_str("detect"),
            Self::Count(n) => s.serialize_u32(*n),
        }
    }
}

impl<'de> Deserialize<'de> for Warmup {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(d)?;
        match (value.as_str(), value.as_u64()) {
            (Some("detect"), _) => Ok(Self::Detect),
            (_, Some(n @ 0..=1000)) => Ok(Self::Count(n as u32)),
            _ => Err(serde::de::Error::custom("expected `detect` or a number from 0 to 1000")),
        }
    }
}

impl JsonSchema for Warmup {
    fn schema_name() -> Cow<'static, str> {
        "Warmup".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "`detect` or a number from 0 to 1000",
            "description": "`detect`: as many requests as it takes until their times no longer change, within a fifth of a launch's part of `max_time`. A number: exactly so many.",
            "type": ["string", "integer"],
            "pattern": "^detect$",
            "minimum": 0,
            "maximum": 1000,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_survive_a_round_trip() {
        for (written, warmup) in [(json!("detect"), Warmup::Detect), (json!(3), Warmup::Count(3))] {
            assert_eq!(serde_json::from_value::<Warmup>(written.clone()).unwrap(), warmup);
            assert_eq!(serde_json::to_value(warmup).unwrap(), written);
        }
        for wrong in [json!(-1), json!(1001), json!("fixed"), json!(1.5), json!(null)] {
            assert!(serde_json::from_value::<Warmup>(wrong).is_err());
        }
    }
}
