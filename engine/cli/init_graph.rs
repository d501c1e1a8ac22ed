//! What `engine init` says about an ONNX graph, and the sizes it begins with.

use std::path::Path;

use crate::model::onnx::OnnxFacts;
use crate::model::signature::{Dim, Port};
use crate::model::{Kind, ModelFacts, onnx};

/// Operators shown, and inputs and outputs; the others are counted.
const SHOWN: usize = 8;

/// A graph that takes tensors, as a spec begins with it.
pub struct Graph {
    /// Lines about it.
    pub comment: Vec<String>,
    /// Name of the variant without stages.
    pub as_is: &'static str,
    /// The dynamic quantization changes something.
    pub quantizes: bool,
    /// Values of `bench.matrix.batch`.
    pub batch: &'static str,
    /// Free dimensions other than the batch, with a guess.
    pub dims: Vec<(String, u32)>,
}

impl Graph {
    /// `None` for a model that is no graph or is about text.
    pub fn of(facts: &ModelFacts) -> Option<Self> {
        let graph = facts.onnx.as_ref()?;
        if facts.kind != Kind::Onnx || facts.task == onnx::TEXT_GENERATION {
            return None;
        }
        let inputs = &facts.signature.inputs;
        let batch: Vec<&String> =
            graph.free_dimensions.iter().filter(|name| is_batch(name, inputs)).collect();
        let others = graph.free_dimensions.iter().filter(|name| !batch.contains(name));
        let dims: Vec<(String, u32)> =
            others.map(|name| (name.clone(), guess(name, inputs))).collect();
        // An input whose free dimensions do not name the batch may still have to follow it.
        let follows = |port: &Port| {
            let mut free = names(port).peekable();
            free.peek().is_none() || free.any(|name| batch.contains(&name))
        };
        let varies = !batch.is_empty() && inputs.iter().all(follows);
        Some(Self {
            comment: comment(facts, graph),
            as_is: if facts.dtype == "f32" { "fp32" } else { "as_is" },
            quantizes: quantizes(graph) && facts.dtype == "f32",
            batch: if varies { "[1, 8]" } else { "[1]" },
            dims,
        })
    }
}

impl Graph {
    /// Writes the spec from `data:` on.
    pub fn write(&self, data: Option<&Path>, line: &mut dyn FnMut(&str)) {
        if let Some(data) = data {
            let file = quoted(&format!("file://{}", data.display()));
            line(&format!("data: {{recorded: {{source: {file}}}}}"));
            line("");
        }
        line("variants:");
        line(&format!("  {}: {{}}", self.as_is));
        if self.quantizes {
            line("  int8: {stages: [{quantize: {method: dynamic}}]}");
        }
        line("");
        line("bench:");
        if data.is_some() {
            line("  data: recorded");
            line("  # Recorded inputs have sizes of their own.");
            line("  matrix: {batch: [1]}");
            return;
        }
        if self.dims.is_empty() {
            line(&format!("  matrix: {{batch: {}}}", self.batch));
            return;
        }
        line("  # Free dimensions of the inputs beside the batch. The sizes are guesses: put in");
        line("  # those that you use; with several values every combination is measured.");
        line("  matrix:");
        line(&format!("    batch: {}", self.batch));
        line("    dims:");
        for (name, size) in &self.dims {
            line(&format!("      {}: [{size}]", quoted(name)));
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn names(port: &Port) -> impl Iterator<Item = &String> {
    port.shape.iter().filter_map(|dim| match dim {
        Dim::Named(name) => Some(name),
        Dim::Fixed(_) => None,
    })
}

fn comment(facts: &ModelFacts, graph: &OnnxFacts) -> Vec<String> {
    let sets: Vec<String> =
        graph.opsets.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let mut operators: Vec<String> =
        graph.operators.iter().take(SHOWN).map(|(name, count)| format!("{name} {count}")).collect();
    if graph.operators.len() > SHOWN {
        operators.push(format!("and {} others", graph.operators.len() - SHOWN));
    }
    let weights = match facts.parameters {
        0 => "an ONNX graph without weights".to_owned(),
        count => format!("an ONNX graph with {count} parameters, mostly {}", facts.dtype),
    };
    let mut out = vec![
        weights,
        format!("operator sets: {}", sets.join(", ")),
        format!("operators: {}", operators.join(", ")),
    ];
    for (what, ports) in
        [("input  ", &facts.signature.inputs), ("output ", &facts.signature.outputs)]
    {
        out.extend(ports.iter().take(SHOWN).map(|port| format!("{what}{port}")));
        if ports.len() > SHOWN {
            out.push(format!("{what}… and {} others", ports.len() - SHOWN));
        }
    }
    out
}

/// True for a graph in which the dynamic quantization may find something: it looks for products
/// with constant matrices, from operator set 11 on.
fn quantizes(graph: &OnnxFacts) -> bool {
    let has = |operator: &str| graph.operators.contains_key(operator);
    (has("MatMul") || has("Gemm")) && graph.opsets.get("ai.onnx").is_some_and(|set| *set >= 11)
}

/// True for a free dimension in front of an input whose name says that it holds items side by
/// side, that has no name of its own, or that is in front of every input that has dimensions and
/// is not called like a length.
fn is_batch(name: &str, inputs: &[Port]) -> bool {
    const BATCH: &[&str] = &["batch", "bs", "n_samples", "num_samples", "unk__"];
    const LENGTH: &[&str] = &["seq", "len", "time", "frame", "token", "step"];
    let leads =
        |port: &Port| matches!(port.shape.first(), Some(Dim::Named(first)) if first == name);
    let lower = name.to_ascii_lowercase();
    let says = matches!(lower.as_str(), "n" | "b" | "none" | "?")
        || BATCH.iter().any(|begin| lower.starts_with(begin));
    let is_unnamed = |port: &Port| name == format!("{}_dim0", port.name);
    let is_length = name.ends_with("_any") || LENGTH.iter().any(|part| lower.contains(part));
    let leads_all = || inputs.iter().filter(|port| !port.shape.is_empty()).all(leads);
    inputs.iter().any(|port| leads(port) && (says || is_unnamed(port)))
        || (!is_length && leads_all())
}

/// A size that suits most graphs: images have sides of 224, signals 256 samples, texts 128 tokens;
/// a graph that also takes what it has seen before gets one at a time, after one.
fn guess(name: &str, inputs: &[Port]) -> u32 {
    let found = inputs.iter().find_map(|port| {
        let at = port.shape.iter().position(|dim| matches!(dim, Dim::Named(n) if n == name))?;
        Some((port, port.shape.len() - 1 - at))
    });
    let Some((port, from_end)) = found else { return 1 };
    let is_float = matches!(port.dtype.as_str(), "f32" | "f16" | "bf16" | "f64");
    let has_past = inputs.iter().flat_map(names).any(|name| name.contains("past"));
    match (port.shape.len(), from_end) {
        _ if has_past => 1 + u32::from(name.contains("total")),
        (4, 0 | 1) if is_float => 224,
        (2 | 3, 0) if is_float => 256,
        (2, 0) => 128,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, dtype: &str, shape: &[&str]) -> Port {
        let dim = |dim: &&str| match dim.parse() {
            Ok(size) => Dim::Fixed(size),
            Err(_) => Dim::Named((*dim).to_owned()),
        };
        Port { name: name.into(), dtype: dtype.into(), shape: shape.iter().map(dim).collect() }
    }

    #[test]
    fn batches_are_told_from_other_free_dimensions() {
        let signal = [port("x", "f32", &["batch", "sequence"]), port("s", "f32", &["2", "batch"])];
        assert!(is_batch("batch", &signal) && !is_batch("sequence", &signal));
        assert_eq!(guess("sequence", &signal), 256);
        let unnamed = [port("x", "f32", &["x_dim0", "x_dim1"]), port("s", "f32", &["2", "s_dim1"])];
        assert!(is_batch("x_dim0", &unnamed) && !is_batch("s_dim1", &unnamed));
        let image = [port("x", "f32", &["N", "3", "height", "width"])];
        assert!(is_batch("N", &image));
        assert_eq!((guess("height", &image), guess("width", &image)), (224, 224));
        let text = [port("ids", "i64", &["batch", "length"])];
        assert_eq!(guess("length", &text), 128);
        let items = [port("x", "f32", &["items", "4"]), port("scale", "f32", &[])];
        assert!(is_batch("items", &items));
        assert!(!is_batch("sequence", &[port("x", "f32", &["sequence", "80"])]));
        let decoder =
            [port("ids", "i64", &["b", "length"]), port("kv", "f32", &["b", "4", "past", "8"])];
        assert_eq!((guess("length", &decoder), guess("past", &decoder)), (1, 1));
    }
}
