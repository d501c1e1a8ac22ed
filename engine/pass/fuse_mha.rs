//! Attention of an encoder as `MultiHeadAttention`, one operator per layer.
//!
//! softmax(q kᵀ · scale + m) v for each head, with m = 0 where a position may be looked at and
//! −10000 where not, which f32 rounds to a weight of 0. What is replaced is the standard
//! `Attention` over three values (batch, sequence, heads · size) without cache. A mask must be the
//! same in every row, as networks are exported: (batch, sequence), widened to
//! (batch, 1, sequence, sequence); it becomes a `key_padding_mask`. Causal attention becomes
//! `unidirectional`, where queries, keys and values are parts of one projection.

use std::collections::HashSet;

use super::fuse_view::{View, standard, whole};
use crate::model::onnx::build::MICROSOFT;
use crate::model::onnx::edit::Names;
use crate::model::onnx::proto::TypeProtoValue;
use crate::model::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, attribute_f32, attribute_int,
};

/// Inputs that an operator cannot do without. What is looked at below may be indexed up to there.
const LEAST_INPUTS: &[(&str, usize)] = &[
    ("Attention", 3),
    ("Cast", 1),
    ("Concat", 1),
    ("Expand", 2),
    ("Shape", 1),
    ("Split", 1),
    ("Unsqueeze", 2),
];

/// Codes of `TensorProto.DataType`.
const BOOL: i64 = 9;
const INT32: i64 = 6;

/// Fuses every attention. Gives what was done, or why nothing could be.
pub(super) fn fuse(model: &mut ModelProto) -> Result<String, String> {
    let graph = model.graph.as_mut().ok_or("it has no graph")?;
    whole(graph, LEAST_INPUTS)?;
    let layers = layers(graph)?;
    let mut names = Names::of(graph);
    let masks: HashSet<String> = layers.iter().filter_map(|layer| layer.mask.clone()).collect();
    let mut masks: Vec<String> = masks.into_iter().collect();
    masks.sort();
    let padding: Vec<(String, String)> = masks
        .into_iter()
        .map(|mask| {
            let padding = key_padding(graph, &mut names, &mask);
            (mask, padding)
        })
        .collect();
    let masked = layers.iter().filter(|layer| layer.mask.is_some()).count();
    for layer in &layers {
        let node = &graph.node[layer.node];
        let mut inputs: Vec<&str> = node.input[..3].iter().map(String::as_str).collect();
        let mask = padding.iter().find(|(mask, _)| layer.mask.as_ref() == Some(mask));
        if let Some((_, padding)) = mask {
            inputs.extend(["", padding]);
        }
        let mut fused =
            NodeProto::new("MultiHeadAttention", &node.label(), &inputs, &[&node.output[0]])
                .of_set(MICROSOFT)
                .with(AttributeProto::int("num_heads", layer.heads));
        if let Some(scale) = attribute_f32(node, "scale") {
            fused = fused.with(AttributeProto::float("scale", scale));
        }
        if layer.causal {
            fused = fused.with(AttributeProto::int("unidirectional", 1));
        }
        graph.node[layer.node] = fused;
    }
    graph.drop_unused();
    graph.sort();
    model.import(MICROSOFT, 1);
    let all = layers.len();
    Ok(format!("{all} attentions as MultiHeadAttention, {masked} of them with a key padding mask"))
}

/// One attention that fits.
struct Layer {
    node: usize,
    heads: i64,
    causal: bool,
    /// The value (batch, sequence) that its mask is made of.
    mask: Option<String>,
}

fn layers(graph: &GraphProto) -> Result<Vec<Layer>, String> {
    let seen = View::new(graph);
    let found: Vec<usize> =
        (0..graph.node.len()).filter(|&at| standard(&graph.node[at], "Attention")).collect();
    if found.is_empty() {
        return Err(
            "it has no `Attention` operator to fuse; `export` of an encoder leaves some".into()
        );
    }
    let layer = |at: usize| {
        seen.encoder_layer(at).map_err(|why| {
            let label = graph.node[at].label();
            format!("`{label}` is not an attention that MultiHeadAttention computes: {why}")
        })
    };
    found.into_iter().map(layer).collect()
}

/// Adds nodes that turn `mask` (batch, sequence) into 32-bit integers of 0 and 1.
fn key_padding(graph: &mut GraphProto, names: &mut Names, mask: &str) -> String {
    let [flags, padding] = ["flags", "padding"].map(|part| names.fresh(&format!("/mha/{part}")));
    // Through booleans, so that every number but 0 means what it meant before.
    for (from, to, code) in [(mask, &flags, BOOL), (&flags, &padding, INT32)] {
        let cast = NodeProto::new("Cast", to, &[from], &[to]);
        graph.node.push(cast.with(AttributeProto::int("to", code)));
    }
    padding
}

impl View<'_> {
    fn encoder_layer(&self, at: usize) -> Result<Layer, String> {
        let node = &self.graph.node[at];
        let heads = attribute_int(node, "q_num_heads")
            .ok_or("its heads have a dimension of their own; decoders want `attention: gqa`")?;
        if attribute_int(node, "kv_num_heads") != Some(heads) {
            return Err("several heads share keys and values".into());
        }
        let odd = ["softcap", "softmax_precision", "qk_matmul_output_mode"];
        if let Some(odd) = odd.into_iter().find(|name| node.attr(name).is_some()) {
            return Err(format!("it has a `{odd}`"));
        }
        let given = |from: usize, names: &[String]| names.iter().skip(from).any(|n| !n.is_empty());
        if given(4, &node.input) || given(1, &node.output) {
            return Err("it has a cache or lengths".into());
        }
        let causal = attribute_int(node, "is_causal").unwrap_or(0) != 0;
        let mask = node.input.get(3).filter(|name| !name.is_empty());
        if causal && mask.is_some() {
            return Err("it is causal and has a mask".into());
        }
        if causal {
            let [first, second, third] = [0, 1, 2].map(|n| self.maker(&node.input[n], "Split"));
            let (first, second, third) = (first?, second?, third?);
            if first.output != second.output || first.output != third.output {
                return Err(
                    "it is causal, and its queries and keys are no parts of one value".into()
                );
            }
        }
        let mask = mask.map(|mask| self.padding_mask(mask)).transpose()?;
        Ok(Layer { node: at, heads, causal, mask })
    }

    /// The value (batch, sequence) that `mask` is, widened to (batch, 1, sequence, sequence).
    fn padding_mask(&self, mask: &str) -> Result<String, String> {
        let odd = |_| "its mask is not known to be the same in every row".to_owned();
        let no = || odd(String::new());
        let wide = self.maker(mask, "Expand").map_err(odd)?;
        let flags = self.maker(&wide.input[0], "Cast").map_err(odd)?;
        let rows = self.maker(&flags.input[0], "Unsqueeze").map_err(odd)?;
        let shape = self.maker(&wide.input[1], "Concat").map_err(odd)?;
        let of = &rows.input[0];
        let part = |value: &str, from: i64| {
            self.maker(value, "Shape").is_ok_and(|node| {
                let span = (attribute_int(node, "start"), attribute_int(node, "end"));
                node.input[0] == *of && span == (Some(from), Some(from + 1))
            })
        };
        let [items, one, height, width] = shape.input.as_slice() else { return Err(no()) };
        let widened = part(items, 0) && part(height, 1) && part(width, 1);
        let between = self.integers(&rows.input[1]).as_deref() == Some(&[1, 2]);
        let single = self.integers(one).as_deref() == Some(&[1]);
        let boolean = attribute_int(flags, "to") == Some(BOOL);
        let fits = widened && between && single && boolean && self.is_matrix(of);
        if fits { Ok(of.clone()) } else { Err(no()) }
    }

    /// Whether `name` is an input of the graph with two dimensions.
    fn is_matrix(&self, name: &str) -> bool {
        let port = self.graph.input.iter().find(|port| port.name.as_deref() == Some(name));
        let kind = port.and_then(|port| port.r#type.as_deref()?.value.as_ref());
        match kind {
            Some(TypeProtoValue::TensorType(tensor)) => {
                tensor.shape.as_ref().is_some_and(|shape| shape.dim.len() == 2)
            }
            _ => false,
        }
    }
}
