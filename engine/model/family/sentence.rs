//! What sentence-transformers' files beside a `config.json` say: how the vectors of a text's
//! tokens become one, and how long a text may be.
//!
//! Source: `modules.json`, `1_Pooling/config.json` and `sentence_bert_config.json` as releases 2 to
//! 6 write them. Only what an encoder can do in its network is known; everything else is refused,
//! because it would compute other vectors.

use serde_json::Value;

use super::describe::ConfigFile;
use crate::model::fields::{CONTEXT_LIMIT, Fields};
use crate::model::{ModelError, shown};

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pooling {
    First,
    Mean,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sentence {
    pub pooling: Pooling,
    /// Vectors are divided by their length.
    pub normalized: bool,
    /// Longest text in tokens, special ones included, where a file says so.
    pub most: Option<usize>,
    /// What was taken for granted.
    pub assumed: Vec<String>,
}

const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling";

/// Modules in the order in which they may follow each other, the last only where it is wanted.
const KNOWN: &[&str] = &["Transformer", "Pooling", "Normalize"];

impl Sentence {
    /// Reads the files beside `config`; mean and normalized where there is no `modules.json`.
    pub fn read(config: &ConfigFile<'_>) -> Result<Self, ModelError> {
        let most = longest(config)?;
        let Some(modules) = (config.beside)(MODULES)? else {
            let assumed = vec![format!(
                "there is no `{MODULES}` beside the model: the mean of a text's vectors, divided by its length, is taken for its embedding"
            )];
            return Ok(Self { pooling: Pooling::Mean, normalized: true, most, assumed });
        };
        let fault = |field: String, what: String| ModelError::Config {
            path: config.fields.path.with_file_name(MODULES),
            field,
            what,
        };
        let list = modules.as_array().filter(|list| list.len() <= 64);
        let list = list.ok_or_else(|| fault("[]".into(), "must be a list of modules".into()))?;
        for (at, module) in list.iter().enumerate() {
            let text = |key: &str| {
                module.get(key).and_then(Value::as_str).ok_or_else(|| {
                    fault(format!("[{at}].{key}"), "is missing or no text".to_owned())
                })
            };
            let (kind, folder) = (text("type")?, text("path")?);
            let own = kind.starts_with("sentence_transformers.");
            let name = kind.rsplit('.').next().filter(|_| own);
            if name.is_none() || name != KNOWN.get(at).copied() {
                let what = format!(
                    "is `{}`, supported are {}, in this order",
                    shown(kind),
                    KNOWN.join(", ")
                );
                return Err(fault(format!("[{at}].type"), what));
            }
            let wanted = [Some(""), Some(POOLING), None][at];
            if wanted.is_some_and(|wanted| folder != wanted) {
                let wanted = wanted.unwrap_or_default();
                let what = format!("is `{}`, supported is `{wanted}`", shown(folder));
                return Err(fault(format!("[{at}].path"), what));
            }
        }
        if list.len() < 2 {
            return Err(fault("[1]".into(), "is missing; a text's vectors must be pooled".into()));
        }
        let (pooling, normalized) = (pooling(config)?, list.len() == KNOWN.len());
        Ok(Self { pooling, normalized, most, assumed: Vec::new() })
    }
}

/// Reads a file beside `config` as an object, if it exists.
fn beside<T>(
    config: &ConfigFile<'_>,
    name: &str,
    read: impl FnOnce(Fields<'_>) -> Result<T, ModelError>,
) -> Result<Option<T>, ModelError> {
    let Some(value) = (config.beside)(name)? else { return Ok(None) };
    let path = config.fields.path.with_file_name(name);
    let Some(map) = value.as_object() else {
        let what = "is not a JSON object".to_owned();
        return Err(ModelError::Layout { path, what, advice: None });
    };
    read(Fields { path: &path, map }).map(Some)
}

/// `max_seq_length`, and where it is left out what the tokenizer says.
fn longest(config: &ConfigFile<'_>) -> Result<Option<usize>, ModelError> {
    let own = beside(config, "sentence_bert_config.json", |fields| {
        fields.size("max_seq_length", CONTEXT_LIMIT)
    })?;
    if let Some(Some(most)) = own {
        return Ok(Some(most));
    }
    let of_tokenizer = beside(config, "tokenizer_config.json", |fields| {
        // A number beyond all contexts stands for none.
        match fields.number("model_max_length")? {
            Some(most) if most < 1.0 => {
                Err(fields.fault("model_max_length", format!("must be at least 1, found {most}")))
            }
            most => Ok(most.filter(|&most| most <= CONTEXT_LIMIT as f64)),
        }
    })?;
    Ok(of_tokenizer.flatten().map(|most| most as usize))
}

/// One mode, as a word (from release 6 on) or as the one flag that is set.
fn pooling(config: &ConfigFile<'_>) -> Result<Pooling, ModelError> {
    const FLAG: &str = "pooling_mode_";
    let file = format!("{POOLING}/config.json");
    let supported = "supported is one of mean, cls";
    let read = |fields: Fields<'_>| {
        if let Some(word) = fields.text("pooling_mode")? {
            return match word {
                "mean" => Ok(Pooling::Mean),
                "cls" => Ok(Pooling::First),
                other => {
                    Err(fields.fault("pooling_mode", format!("is `{}`, {supported}", shown(other))))
                }
            };
        }
        let mut set = Vec::new();
        for name in fields.map.keys().filter(|name| name.starts_with(FLAG)) {
            if fields.flag(name)? {
                set.push(&name[FLAG.len()..]);
            }
        }
        match set[..] {
            ["mean_tokens"] => Ok(Pooling::Mean),
            ["cls_token"] => Ok(Pooling::First),
            _ => {
                let found = if set.is_empty() { "nothing".to_owned() } else { set.join(", ") };
                Err(fields.fault("pooling_mode", format!("is {}, {supported}", shown(&found))))
            }
        }
    };
    beside(config, &file, read)?.ok_or_else(|| ModelError::Layout {
        path: config.fields.path.with_file_name(&file),
        what: format!("is missing, and `{MODULES}` names it"),
        advice: None,
    })
}
