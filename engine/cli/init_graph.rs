//! What `engine init` says about an ONNX graph, and the sizes it begins with.

use std::path::Path;

use crate::model::onnx::OnnxFacts;
use crate::model::signature::{Dim, Port};
use crate::model::{Kind, ModelFacts, onnx};
use crate::task::{FreeDimensions, usual_size};

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
        let FreeDimensions { batch, others } = FreeDimensions::of(&facts.signature);
        let dims = others.iter().map(|free| {
            let size = usual_size(&free.name, inputs);
            (free.name.clone(), size)
        });
        let dims: Vec<(String, u32)> = dims.collect();
        // An input whose free dimensions do not name the batch may still have to follow it.
        let follows = |port: &Port| {
            let mut free = names(port).peekable();
            free.peek().is_none() || free.any(|name| batch.contains(name))
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
