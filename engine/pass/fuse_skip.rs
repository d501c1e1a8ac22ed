//! A residual sum and the norm behind it as `SkipLayerNormalization`.
//!
//! LayerNorm(x + skip) with weight, bias and epsilon as they were. Where something else reads the
//! sum, as the next sum does in networks that normalize first, it is the fourth output. The
//! operator does not broadcast: both must be known to have the shape (batch, sequence, columns).
//!
//! On the CPU, ONNX Runtime 1.31.1 computes the fused operator in a loop that is several times
//! slower than the two it replaces; GPUs gain from it.

use std::collections::HashSet;

use super::fuse_shape::{Shapes, along_columns};
use super::fuse_view::{View, whole};
use crate::model::onnx::build::MICROSOFT;
use crate::model::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, attribute_f32};

const LEAST_INPUTS: &[(&str, usize)] = &[("Add", 2), ("LayerNormalization", 2)];

/// What the standard says where a norm names none.
const EPSILON: f32 = 1e-5;

/// Fuses every sum that fits. Gives what was done, or why nothing could be.
pub(super) fn fuse(model: &mut ModelProto) -> Result<String, String> {
    let graph = model.graph.as_mut().ok_or("it has no graph")?;
    whole(graph, LEAST_INPUTS)?;
    let pairs = pairs(graph);
    if pairs.is_empty() {
        return Err("no `LayerNormalization` in it follows a sum of two values that are known to have one shape (batch, sequence, columns)".into());
    }
    for pair in &pairs {
        let (norm, add) = (&graph.node[pair.norm], &graph.node[pair.add]);
        let mut inputs = vec![add.input[0].as_str(), &add.input[1]];
        inputs.extend(norm.input[1..].iter().map(String::as_str));
        let sum = if pair.sum { add.output[0].as_str() } else { "" };
        let outputs = [norm.output[0].as_str(), "", "", sum];
        let outputs = if pair.sum { &outputs[..] } else { &outputs[..1] };
        let epsilon = attribute_f32(norm, "epsilon").unwrap_or(EPSILON);
        let fused = NodeProto::new("SkipLayerNormalization", &norm.label(), &inputs, outputs)
            .of_set(MICROSOFT)
            .with(AttributeProto::float("epsilon", epsilon));
        graph.node[pair.norm] = fused;
    }
    let gone: HashSet<usize> = pairs.iter().map(|pair| pair.add).collect();
    let mut at = 0;
    graph.node.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
    graph.sort();
    model.import(MICROSOFT, 1);
    Ok(format!("{} residual sums with their norm as SkipLayerNormalization", pairs.len()))
}

/// Numbers of a norm and of the sum before it.
struct Pair {
    norm: usize,
    add: usize,
    /// Something else reads the sum.
    sum: bool,
}

fn pairs(graph: &GraphProto) -> Vec<Pair> {
    let seen = View::new(graph);
    let shapes = Shapes::of(&seen);
    let mut pairs: Vec<Pair> = Vec::new();
    for (at, norm) in graph.node.iter().enumerate() {
        if !along_columns(norm) || seen.maker(&norm.input[0], "Add").is_err() {
            continue;
        }
        let add = seen.makers[norm.input[0].as_str()];
        let [left, right] = [0, 1].map(|n| shapes.get(&graph.node[add].input[n]));
        let fits = left.is_some_and(|shape| shapes.is_sequence(shape)) && left == right;
        // One fused node gives the sum; a second norm of it stays as it is.
        if fits && pairs.iter().all(|pair| pair.add != add) {
            pairs.push(Pair { norm: at, add, sum: !seen.is_read_once(&norm.input[0]) });
        }
    }
    pairs
}
