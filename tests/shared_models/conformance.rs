//! What the ONNX project publishes: well-known networks with generated weights, and small graphs
//! with recorded tensors.

use std::path::Path;

use engine::data::Tensor;
use engine::model::onnx::tensor_from_pb;
use engine::model::signature::{Dim, Port};

use super::{Bench, Checked, Row, Verdict, distance, has_suffix, run};

/// Relative and absolute tolerance of the ONNX project's own runner.
const RELATIVE: f64 = 1e-3;
const ABSOLUTE: f64 = 1e-7;

/// Graphs that the stock runtime refuses, with a part of the reason that it gives.
const REFUSED: &[(&str, &str)] = &[
    ("test_gradient_of_add", "Gradient(-1) is not a registered function/op"),
    ("test_gradient_of_add_and_mul", "Gradient(-1) is not a registered function/op"),
];

/// The reason of the stock runtime where the machine lacks the locale that a graph asks for.
const LOCALE: &str = "Failed to construct locale with name:en_US.UTF-8";

/// Networks without recorded inputs: the expectation was made by the reference evaluator with a
/// ramp from 0 to 1 (`generate_dummy_data` of the ONNX project's runner).
pub fn light(bench: &Bench) -> Checked {
    let mut rows = Vec::new();
    for graph in bench.find_files("onnx-conformance/light", |file| has_suffix(file, "onnx")) {
        let mut session = bench.open(&graph)?;
        let port = session.signature().inputs[0].clone();
        let found = run(session.as_mut(), &[(&port.name, ramp(&port))])?;
        let stem = graph.strip_suffix(".onnx").expect("it was chosen by its suffix");
        let expected = recorded(bench, &format!("{stem}_output_0.pb"))?;
        rows.push(compared(&graph, &found, &[expected]));
    }
    Ok(rows)
}

/// `i / n` for the `i`-th of `n` elements.
fn ramp(port: &Port) -> Tensor {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => *size as usize,
        Dim::Named(_) => 1,
    };
    let shape: Vec<usize> = port.shape.iter().map(size).collect();
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|i| (i as f64 / count as f64) as f32).collect();
    Tensor::of_f32(shape, &values)
}

pub fn simple(bench: &Bench) -> Checked {
    let graphs = bench.find_files("onnx-conformance/simple", |file| file.ends_with("model.onnx"));
    graphs.iter().map(|graph| small(bench, graph)).collect()
}

/// A graph with tensors in the folder `test_data_set_0` beside it.
fn small(bench: &Bench, graph: &str) -> Result<Row, String> {
    let folder = graph.strip_suffix("/model.onnx").expect("it was chosen by its name");
    let case = folder.rsplit('/').next().unwrap_or(folder);
    let refused = REFUSED.iter().find(|(name, _)| *name == case).map(|(_, reason)| *reason);
    let mut session = match bench.open(graph) {
        Ok(session) => session,
        Err(why) => {
            let reason = refused.unwrap_or(LOCALE);
            let is_known = refused.is_some() || case.starts_with("test_strnorm");
            let holds = is_known && why.contains(reason);
            let row = Row::new(graph, "reason", (&why, reason), holds);
            return Ok(row.unless_failed(Verdict::Refused));
        }
    };
    if let Some(reason) = refused {
        return Ok(Row::new(graph, "reason", ("opens", reason), false));
    }
    let ports = session.signature().inputs.clone();
    let mut inputs = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let file = format!("{folder}/test_data_set_0/input_{i}.pb");
        inputs.push((port.name.as_str(), recorded(bench, &file)?));
    }
    let found = run(session.as_mut(), &inputs)?;
    let mut expected = Vec::new();
    for i in 0..found.len() {
        expected.push(recorded(bench, &format!("{folder}/test_data_set_0/output_{i}.pb"))?);
    }
    Ok(compared(graph, &found, &expected))
}

fn recorded(bench: &Bench, file: &str) -> Result<Tensor, String> {
    let (_, tensor) = tensor_from_pb(&bench.bytes(file)?).map_err(|why| {
        let name = Path::new(file).file_name().unwrap_or_default();
        format!("`{}` {why}", name.display())
    })?;
    Ok(tensor)
}

fn compared(graph: &str, found: &[Tensor], expected: &[Tensor]) -> Row {
    if let [found, expected] = [found, expected].map(texts_of)
        && !found.is_empty()
    {
        let (shown, wanted) = (found.concat().join(", "), expected.concat().join(", "));
        let same = found == expected;
        return Row::new(graph, "recorded texts", (shown, wanted), same);
    }
    let pairs = || found.iter().zip(expected);
    let same_kind = found.len() == expected.len()
        && pairs().all(|(f, e)| (f.dtype, &f.shape) == (e.dtype, &e.shape));
    let differs = pairs().map(|(f, e)| distance(&f.to_f64(), &e.to_f64())).fold(0.0, f64::max);
    let is_near = |f: &f64, e: &f64| f == e || (f - e).abs() <= ABSOLUTE + RELATIVE * e.abs();
    let near = pairs().all(|(f, e)| f.to_f64().iter().zip(&e.to_f64()).all(|(f, e)| is_near(f, e)));
    let shapes: Vec<String> = found.iter().map(|t| format!("{:?} {}", t.shape, t.dtype)).collect();
    let what = format!("recorded output {}", shapes.join(", "));
    let limit = format!("within {ABSOLUTE:e} + {RELATIVE:e} relative");
    Row::new(graph, &what, (format!("differs by {differs:.1e}"), limit), same_kind && near)
}

/// Texts of the tensors that have some.
fn texts_of(tensors: &[Tensor]) -> Vec<Vec<&str>> {
    tensors.iter().filter_map(Tensor::texts).collect()
}
