//! Editing a graph: who makes and who uses a value, names that are free, nodes in order.
//!
//! Values of a graph have one name space, which its sub-graphs share: a body may read any value of
//! the graphs around it. So a body's free names count as uses of the node that holds it.

use std::collections::{HashMap, HashSet};

use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto};
use super::proto::{OperatorSetIdProto, TensorProto};
use super::type_code;
use crate::data::ElementType;

/// Values of `AttributeProto.type`.
const FLOAT: i32 = 1;
const INT: i32 = 2;
const STRING: i32 = 3;
const TENSOR: i32 = 4;
const FLOATS: i32 = 6;
const INTS: i32 = 7;

impl NodeProto {
    /// A node of the standard operator set.
    pub fn new(op: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            op_type: Some(op.to_owned()),
            name: Some(name.to_owned()),
            input: owned(inputs),
            output: owned(outputs),
            ..Self::default()
        }
    }

    /// The same node of the operator set `domain`.
    pub fn of_set(mut self, domain: &str) -> Self {
        self.domain = Some(domain.to_owned());
        self
    }

    /// The same node with one attribute more.
    pub fn with(mut self, attribute: AttributeProto) -> Self {
        self.attribute.push(attribute);
        self
    }

    /// The bodies it holds, such as the branches of `If`.
    pub fn bodies(&self) -> impl Iterator<Item = &GraphProto> {
        self.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs))
    }

    /// Every value it reads: its inputs, and what its bodies read from around them.
    pub fn reads(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        for body in self.bodies() {
            names.extend(body.captured());
        }
        names
    }
}

impl AttributeProto {
    fn named(name: &str, kind: i32) -> Self {
        Self { name: Some(name.to_owned()), r#type: Some(kind), ..Self::default() }
    }

    pub fn float(name: &str, value: f32) -> Self {
        Self { f: Some(value), ..Self::named(name, FLOAT) }
    }

    pub fn int(name: &str, value: i64) -> Self {
        Self { i: Some(value), ..Self::named(name, INT) }
    }

    pub fn text(name: &str, value: &str) -> Self {
        Self { s: Some(value.as_bytes().to_vec()), ..Self::named(name, STRING) }
    }

    pub fn tensor(name: &str, value: TensorProto) -> Self {
        Self { t: Some(Box::new(value)), ..Self::named(name, TENSOR) }
    }

    pub fn of_floats(name: &str, values: &[f32]) -> Self {
        Self { floats: values.to_vec(), ..Self::named(name, FLOATS) }
    }

    pub fn of_ints(name: &str, values: &[i64]) -> Self {
        Self { ints: values.to_vec(), ..Self::named(name, INTS) }
    }
}

impl TensorProto {
    /// A tensor whose bytes stand inside the graph: as many as `dtype` and `dims` demand, row by
    /// row and little-endian.
    pub fn inline(name: &str, dtype: ElementType, dims: &[u64], bytes: Vec<u8>) -> Self {
        debug_assert_eq!(
            dims.iter().product::<u64>() as usize * dtype.bytes(),
            bytes.len(),
            "tensor `{name}` has another size than its shape"
        );
        Self {
            name: Some(name.to_owned()),
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type: Some(type_code(dtype)),
            raw_data: Some(bytes),
            ..Self::default()
        }
    }

    /// Its name; empty where it has none.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub fn elements(&self) -> u64 {
        self.dims.iter().map(|&dim| dim.max(0) as u64).product()
    }
}

impl GraphProto {
    /// The node that makes each value.
    pub fn producers(&self) -> HashMap<&str, usize> {
        let outputs = |(index, node)| {
            let node: &NodeProto = node;
            node.output.iter().filter(|name| !name.is_empty()).map(move |n| (n.as_str(), index))
        };
        self.node.iter().enumerate().flat_map(outputs).collect()
    }

    /// The nodes that read each value, each once, in order; a body's reads are its node's.
    pub fn consumers(&self) -> HashMap<&str, Vec<usize>> {
        let mut found: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, node) in self.node.iter().enumerate() {
            for name in node.reads() {
                let users = found.entry(name).or_default();
                if users.last() != Some(&index) {
                    users.push(index);
                }
            }
        }
        found
    }

    pub fn is_output(&self, name: &str) -> bool {
        self.output.iter().any(|port| port.name.as_deref() == Some(name))
    }

    pub fn is_input(&self, name: &str) -> bool {
        self.input.iter().any(|port| port.name.as_deref() == Some(name))
    }

    pub fn initializer(&self, name: &str) -> Option<&TensorProto> {
        self.initializer.iter().find(|tensor| tensor.label() == name)
    }

    /// Names that a body reads from the graphs around it.
    pub fn captured(&self) -> Vec<&str> {
        let mut own: HashSet<&str> = self.input.iter().filter_map(|p| p.name.as_deref()).collect();
        own.extend(self.initializer.iter().map(TensorProto::label));
        own.extend(self.node.iter().flat_map(|n| n.output.iter().map(String::as_str)));
        let inner = self.node.iter().flat_map(NodeProto::reads);
        let outputs = self.output.iter().filter_map(|port| port.name.as_deref());
        inner.chain(outputs).filter(|name| !own.contains(name)).collect()
    }

    /// Every name that stands for a value or a node, bodies included.
    fn names(&self, out: &mut HashSet<String>) {
        let ports = self.input.iter().chain(&self.output).chain(&self.value_info);
        out.extend(ports.filter_map(|port| port.name.clone()));
        out.extend(self.initializer.iter().filter_map(|tensor| tensor.name.clone()));
        for node in &self.node {
            out.extend(node.name.clone());
            out.extend(node.input.iter().chain(&node.output).cloned());
            node.bodies().for_each(|body| body.names(out));
        }
    }

    /// Brings nodes into an order in which every value is made before it is read, and changes
    /// that order as little as it can. Nodes of a cycle, which no reader lets pass, keep theirs
    /// at the end.
    pub fn sort(&mut self) {
        let nodes = std::mem::take(&mut self.node);
        let mut missing: Vec<usize> = Vec::with_capacity(nodes.len());
        let mut waiting: HashMap<&str, Vec<usize>> = HashMap::new();
        let made: HashSet<&str> =
            nodes.iter().flat_map(|n| n.output.iter().map(String::as_str)).collect();
        for (index, node) in nodes.iter().enumerate() {
            let needs: HashSet<&str> =
                node.reads().into_iter().filter(|name| made.contains(name)).collect();
            missing.push(needs.len());
            for name in needs {
                waiting.entry(name).or_default().push(index);
            }
        }
        let mut ready: std::collections::BTreeSet<usize> =
            (0..nodes.len()).filter(|&index| missing[index] == 0).collect();
        let mut order = Vec::with_capacity(nodes.len());
        while let Some(index) = ready.pop_first() {
            order.push(index);
            for name in &nodes[index].output {
                for &user in waiting.get(name.as_str()).into_iter().flatten() {
                    missing[user] -= 1;
                    if missing[user] == 0 {
                        ready.insert(user);
                    }
                }
            }
        }
        let placed: HashSet<usize> = order.iter().copied().collect();
        order.extend((0..nodes.len()).filter(|index| !placed.contains(index)));
        let mut nodes: Vec<Option<NodeProto>> = nodes.into_iter().map(Some).collect();
        self.node = order.into_iter().filter_map(|index| nodes[index].take()).collect();
    }

    /// Drops nodes whose outputs nothing reads, then initializers that nothing reads.
    pub fn drop_unused(&mut self) {
        loop {
            let outputs = self.output.iter().filter_map(|port| port.name.clone());
            let reads = self.node.iter().flat_map(NodeProto::reads).map(str::to_owned);
            let used: HashSet<String> = outputs.chain(reads).collect();
            let before = self.node.len();
            self.node.retain(|node| node.output.iter().any(|name| used.contains(name)));
            if self.node.len() == before {
                break;
            }
        }
        self.prune();
    }

    /// Drops initializers that nothing reads, and what else was said about them.
    pub fn prune(&mut self) {
        let used: HashSet<String> = {
            let reads = self.node.iter().flat_map(NodeProto::reads);
            let outputs = self.output.iter().filter_map(|port| port.name.as_deref());
            reads.chain(outputs).map(str::to_owned).collect()
        };
        let gone: HashSet<String> = self
            .initializer
            .iter()
            .map(|tensor| tensor.label().to_owned())
            .filter(|name| !used.contains(name))
            .collect();
        self.initializer.retain(|tensor| !gone.contains(tensor.label()));
        let left = |name: &Option<String>| !gone.contains(name.as_deref().unwrap_or_default());
        // Before IR version 4 every initializer is also listed as an input.
        self.input.retain(|port| left(&port.name));
        self.value_info.retain(|port| left(&port.name));
    }
}

impl ModelProto {
    /// Sets a `metadata_props` entry.
    pub fn set_metadata(&mut self, key: &str, value: &str) {
        let known = self.metadata_props.iter_mut().find(|e| e.key.as_deref() == Some(key));
        match known {
            Some(entry) => entry.value = Some(value.to_owned()),
            None => self.metadata_props.push(StringStringEntryProto {
                key: Some(key.to_owned()),
                value: Some(value.to_owned()),
            }),
        }
    }

    /// Takes constants out of the list of inputs. Before version 4 of the layout they had to stand
    /// there; since then it means that callers may replace them.
    pub fn settle_constants(&mut self) {
        if let Some(graph) = &mut self.graph {
            let constants: HashSet<&str> =
                graph.initializer.iter().map(TensorProto::label).collect();
            let is_free =
                |name: &Option<String>| !constants.contains(name.as_deref().unwrap_or_default());
            graph.input.retain(|port| is_free(&port.name));
        }
        self.ir_version = Some(self.ir_version.unwrap_or(0).max(4));
    }

    /// Version of an operator set; `""` is the standard one.
    pub fn opset(&self, domain: &str) -> Option<i64> {
        let standard = |name: &str| name.is_empty() || name == "ai.onnx";
        let same = |entry: &&OperatorSetIdProto| {
            let name = entry.domain.as_deref().unwrap_or_default();
            name == domain || (standard(name) && standard(domain))
        };
        self.opset_import.iter().find(same)?.version
    }

    /// Imports an operator set, in at least this version.
    pub fn import(&mut self, domain: &str, version: i64) {
        let known = self.opset_import.iter_mut();
        match known.into_iter().find(|e| e.domain.as_deref().unwrap_or_default() == domain) {
            Some(entry) => entry.version = Some(entry.version.unwrap_or(version).max(version)),
            None => self.opset_import.push(OperatorSetIdProto {
                domain: Some(domain.to_owned()),
                version: Some(version),
            }),
        }
    }
}

/// Names that are taken, so that new ones collide with none.
#[derive(Debug, Default)]
pub struct Names(HashSet<String>);

impl Names {
    /// All names of `graph` and of its bodies.
    pub fn of(graph: &GraphProto) -> Self {
        let mut names = HashSet::new();
        graph.names(&mut names);
        Self(names)
    }

    /// `wanted`, or with a number behind it where that is taken. It is taken from now on.
    pub fn fresh(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::proto::ValueInfoProto;

    fn port(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
    }

    fn branch(reads: &str) -> GraphProto {
        GraphProto {
            node: vec![NodeProto::new("Neg", "inner", &[reads], &["inner_out"])],
            output: vec![port("inner_out")],
            ..GraphProto::default()
        }
    }

    fn graph() -> GraphProto {
        let body = AttributeProto { g: Some(Box::new(branch("b"))), ..AttributeProto::default() };
        GraphProto {
            input: vec![port("x")],
            node: vec![
                NodeProto::new("If", "last", &["c"], &["y"]).with(body),
                NodeProto::new("Add", "second", &["a", "w"], &["b"]),
                NodeProto::new("Relu", "first", &["x"], &["a"]),
                NodeProto::new("Relu", "third", &["a"], &["c"]),
            ],
            initializer: vec![
                TensorProto::inline("w", ElementType::U8, &[1], vec![1]),
                TensorProto::inline("old", ElementType::U8, &[2], vec![1, 2]),
            ],
            output: vec![port("y")],
            ..GraphProto::default()
        }
    }

    #[test]
    fn sorting_puts_makers_before_users_even_those_inside_bodies() {
        let mut graph = graph();
        graph.sort();
        let order: Vec<&str> = graph.node.iter().filter_map(|n| n.name.as_deref()).collect();
        assert_eq!(order, ["first", "second", "third", "last"]);
        let users = graph.consumers();
        assert_eq!((users["a"].as_slice(), users["b"].as_slice()), (&[1, 2][..], &[3][..]));
        assert_eq!((graph.producers()["y"], graph.producers().get("inner_out")), (3, None));
    }

    #[test]
    fn names_of_bodies_are_taken_too() {
        let mut names = Names::of(&graph());
        assert_eq!(names.fresh("inner_out"), "inner_out_2");
        assert_eq!(names.fresh("inner_out"), "inner_out_3");
        assert_eq!(names.fresh("new"), "new");
        assert_eq!(names.fresh("w"), "w_2");
    }

    #[test]
    fn pruning_takes_what_nothing_reads() {
        let mut graph = graph();
        graph.input.push(port("old"));
        graph.prune();
        assert!(graph.initializer("old").is_none() && !graph.is_input("old"));
        assert!(graph.initializer("w").is_some() && graph.is_input("x") && graph.is_output("y"));
    }

    #[test]
    fn operator_sets_and_metadata_are_set_once() {
        let mut model = ModelProto::default();
        model.import("", 17);
        model.import("com.microsoft", 1);
        model.import("", 13);
        assert_eq!((model.opset("ai.onnx"), model.opset("com.microsoft")), (Some(17), Some(1)));
        assert_eq!((model.opset_import.len(), model.opset("ai.onnx.ml")), (2, None));
        model.set_metadata("k", "1");
        model.set_metadata("k", "2");
        assert_eq!(model.metadata_props.len(), 1);
        assert_eq!(model.metadata_props[0].value.as_deref(), Some("2"));
    }
}
