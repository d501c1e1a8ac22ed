//! Recipes: every fact an artifact depends on, and the key they make together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Reason;
use crate::base::Digest;

/// Raised when keys of old stores must not match any more.
const KEY_FORMAT: u32 = 1;

/// All that decides the content of an artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The stage and its parameters as a JSON object. Key order does not matter.
    pub facts: Value,
    /// The artifacts it starts from. Their order matters.
    pub inputs: Vec<Input>,
    /// Raised by the author of a stage when its output changes for the same facts.
    pub epoch: u32,
    /// Versions of the libraries that compute the output, by name.
    pub versions: BTreeMap<String, String>,
}

/// One artifact a recipe starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The step that made it. Names it in explanations and is no part of the key, so that equal
    /// work is shared between specs that call it differently.
    pub step: String,
    pub digest: Digest,
}

impl Recipe {
    /// The key under which the output is found again.
    pub fn key(&self) -> Digest {
        let inputs: Vec<_> = self.inputs.iter().map(|input| input.digest.hex()).collect();
        Digest::of_json(&json!({
            "format": KEY_FORMAT,
            "facts": self.facts,
            "inputs": inputs,
            "epoch": self.epoch,
            "versions": self.versions,
        }))
    }

    /// Why this recipe is not `last`: the first difference in the order facts, epoch, versions,
    /// inputs. `None` when both have the same key.
    pub(super) fn difference(&self, last: &Self) -> Option<Reason> {
        let own = |recipe: &Self| json!({"epoch": recipe.epoch, "versions": recipe.versions});
        let mut changes = Vec::new();
        compare("", Some(&last.facts), Some(&self.facts), &mut changes);
        compare("", Some(&own(last)), Some(&own(self)), &mut changes);
        if !changes.is_empty() {
            let more = changes.len() - 1;
            let (field, old, new) = changes.swap_remove(0);
            return Some(Reason::RecipeChanged { field, old, new, more });
        }
        let digest = |recipe: &Self, i: usize| recipe.inputs.get(i).map(|input| input.digest);
        let len = self.inputs.len().max(last.inputs.len());
        let changed = (0..len).find(|&i| digest(self, i) != digest(last, i))?;
        let input = self.inputs.get(changed).or(last.inputs.get(changed))?;
        Some(Reason::InputChanged { step: input.step.clone() })
    }
}

type Change = (String, Option<Value>, Option<Value>);

/// Collects the leaves that differ, keys in sorted order, list elements by number.
fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<Change>) {
    let below = |name: &str| if path.is_empty() { name.into() } else { format!("{path}.{name}") };
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut names: Vec<_> = old.keys().chain(new.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                compare(&below(name), old.get(name), new.get(name), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for i in 0..old.len().max(new.len()) {
                compare(&below(&i.to_string()), old.get(i), new.get(i), changes);
            }
        }
        (old, new) if old == new => {}
        (old, new) => changes.push((path.to_owned(), old.cloned(), new.cloned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recipe(facts: Value) -> Recipe {
        let versions = [("candle-core".to_owned(), "0.11.0".to_owned())].into();
        let input = |step: &str| Input { step: step.into(), digest: Digest::of_bytes(b"model") };
        Recipe { facts, inputs: vec![input("load"), input("calibrate")], epoch: 3, versions }
    }

    #[test]
    fn every_field_but_the_step_name_changes_the_key() {
        let base = recipe(json!({"pass": "cast", "params": {"dtype": "f16"}}));
        let mut others = vec![base.clone(); 6];
        others[0].facts["params"]["dtype"] = json!("bf16");
        others[1].epoch = 4;
        others[2].versions.insert("candle-core".into(), "0.12.0".into());
        others[3].versions.insert("half".into(), "2".into());
        others[4].inputs[1].digest = Digest::of_bytes(b"other");
        others[5].inputs.truncate(1);
        let fields = ["`params.dtype`", "`epoch`", "`versions.candle-core`", "`versions.half`"];
        for (i, other) in others.iter().enumerate() {
            assert_ne!(other.key(), base.key(), "change {i}");
            let words = other.difference(&base).unwrap().to_string();
            assert!(words.contains(fields.get(i).unwrap_or(&"`calibrate`")), "{i}: {words}");
        }
        let mut renamed = base.clone();
        renamed.inputs[0].step = "fetch".into();
        assert_eq!(renamed.key(), base.key());
        assert_eq!(renamed.difference(&base), None);
    }

    #[test]
    fn the_first_changed_leaf_is_named_and_the_others_are_counted() {
        let old = recipe(json!({"chain": [{"bits": 8}, {"bits": 4}], "a": 1}));
        let new = recipe(json!({"chain": [{"bits": 8}, {"bits": 5}, 7], "a": 1, "b": 2}));
        let Some(Reason::RecipeChanged { field, old, new, more }) = new.difference(&old) else {
            panic!("a change of facts");
        };
        assert_eq!((field.as_str(), more), ("b", 2));
        assert_eq!((old, new), (None, Some(json!(2))));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\é]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-d]{1,2}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn reversed(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                Value::Object(map.iter().rev().map(|(k, v)| (k.clone(), reversed(v))).collect())
            }
            Value::Array(items) => items.iter().map(reversed).collect(),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn key_order_never_matters(facts in any_json()) {
            let (one, other) = (recipe(facts.clone()), recipe(reversed(&facts)));
            prop_assert_eq!(one.key(), other.key());
            prop_assert_eq!(one.difference(&other), None);
        }

        #[test]
        fn different_facts_have_different_keys_and_a_named_difference(
            a in any_json(), b in any_json(),
        ) {
            let (one, other) = (recipe(a.clone()), recipe(b.clone()));
            prop_assert_eq!(one.key() == other.key(), a == b);
            prop_assert_eq!(one.difference(&other).is_none(), a == b);
        }
    }
}
