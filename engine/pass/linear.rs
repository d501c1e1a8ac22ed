//! The products of a graph with constant matrices: what weight quantization is about.

use crate::data::ElementType;
use crate::model::OnnxModel;
use crate::model::onnx::{
    GraphProto, NodeProto, TensorProto, attribute_f32, attribute_int, element_type, type_name,
};

/// A `MatMul` or `Gemm` of the main graph whose second factor is a constant matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// Number of the node.
    pub node: usize,
    /// Name of the matrix.
    pub weight: String,
    /// The matrix is stored as (outputs, inputs), as `Gemm` with `transB` has it.
    pub by_output: bool,
    pub inputs: usize,
    pub outputs: usize,
    /// What `Gemm` adds.
    pub bias: Option<String>,
}

/// Quantized products take and give f32: a graph that computes in another type needs others.
fn is_f32(tensor: &TensorProto) -> bool {
    tensor.data_type.and_then(element_type) == Some(ElementType::F32)
}

/// Every such product, and remarks on those that are of another form.
pub fn linears(model: &OnnxModel, notes: &mut Vec<String>) -> Vec<Linear> {
    let graph = model.graph();
    let mut found = Vec::new();
    for (at, node) in graph.node.iter().enumerate() {
        if !node.set().is_empty() || !matches!(node.op(), "MatMul" | "Gemm") {
            continue;
        }
        let Some(weight) = node.input.get(1).filter(|w| graph.initializer(w).is_some()) else {
            continue;
        };
        if node.output.is_empty() {
            continue;
        }
        match linear(graph, at, node, weight) {
            Ok(linear) => found.push(linear),
            Err(why) => notes.push(format!("`{}` stays as it is: {why}", node.label())),
        }
    }
    found
}

fn linear(graph: &GraphProto, at: usize, node: &NodeProto, weight: &str) -> Result<Linear, String> {
    let tensor = graph.initializer(weight).ok_or("its matrix is no constant")?;
    let &[first, second] = tensor.dims.as_slice() else {
        return Err(format!("its constant `{weight}` has {} dimensions", tensor.dims.len()));
    };
    if !is_f32(tensor) {
        let found = tensor.data_type.and_then(type_name).unwrap_or("of an unknown type");
        return Err(format!("its constant `{weight}` is {found}; only f32 is quantized"));
    }
    let flag = |name: &str| attribute_int(node, name).unwrap_or(0) != 0;
    let factor = |name: &str| attribute_f32(node, name).unwrap_or(1.0);
    if flag("transA") || factor("alpha") != 1.0 {
        return Err("`Gemm` turns or scales its input".into());
    }
    let bias = node.input.get(2).filter(|name| !name.is_empty()).cloned();
    if bias.is_some() && factor("beta") != 1.0 {
        return Err("`Gemm` scales what it adds".into());
    }
    let by_output = flag("transB");
    let (inputs, outputs) = if by_output { (second, first) } else { (first, second) };
    if inputs < 1 || outputs < 1 {
        return Err("its matrix is empty".into());
    }
    let (inputs, outputs) = (inputs as usize, outputs as usize);
    Ok(Linear { node: at, weight: weight.to_owned(), by_output, inputs, outputs, bias })
}

/// `Gather` nodes that look rows up in a constant matrix of at least `rows` rows: number of the
/// node and name of the matrix.
pub fn tables(model: &OnnxModel, rows: i64) -> Vec<(usize, String)> {
    let graph = model.graph();
    let fits = |node: &NodeProto| {
        node.op() == "Gather"
            && node.set().is_empty()
            && attribute_int(node, "axis").unwrap_or(0) == 0
            && (node.input.len(), node.output.len()) == (2, 1)
            && graph.initializer(&node.input[0]).is_some_and(|tensor| {
                let large = tensor.dims.len() == 2 && tensor.dims[0] >= rows && tensor.dims[1] > 0;
                large && is_f32(tensor)
            })
    };
    let nodes = graph.node.iter().enumerate().filter(|(_, node)| fits(node));
    nodes.map(|(at, node)| (at, node.input[0].clone())).collect()
}

/// True when one of `patterns` is the operator of `node` or a part of its name.
pub fn named(node: &NodeProto, patterns: &[String]) -> bool {
    let name = node.label();
    patterns.iter().any(|pattern| node.op() == pattern || name.contains(pattern.as_str()))
}

/// Patterns that fit no node, which is hardly ever meant.
pub fn idle<'a>(graph: &GraphProto, patterns: &'a [String]) -> Vec<&'a str> {
    idle_among(&graph.node.iter().collect::<Vec<_>>(), patterns)
}

/// Patterns that fit none of the products and tables whose weights could be quantized.
pub fn idle_weights<'a>(model: &OnnxModel, patterns: &'a [String]) -> Vec<&'a str> {
    let products = linears(model, &mut Vec::new()).into_iter().map(|product| product.node);
    let lookups = tables(model, 1).into_iter().map(|(at, _)| at);
    let nodes: Vec<&NodeProto> =
        products.chain(lookups).map(|at| &model.graph().node[at]).collect();
    idle_among(&nodes, patterns)
}

fn idle_among<'a>(nodes: &[&NodeProto], patterns: &'a [String]) -> Vec<&'a str> {
    let fits = |pattern: &&String| {
        let alone = std::slice::from_ref(*pattern);
        !nodes.iter().any(|node| named(node, alone))
    };
    patterns.iter().filter(fits).map(String::as_str).collect()
}
