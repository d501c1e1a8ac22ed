//! Element types of the values of a graph, as far as they follow without shapes.
//!
//! What the graph declares is believed; the rest follows from the operators: most give the type of
//! their first input. Values whose type does not follow are left out.

use std::collections::HashMap;

use super::proto::{GraphProto, NodeProto, TypeProtoValue, ValueInfoProto};
use super::{attribute_int, element_type, type_code};

const BOOL: i32 = 9;
const I32: i32 = 6;
const I64: i32 = 7;
const F32: i32 = 1;
const U8: i32 = 2;

/// Type numbers of `TensorProto.DataType` by value.
pub fn value_types(graph: &GraphProto) -> HashMap<String, i32> {
    let mut types: HashMap<String, i32> = HashMap::new();
    for port in graph.input.iter().chain(&graph.value_info).chain(&graph.output) {
        if let (Some(name), Some(code)) = (&port.name, declared(port)) {
            types.insert(name.clone(), code);
        }
    }
    for tensor in &graph.initializer {
        if let Some(code) = tensor.data_type {
            types.insert(tensor.label().to_owned(), code);
        }
    }
    for node in &graph.node {
        for (at, name) in node.output.iter().enumerate() {
            if !name.is_empty()
                && !types.contains_key(name)
                && let Some(code) = given(node, at, &types)
            {
                types.insert(name.clone(), code);
            }
        }
    }
    types
}

/// The element type that a port declares.
pub fn declared(port: &ValueInfoProto) -> Option<i32> {
    match port.r#type.as_ref()?.value.as_ref()? {
        TypeProtoValue::TensorType(tensor) => tensor.elem_type.filter(|&code| code != 0),
        _ => None,
    }
}

/// The type of output `at`.
fn given(node: &NodeProto, at: usize, types: &HashMap<String, i32>) -> Option<i32> {
    let input = |at: usize| types.get(node.input.get(at)?).copied();
    let attribute = |name: &str| attribute_int(node, name).map(|code| code as i32);
    let tensor = |name: &str| node.attr(name).and_then(|a| a.t.as_ref()?.data_type);
    if node.bodies().next().is_some() {
        return None;
    }
    match (node.op(), at) {
        ("Shape" | "Size" | "NonZero" | "ArgMax" | "ArgMin" | "NonMaxSuppression", _)
        | ("TopK" | "MaxPool", 1)
        | ("Unique", 1..) => Some(I64),
        (
            "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Not" | "And" | "Or"
            | "Xor" | "IsNaN" | "IsInf",
            _,
        )
        | ("Dropout", 1) => Some(BOOL),
        ("Cast", _) => attribute("to"),
        ("Constant", _) => tensor("value").or_else(|| {
            let is = |name: &str| node.attr(name).is_some();
            match (is("value_float") || is("value_floats"), is("value_int") || is("value_ints")) {
                (true, _) => Some(F32),
                (_, true) => Some(I64),
                _ => None,
            }
        }),
        ("ConstantOfShape", _) => tensor("value").or(Some(F32)),
        ("RandomNormal" | "RandomUniform" | "TfIdfVectorizer", _)
        | ("DynamicQuantizeLinear", 1)
        // Mean and deviation are kept in f32, whatever is normalized.
        | ("LayerNormalization", 1..) => Some(F32),
        ("EyeLike" | "RandomNormalLike" | "RandomUniformLike" | "Bernoulli", _) => {
            attribute("dtype").or_else(|| input(0))
        }
        ("Multinomial" | "MatMulInteger" | "ConvInteger", _) => Some(I32),
        ("DynamicQuantizeLinear", _) => Some(U8),
        ("QuantizeLinear", _) => input(2).or(Some(U8)),
        ("QLinearConv" | "QLinearMatMul", _) => input(7),
        ("CastLike" | "DequantizeLinear" | "Where", _) => input(1),
        ("OneHot", _) => input(2),
        ("Split" | "LSTM" | "GRU" | "RNN" | "BatchNormalization" | "Attention", _) | (_, 0) => {
            input(0)
        }
        _ => {
            let dtype = input(0).and_then(element_type);
            dtype.filter(|dtype| dtype.is_float()).map(type_code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ElementType;
    use crate::model::onnx::{AttributeProto, TensorProto};

    #[test]
    fn types_follow_from_operators() {
        let initializer = |name: &str, dtype: ElementType| {
            TensorProto::inline(name, dtype, &[1], vec![0; dtype.bytes()])
        };
        let node =
            |op: &str, inputs: &[&str], outputs: &[&str]| NodeProto::new(op, "", inputs, outputs);
        let graph = GraphProto {
            initializer: vec![
                initializer("x", ElementType::F32),
                initializer("k", ElementType::I64),
            ],
            node: vec![
                node("Relu", &["x"], &["a"]),
                node("TopK", &["a", "k"], &["values", "places"]),
                node("Less", &["a", "x"], &["mask"]),
                node("Where", &["mask", "places", "k"], &["chosen"]),
                node("Cast", &["chosen"], &["half"]).with(AttributeProto::int("to", 10)),
                node("Mystery", &["unknown"], &["b"]),
            ],
            ..GraphProto::default()
        };
        let types = value_types(&graph);
        let of = |name: &str| types.get(name).copied();
        assert_eq!([of("a"), of("values"), of("places")], [Some(F32), Some(F32), Some(I64)]);
        assert_eq!([of("mask"), of("chosen"), of("half")], [Some(BOOL), Some(I64), Some(10)]);
        assert_eq!(of("b"), None);
    }
}
