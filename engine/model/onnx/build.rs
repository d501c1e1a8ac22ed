//! Building a graph node by node.

use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorShapeProtoDimension, TensorShapeProtoDimensionValue,
    TypeProto, TypeProtoTensor, TypeProtoValue, ValueInfoProto,
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

    pub fn initializer(&mut self, tensor: TensorProto) -> Value {
        let name = tensor.name.clone().unwrap_or_default();
        self.graph.initializer.push(tensor);
        Value(name)
    }

    /// A small constant; an empty shape is a scalar.
    pub fn constant(&mut self, name: &str, shape: &[i64], values: &[i64]) -> Value {
        self.initializer(small_i64(name, shape, values))
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
        self.graph.node.push(node(name, op, domain, inputs, outputs, attributes));
    }

    /// The finished model. `metadata` are pairs of key and value.
    pub fn model(mut self, name: &str, opset: i64, metadata: &[(&str, String)]) -> ModelProto {
        self.graph.name = Some(name.to_owned());
        let entry = |(key, value): &(&str, String)| StringStringEntryProto {
            key: Some((*key).to_owned()),
            value: Some(value.clone()),
        };
        ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some("engine".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            opset_import: vec![opset_id("", opset)],
            metadata_props: metadata.iter().map(entry).collect(),
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }
}

impl ModelProto {
    /// Makes sure that the operator set `domain` is imported.
    pub fn import(&mut self, domain: &str, version: i64) {
        let known = |o: &OperatorSetIdProto| o.domain.as_deref().unwrap_or_default() == domain;
        if !self.opset_import.iter().any(known) {
            self.opset_import.push(opset_id(domain, version));
        }
    }

    /// Sets an entry of the metadata.
    pub fn set_metadata(&mut self, key: &str, value: String) {
        self.metadata_props.retain(|entry| entry.key.as_deref() != Some(key));
        let entry = StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) };
        self.metadata_props.push(entry);
    }
}

pub fn node(
    name: &str,
    op: &str,
    domain: &str,
    inputs: &[&str],
    outputs: &[&str],
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeProto {
        name: Some(name.to_owned()),
        op_type: Some(op.to_owned()),
        domain: (!domain.is_empty()).then(|| domain.to_owned()),
        input: owned(inputs),
        output: owned(outputs),
        attribute,
        ..NodeProto::default()
    }
}

/// A small tensor of i64 inside the graph; an empty shape is a scalar.
pub fn small_i64(name: &str, shape: &[i64], values: &[i64]) -> TensorProto {
    small(name, ElementType::I64, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A small tensor of f32 inside the graph; an empty shape is a scalar.
pub fn small_f32(name: &str, shape: &[i64], values: &[f32]) -> TensorProto {
    small(name, ElementType::F32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A small tensor inside the graph; the bytes fit type and shape.
pub fn small(name: &str, dtype: ElementType, shape: &[i64], bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: shape.to_vec(),
        data_type: Some(type_code(dtype)),
        raw_data: Some(bytes),
        ..TensorProto::default()
    }
}

/// Numbers of `AttributeProto.AttributeType`.
const FLOAT: i32 = 1;
const INT: i32 = 2;
const STRING: i32 = 3;
const INTS: i32 = 7;

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(kind), ..AttributeProto::default() }
}

pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, INT) }
}

pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, INTS) }
}

pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, FLOAT) }
}

pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.as_bytes().to_vec()), ..attribute(name, STRING) }
}

fn opset_id(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) }
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
