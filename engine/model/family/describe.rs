//! What a family is to the rest of the engine: from a `config.json` to networks.

use indexmap::IndexMap;
use serde_json::Value;

use crate::model::fields::Fields;
use crate::model::network::Network;
use crate::model::{ModelError, shown};

/// A kind of network: how its configuration is read.
pub trait Family: Sync {
    /// Such as `bert`; what facts and graphs call its models.
    fn id(&self) -> &'static str;

    /// One line for `engine list`.
    fn about(&self) -> &'static str;

    /// Values of `model_type` that it reads.
    fn model_types(&self) -> &'static [&'static str];

    /// Reads a configuration. Sizes are bounded by [`Fields::size`].
    fn read(&self, config: &ConfigFile<'_>) -> Result<Description, ModelError>;

    /// Configurations with true sizes for `random://NAME`, as their `config.json`.
    fn catalog(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// Of a family outside the engine: raised whenever it computes something else for the same
    /// configuration. Part of every key of a program that adds the family.
    fn epoch(&self) -> u32 {
        1
    }

    /// Of a family outside the engine: what tells it from another program's of the same id in a
    /// store that both use.
    fn origin(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// A `config.json` and what lies around it.
pub struct ConfigFile<'a> {
    pub fields: Fields<'a>,
    /// Names of the tensors of the checkpoint; empty for one that is still to be made.
    pub tensors: &'a dyn Fn(&str) -> bool,
    /// Other JSON files of the folder, by their path in it.
    pub beside: &'a dyn Fn(&str) -> Result<Option<Value>, ModelError>,
}

impl ConfigFile<'_> {
    /// The text before the names of a checkpoint's tensors: `prefix` where some tensor `probe`
    /// is found with it, and nothing otherwise.
    pub fn prefix<'p>(&self, prefix: &'p str, probe: &str) -> &'p str {
        if (self.tensors)(&format!("{prefix}{probe}")) { prefix } else { "" }
    }
}

/// What a configuration says.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Id of the family.
    pub family: &'static str,
    /// Task of its models, as specs write it.
    pub task: &'static str,
    /// The networks of the model by the name of its part; a model of one part has no name.
    pub parts: IndexMap<&'static str, Network>,
    /// Longest text in tokens.
    pub context: Option<usize>,
    pub vocab: Option<usize>,
    /// Names of classes in the order of the output, where the configuration has them.
    pub labels: Vec<String>,
    /// Tensors of a checkpoint that no network needs, such as heads of other tasks, by the
    /// beginning or the end of their names.
    pub unused: Vec<&'static str>,
    /// What the files of the model leave open and was taken for granted, for readers of results.
    pub assumed: Vec<String>,
}

impl Description {
    /// The same, without computing positions that nothing reads.
    pub fn narrowed(mut self) -> Self {
        self.parts = self.parts.into_iter().map(|(name, part)| (name, part.narrowed())).collect();
        self
    }

    /// Every tensor that a checkpoint must hold, with its shape.
    pub fn tensors(&self) -> Vec<(String, Vec<u64>)> {
        let mut out = IndexMap::new();
        for network in self.parts.values() {
            out.extend(network.weights());
        }
        let wide = |shape: Vec<usize>| shape.into_iter().map(|side| side as u64).collect();
        out.into_iter().map(|(name, shape)| (name, wide(shape))).collect()
    }

    /// Whether a checkpoint may hold a tensor that no network needs.
    pub fn tolerates(&self, name: &str) -> bool {
        self.unused.iter().any(|part| name.starts_with(part) || name.ends_with(part))
    }

    /// What is wrong with the tensors that were found.
    pub fn compare(&self, found: &IndexMap<String, Vec<u64>>) -> Vec<String> {
        let demanded: IndexMap<_, _> = self.tensors().into_iter().collect();
        let mut wrong = Vec::new();
        for (name, shape) in &demanded {
            match found.get(name) {
                None => wrong.push(format!("`{name}` is missing")),
                Some(other) if other != shape => {
                    wrong.push(format!("`{name}` has shape {other:?}, expected {shape:?}"));
                }
                Some(_) => {}
            }
        }
        let foreign = found.keys().filter(|name| !demanded.contains_key(*name));
        for name in foreign.filter(|name| !self.tolerates(name)) {
            wrong.push(format!("`{}` is not part of this model", shown(name)));
        }
        wrong
    }

    /// The network of part `name`, or of the only part.
    pub fn part(&self, name: Option<&str>) -> Option<&Network> {
        match name {
            Some(name) => self.parts.get(name),
            None if self.parts.len() == 1 => self.parts.values().next(),
            None => None,
        }
    }
}

/// Gives faults of fields the name of the object `outer` around them.
pub fn within(outer: &str) -> impl FnOnce(ModelError) -> ModelError {
    move |error| match error {
        ModelError::Config { path, field, what } => {
            ModelError::Config { path, field: format!("{outer}.{field}"), what }
        }
        other => other,
    }
}

/// Height and width of pictures as `preprocessor_config.json` leaves them, where it says so.
pub fn prepared(config: &ConfigFile<'_>, limit: usize) -> Result<Option<[usize; 2]>, ModelError> {
    const FILE: &str = "preprocessor_config.json";
    let Some(value) = (config.beside)(FILE)? else { return Ok(None) };
    let path = config.fields.path.with_file_name(FILE);
    let Some(map) = value.as_object() else {
        let what = "is not a JSON object".to_owned();
        return Err(ModelError::Layout { path, what, advice: None });
    };
    let fields = Fields { path: &path, map };
    let cropped = fields.get("do_center_crop").is_none() || fields.flag("do_center_crop")?;
    for field in ["crop_size", "size"] {
        let Some(value) = fields.get(field).filter(|_| cropped || field == "size") else {
            continue;
        };
        let Some(map) = value.as_object() else {
            return Ok(fields.size(field, limit)?.map(|side| [side; 2]));
        };
        let inner = Fields { path: &path, map };
        let sides = || match inner.size("shortest_edge", limit)? {
            Some(side) => Ok([side; 2]),
            None => Ok([inner.needed("height", limit)?, inner.needed("width", limit)?]),
        };
        return sides().map(Some).map_err(within(field));
    }
    Ok(None)
}

impl<'a> Fields<'a> {
    /// The object at `field`, with a word for its faults.
    pub fn inner(&self, field: &str) -> Result<Fields<'a>, ModelError> {
        let map = match self.get(field) {
            Some(value) => value.as_object(),
            None => return Err(self.fault(field, "is missing")),
        };
        let map = map.ok_or_else(|| self.fault(field, "must be an object"))?;
        Ok(Fields { path: self.path, map })
    }

    /// The activation at `field`, `otherwise` where it is left out.
    pub fn activation(
        &self,
        field: &str,
        otherwise: crate::model::network::Activation,
    ) -> Result<crate::model::network::Activation, ModelError> {
        use crate::model::network::Activation;
        let Some(name) = self.text(field)? else { return Ok(otherwise) };
        Activation::parse(name).ok_or_else(|| {
            let known = Activation::NAMES.join(", ");
            self.fault(field, format!("is `{}`, supported are {known}", shown(name)))
        })
    }

    /// Names of classes: `id2label`, which must count from 0, or as many numbers as `num_labels`
    /// says.
    pub fn labels(&self) -> Result<Vec<String>, ModelError> {
        let limit = crate::model::fields::SIZE_LIMIT;
        let Some(value) = self.get("id2label") else {
            // transformers leaves both out where there are two.
            let count = self.size("num_labels", limit)?.unwrap_or(2);
            return Ok((0..count).map(|id| format!("LABEL_{id}")).collect());
        };
        let fault = || self.fault("id2label", "must map the numbers from 0 to names");
        let map = value.as_object().filter(|map| !map.is_empty() && map.len() <= limit);
        let map = map.ok_or_else(fault)?;
        (0..map.len())
            .map(|id| Some(map.get(&id.to_string())?.as_str()?.to_owned()))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(fault)
    }

    /// Heads that divide `hidden`; `usual` where the field may be left out.
    pub fn heads(
        &self,
        field: &str,
        hidden: usize,
        usual: Option<usize>,
    ) -> Result<usize, ModelError> {
        let Some(heads) = self.size(field, hidden)?.or(usual) else {
            return Err(self.fault(field, "is missing"));
        };
        if !hidden.is_multiple_of(heads) {
            let what = format!("must divide the hidden size {hidden}, found {heads}");
            return Err(self.fault(field, what));
        }
        Ok(heads)
    }

    /// The epsilon of norms.
    pub fn epsilon(&self, field: &str, otherwise: f64) -> Result<f64, ModelError> {
        let epsilon = self.number(field)?.unwrap_or(otherwise);
        if epsilon > 0.0 && epsilon < 1.0 {
            return Ok(epsilon);
        }
        Err(self.fault(field, format!("must lie between 0 and 1, found {epsilon}")))
    }
}
