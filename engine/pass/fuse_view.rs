//! A graph as rewritings look at it: who makes and who uses what.

use std::collections::HashMap;

use crate::model::onnx::{GraphProto, NodeProto, inline_bytes};

pub(super) struct View<'a> {
    pub graph: &'a GraphProto,
    pub makers: HashMap<&'a str, usize>,
    pub users: HashMap<&'a str, Vec<usize>>,
}

impl<'a> View<'a> {
    pub fn new(graph: &'a GraphProto) -> Self {
        Self { graph, makers: graph.producers(), users: graph.consumers() }
    }

    /// The node that makes `value`, if it is a standard `op`.
    pub fn maker(&self, value: &str, op: &str) -> Result<&'a NodeProto, String> {
        let node = self.makers.get(value).map(|&at| &self.graph.node[at]);
        match node {
            Some(node) if standard(node, op) => Ok(node),
            Some(node) => Err(format!("`{value}` is made by `{}`, expected `{op}`", node.op())),
            None => Err(format!("`{value}` is made by no operator, expected `{op}`")),
        }
    }

    /// The only user of `value`, if it is a standard `op`.
    pub fn only_user(&self, value: &str, op: &str) -> Result<usize, String> {
        match self.users.get(value).map(Vec::as_slice) {
            Some(&[at]) if standard(&self.graph.node[at], op) && !self.graph.is_output(value) => {
                Ok(at)
            }
            _ => Err(format!("`{value}` is not used by one `{op}` alone")),
        }
    }

    /// Whether nothing but one node reads `value`.
    pub fn is_read_once(&self, value: &str) -> bool {
        self.users.get(value).is_some_and(|users| users.len() == 1) && !self.graph.is_output(value)
    }

    /// The values of a constant of i64 that stands inside the graph.
    pub fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let bytes = inline_bytes(self.graph.initializer(name)?)?;
        let (whole, _) = bytes.as_chunks::<8>();
        Some(whole.iter().map(|chunk| i64::from_le_bytes(*chunk)).collect())
    }
}

/// Whether `node` is the standard operator `op`.
pub(super) fn standard(node: &NodeProto, op: &str) -> bool {
    node.op() == op && node.set().is_empty()
}

/// Checks that every operator in `least` has so many inputs and an output, so that rewritings may
/// index them.
pub(super) fn whole(graph: &GraphProto, least: &[(&str, usize)]) -> Result<(), String> {
    for node in graph.node.iter().filter(|node| node.set().is_empty()) {
        let Some((op, least)) = least.iter().find(|(op, _)| *op == node.op()) else {
            continue;
        };
        if node.input.len() < *least || node.output.is_empty() {
            let (found, label) = (node.input.len(), node.label());
            return Err(format!("`{label}` has {found} inputs, and `{op}` needs {least}"));
        }
    }
    Ok(())
}
