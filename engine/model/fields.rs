//! Fields of a `config.json`, each bounded or refused with its name.

use std::path::Path;

use serde_json::{Map, Value};

use super::{ModelError, shown};

/// Largest values, each a multiple of what the largest published decoder has.
pub(crate) const SIZE_LIMIT: usize = 1 << 20;
pub(crate) const LAYER_LIMIT: usize = 1 << 10;
pub(crate) const VOCAB_LIMIT: usize = 1 << 24;
pub(crate) const CONTEXT_LIMIT: usize = 1 << 27;

/// The object of a `config.json`, read field by field. A `null` counts as absent, as it does for
/// transformers.
pub struct Fields<'a> {
    pub path: &'a Path,
    pub map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub fn fault(&self, field: &str, what: impl Into<String>) -> ModelError {
        let (path, field) = (self.path.to_owned(), field.to_owned());
        ModelError::Config { path, field, what: what.into() }
    }

    pub fn get(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// What is found instead, short enough for a message.
    pub fn found(value: &Value) -> String {
        shown(&value.to_string())
    }

    pub fn size(&self, field: &str, limit: usize) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| (1..=limit).contains(n))
            .map(Some)
            .ok_or_else(|| {
                let found = Self::found(value);
                self.fault(field, format!("must be an integer from 1 to {limit}, found {found}"))
            })
    }

    pub fn needed(&self, field: &str, limit: usize) -> Result<usize, ModelError> {
        self.size(field, limit)?.ok_or_else(|| self.fault(field, "is missing"))
    }

    pub fn number(&self, field: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let number = value.as_f64().filter(|x| x.is_finite());
        let fault = || self.fault(field, format!("must be a number, found {}", Self::found(value)));
        number.map(Some).ok_or_else(fault)
    }

    pub fn flag(&self, field: &str) -> Result<bool, ModelError> {
        let Some(value) = self.get(field) else { return Ok(false) };
        let fault = || format!("must be true or false, found {}", Self::found(value));
        value.as_bool().ok_or_else(|| self.fault(field, fault()))
    }

    pub fn text(&self, field: &str) -> Result<Option<&'a str>, ModelError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let fault = || self.fault(field, format!("must be text, found {}", Self::found(value)));
        value.as_str().map(Some).ok_or_else(fault)
    }

    /// A token or a list of at most 64 tokens.
    pub fn tokens(&self, field: &str) -> Result<Vec<u32>, ModelError> {
        let Some(value) = self.get(field) else { return Ok(Vec::new()) };
        token_ids(value).ok_or_else(|| {
            let found = Self::found(value);
            self.fault(field, format!("must be a token id or a list of at most 64, found {found}"))
        })
    }

    /// Refuses weights that are stored in somebody else's quantized form.
    pub fn refuse_quantized(&self) -> Result<(), ModelError> {
        if let Some(quantization) = self.get("quantization_config") {
            let method = quantization.get("quant_method").and_then(Value::as_str).unwrap_or("some");
            let what = format!("asks for `{}` weights, supported are floats", shown(method));
            return Err(self.fault("quantization_config", what));
        }
        Ok(())
    }
}

/// One token id or a list of at most 64.
pub(crate) fn token_ids(value: &Value) -> Option<Vec<u32>> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(list) if list.len() <= 64 => list.iter().map(id).collect(),
        other => id(other).map(|id| vec![id]),
    }
}
