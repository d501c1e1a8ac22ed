//! Where inputs come from: what decides them, for jobs and for keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::Digest;
use crate::data::TextChoice;

/// Where inputs come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Origin {
    /// Made by the rules of the ports.
    Synthetic,
    Recorded(RecordedFile),
    /// Made from texts by the tokenizer that lies beside the model.
    Texts(TextFile),
    /// Made from pictures as the configuration beside the model says.
    Pictures(PictureFile),
}

/// Where recorded tensors are, and which of them are used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedFile {
    pub path: PathBuf,
    pub digest: Digest,
    /// The folder at the top that is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Length of the windows that sound is cut into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    pub take: Option<u64>,
    pub seed: Option<u64>,
}

impl RecordedFile {
    /// What it holds and which part of it is used, for keys: not where it lies.
    pub fn facts(&self) -> Value {
        let mut facts = json!({"digest": self.digest, "take": self.take, "seed": self.seed});
        add(&mut facts, "samples", self.samples.map(Value::from));
        facts
    }
}

/// Facts that came later are only told where they say something, so that other keys stay.
fn add(facts: &mut Value, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        facts[name] = value;
    }
}

/// Texts, and how they become inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFile {
    pub path: PathBuf,
    pub digest: Digest,
    /// Of each JSON line.
    pub field: String,
    /// The field of what belongs to a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// Only lines that name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    pub take: Option<u64>,
    pub seed: Option<u64>,
    /// Every text is cut and padded to this many tokens; each has its own length where absent.
    pub length: Option<usize>,
    /// Most tokens of a text.
    pub most: usize,
}

impl TextFile {
    /// Which texts of the file are read.
    pub fn choice(&self) -> TextChoice<'_> {
        TextChoice {
            field: &self.field,
            pair: self.pair.as_deref(),
            split: self.split.as_deref(),
            take: self.take,
            seed: self.seed,
        }
    }
}

/// Pictures, and which of them are used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureFile {
    pub path: PathBuf,
    pub digest: Digest,
    /// Of sizes and times of the files when they were digested: launches compare these, and read
    /// no picture but those they use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Digest>,
    /// The file of labels, for an idx file of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// Only pictures of this split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Of each JSON line or row: the picture, its class and its text.
    pub image: String,
    pub label: Option<String>,
    pub field: Option<String>,
    pub take: Option<u64>,
    pub seed: Option<u64>,
    /// Names of pictures that were found to be of no use, so that nobody has to find out again.
    pub left_out: Vec<String>,
}

impl PictureFile {
    /// All pictures of `path` by the usual names of columns; nothing has been looked at.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            digest: Digest::of_bytes(&[]),
            stamp: None,
            labels: None,
            split: None,
            image: "image".to_owned(),
            label: None,
            field: None,
            take: None,
            seed: None,
            left_out: Vec::new(),
        }
    }
}

/// The package that turns texts into tokens, with its version.
pub fn tokenizer_version() -> [(String, String); 1] {
    [("tokenizers".to_owned(), env!("ENGINE_TOKENIZERS_VERSION").to_owned())]
}

impl Origin {
    /// What decides the inputs, for keys: not where it lies. Null for synthetic ones.
    pub fn facts(&self) -> Value {
        match self {
            Self::Synthetic => Value::Null,
            Self::Recorded(file) => file.facts(),
            Self::Texts(file) => {
                let mut facts = json!({
                    "texts": file.digest, "field": file.field, "take": file.take,
                    "seed": file.seed, "length": file.length, "most": file.most,
                });
                add(&mut facts, "pair", file.pair.clone().map(Value::from));
                add(&mut facts, "split", file.split.clone().map(Value::from));
                facts
            }
            Self::Pictures(file) => {
                let mut facts = json!({
                    "pictures": file.digest, "image": file.image, "label": file.label,
                    "field": file.field, "take": file.take, "seed": file.seed,
                });
                add(&mut facts, "split", file.split.clone().map(Value::from));
                facts
            }
        }
    }

    /// Versions of the packages that turn the data into inputs, for keys.
    pub fn versions(&self) -> BTreeMap<String, String> {
        let one = match self {
            Self::Synthetic | Self::Recorded(_) => None,
            Self::Texts(_) => Some(tokenizer_version()),
            Self::Pictures(_) => {
                Some([("image".to_owned(), env!("ENGINE_IMAGE_VERSION").to_owned())])
            }
        };
        one.into_iter().flatten().collect()
    }

    pub fn is_synthetic(&self) -> bool {
        *self == Self::Synthetic
    }

    /// Whether what lies beside the model decides the inputs.
    pub fn asks_the_model(&self) -> bool {
        matches!(self, Self::Texts(_) | Self::Pictures(_))
    }
}
