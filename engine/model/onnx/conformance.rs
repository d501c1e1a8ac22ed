//! Over the models that ONNX publishes for tests, when they lie beside the project.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use super::OnnxModel;
use super::wire::Limits;
use crate::model::ModelError;
use crate::model::hostile::folder;

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if !path.exists() {
        eprintln!("skipped: no {}", path.display());
        return None;
    }
    Some(path)
}

/// Names and contents of the graphs in an archive (`ustar`, packed with gzip).
fn graphs(archive: &Path) -> Vec<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(archive).unwrap();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let (mut out, mut rest) = (Vec::new(), bytes.as_slice());
    while let Some((head, body)) = rest.split_at_checked(512).filter(|(head, _)| head[0] != 0) {
        let text = |from: usize, to: usize| {
            let field = head[from..to].split(|byte| *byte == 0).next().unwrap();
            String::from_utf8(field.to_vec()).unwrap()
        };
        let size = usize::from_str_radix(text(124, 136).trim(), 8).unwrap();
        let name = format!("{}{}", text(345, 500), text(0, 100));
        if Path::new(&name).extension().is_some_and(|extension| extension == "onnx") {
            out.push((name, body[..size].to_vec()));
        }
        rest = &body[size.next_multiple_of(512)..];
    }
    out
}

fn suite() -> Option<Vec<(String, Vec<u8>)>> {
    let archive = shared("onnx-conformance/node-v1.22.0.tar.gz")?;
    let graphs = graphs(&archive);
    assert!(graphs.len() >= 1764, "{} graphs", graphs.len());
    Some(graphs)
}

#[test]
fn every_graph_of_the_suite_is_read_and_described() {
    let Some(graphs) = suite() else { return };
    let dir = folder("onnx_suite");
    let path = dir.join("model.onnx");
    let mut refused = Vec::new();
    for (name, bytes) in graphs {
        std::fs::write(&path, bytes).unwrap();
        match OnnxModel::read(&path) {
            Ok(model) => {
                let facts = model.facts();
                assert_eq!(facts.signature.outputs.len(), model.graph().output.len(), "{name}");
                assert!(facts.opsets.values().all(|version| *version > 0), "{name}");
            }
            Err(error) => refused.push(format!("{name}: {error}")),
        }
    }
    std::fs::remove_dir_all(dir).unwrap();
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn every_other_graph_that_is_there_is_read_and_described() {
    fn find(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                find(&path, out);
            } else if path.extension().is_some_and(|suffix| suffix == "onnx") {
                out.push(path);
            }
        }
    }
    let Some(data) = shared("") else { return };
    let mut found = Vec::new();
    find(&data, &mut found);
    for path in found {
        let facts = crate::model::facts(&path).unwrap_or_else(|error| panic!("{error}"));
        let onnx = facts.onnx.unwrap();
        assert!(onnx.operators.values().sum::<u64>() > 0, "{}", path.display());
        let bytes: u64 = facts.weight_bytes.values().sum();
        assert!(bytes <= facts.bytes_on_disk, "{}", path.display());
        if std::env::var_os("SHOW").is_some() {
            println!("{} {:#?}\n{}", path.display(), onnx, facts.signature);
        }
    }
}

/// Ends of the fields of a model's message, with the numbers of the fields before each.
fn boundaries(bytes: &[u8]) -> Vec<(usize, Vec<u64>)> {
    let varint = |at: &mut usize| {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    let (mut at, mut numbers, mut out) = (0, Vec::new(), Vec::new());
    while at < bytes.len() {
        let key = varint(&mut at);
        let value = varint(&mut at);
        at += if key & 7 == 2 { value as usize } else { 0 };
        numbers.push(key >> 3);
        out.push((at, numbers.clone()));
    }
    out
}

/// A graph that was cut off is refused, with one exception that no reader can notice: the cut lies
/// between two fields of the outermost message, after the graph and an operator set.
#[test]
fn every_truncation_of_twenty_graphs_is_refused_or_a_whole_message() {
    let Some(graphs) = suite() else { return };
    let chosen: Vec<_> = graphs.into_iter().step_by(88).take(20).collect();
    assert_eq!(chosen.len(), 20);
    let path = Path::new("model.onnx");
    for (name, bytes) in chosen {
        let ends = boundaries(&bytes);
        for cut in 0..bytes.len() {
            let reader = Cursor::new(&bytes[..cut]);
            let found = OnnxModel::read_from(path, reader, cut as u64, Limits::default());
            let before = ends.iter().find(|(end, _)| *end == cut).map(|(_, numbers)| numbers);
            let whole = before.is_some_and(|n| n.contains(&7) && n.contains(&8));
            match found {
                Ok(_) => assert!(whole, "{name}: cut at {cut} of {}", bytes.len()),
                Err(ModelError::Malformed { fault, .. }) => {
                    assert!(!whole, "{name}: cut at {cut}: {fault}");
                    assert!(!fault.field.is_empty() && !fault.what.is_empty());
                }
                Err(other) => panic!("{name}: cut at {cut}: {other}"),
            }
        }
    }
}
