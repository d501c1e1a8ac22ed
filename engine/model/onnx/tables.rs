//! What an integer input may be: rows of a table, or the sizes of something.

use std::collections::HashSet;

use super::OnnxModel;

/// Operators that pass the values of their first input on.
const PASSING: &[&str] = &["Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten"];

/// Operators with the place of the input that holds sizes of their output.
const SIZED: &[(&str, usize)] =
    &[("Expand", 1), ("Reshape", 1), ("Tile", 1), ("ConstantOfShape", 0)];

impl OnnxModel {
    /// Whether a node of the main graph takes `input` as the sizes of what it gives.
    pub fn gives_sizes(&self, input: &str) -> bool {
        self.graph().node.iter().filter(|node| node.set().is_empty()).any(|node| {
            let at = SIZED.iter().find(|(op, _)| *op == node.op()).map(|(_, at)| *at);
            at.and_then(|at| node.input.get(at)).is_some_and(|name| name == input)
        })
    }

    /// Rows of the smallest table among those that `input` is looked up in: an initializer that a
    /// `Gather` of the main graph takes rows of, where the indices are the input itself or what a
    /// reshape or cast leaves of it. `None` when there is no such table.
    pub fn rows_looked_up(&self, input: &str) -> Option<u64> {
        let graph = self.graph();
        let mut same: HashSet<&str> = HashSet::from([input]);
        let mut smallest = None;
        // Nodes come after those they depend on, as the format demands.
        for node in &graph.node {
            let first = node.input.first().map(String::as_str).unwrap_or_default();
            if node.set().is_empty() && PASSING.contains(&node.op()) && same.contains(first) {
                same.extend(node.output.first().map(String::as_str));
            }
            let looks_up = node.set().is_empty()
                && node.op() == "Gather"
                && node.input.get(1).is_some_and(|indices| same.contains(indices.as_str()));
            if !looks_up {
                continue;
            }
            let axis = node.attr("axis").and_then(|axis| axis.i).unwrap_or(0);
            let table = graph.initializer.iter().find(|t| t.name.as_deref() == Some(first));
            let rows = table.and_then(|table| {
                let axis = if axis < 0 { axis + table.dims.len() as i64 } else { axis };
                u64::try_from(*table.dims.get(usize::try_from(axis).ok()?)?).ok()
            });
            smallest = smallest.into_iter().chain(rows).min();
        }
        smallest
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use indexmap::IndexMap;

    use super::super::{GraphProto, ModelProto, NodeProto, TensorProto};
    use super::*;

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: Some(op.to_owned()),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }

    #[test]
    fn the_smallest_table_behind_casts_and_reshapes_counts() {
        let table = |name: &str, rows| TensorProto {
            name: Some(name.to_owned()),
            dims: vec![rows, 8],
            ..TensorProto::default()
        };
        let graph = GraphProto {
            node: vec![
                node("Cast", &["ids"], "wide"),
                node("Gather", &["words", "wide"], "a"),
                node("Unsqueeze", &["wide"], "deep"),
                node("Gather", &["kinds", "deep"], "b"),
                node("Gather", &["few", "elsewhere"], "c"),
                node("Gather", &["a", "ids"], "d"),
                node("Expand", &["d", "shape"], "e"),
            ],
            initializer: vec![table("words", 100), table("kinds", 40), table("few", 2)],
            ..GraphProto::default()
        };
        let model = OnnxModel {
            path: PathBuf::new(),
            proto: ModelProto { graph: Some(graph), ..ModelProto::default() },
            weights: IndexMap::new(),
            files: Vec::new(),
        };
        assert_eq!(model.rows_looked_up("ids"), Some(40));
        assert_eq!(model.rows_looked_up("elsewhere"), Some(2));
        assert_eq!(model.rows_looked_up("mask"), None);
        assert!(model.gives_sizes("shape") && !model.gives_sizes("d"));
    }
}
