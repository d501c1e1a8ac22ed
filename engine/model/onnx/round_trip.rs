//! What sound graphs become, what spoilt ones never do, and that writing loses nothing.

use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;
use prost::Message;

use super::fixture::{attribute, branch, node, outside, raw, sound, spoilt, value};
use super::proto::{
    AttributeProto, FunctionProto, OperatorSetIdProto, SparseTensorProto, TensorProto,
};
use super::wire::Limits;
use super::{EXTERNAL, GRAPH_FILE, GraphWriter, OnnxModel};
use crate::model::ModelError;
use crate::model::hostile::{folder, mutated};

fn read(bytes: &[u8]) -> Result<OnnxModel, ModelError> {
    let path = Path::new("model.onnx");
    OnnxModel::read_from(path, Cursor::new(bytes), bytes.len() as u64, Limits::default())
}

#[test]
fn large_weights_stay_in_the_file_and_the_rest_is_read_as_it_is() {
    let bytes = sound().encode_to_vec();
    let model = read(&bytes).unwrap();
    assert_eq!(model.weights.keys().collect::<Vec<_>>(), ["w", "bias"]);
    for (name, wanted) in [("w", 4800), ("bias", 1200)] {
        let stored = &model.weights[name];
        assert_eq!(stored.bytes, wanted);
        let at = stored.offset as usize;
        let third = f32::from_le_bytes(*bytes[at + 8..].first_chunk().unwrap());
        assert_eq!(third, if name == "w" { 1.0 } else { 2.0 });
    }
    let mut same = model.proto.clone();
    for (tensor, whole) in
        same.graph.as_mut().unwrap().initializer.iter_mut().zip(sound().graph.unwrap().initializer)
    {
        if tensor.data_location == Some(EXTERNAL) {
            assert!(tensor.raw_data.is_none() && tensor.float_data.is_empty());
            *tensor = whole;
        }
    }
    assert_eq!(same, sound());
}

#[test]
fn nodes_are_put_after_those_they_depend_on() {
    let bytes = spoilt(|_, graph| {
        graph.initializer.push(raw("flag", &[1]));
        graph.node.insert(0, branch("xwb"));
        graph.node.reverse();
    });
    let model = read(&bytes).unwrap();
    let names: Vec<&str> =
        model.graph().node.iter().map(|node| node.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["product", "sum", "scaled", "choice"]);
}

#[test]
fn what_the_runtime_accepts_is_accepted() {
    let bytes = spoilt(|model, graph| {
        // An initializer may also be an input, then the caller may leave it out.
        graph.input.push(value("scale", &["1"]));
        // An optional input that is left out has no name.
        graph.node.push(node("clipped", "Clip", &["y", "", "scale"], &["", "z"]));
        graph.initializer.push(raw("nothing", &[3, 0, i64::MAX]));
        let values = TensorProto { dims: vec![1], ..raw("sparse", &[1]) };
        let indices = TensorProto {
            data_type: Some(7),
            raw_data: None,
            int64_data: vec![2],
            ..raw("", &[1])
        };
        graph.sparse_initializer.push(SparseTensorProto {
            values: Some(values),
            indices: Some(indices),
            dims: vec![5],
        });
        graph.node.push(node("", "Abs", &["sparse"], &["q"]));
        graph.output.push(value("q", &["5"]));
        graph.output.push(value("q", &["5"]));
        model
            .opset_import
            .push(OperatorSetIdProto { domain: Some("own".into()), version: Some(1) });
        model.functions.push(FunctionProto {
            name: Some("Same".to_owned()),
            domain: Some("own".to_owned()),
            input: vec!["a".to_owned()],
            output: vec!["b".to_owned()],
            node: vec![node("", "Identity", &["a"], &["b"])],
            ..FunctionProto::default()
        });
        model.ir_version = Some(3);
    });
    let facts = read(&bytes).unwrap().facts();
    assert_eq!(facts.operators["Identity"], 1);
    assert_eq!((facts.opsets["ai.onnx"], facts.opsets["own"]), (17, 1));
    assert_eq!(
        facts.signature.to_string(),
        "x [batch, 4] f32 -> y [batch, 300] f32, q [5] f32, q [5] f32"
    );
    assert_eq!(facts.free_dimensions, ["batch"]);
    assert_eq!(facts.parameters, 4 * 300 + 300 + 1 + 1);
    assert_eq!(facts.weight_bytes["f32"], 4 * facts.parameters);
}

#[test]
fn fields_that_are_not_known_are_stepped_over() {
    let mut bytes = super::fixture::field(99, &[7; 5000]);
    bytes.extend(super::fixture::number_field(100, 0, 1));
    bytes.extend(sound().encode_to_vec());
    let model = read(&bytes).unwrap();
    assert_eq!(model.proto.opset_import, sound().opset_import);
    assert_eq!(model.weights["w"].bytes, 4800);
}

#[test]
fn packed_weights_count_as_what_they_stand_for() {
    let bytes = spoilt(|_, graph| {
        let mut product = node("product", "MatMulNBits", &["x", "w", "scales", "zeros"], &["xw"]);
        product.domain = Some("com.microsoft".to_owned());
        for (name, size) in [("K", 64), ("N", 300), ("bits", 4), ("block_size", 32)] {
            product.attribute.push(AttributeProto { i: Some(size), ..attribute(name) });
        }
        graph.node[0] = product;
        let bytes = |name: &str, dims: &[i64]| TensorProto {
            data_type: Some(2),
            raw_data: Some(vec![0x88; dims.iter().product::<i64>() as usize]),
            ..raw(name, dims)
        };
        graph.initializer[0] = bytes("w", &[300, 2, 16]);
        graph.initializer.push(raw("scales", &[600]));
        graph.initializer.push(bytes("zeros", &[300]));
    });
    let facts = read(&bytes).unwrap().facts();
    assert_eq!(facts.weight_elements["int4"], 64 * 300);
    assert_eq!(facts.weight_bytes["int4"], 32 * 300);
    assert_eq!((facts.weight_elements["u8"], facts.weight_elements["f32"]), (300, 300 + 1 + 600));
    assert_eq!(facts.quantized_elements, 64 * 300);
    assert_eq!(facts.operators["com.microsoft.MatMulNBits"], 1);
}

#[test]
fn writing_and_reading_again_keeps_graph_and_weights() {
    let (from, to) = (folder("onnx_from"), folder("onnx_to"));
    let path = from.join("any.onnx");
    let bytes = spoilt(|_, graph| {
        let kept = outside("kept", &[5], &[("location", "side.bin"), ("offset", "3")]);
        graph.initializer.insert(1, kept);
        graph.initializer.push(raw("flag", &[1]));
        graph.node.push(branch("xwb"));
    });
    std::fs::write(&path, bytes).unwrap();
    std::fs::write(from.join("side.bin"), (0_u8..23).collect::<Vec<u8>>()).unwrap();
    let model = OnnxModel::read(&path).unwrap();
    let writer = GraphWriter::new(&to);
    writer.finish_from(model.proto.clone(), &model, &|_| {}).unwrap();
    let again = OnnxModel::read(&to.join(GRAPH_FILE)).unwrap();
    assert_eq!(again.proto, model.proto);
    assert_eq!(again.facts(), model.facts());
    assert_eq!(again.weights.keys().collect::<Vec<_>>(), ["w", "kept", "bias"]);
    for name in again.weights.keys() {
        assert_eq!(again.bytes_of(name).unwrap(), model.bytes_of(name).unwrap());
    }
    assert_eq!(again.bytes_of("kept").unwrap().unwrap(), (3_u8..23).collect::<Vec<u8>>());
    std::fs::remove_dir_all(from).unwrap();
    std::fs::remove_dir_all(to).unwrap();
}

fn small() -> Vec<u8> {
    spoilt(|model, graph| {
        graph.initializer[0] = raw("w", &[4, 65]);
        graph.initializer[1] = raw("bias", &[65]);
        graph.initializer.push(raw("flag", &[1]));
        graph.node.push(branch("xwb"));
        model.producer_name = Some("by hand".to_owned());
    })
}

/// What the reader promises, for a graph that it has accepted.
fn check(model: &OnnxModel, len: usize) {
    let facts = model.facts();
    assert!(facts.quantized_elements <= facts.weight_elements.values().sum());
    for (name, stored) in &model.weights {
        assert!(stored.offset + stored.bytes <= len as u64, "{name}");
        let tensor = model.graph().initializer.iter().find(|t| t.name.as_ref() == Some(name));
        let tensor = tensor.expect("every weight belongs to an initializer");
        assert!(tensor.raw_data.is_none() && tensor.external_data.is_empty());
        assert_eq!(tensor.data_location, Some(EXTERNAL));
    }
    assert!(!model.proto.opset_import.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_graphs_keep_their_promises_or_are_refused(bytes in mutated(small())) {
        match read(&bytes) {
            Ok(model) => check(&model, bytes.len()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(model) = read(&bytes) {
            check(&model, bytes.len());
        }
    }
}
