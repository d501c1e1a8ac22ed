//! What can be said about a graph without running it.

use indexmap::IndexMap;
use serde::Serialize;

use super::OnnxModel;
use crate::model::Signature;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnnxFacts {
    pub ir_version: i64,
    /// Version by operator set; the standard one is named `ai.onnx`.
    pub opsets: IndexMap<String, i64>,
    /// Number of nodes by operator, sub-graphs and functions included, most frequent first.
    /// Operators outside the standard set are named with it: `com.microsoft.GroupQueryAttention`.
    pub operators: IndexMap<String, u64>,
    /// Names of dimensions that the caller chooses.
    pub free_dimensions: Vec<String>,
    pub signature: Signature,
    /// Number of elements of all initializers (and large constants).
    pub parameters: u64,
    /// Bytes of weights by storage type.
    pub weight_bytes: IndexMap<String, u64>,
    /// Number of initializers by storage type.
    pub tensor_counts: IndexMap<String, u64>,
    /// Elements of weights by storage type.
    pub weight_elements: IndexMap<String, u64>,
}

impl OnnxModel {
    pub fn facts(&self) -> OnnxFacts {
        OnnxFacts {
            ir_version: 0,
            opsets: IndexMap::new(),
            operators: IndexMap::new(),
            free_dimensions: Vec::new(),
            signature: Signature { inputs: Vec::new(), outputs: Vec::new() },
            parameters: 0,
            weight_bytes: IndexMap::new(),
            tensor_counts: IndexMap::new(),
            weight_elements: IndexMap::new(),
        }
    }
}
