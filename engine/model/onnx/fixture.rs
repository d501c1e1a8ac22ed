//! A small sound graph to spoil, and messages byte by byte.

use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message;

use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorShapeProtoDimension, TensorShapeProtoDimensionValue,
    TypeProto, TypeProtoTensor, TypeProtoValue, ValueInfoProto,
};
use super::{EXTERNAL, OnnxModel};

/// Something that `node` reads or gives.
pub(super) fn value(name: &str, dims: &[&str]) -> ValueInfoProto {
    let dim = |text: &&str| {
        let value = match text.parse() {
            Ok(size) => TensorShapeProtoDimensionValue::DimValue(size),
            Err(_) => TensorShapeProtoDimensionValue::DimParam((*text).to_owned()),
        };
        TensorShapeProtoDimension { denotation: None, value: Some(value) }
    };
    let tensor = TypeProtoTensor {
        elem_type: Some(1),
        shape: Some(TensorShapeProto { dim: dims.iter().map(dim).collect() }),
    };
    let kind = TypeProto { denotation: None, value: Some(TypeProtoValue::TensorType(tensor)) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(Box::new(kind)),
        ..ValueInfoProto::default()
    }
}

pub(super) fn node(name: &str, op: &str, input: &[&str], output: &[&str]) -> NodeProto {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        name: Some(name.to_owned()),
        op_type: Some(op.to_owned()),
        input: texts(input),
        output: texts(output),
        ..NodeProto::default()
    }
}

/// A tensor of type f32 with its elements as raw bytes.
pub(super) fn raw(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    let elements = (0..count).flat_map(|i| (i as f32 * 0.5).to_le_bytes()).collect();
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(1),
        raw_data: Some(elements),
        ..TensorProto::default()
    }
}

/// A tensor of type f32 in a data file.
pub(super) fn outside(name: &str, dims: &[i64], entries: &[(&str, &str)]) -> TensorProto {
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: Some((*key).to_owned()),
        value: Some((*value).to_owned()),
    };
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(1),
        data_location: Some(EXTERNAL),
        external_data: entries.iter().map(entry).collect(),
        ..TensorProto::default()
    }
}

pub(super) fn attribute(name: &str) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() }
}

/// A node with a graph in it, which reads `x` and gives `inner`.
pub(super) fn branch(reads: &str) -> NodeProto {
    let graph = GraphProto {
        name: Some("then".to_owned()),
        node: vec![node("inner_abs", "Abs", &[reads], &["inner"])],
        output: vec![value("inner", &[])],
        ..GraphProto::default()
    };
    let mut out = node("choice", "If", &["flag"], &["chosen"]);
    out.attribute = vec![AttributeProto { g: Some(Box::new(graph)), ..attribute("then_branch") }];
    out
}

/// `y = (x · w + bias) · scale`, where `w` and `bias` are large enough to stay in the file.
pub(super) fn sound() -> ModelProto {
    let bias = TensorProto {
        raw_data: None,
        float_data: (0..300).map(|i| i as f32).collect(),
        ..raw("bias", &[300])
    };
    let graph = GraphProto {
        name: Some("main".to_owned()),
        node: vec![
            node("product", "MatMul", &["x", "w"], &["xw"]),
            node("sum", "Add", &["xw", "bias"], &["xwb"]),
            node("scaled", "Mul", &["xwb", "scale"], &["y"]),
        ],
        initializer: vec![raw("w", &[4, 300]), bias, raw("scale", &[1])],
        input: vec![value("x", &["batch", "4"])],
        output: vec![value("y", &["batch", "300"])],
        ..GraphProto::default()
    };
    ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(17) }],
        ..ModelProto::default()
    }
}

pub(super) fn spoilt(spoil: impl FnOnce(&mut ModelProto, &mut GraphProto)) -> Vec<u8> {
    let mut model = sound();
    let mut graph = model.graph.take().unwrap();
    spoil(&mut model, &mut graph);
    model.graph = Some(graph);
    model.encode_to_vec()
}

/// A field whose content has a length.
pub(super) fn field(number: u64, content: &[u8]) -> Vec<u8> {
    let mut out = number_field(number, 2, content.len() as u64);
    out.extend(content);
    out
}

/// The key of a field and a number behind it.
pub(super) fn number_field(number: u64, wire: u64, value: u64) -> Vec<u8> {
    let mut out = varint(number << 3 | wire);
    out.extend(varint(value));
    out
}

pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// How the file at `path` is refused: one line, with the folder left out.
pub(super) fn refusal(name: &str, path: &Path) -> String {
    let start = Instant::now();
    let error = match OnnxModel::read(path) {
        Ok(_) => panic!("{name} was read"),
        Err(error) => error.to_string(),
    };
    assert!(start.elapsed() < Duration::from_secs(1), "{name} took {:?}", start.elapsed());
    assert!(error.contains("model.onnx"), "{name}: {error}");
    let folder = path.parent().unwrap().to_str().unwrap();
    format!("{name}:\n    {}\n", error.replace(folder, "…"))
}
