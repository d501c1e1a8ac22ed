//! Building a graph node by node.

use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto,
    TensorShapeProtoDimension, TensorShapeProtoDimensionValue, TypeProto, TypeProtoTensor,
    TypeProtoValue, ValueInfoProto,
};
use super::type_code;
use crate::data::ElementType;
use crate::model::signature::Dim;

/// Operators of ONNX Runtime beyond the standard.
pub const MICROSOFT: &str = "com.microsoft";

/// The version of the file layout that the newest operator set here (24) came with.
const IR_VERSION: i64 = 11;

/// A tensor of the graph under construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Value(pub String);

/// A graph under construction: nodes in the order in which they are added.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    graph: GraphProto,
}

impl GraphBuilder {
    pub fn input(&mut self, name: &str, dtype: ElementType, shape: &[Dim]) -> Value {
        self.graph.input.push(value_info(name, dtype, shape));
        Value(name.to_owned())
    }

    /// Declares an output of the graph, which a node makes under this name.
    pub fn output(&mut self, name: &str, dtype: ElementType, shape: &[Dim]) {
        self.graph.output.push(value_info(name, dtype, shape));
    }

    /// Whether a node added so far makes this tensor.
    pub fn makes(&self, value: &Value) -> bool {
        self.graph.node.iter().any(|node| node.output.contains(&value.0))
    }

    pub fn initializer(&mut self, tensor: TensorProto) -> Value {
        let name = tensor.name.clone().unwrap_or_default();
        self.graph.initializer.push(tensor);
        Value(name)
    }

    /// A small constant; an empty shape is a scalar.
    pub fn constant(&mut self, name: &str, shape: &[u64], values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(TensorProto::inline(name, ElementType::I64, shape, bytes))
    }

    /// A standard operator with one output, which is named after the node.
    pub fn op(&mut self, name: &str, op: &str, inputs: &[&Value]) -> Value {
        self.op_with(name, op, inputs, Vec::new())
    }

    pub fn op_with(
        &mut self,
        name: &str,
        op: &str,
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
    ) -> Value {
        let out = format!("{name}/out");
        let inputs: Vec<&str> = inputs.iter().map(|value| value.0.as_str()).collect();
        self.node(name, op, "", &inputs, &[&out], attributes);
        Value(out)
    }

    /// Any node; empty names are inputs and outputs that are left out.
    pub fn node(
        &mut self,
        name: &str,
        op: &str,
        domain: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        let mut node = NodeProto::new(op, name, inputs, outputs).of_set(domain);
        node.attribute = attributes;
        self.graph.node.push(node);
    }

    /// The finished model. `metadata` are pairs of key and value.
    pub fn model(mut self, name: &str, opset: i64, metadata: &[(&str, &str)]) -> ModelProto {
        self.graph.name = Some(name.to_owned());
        let mut model = ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some("engine".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            graph: Some(self.graph),
            ..ModelProto::default()
        };
        model.import("", opset);
        for (key, value) in metadata {
            model.set_metadata(key, value);
        }
        model
    }
}

fn value_info(name: &str, dtype: ElementType, shape: &[Dim]) -> ValueInfoProto {
    let dim = |dim: &Dim| {
        let value = match dim {
            Dim::Named(name) => TensorShapeProtoDimensionValue::DimParam(name.clone()),
            Dim::Fixed(size) => TensorShapeProtoDimensionValue::DimValue(*size as i64),
        };
        TensorShapeProtoDimension { value: Some(value), denotation: None }
    };
    let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
    let tensor = TypeProtoTensor { elem_type: Some(type_code(dtype)), shape: Some(shape) };
    let value = Some(TypeProtoValue::TensorType(tensor));
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(Box::new(TypeProto { value, denotation: None })),
        ..ValueInfoProto::default()
    }
}
