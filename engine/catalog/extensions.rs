//! What a program around the engine adds to it, checked before anything runs.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::Value;

use crate::model::family::{self, Family};
use crate::model::{self, random};
use crate::pass::{self, Pass};

/// Families and passes of one's own. They are known by their names to everything that knows the
/// engine's own: specs and their schema, plans, `engine list`, `random://`, keys.
#[derive(Clone, Copy, Default)]
pub struct Extensions {
    pub families: &'static [&'static dyn Family],
    pub passes: &'static [&'static dyn Pass],
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    #[error("there is {what} `{name}` already")]
    Taken { what: &'static str, name: String },
    #[error("{what} cannot be called `{name}`")]
    Name { what: &'static str, name: String },
    #[error("the parameters of pass `{pass}` {fault}")]
    Params { pass: &'static str, fault: String },
    #[error("extensions were added before")]
    Twice,
}

impl ExtensionError {
    /// The way out.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "choose another name; `engine list` shows those that are taken",
            Self::Name { .. } => "use lowercase letters, digits, `_`, `-` and `.`, a letter first",
            Self::Params { .. } => {
                "give a JSON schema of an object with `properties`, each with a `description`, and `\"additionalProperties\": false`"
            }
            Self::Twice => "name everything in one call at the start of `main`",
        }
    }
}

impl Extensions {
    /// Adds everything to the lists of this process, once, before anything else of the engine is
    /// used. [`crate::run_with`] does it; programs that use the library do it themselves.
    ///
    /// # Errors
    /// The first thing that cannot be added; nothing is added then.
    pub fn register(&self) -> Result<(), ExtensionError> {
        static DONE: OnceLock<()> = OnceLock::new();
        DONE.set(()).map_err(|()| ExtensionError::Twice)?;
        self.check()?;
        let added = family::add(self.families) && pass::add(self.passes);
        if added { Ok(()) } else { Err(ExtensionError::Twice) }
    }

    /// Whether names are new and sound, and parameters described.
    fn check(&self) -> Result<(), ExtensionError> {
        let mut ids: BTreeSet<&str> = family::families().map(Family::id).collect();
        ids.extend(model::ARCHITECTURES);
        let mut types: BTreeSet<&str> = model::model_types().into_iter().collect();
        let mut names: BTreeSet<&str> = random::names().collect();
        for family in self.families {
            claim(&mut ids, "a family", family.id())?;
            for model_type in family.model_types() {
                claim(&mut types, "a family for the `model_type`", model_type)?;
            }
            for (name, _) in family.catalog() {
                claim(&mut names, "a random model", name)?;
            }
        }
        let mut known: Vec<&dyn Pass> = pass::passes().collect();
        for &pass in self.passes {
            sound("a pass", pass.id())?;
            let same = |other: &&&dyn Pass| {
                other.id() == pass.id()
                    && (other.method() == pass.method()
                        || other.method().is_none()
                        || pass.method().is_none())
            };
            if known.iter().any(|other| same(&other)) {
                let method = pass.method().map(|method| format!(", method {method}"));
                let name = format!("{}{}", pass.id(), method.unwrap_or_default());
                return Err(ExtensionError::Taken { what: "a pass", name });
            }
            let params = described(pass.method(), &pass.params());
            params.map_err(|fault| ExtensionError::Params { pass: pass.id(), fault })?;
            known.push(pass);
        }
        Ok(())
    }
}

/// Takes `name` if it is sound and free.
fn claim<'a>(
    taken: &mut BTreeSet<&'a str>,
    what: &'static str,
    name: &'a str,
) -> Result<(), ExtensionError> {
    sound(what, name)?;
    if taken.insert(name) {
        return Ok(());
    }
    Err(ExtensionError::Taken { what, name: name.to_owned() })
}

/// Names stand in specs, file names and addresses.
fn sound(what: &'static str, name: &str) -> Result<(), ExtensionError> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(inner) {
        return Ok(());
    }
    Err(ExtensionError::Name { what, name: name.to_owned() })
}

/// What the schema of a pass's parameters lacks to join that of the language.
fn described(method: Option<&str>, params: &Value) -> Result<(), String> {
    let Some(properties) = params.get("properties").and_then(Value::as_object) else {
        return Err("have no `properties`".to_owned());
    };
    if params["type"] != "object" || params["additionalProperties"] != false {
        return Err("are no closed object".to_owned());
    }
    if let Some(method) = method
        && params["properties"]["method"]["enum"] != serde_json::json!([method])
    {
        return Err(format!("have no `method` that is `{method}` only"));
    }
    match properties.iter().find(|(_, property)| !property["description"].is_string()) {
        Some((name, _)) => Err(format!("say nothing about `{name}`")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::family::{ConfigFile, Description};
    use crate::model::{Kind, ModelError};
    use crate::pass::{PassError, PassJob, PassNotes};

    /// A family with an id, a `model_type` and a name for `random://`.
    struct Named(&'static str, &'static [&'static str], &'static str);

    impl Family for Named {
        fn id(&self) -> &'static str {
            self.0
        }

        fn about(&self) -> &'static str {
            "for tests"
        }

        fn model_types(&self) -> &'static [&'static str] {
            self.1
        }

        fn read(&self, config: &ConfigFile<'_>) -> Result<Description, ModelError> {
            Err(config.fields.fault("model_type", "is for tests"))
        }

        fn catalog(&self) -> Vec<(&'static str, Value)> {
            vec![(self.2, json!({"model_type": self.1[0]}))]
        }
    }

    /// A pass with an id, a method and the schema of its parameters as text.
    struct Told(&'static str, Option<&'static str>, &'static str);

    const CLOSED: &str = r#"{"type": "object", "properties": {"a": {"description": "of a"}},
        "additionalProperties": false}"#;
    const METHOD: &str = r#"{"type": "object", "additionalProperties": false,
        "properties": {"method": {"description": "which", "enum": ["mine"]}}}"#;

    impl Pass for Told {
        fn id(&self) -> &'static str {
            self.0
        }

        fn method(&self) -> Option<&'static str> {
            self.1
        }

        fn epoch(&self) -> u32 {
            1
        }

        fn about(&self) -> &'static str {
            "for tests"
        }

        fn params(&self) -> Value {
            serde_json::from_str(self.2).expect("JSON")
        }

        fn takes(&self, kind: Kind) -> Result<Kind, String> {
            Ok(kind)
        }

        fn apply(&self, _: &PassJob<'_>) -> Result<PassNotes, PassError> {
            Err(PassError::Unfit("for tests".to_owned()))
        }
    }

    fn families(families: &'static [&'static dyn Family]) -> String {
        let extensions = Extensions { families, passes: &[] };
        extensions.check().map_or_else(|error| error.to_string(), |()| "sound".to_owned())
    }

    fn passes(passes: &'static [&'static dyn Pass]) -> String {
        let extensions = Extensions { families: &[], passes };
        extensions.check().map_or_else(|error| error.to_string(), |()| "sound".to_owned())
    }

    #[test]
    fn names_of_families_are_taken_once() {
        assert_eq!(families(&[&Named("bag", &["bag"], "bag-tiny")]), "sound");
        let found = families(&[&Named("bert", &["bag"], "bag-tiny")]);
        assert_eq!(found, "there is a family `bert` already");
        let found = families(&[&Named("llama", &["bag"], "bag-tiny")]);
        assert_eq!(found, "there is a family `llama` already");
        let found = families(&[&Named("bag", &["roberta"], "bag-tiny")]);
        assert_eq!(found, "there is a family for the `model_type` `roberta` already");
        let found = families(&[&Named("bag", &["bag"], "llama-tiny")]);
        assert_eq!(found, "there is a random model `llama-tiny` already");
        let found = families(&[&Named("a", &["a"], "n"), &Named("b", &["b"], "n")]);
        assert_eq!(found, "there is a random model `n` already");
        let found = families(&[&Named("My bag", &["bag"], "bag-tiny")]);
        assert_eq!(found, "a family cannot be called `My bag`");
    }

    #[test]
    fn ids_of_passes_are_taken_once_and_their_parameters_are_described() {
        assert_eq!(passes(&[&Told("round", None, CLOSED)]), "sound");
        assert_eq!(passes(&[&Told("quantize", Some("mine"), METHOD)]), "sound");
        let found = passes(&[&Told("cast", None, CLOSED)]);
        assert_eq!(found, "there is a pass `cast` already");
        let found = passes(&[&Told("quantize", None, CLOSED)]);
        assert_eq!(found, "there is a pass `quantize` already");
        let found = passes(&[&Told("quantize", Some("gguf"), METHOD)]);
        assert_eq!(found, "there is a pass `quantize, method gguf` already");
        let found = passes(&[&Told("round", None, CLOSED), &Told("round", None, CLOSED)]);
        assert_eq!(found, "there is a pass `round` already");
        for (method, schema, fault) in [
            (None, "{}", "have no `properties`"),
            (None, r#"{"type": "object", "properties": {}}"#, "are no closed object"),
            (Some("yours"), METHOD, "have no `method` that is `yours` only"),
            (
                None,
                r#"{"type": "object", "properties": {"a": {}}, "additionalProperties": false}"#,
                "say nothing about `a`",
            ),
        ] {
            let schema = serde_json::from_str(schema).unwrap();
            assert_eq!(described(method, &schema), Err(fault.to_owned()));
        }
    }
}
