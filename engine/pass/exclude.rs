//! Nodes that a pass leaves alone: by operator or by name.

use serde::Deserialize;
use serde_json::{Value, json};

use super::PassError;
use crate::model::OnnxModel;
use crate::model::onnx::NodeProto;

/// The parameter `exclude`: operators, and names of nodes or beginnings of names that end in `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Exclude(Vec<String>);

impl Exclude {
    pub fn schema() -> Value {
        json!({
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "description": "Nodes that stay as they are: operators such as `Softmax`, names such as `/lm_head`, or beginnings of names such as `/layers.0/*`.",
        })
    }

    pub fn holds(&self, node: &NodeProto) -> bool {
        self.0.iter().any(|entry| matches(entry, node))
    }

    /// An error when an entry fits no node: it is a misspelling, or the graph is not the one that
    /// was meant.
    pub fn check(&self, model: &OnnxModel) -> Result<(), PassError> {
        let nodes = &model.graph().node;
        let idle = self.0.iter().find(|entry| !nodes.iter().any(|node| matches(entry, node)));
        match idle {
            None => Ok(()),
            Some(entry) => Err(PassError::Graph {
                path: model.path.display().to_string(),
                what: format!("`exclude` names `{entry}`, which fits no node of it"),
            }),
        }
    }
}

fn matches(entry: &str, node: &NodeProto) -> bool {
    let name = node.name.as_deref().unwrap_or_default();
    match entry.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => entry == name || entry == node.op(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::build::node;

    #[test]
    fn nodes_are_found_by_operator_by_name_and_by_the_beginning_of_a_name() {
        let one = node("/layers.0/mlp", "MatMul", "", &[], &[], Vec::new());
        let holds = |entry: &str| Exclude(vec![entry.to_owned()]).holds(&one);
        assert!(holds("MatMul") && holds("/layers.0/mlp") && holds("/layers.0/*"));
        assert!(!holds("Gemm") && !holds("/layers.0") && !holds("/layers.1/*"));
    }
}
