//! What can be said about a graph without running it.

use std::collections::HashSet;

use indexmap::IndexMap;
use serde::Serialize;

use super::packed::Uses;
use super::proto::{
    GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorShapeProtoDimensionValue,
    TypeProto, TypeProtoValue, ValueInfoProto,
};
use super::{OnnxModel, element, scope, tensor, type_name, wire};
use crate::model::Signature;
use crate::model::signature::{Dim, Port};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnnxFacts {
    pub ir_version: i64,
    /// Version by operator set; the standard one is named `ai.onnx`.
    pub opsets: IndexMap<String, i64>,
    /// Number of nodes by operator, sub-graphs and functions included, most frequent first.
    /// Operators outside the standard set are named with it: `com.microsoft.GroupQueryAttention`.
    pub operators: IndexMap<String, u64>,
    /// Names of the dimensions of inputs that the caller chooses, in order of first appearance.
    /// A dimension without a name gets one: `x_dim1` for the second one of input `x`. An input
    /// that may have any number of dimensions is given one, `x_any`.
    pub free_dimensions: Vec<String>,
    /// Inputs that are not initialized, and all outputs.
    pub signature: Signature,
    /// Number of elements of all initializers and of constants of more than 1024 bytes, also of
    /// graphs in nodes; texts are not counted, of sparse ones only what is stored.
    pub parameters: u64,
    /// Bytes of what counts as parameter, and texts, by storage type. Weights that an operator
    /// unpacks are named by their bits, `int4`, whatever type holds them.
    pub weight_bytes: IndexMap<String, u64>,
    /// Number of tensors by storage type.
    pub tensor_counts: IndexMap<String, u64>,
    /// Elements of weights by storage type.
    pub weight_elements: IndexMap<String, u64>,
    /// Elements stored in fewer than 16 bits. Truth values are not numbers, and scales and zero
    /// points of packed weights are no weights: neither counts here.
    pub quantized_elements: u64,
}

impl OnnxModel {
    pub fn facts(&self) -> OnnxFacts {
        let graph = self.graph();
        let mut opsets = IndexMap::new();
        for set in &self.proto.opset_import {
            let domain = set.domain.as_deref().filter(|domain| !domain.is_empty());
            opsets.insert(domain.unwrap_or("ai.onnx").to_owned(), set.version.unwrap_or(0));
        }
        let (mut count, mut uses) = (IndexMap::new(), Uses::default());
        operators(&graph.node, &mut count);
        uses.find(&graph.node);
        for function in &self.proto.functions {
            operators(&function.node, &mut count);
        }
        count.sort_by(|a, m, b, n| n.cmp(m).then_with(|| a.cmp(b)));

        let (signature, free_dimensions) = signature(graph);
        let mut weights = Weights::default();
        for tensor in &graph.initializer {
            weights.add(tensor, Some(&uses));
        }
        weights.add_rest(graph);
        for function in &self.proto.functions {
            weights.add_constants(&function.node);
        }
        OnnxFacts {
            ir_version: self.proto.ir_version.unwrap_or(0),
            opsets,
            operators: count,
            free_dimensions,
            signature,
            parameters: weights.elements.values().sum(),
            weight_bytes: weights.bytes,
            tensor_counts: weights.tensors,
            weight_elements: weights.elements,
            quantized_elements: weights.quantized,
        }
    }
}

fn operators(nodes: &[NodeProto], count: &mut IndexMap<String, u64>) {
    for node in nodes {
        let name = match node.set() {
            "" => node.op().to_owned(),
            set => format!("{set}.{}", node.op()),
        };
        *count.entry(name).or_default() += 1;
        for (_, graph) in scope::graphs(node) {
            operators(&graph.node, count);
        }
    }
}

#[derive(Default)]
struct Weights {
    bytes: IndexMap<String, u64>,
    tensors: IndexMap<String, u64>,
    elements: IndexMap<String, u64>,
    quantized: u64,
}

impl Weights {
    fn add(&mut self, tensor: &TensorProto, uses: Option<&Uses<'_>>) {
        let code = tensor.data_type.unwrap_or(0);
        let name = tensor.name.as_deref().unwrap_or_default();
        let mut dtype = type_name(code).unwrap_or("unknown").to_owned();
        let bits = element::bits(code);
        let (mut elements, bytes) = match bits {
            // The reader has checked both.
            Some(_) => (tensor::elements(tensor).unwrap_or(0), tensor::bytes(tensor).unwrap_or(0)),
            None => (0, tensor.string_data.iter().map(|text| text.len() as u64).sum()),
        };
        let mut quantized = bits.is_some_and(|bits| bits < 16) && dtype != "bool";
        if let Some(uses) = uses {
            let packed = uses.packed.get(name).filter(|_| bits.is_some_and(|bits| bits <= 8));
            if let Some(packed) = packed
                && let Some(inside) = packed.elements_in(bytes)
            {
                (dtype, elements) = (format!("int{}", packed.bits), inside);
            } else if uses.helpers.contains(name) {
                quantized = false;
            }
        }
        *self.bytes.entry(dtype.clone()).or_default() += bytes;
        *self.tensors.entry(dtype.clone()).or_default() += 1;
        if bits.is_some() {
            let total = self.elements.entry(dtype).or_default();
            *total = total.saturating_add(elements);
            self.quantized = self.quantized.saturating_add(if quantized { elements } else { 0 });
        }
    }

    /// Everything in a graph but its dense initializers.
    fn add_rest(&mut self, graph: &GraphProto) {
        for sparse in &graph.sparse_initializer {
            sparse.values.iter().for_each(|values| self.add(values, None));
        }
        self.add_constants(&graph.node);
    }

    /// Large constants, and weights of graphs in nodes.
    fn add_constants(&mut self, nodes: &[NodeProto]) {
        for node in nodes {
            for constant in node.attribute.iter().filter_map(|attribute| attribute.t.as_deref()) {
                if tensor::bytes(constant).is_ok_and(|bytes| bytes > wire::INLINE) {
                    self.add(constant, None);
                }
            }
            for (_, graph) in scope::graphs(node) {
                graph.initializer.iter().for_each(|tensor| self.add(tensor, None));
                self.add_rest(graph);
            }
        }
    }
}

/// The signature, and the free dimensions of its inputs.
fn signature(graph: &GraphProto) -> (Signature, Vec<String>) {
    let initialized: HashSet<&str> =
        graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref()).collect();
    let is_asked =
        |value: &&ValueInfoProto| !initialized.contains(value.name.as_deref().unwrap_or_default());
    let given: Vec<&ValueInfoProto> = graph.input.iter().filter(is_asked).collect();
    let all = given.iter().copied().chain(&graph.output);
    let mut names =
        Names(all.filter_map(|value| dims(value.r#type.as_deref()?)).flat_map(named).collect());
    let inputs: Vec<Port> = given.into_iter().map(|value| port(value, &mut names)).collect();
    let outputs = graph.output.iter().map(|value| port(value, &mut names)).collect();
    let mut free = Vec::new();
    let mut seen = HashSet::new();
    for dim in inputs.iter().flat_map(|port| &port.shape) {
        if let Dim::Named(name) = dim
            && seen.insert(name)
        {
            free.push(name.clone());
        }
    }
    (Signature { inputs, outputs }, free)
}

fn dims(of: &TypeProto) -> Option<&TensorShapeProto> {
    match of.value.as_ref()? {
        TypeProtoValue::TensorType(tensor) => tensor.shape.as_ref(),
        _ => None,
    }
}

fn named(shape: &TensorShapeProto) -> impl Iterator<Item = String> {
    shape.dim.iter().filter_map(|dim| match &dim.value {
        Some(TensorShapeProtoDimensionValue::DimParam(name)) if !name.is_empty() => {
            Some(name.clone())
        }
        _ => None,
    })
}

/// Names of dimensions that are taken.
struct Names(HashSet<String>);

impl Names {
    /// `name`, or where that is taken the same with underscores: equal names are equal sizes.
    fn invent(&mut self, mut name: String) -> Dim {
        while !self.0.insert(name.clone()) {
            name.push('_');
        }
        Dim::Named(name)
    }
}

fn port(value: &ValueInfoProto, names: &mut Names) -> Port {
    let name = value.name.clone().unwrap_or_default();
    let kind = value.r#type.as_deref();
    let dtype = kind.map_or_else(|| "unknown".to_owned(), dtype);
    let is_tensor =
        kind.is_none_or(|kind| matches!(kind.value, None | Some(TypeProtoValue::TensorType(_))));
    let shape = match kind.and_then(dims) {
        Some(shape) => {
            let dims = shape.dim.iter().enumerate().map(|(i, dim)| match &dim.value {
                // Old exporters write -1 for what the caller chooses.
                Some(TensorShapeProtoDimensionValue::DimValue(size @ 0..)) => {
                    Dim::Fixed(*size as u64)
                }
                Some(TensorShapeProtoDimensionValue::DimParam(name)) if !name.is_empty() => {
                    Dim::Named(name.clone())
                }
                _ => names.invent(format!("{name}_dim{i}")),
            });
            dims.collect()
        }
        None if is_tensor => vec![names.invent(format!("{name}_any"))],
        None => Vec::new(),
    };
    Port { name, dtype, shape }
}

fn dtype(of: &TypeProto) -> String {
    let element = |code: Option<i32>| code.and_then(type_name).unwrap_or("unknown").to_owned();
    let inner = |of: Option<&TypeProto>| of.map_or_else(|| "unknown".to_owned(), dtype);
    match &of.value {
        None => "unknown".to_owned(),
        Some(TypeProtoValue::TensorType(tensor)) => element(tensor.elem_type),
        Some(TypeProtoValue::SparseTensorType(tensor)) => {
            format!("sparse({})", element(tensor.elem_type))
        }
        Some(TypeProtoValue::SequenceType(of)) => {
            format!("sequence({})", inner(of.elem_type.as_deref()))
        }
        Some(TypeProtoValue::OptionalType(of)) => {
            format!("optional({})", inner(of.elem_type.as_deref()))
        }
        Some(TypeProtoValue::MapType(map)) => {
            format!("map({}, {})", element(map.key_type), inner(map.value_type.as_deref()))
        }
        Some(TypeProtoValue::OpaqueType(opaque)) => {
            let domain = opaque.domain.as_deref().unwrap_or_default();
            format!("opaque({domain}.{})", opaque.name.as_deref().unwrap_or_default())
        }
    }
}
