//! What can be known about shapes without sizes: which values have the same.
//!
//! Fused operators do not broadcast, so a rewriting must know that two operands have one shape.
//! Followed are the last dimension, where constants give it, and all before it under the name of
//! the value that they were first seen at.

use std::collections::{HashMap, HashSet};

use super::fuse_view::{View, standard};
use crate::model::onnx::build::MICROSOFT;
use crate::model::onnx::{NodeProto, attribute_int};

/// The shape (`lead`…, columns).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape<'a> {
    /// A value that has the same dimensions before the last.
    pub lead: &'a str,
    pub columns: i64,
}

/// Shapes by the name of the value, and which leads are (batch, sequence).
#[derive(Debug, Default)]
pub(super) struct Shapes<'a> {
    known: HashMap<&'a str, Shape<'a>>,
    sequences: HashSet<&'a str>,
}

impl<'a> Shapes<'a> {
    /// Of the graph of `seen`, whose nodes are in order and have their inputs.
    pub fn of(seen: &View<'a>) -> Self {
        let mut shapes = Self::default();
        for node in &seen.graph.node {
            shapes.follow(seen, node);
        }
        shapes
    }

    pub fn get(&self, value: &str) -> Option<Shape<'a>> {
        self.known.get(value).copied()
    }

    /// Whether `shape` is (batch, sequence, columns).
    pub fn is_sequence(&self, shape: Shape<'a>) -> bool {
        self.sequences.contains(shape.lead)
    }

    fn lead(&self, value: &'a str) -> &'a str {
        self.get(value).map_or(value, |shape| shape.lead)
    }

    fn follow(&mut self, seen: &View<'a>, node: &'a NodeProto) {
        let fused = node.set() == MICROSOFT;
        if !(fused || node.set().is_empty()) {
            return;
        }
        let (Some(x), Some(out)) = (node.input.first(), node.output.first()) else { return };
        let dims = |name: &str| seen.graph.initializer(name).map(|t| t.dims.as_slice());
        let second = node.input.get(1).map_or("", String::as_str);
        let shape = match node.op() {
            "MatMul" => match dims(second) {
                Some(&[_, columns]) => Some(Shape { lead: self.lead(x), columns }),
                _ => None,
            },
            "LayerNormalization" if along_columns(node) => match dims(second) {
                Some(&[columns]) if columns > 1 => {
                    let shape = Shape { lead: self.lead(x), columns };
                    // Every value that is normalized has as many columns as the norm has weights.
                    self.known.insert(x, shape);
                    Some(shape)
                }
                _ => None,
            },
            "Add" | "Mul" => match (dims(x), dims(second)) {
                (None, None) => self.get(x).filter(|shape| self.get(second) == Some(*shape)),
                (Some(constant), None) => self.beside(second, constant),
                (None, Some(constant)) => self.beside(x, constant),
                (Some(_), Some(_)) => None,
            },
            "Gelu" | "FastGelu" | "QuickGelu" | "BiasGelu" | "Relu" | "Sigmoid" | "Tanh"
            | "Identity" => self.get(x),
            "Split" if attribute_int(node, "axis") == Some(-1) => {
                let sizes = seen.integers(second).unwrap_or_default();
                let lead = self.lead(x);
                for (part, columns) in node.output.iter().zip(sizes) {
                    self.known.insert(part, Shape { lead, columns });
                }
                None
            }
            "Attention" | "MultiHeadAttention" => self.attention(node, fused),
            _ => None,
        };
        if let Some(shape) = shape {
            self.known.insert(out, shape);
        }
    }

    /// The shape of `value` when a constant with dimensions `dims` widens it in no direction.
    fn beside(&self, value: &str, dims: &[i64]) -> Option<Shape<'a>> {
        let shape = self.get(value)?;
        matches!(dims, [] | [1])
            .then_some(shape)
            .or_else(|| (*dims == [shape.columns]).then_some(shape))
    }

    fn attention(&mut self, node: &'a NodeProto, fused: bool) -> Option<Shape<'a>> {
        let heads = |name| attribute_int(node, name);
        // Otherwise heads have a dimension of their own, or share keys and values.
        let flat = fused || heads("q_num_heads") == heads("kv_num_heads");
        if !flat || !(fused || heads("q_num_heads").is_some()) || node.input.len() < 3 {
            return None;
        }
        let lead = self.lead(&node.input[0]);
        self.sequences.insert(lead);
        let columns = self.get(&node.input[2])?.columns;
        Some(Shape { lead, columns })
    }
}

/// Whether a norm is one of the last dimension, with no outputs beside its result.
pub(super) fn along_columns(node: &NodeProto) -> bool {
    let alone = node.output.iter().skip(1).all(String::is_empty);
    standard(node, "LayerNormalization")
        && alone
        && attribute_int(node, "axis").unwrap_or(-1) == -1
        && attribute_int(node, "stash_type").unwrap_or(1) == 1
}
