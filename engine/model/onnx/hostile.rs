//! Handcrafted bad graphs: each is refused at once, with its place in the graph.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use super::OnnxModel;
use super::fixture::{
    attribute, branch, field, node, number_field, outside, raw, refusal, sound, spoilt, value,
    varint,
};
use super::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, TensorProto};
use super::wire::Limits;
use crate::model::hostile::folder;

type Case = (&'static str, Vec<u8>);

fn refusals(cases: Vec<Case>) -> String {
    let dir = folder("onnx_hostile");
    let path = dir.join("model.onnx");
    let told = cases.into_iter().map(|(name, bytes)| {
        fs::write(&path, bytes).unwrap();
        refusal(name, &path)
    });
    let told = told.collect();
    fs::remove_dir_all(dir).unwrap();
    told
}

/// A model whose graph is `graph`, given as bytes.
fn around(graph: &[u8]) -> Vec<u8> {
    let mut out = number_field(1, 0, 8);
    out.extend(field(7, graph));
    out.extend(field(8, &number_field(2, 0, 17)));
    out
}

fn nested(levels: usize, wrap: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    (0..levels).fold(Vec::new(), |inside, _| wrap(inside))
}

#[test]
fn hostile_messages_are_refused() {
    let named = |number: u64, name: &[u8]| field(number, &field(8, name));
    let mut pieces = field(8, b"w");
    pieces.extend(number_field(1, 0, 300));
    pieces.extend(number_field(2, 0, 1));
    pieces.extend([field(4, &[0; 1200]), field(4, &[0; 1200])].concat());
    let cases: Vec<Case> = vec![
        ("a length of 2 GiB", number_field(7, 2, i32::MAX as u64)),
        ("a length of 2^64 - 1", number_field(7, 2, u64::MAX)),
        ("a length beyond its message", around(&number_field(1, 2, 100))),
        ("weights beyond the file", around(&field(5, &number_field(9, 2, 2 << 30)))),
        ("a number of 11 bytes", [[0x08].as_slice(), &[0xff; 10], &[0]].concat()),
        ("a number of 65 bits", [[0x08].as_slice(), &[0xff; 9], &[2]].concat()),
        ("a number without an end", vec![0x08, 0xff]),
        ("a field without content", vec![0x3a]),
        ("field number 0", vec![0x02, 0x00]),
        ("field number 2^29", number_field(1 << 29, 0, 0)),
        ("a group", vec![0x3b, 0x3c]),
        ("wire type 7", vec![0x0f, 0x00]),
        ("an unknown field beyond the file", number_field(100, 2, 1 << 40)),
        ("a graph as number", number_field(7, 0, 1)),
        ("an operator as number", around(&field(1, &number_field(4, 0, 1)))),
        ("dimensions as f32", around(&field(5, &[0x0d, 0, 0, 0, 0]))),
        ("an operator not in UTF-8", around(&field(1, &field(4, b"Rel\xff")))),
        ("an initializer not in UTF-8", around(&named(5, b"\xc3\x28"))),
        (
            "a row of f32 of 6 bytes",
            around(&field(5, &[field(8, b"w"), field(4, &[0; 6])].concat())),
        ),
        ("a row of f64 of 12 bytes", around(&field(5, &field(10, &[0; 12])))),
        ("a row of integers cut off", around(&field(5, &field(7, &[1, 2, 0x80])))),
        ("a row with a long integer", around(&field(5, &field(1, &[0xff; 12])))),
        ("weights in two pieces", around(&field(5, &pieces))),
        (
            "graphs in nodes in graphs",
            around(&nested(30, |inside| field(1, &field(5, &field(6, &inside))))),
        ),
        (
            "sequences of sequences",
            around(&field(11, &field(2, &nested(100, |inside| field(4, &field(1, &inside)))))),
        ),
    ];
    insta::assert_snapshot!(refusals(cases));
}

#[test]
fn files_that_are_something_else_are_told() {
    let safetensors = [2_u64.to_le_bytes().as_slice(), b"{}"].concat();
    let zip = [b"PK\x03\x04\x14\0\0\0model/data.pkl".as_slice(), &[0; 30], b"PK\x05\x06"].concat();
    let cases: Vec<Case> = vec![
        ("an empty file", Vec::new()),
        ("a pickle", b"\x80\x02}q\x00.".to_vec()),
        ("a zip with a pickle", zip),
        ("a web page", b"<!DOCTYPE html><html>404</html>".to_vec()),
        ("a git-lfs pointer", b"version https://git-lfs.github.com/spec/v1\n".to_vec()),
        ("JSON", b"{\"error\": \"not found\"}".to_vec()),
        ("a GGUF file", b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        ("a safetensors file", safetensors),
        ("zeros", vec![0; 1000]),
        ("text", b"this is no model\n".to_vec()),
    ];
    insta::assert_snapshot!(refusals(cases));
}

/// Applies `change` to the initializer `w`.
fn weight(change: impl FnOnce(&mut TensorProto)) -> Vec<u8> {
    spoilt(|_, graph| change(&mut graph.initializer[0]))
}

/// Applies `change` to the small initializer `scale`.
fn small(change: impl FnOnce(&mut TensorProto)) -> Vec<u8> {
    spoilt(|_, graph| change(&mut graph.initializer[2]))
}

#[test]
fn tensors_that_are_not_what_they_say_are_refused() {
    let constant = |tensor: TensorProto| {
        spoilt(|_, graph| {
            let mut constant = node("four", "Constant", &[], &["four"]);
            constant.attribute =
                vec![AttributeProto { t: Some(Box::new(tensor)), ..attribute("value") }];
            graph.node.push(constant);
        })
    };
    let cases: Vec<Case> = vec![
        ("a negative dimension", weight(|w| w.dims = vec![-4, 300])),
        ("a negative dimension of a small one", small(|s| s.dims = vec![-1])),
        ("elements overflow", weight(|w| w.dims = vec![1 << 40, 1 << 40])),
        ("bytes overflow", weight(|w| w.dims = vec![i64::MAX])),
        ("many dimensions", weight(|w| w.dims = vec![2; 1000])),
        ("no type", weight(|w| w.data_type = None)),
        ("type 99", small(|s| s.data_type = Some(99))),
        ("type -1", weight(|w| w.data_type = Some(-1))),
        ("large strings as raw bytes", weight(|w| w.data_type = Some(8))),
        ("small strings as raw bytes", small(|s| s.data_type = Some(8))),
        ("a byte too few", weight(|w| w.raw_data.as_mut().unwrap().truncate(4799))),
        ("a byte too many", small(|s| s.raw_data.as_mut().unwrap().push(0))),
        ("no elements", small(|s| s.raw_data = None)),
        ("another shape", weight(|w| w.dims = vec![4, 301])),
        ("entries too few", spoilt(|_, graph| graph.initializer[1].float_data.truncate(299))),
        ("f32 in a row of f64", small(|s| (s.raw_data, s.double_data) = (None, vec![1.0]))),
        (
            "large f32 in a row of f64",
            weight(|w| (w.raw_data, w.double_data) = (None, vec![1.0; 1200])),
        ),
        ("elements in two fields", small(|s| s.float_data = vec![1.0])),
        ("large elements in two fields", weight(|w| w.int32_data = vec![1])),
        ("odd nibbles", small(|s| (s.data_type, s.dims) = (Some(22), vec![9]))),
        ("data_location 7", small(|s| s.data_location = Some(7))),
        ("a constant of another size", constant(TensorProto { dims: vec![5], ..raw("", &[4]) })),
        ("a constant in a data file", constant(outside("", &[4], &[("location", "/etc/passwd")]))),
        (
            "weights of a graph in a node in a data file",
            spoilt(|_, graph| {
                let mut branch = branch("x");
                let inner = branch.attribute[0].g.as_mut().unwrap();
                inner.initializer.push(outside("deep", &[4], &[("location", "x.bin")]));
                branch.input.clear();
                graph.node.push(branch);
            }),
        ),
        ("two weights of one name", spoilt(|_, graph| graph.initializer.push(raw("w", &[1])))),
        ("weights without a name", small(|s| s.name = None)),
    ];
    insta::assert_snapshot!(refusals(cases));
}

#[test]
fn graphs_that_cannot_be_run_are_refused() {
    let graph = |change: &dyn Fn(&mut GraphProto)| spoilt(|_, graph| change(graph));
    let model = |change: &dyn Fn(&mut ModelProto)| {
        let mut model = sound();
        change(&mut model);
        prost::Message::encode_to_vec(&model)
    };
    let with_branch = |reads: &'static str, gives: &'static str| {
        spoilt(|_, graph| {
            graph.initializer.push(raw("flag", &[1]));
            let mut branch = branch(reads);
            branch.output = vec![gives.to_owned()];
            graph.node.push(branch);
        })
    };
    let function = |reads: &str| FunctionProto {
        name: Some("Twice".to_owned()),
        input: vec!["a".to_owned()],
        output: vec!["b".to_owned()],
        node: vec![node("doubled", "Add", &["a", reads], &["b"])],
        ..FunctionProto::default()
    };
    let cases: Vec<Case> = vec![
        ("no graph", model(&|model| model.graph = None)),
        ("no operator set", model(&|model| model.opset_import.clear())),
        ("no operator", graph(&|graph| graph.node[1].op_type = None)),
        ("an empty operator", graph(&|graph| graph.node[1].op_type = Some(String::new()))),
        ("reads what nobody gives", graph(&|graph| graph.node[0].input[1] = "v".to_owned())),
        ("a name with escapes", graph(&|graph| graph.node[0].input[1] = "\x1b[2J\n".to_owned())),
        (
            "a long name",
            graph(&|graph| {
                graph.node[0] = node(&"n".repeat(100_000), "Abs", &["nothing"], &["xw"]);
            }),
        ),
        ("a graph in a node reads what nobody gives", with_branch("nothing", "z")),
        (
            "a function reads what nobody gives",
            model(&|model| model.functions = vec![function("x")]),
        ),
        (
            "two nodes wait for each other",
            graph(&|graph| graph.node[0].input[0] = "xwb".to_owned()),
        ),
        ("a node waits for itself", graph(&|graph| graph.node[2].input[0] = "y".to_owned())),
        ("a graph in a node waits for its node", with_branch("z", "z")),
        (
            "a long cycle",
            graph(&|graph| {
                graph.node.clear();
                graph.output = vec![value("v0", &[])];
                for i in 0..5000 {
                    let (from, to) = (format!("v{}", (i + 4999) % 5000), format!("v{i}"));
                    graph.node.push(node("", "Abs", &[&from], &[&to]));
                }
            }),
        ),
        ("two nodes give one value", graph(&|graph| graph.node[1].output[0] = "xw".to_owned())),
        ("a node gives an initializer", graph(&|graph| graph.node[1].output[0] = "w".to_owned())),
        ("a node gives an input", graph(&|graph| graph.node[1].output[0] = "x".to_owned())),
        ("nobody gives the output", graph(&|graph| graph.output.push(value("z", &[])))),
        ("an output without a name", graph(&|graph| graph.output[0].name = None)),
        ("two inputs of one name", graph(&|graph| graph.input.push(value("x", &["4"])))),
        ("an input without a name", graph(&|graph| graph.input.push(value("", &["4"])))),
        ("an input without a type", graph(&|graph| graph.input[0].r#type = None)),
    ];
    insta::assert_snapshot!(refusals(cases));
}

#[test]
fn a_file_longer_than_protobuf_allows_is_refused_before_it_is_read() {
    let dir = folder("onnx_long");
    let path = dir.join("model.onnx");
    let file = fs::File::create(&path).unwrap();
    std::io::Write::write_all(&mut &file, &number_field(7, 2, (3 << 30) - 6)).unwrap();
    file.set_len(3 << 30).unwrap();
    let told = refusal("3 GiB", &path);
    assert!(told.contains("a protobuf message has at most 2147483647"), "{told}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_a_graph_takes_is_counted_before_it_is_taken() {
    let told = |bytes: Vec<u8>, limits: Limits| {
        let len = bytes.len() as u64;
        let error = OnnxModel::read_from(Path::new("model.onnx"), Cursor::new(bytes), len, limits);
        error.unwrap_err().to_string()
    };
    let limits = Limits { kept: 10_000, memory: 100_000 };
    // Two bytes each in the file, hundreds in memory.
    let nodes = told(around(&field(1, &[]).repeat(4000)), limits);
    assert!(nodes.contains("more than 100000 bytes of memory"), "{nodes}");
    let integers = told(around(&field(5, &field(7, &[1; 9000].repeat(2)))), limits);
    assert!(integers.contains("more than 10000 bytes beside the weights"), "{integers}");
    let names =
        told(around(&field(1, &field(1, &[]).repeat(4000))), Limits { memory: 50_000, ..limits });
    assert!(names.contains("more than 50000 bytes of memory"), "{names}");
    let unpacked = told(around(&field(5, &number_field(7, 0, 1).repeat(9000))), limits);
    assert!(unpacked.contains("bytes of memory") || unpacked.contains("beside"), "{unpacked}");
    assert_eq!(varint(300), [0xac, 0x02]);
}
