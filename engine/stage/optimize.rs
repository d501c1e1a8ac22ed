//! `optimize`: one pass over one artifact.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Artifact, Job};
use crate::backend::{Backend, candle::Candle};
use crate::model::{Kind, family};
use crate::pass::{self, Pass};
use crate::store::{Input, Recipe};

#[derive(Debug, Clone, PartialEq)]
pub struct Optimize {
    /// Id of the pass, known to the catalogue.
    pub pass: String,
    pub params: Value,
    /// What comes in, and what comes out.
    pub takes: Kind,
    pub gives: Kind,
}

impl Optimize {
    /// `quantize gguf q8_0`: the pass and the plain values of its parameters.
    pub fn label(&self) -> String {
        Self::label_of(&self.pass, &self.params)
    }

    /// The label of a pass with these parameters.
    pub fn label_of(pass: &str, params: &Value) -> String {
        let mut label = pass.to_owned();
        for value in params.as_object().into_iter().flat_map(|map| map.values()) {
            match value {
                Value::String(text) => label.push_str(&format!(" {text}")),
                Value::Number(number) => label.push_str(&format!(" {number}")),
                _ => {}
            }
        }
        label
    }

    /// `inputs`: the model first, then whatever else the pass reads or runs.
    pub fn recipe(&self, inputs: Vec<Input>) -> Recipe {
        let pass = pass::pass(&self.pass, &self.params);
        let epoch = pass.map_or(0, Pass::epoch);
        let mut facts = json!({"stage": self.pass, "params": self.params});
        let machine = pass.map_or(Value::Null, |pass| pass.facts(&self.params));
        if !machine.is_null() {
            facts["machine"] = machine;
        }
        if let Some(origin) = pass::foreign_origin(&self.pass, &self.params) {
            facts["origin"] = json!(origin);
        }
        let mut versions = BTreeMap::from([("candle".to_owned(), Candle.version())]);
        versions.extend(family::versions());
        Recipe { facts, inputs, epoch, versions }
    }

    pub fn job(
        &self,
        input: &Artifact,
        data: Option<PathBuf>,
        runtime: Option<PathBuf>,
        out: PathBuf,
    ) -> Job {
        Job::Pass {
            pass: self.pass.clone(),
            params: self.params.clone(),
            input: input.clone(),
            data,
            runtime,
            out,
        }
    }
}
