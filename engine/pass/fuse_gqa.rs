//! Attention of a decoder with a KV cache as one operator per layer.
//!
//! What is replaced is found by structure, not by name: an `Attention` whose queries and keys are
//! turned by `RotaryEmbedding`, whose keys and values are appended to buffers by `TensorScatter`,
//! and whose mask lets each position see itself and what came before. Anything else is left alone,
//! and a graph in which nothing fits is refused, so that nobody times an unfused graph as a fused
//! one.

use std::collections::HashSet;

use super::fuse_view::{View, standard, whole};
use crate::data::ElementType;
use crate::model::onnx::build::MICROSOFT;
use crate::model::onnx::edit::Names;
use crate::model::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, attribute_f32, attribute_int,
    attribute_ints, attribute_text,
};

/// Fuses every layer that fits. Gives what was done, or why nothing could be.
pub fn fuse(model: &mut ModelProto) -> Result<Vec<String>, String> {
    let graph = model.graph.as_mut().ok_or("it has no graph")?;
    whole(graph, LEAST_INPUTS)?;
    let attention = attention(graph)?;
    let norms = skip_norms(graph);
    graph.drop_unused();
    graph.sort();
    model.import(MICROSOFT, 1);
    Ok(vec![
        format!("{attention} attentions with rotary positions and cache as GroupQueryAttention"),
        format!("{norms} residual sums with their norm as SkipSimplifiedLayerNormalization"),
    ])
}

/// Inputs that an operator cannot do without. What is looked at below may be indexed up to there.
const LEAST_INPUTS: &[(&str, usize)] = &[
    ("Add", 2),
    ("Attention", 3),
    ("Gather", 2),
    ("LessOrEqual", 2),
    ("MatMul", 2),
    ("RMSNormalization", 2),
    ("Range", 3),
    ("Reshape", 2),
    ("RotaryEmbedding", 3),
    ("Split", 1),
    ("TensorScatter", 3),
    ("Transpose", 1),
    ("Unsqueeze", 2),
];

/// One attention that fits, by the names of its values.
struct Layer {
    attention: usize,
    reshape: usize,
    packed: String,
    /// Queries, keys and values as they come out of the packed projection.
    parts: [String; 3],
    past: [String; 2],
    present: [String; 2],
    cos: String,
    sin: String,
    numbers: String,
    total: String,
    heads: i64,
    kv_heads: i64,
    head_size: i64,
    interleaved: i64,
    out: String,
}

/// GroupQueryAttention turns heads by itself when their size is a multiple of this
/// (`CheckRotaryCaches` in `group_query_attention_helper.h`). Others are turned before it.
const TURNED_INSIDE: i64 = 16;

fn attention(graph: &mut GraphProto) -> Result<usize, String> {
    let seen = View::new(graph);
    let found: Vec<usize> =
        (0..graph.node.len()).filter(|&at| standard(&graph.node[at], "Attention")).collect();
    if found.is_empty() {
        return Err(
            "it has no `Attention` operator to fuse; `export` with `kv_cache: true` leaves some"
                .into(),
        );
    }
    let layers: Vec<Layer> = found
        .iter()
        .map(|&at| {
            seen.layer(at).map_err(|why| {
                let label = graph.node[at].label();
                format!("`{label}` is not an attention that GroupQueryAttention computes: {why}")
            })
        })
        .collect::<Result<_, _>>()?;
    let total = layers[0].total.clone();
    if layers.iter().any(|layer| layer.total != total) {
        return Err("its layers count positions differently".into());
    }
    let mut names = Names::of(graph);
    let (lengths, longest) = lengths(graph, &mut names, &total);
    let mut gone = HashSet::new();
    for layer in &layers {
        let label = graph.node[layer.attention].label();
        gone.extend([layer.attention, layer.reshape]);
        let inside = layer.head_size % TURNED_INSIDE == 0;
        let [query, key, value] = if inside {
            [layer.packed.clone(), String::new(), String::new()]
        } else {
            let [query, key, value] = &layer.parts;
            let mut turned = |x: &String, heads: i64| {
                let name = names.fresh(&format!("{x}/turned"));
                let inputs = [x.as_str(), &layer.cos, &layer.sin, &layer.numbers];
                let node = NodeProto::new("RotaryEmbedding", &name, &inputs, &[&name])
                    .with(AttributeProto::int("num_heads", heads))
                    .with(AttributeProto::int("interleaved", layer.interleaved));
                graph.node.push(node);
                name
            };
            [turned(query, layer.heads), turned(key, layer.kv_heads), value.clone()]
        };
        let mut inputs = vec![query.as_str(), &key, &value, &layer.past[0], &layer.past[1]];
        inputs.extend([lengths.as_str(), &longest]);
        if inside {
            inputs.extend([layer.cos.as_str(), &layer.sin]);
        }
        let outputs = [layer.out.as_str(), &layer.present[0], &layer.present[1]];
        let node = NodeProto::new("GroupQueryAttention", &label, &inputs, &outputs)
            .of_set(MICROSOFT)
            .with(AttributeProto::int("num_heads", layer.heads))
            .with(AttributeProto::int("kv_num_heads", layer.kv_heads))
            .with(AttributeProto::int("do_rotary", i64::from(inside)))
            .with(AttributeProto::int("rotary_interleaved", layer.interleaved));
        graph.node.push(node);
    }
    // The new nodes make these values now.
    let present: HashSet<&String> = layers.iter().flat_map(|layer| &layer.present).collect();
    let mut at = 0;
    graph.node.retain(|node| {
        let scatter = standard(node, "TensorScatter") && present.contains(&node.output[0]);
        let keep = !gone.contains(&at) && !scatter;
        at += 1;
        keep
    });
    Ok(layers.len())
}

/// Nodes that give GroupQueryAttention its lengths: for each row the position of its last token
/// (`seqlens_k`, i32) and the largest number of positions (`total_sequence_length`, i32).
fn lengths(graph: &mut GraphProto, names: &mut Names, total: &str) -> (String, String) {
    const INT32: i64 = 6;
    let one = names.fresh("/gqa/one");
    graph.initializer.push(TensorProto::inline(
        &one,
        ElementType::I64,
        &[],
        1_i64.to_le_bytes().to_vec(),
    ));
    let [last, rows, most, longest] =
        ["/gqa/last", "/gqa/seqlens_k", "/gqa/most", "/gqa/total_sequence_length"]
            .map(|name| names.fresh(name));
    let cast = || AttributeProto::int("to", INT32);
    graph.node.extend([
        NodeProto::new("Sub", &last, &[total, &one], &[&last]),
        NodeProto::new("Cast", &rows, &[&last], &[&rows]).with(cast()),
        NodeProto::new("ReduceMax", &most, &[total], &[&most])
            .with(AttributeProto::int("keepdims", 0)),
        NodeProto::new("Cast", &longest, &[&most], &[&longest]).with(cast()),
    ]);
    (rows, longest)
}

impl<'a> View<'a> {
    /// `value` (batch, heads, sequence, size) as it comes out of `Split`: the name of what is
    /// split, which part, the number of heads and their size.
    fn by_head(&self, value: &str) -> Result<(&'a NodeProto, usize, [i64; 2]), String> {
        let transpose = self.maker(value, "Transpose")?;
        if attribute_ints(transpose, "perm") != Some(&[0, 2, 1, 3]) {
            return Err("its heads are laid out in another order".into());
        }
        let reshape = self.maker(&transpose.input[0], "Reshape")?;
        let heads = match self.integers(&reshape.input[1]).as_deref() {
            Some(&[0, 0, heads, size]) => [heads, size],
            _ => return Err(format!("`{}` has no constant number of heads", reshape.label())),
        };
        let split = self.maker(&reshape.input[0], "Split")?;
        let part = split.output.iter().position(|out| *out == reshape.input[0]);
        Ok((split, part.unwrap_or_default(), heads))
    }

    fn layer(&self, at: usize) -> Result<Layer, String> {
        let node = &self.graph.node[at];
        let input = |n: usize| node.input.get(n).map_or("", String::as_str);
        if let Some(odd) = ["scale", "softcap"].into_iter().find(|name| node.attr(name).is_some()) {
            return Err(format!("it has a `{odd}`"));
        }
        let (query, mask, total) = (self.maker(input(0), "RotaryEmbedding")?, input(3), input(6));
        let [keys, values] = [1, 2].map(|n| self.maker(input(n), "TensorScatter"));
        let (keys, values) = (keys?, values?);
        let key = self.maker(&keys.input[1], "RotaryEmbedding")?;
        if query.input[1..] != key.input[1..] || query.input.len() != 4 {
            return Err("queries and keys are turned differently".into());
        }
        for rotary in [query, key] {
            if attribute_int(rotary, "rotary_embedding_dim").unwrap_or(0) != 0 {
                return Err("only a part of each head is turned".into());
            }
        }
        let (split, first, [heads, head_size]) = self.by_head(&query.input[0])?;
        let (key_split, second, [kv_heads, _]) = self.by_head(&key.input[0])?;
        let (value_split, third, [value_heads, _]) = self.by_head(&values.input[1])?;
        let packed = [split, key_split, value_split].iter().all(|s| s.input == split.input);
        if !packed || [first, second, third] != [0, 1, 2] || kv_heads != value_heads {
            return Err("queries, keys and values are not parts of one packed projection".into());
        }
        self.causal(mask, &query.input[3], &keys.input[2], total)?;
        for scatter in [keys, values] {
            let mode = attribute_text(scatter, "mode").unwrap_or("linear");
            if attribute_int(scatter, "axis").unwrap_or(-2) != 2 || mode != "linear" {
                return Err("its cache is written along another dimension or in a ring".into());
            }
        }
        if values.input[2] != keys.input[2] || !input(4).is_empty() || !input(5).is_empty() {
            return Err("keys and values are written at different places".into());
        }
        let out = self.only_user(&node.output[0], "Transpose")?;
        if attribute_ints(&self.graph.node[out], "perm") != Some(&[0, 2, 1, 3]) {
            return Err("its heads are merged in another order".into());
        }
        let reshape = self.only_user(&self.graph.node[out].output[0], "Reshape")?;
        let name = |name: &String| name.clone();
        Ok(Layer {
            attention: at,
            reshape,
            packed: name(&split.input[0]),
            parts: [&split.output[0], &split.output[1], &split.output[2]].map(name),
            past: [name(&keys.input[0]), name(&values.input[0])],
            present: [name(&keys.output[0]), name(&values.output[0])],
            cos: name(&query.input[1]),
            sin: name(&query.input[2]),
            numbers: name(&query.input[3]),
            total: total.to_owned(),
            heads,
            kv_heads,
            head_size,
            interleaved: attribute_int(query, "interleaved").unwrap_or(0),
            out: name(&self.graph.node[reshape].output[0]),
        })
    }

    /// Each new position sees slot `i` exactly when `i` is at most its own number, numbers go on
    /// after `past`, and `total` counts what is held afterwards.
    fn causal(&self, mask: &str, numbers: &str, past: &str, total: &str) -> Result<(), String> {
        let odd = |_| "its mask is not known to be the causal one".to_owned();
        let compare = self.maker(mask, "LessOrEqual").map_err(odd)?;
        let rows = self.maker(&compare.input[1], "Unsqueeze").map_err(odd)?;
        self.maker(&compare.input[0], "Range").map_err(odd)?;
        let add = self.maker(numbers, "Add").map_err(odd)?;
        let column = self.maker(&add.input[0], "Unsqueeze").map_err(odd)?;
        self.maker(&add.input[1], "Range").map_err(odd)?;
        let sum = self.maker(total, "Add").map_err(odd)?;
        let fits = rows.input[0] == numbers && column.input[0] == past && sum.input[0] == past;
        if fits { Ok(()) } else { Err(odd(String::new())) }
    }
}

/// Fuses each sum of the residual stream with the norm that follows it, and counts them.
fn skip_norms(graph: &mut GraphProto) -> usize {
    let mut pairs = Vec::new();
    {
        let seen = View::new(graph);
        let stream = stream(&seen);
        for (at, norm) in graph.node.iter().enumerate() {
            if !standard(norm, "RMSNormalization") || attribute_int(norm, "axis") != Some(-1) {
                continue;
            }
            let Ok(add) = seen.maker(&norm.input[0], "Add") else { continue };
            if add.input.iter().all(|value| stream.contains(value.as_str())) {
                let Some(&made) = seen.makers.get(norm.input[0].as_str()) else { continue };
                // One fused node gives the sum; a second norm of it stays as it is.
                if pairs.iter().all(|&(_, known)| known != made) {
                    pairs.push((at, made));
                }
            }
        }
    }
    let gone: HashSet<usize> = pairs.iter().map(|&(_, add)| add).collect();
    for &(at, add) in &pairs {
        let (norm, add) = (&graph.node[at], &graph.node[add]);
        let epsilon = attribute_f32(norm, "epsilon").unwrap_or(1e-5);
        let inputs = [add.input[0].as_str(), &add.input[1], &norm.input[1]];
        let outputs = [norm.output[0].as_str(), "", "", &add.output[0]];
        let name = norm.name.clone().unwrap_or_default();
        let fused = NodeProto::new("SkipSimplifiedLayerNormalization", &name, &inputs, &outputs)
            .of_set(MICROSOFT)
            .with(AttributeProto::float("epsilon", epsilon));
        graph.node[at] = fused;
    }
    let mut at = 0;
    graph.node.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
    pairs.len()
}

/// Values of shape (batch, sequence, hidden): rows of the embedding, products with matrices that
/// have `hidden` columns, these with a bias, and sums of two such values. The fused operator does
/// not broadcast, so only sums of two may be fused.
fn stream<'a>(seen: &View<'a>) -> HashSet<&'a str> {
    let is_bias = |name: &str, hidden: i64| {
        seen.graph.initializer(name).is_some_and(|tensor| tensor.dims == [hidden])
    };
    let columns = |name: &str| {
        let tensor = seen.graph.initializer(name)?;
        (tensor.dims.len() == 2).then(|| tensor.dims[1])
    };
    let embedding = seen.graph.node.iter().find(|node| standard(node, "Gather"));
    let Some(hidden) = embedding.and_then(|node| columns(&node.input[0])) else {
        return HashSet::new();
    };
    let mut found = HashSet::new();
    for node in &seen.graph.node {
        let fits = match node.op() {
            "Gather" => columns(&node.input[0]) == Some(hidden),
            "MatMul" => columns(&node.input[1]) == Some(hidden),
            "Add" => {
                let added = |value: &String| found.contains(value.as_str());
                let biased = |value: &String| added(value) || is_bias(value, hidden);
                node.input.iter().any(added) && node.input.iter().all(biased)
            }
            _ => false,
        };
        if fits && node.set().is_empty() {
            found.insert(node.output[0].as_str());
        }
    }
    found
}
