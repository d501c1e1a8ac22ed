//! Weights whose elements are packed into bytes in ways that only their operator knows.

use std::collections::{HashMap, HashSet};

use super::proto::NodeProto;
use super::{attribute_int, scope};

/// How the weights of an initializer are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    pub bits: u64,
    /// Number of weights where the operator says it; otherwise as many as fit the bytes.
    pub elements: Option<u64>,
}

/// What nodes say about initializers.
#[derive(Default)]
pub(super) struct Uses<'a> {
    pub packed: HashMap<&'a str, Packed>,
    /// Scales and zero points of packed weights.
    pub helpers: HashSet<&'a str>,
}

impl<'a> Uses<'a> {
    /// Looks at `com.microsoft` operators with packed weights in `nodes` and the graphs in them
    /// (formats: ONNX Runtime's `ContribOperators.md`, `MatMulNBits` and `GatherBlockQuantized`).
    pub fn find(&mut self, nodes: &'a [NodeProto]) {
        for node in nodes {
            if node.set() == "com.microsoft" {
                self.look_at(node);
            }
            for (_, graph) in scope::graphs(node) {
                self.find(&graph.node);
            }
        }
    }

    fn look_at(&mut self, node: &'a NodeProto) {
        let bits = attribute_int(node, "bits").unwrap_or(4);
        let size = |name: &str| attribute_int(node, name).and_then(|n| u64::try_from(n).ok());
        let (weights, helpers, elements) = match node.op() {
            "MatMulNBits" => {
                let elements = size("K").zip(size("N")).and_then(|(k, n)| k.checked_mul(n));
                (1, [2, 3], elements)
            }
            "GatherBlockQuantized" => (0, [2, 3], None),
            _ => return,
        };
        let Ok(bits @ 1..=8) = u64::try_from(bits) else { return };
        if let Some(name) = node.input.get(weights) {
            self.packed.insert(name, Packed { bits, elements });
        }
        let names = helpers.into_iter().filter_map(|i| node.input.get(i));
        self.helpers.extend(names.map(String::as_str).filter(|name| !name.is_empty()));
    }
}

impl Packed {
    /// Number of weights in `bytes` bytes; `None` when more are claimed than fit.
    pub fn elements_in(self, bytes: u64) -> Option<u64> {
        let room = bytes.checked_mul(8)? / self.bits;
        match self.elements {
            None => Some(room),
            Some(claimed) => (claimed <= room).then_some(claimed),
        }
    }
}
