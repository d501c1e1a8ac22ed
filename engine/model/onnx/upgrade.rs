//! Raising a graph to operator set 13, the first that knows a scale for each channel.
//!
//! From set 7 on few operators have changed so that an old node means something else under the
//! new set. Those are rewritten; see "Version changes" in the ONNX operator documentation
//! (<https://github.com/onnx/onnx/blob/main/docs/Changelog.md>). Everything else keeps its meaning.

use std::collections::HashSet;

use super::edit::Names;
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use super::{attribute_f32, attribute_int, attribute_ints, attribute_text};
use crate::data::ElementType;

/// The operator set that graphs are raised to.
pub const TARGET: i64 = 13;

/// The file layout that came with it.
const IR_VERSION: i64 = 7;

/// The oldest set that can be raised.
const OLDEST: i64 = 7;

/// Makes sure that the standard operator set is [`TARGET`] or later. Gives a remark when it was
/// raised, or why it cannot be.
pub fn upgrade(proto: &mut ModelProto) -> Result<Option<String>, String> {
    let version = proto.opset("").ok_or("it imports no standard operator set")?;
    if version >= TARGET {
        return Ok(None);
    }
    if version < OLDEST {
        return Err(format!("it uses operator set {version}, and none before {OLDEST} is known"));
    }
    if !proto.functions.is_empty() {
        return Err(format!("it uses operator set {version} and functions of its own"));
    }
    let graph = proto.graph.as_mut().expect("a model that was read has a graph");
    let read = graph.node.iter().flat_map(NodeProto::reads).map(str::to_owned);
    let read = read.chain(graph.output.iter().filter_map(|port| port.name.clone())).collect();
    let mut raise = Raise { version, names: Names::of(graph), read, graph, out: Vec::new() };
    raise.run()?;
    if proto.ir_version.unwrap_or(0) < 4 {
        proto.settle_constants();
    }
    proto.ir_version = Some(proto.ir_version.unwrap_or(0).max(IR_VERSION));
    for set in &mut proto.opset_import {
        if matches!(set.domain.as_deref().unwrap_or_default(), "" | "ai.onnx") {
            set.version = Some(TARGET);
        }
    }
    Ok(Some(format!("operator set {version} raised to {TARGET}")))
}

struct Raise<'a> {
    version: i64,
    graph: &'a mut GraphProto,
    names: Names,
    /// Values that something uses.
    read: HashSet<String>,
    out: Vec<NodeProto>,
}

impl Raise<'_> {
    fn run(&mut self) -> Result<(), String> {
        for node in std::mem::take(&mut self.graph.node) {
            if node.set().is_empty() {
                self.node(node)?;
            } else {
                self.out.push(node);
            }
        }
        self.graph.node = std::mem::take(&mut self.out);
        Ok(())
    }

    /// A constant as a new input of `node`, named after one of its attributes.
    fn ints(&mut self, of: &NodeProto, attribute: &str, values: &[i64]) -> String {
        let name = self.names.fresh(&format!("{}/{attribute}", of.label()));
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let dims = [values.len() as u64];
        self.graph.initializer.push(TensorProto::inline(&name, ElementType::I64, &dims, bytes));
        name
    }

    fn float(&mut self, of: &NodeProto, attribute: &str, value: f32) -> String {
        let name = self.names.fresh(&format!("{}/{attribute}", of.label()));
        self.graph.initializer.push(floats(&name, &[], &[value]));
        name
    }

    /// Moves lists of numbers from attributes to inputs, in this order behind those it has.
    fn move_ints(&mut self, node: &mut NodeProto, attributes: &[&str]) {
        for &attribute in attributes {
            let values = attribute_ints(node, attribute).map(<[i64]>::to_vec);
            let name = values.map(|values| self.ints(node, attribute, &values));
            node.input.push(name.unwrap_or_default());
            drop_attribute(node, attribute);
        }
        while node.input.last().is_some_and(String::is_empty) {
            node.input.pop();
        }
    }

    fn node(&mut self, mut node: NodeProto) -> Result<(), String> {
        let old = self.version;
        if node.bodies().next().is_some() {
            let label = node.label();
            return Err(format!("its operator set {old} cannot be raised: `{label}` has a body"));
        }
        match node.op() {
            "BatchNormalization" if old < 9 => {
                if attribute_int(&node, "spatial") == Some(0) {
                    let label = node.label();
                    return Err(format!("`{label}` normalizes each place by itself"));
                }
                drop_attribute(&mut node, "spatial");
            }
            "Dropout" if old < 12 => {
                if node.output.get(1).is_some_and(|mask| self.read.contains(mask)) {
                    return Err(format!("the mask of `{}` is used", node.label()));
                }
                node.output.truncate(1);
                drop_attribute(&mut node, "ratio");
            }
            "Clip" if old < 11 => {
                let bounds = ["min", "max"].map(|key| {
                    attribute_f32(&node, key).map(|value| self.float(&node, key, value))
                });
                node.input.extend(bounds.map(Option::unwrap_or_default));
                node.attribute.clear();
                while node.input.last().is_some_and(String::is_empty) {
                    node.input.pop();
                }
            }
            "Slice" if old < 10 => self.move_ints(&mut node, &["starts", "ends", "axes"]),
            "Pad" if old < 11 => {
                self.move_ints(&mut node, &["pads"]);
                let value = attribute_f32(&node, "value").unwrap_or(0.0);
                let value = self.float(&node, "value", value);
                node.input.push(value);
                drop_attribute(&mut node, "value");
            }
            "TopK" if old < 10 => {
                let k = attribute_int(&node, "k").unwrap_or(1);
                let k = self.ints(&node, "k", &[k]);
                node.input.push(k);
                drop_attribute(&mut node, "k");
            }
            "Upsample" => self.upsample(&mut node),
            "Resize" if old < 11 => resize(&mut node),
            "Scatter" => node.op_type = Some("ScatterElements".to_owned()),
            "Squeeze" | "Unsqueeze" | "ReduceSum" => self.move_ints(&mut node, &["axes"]),
            "Split" => self.move_ints(&mut node, &["split"]),
            "Softmax" | "LogSoftmax" | "Hardmax" => {
                self.softmax(node);
                return Ok(());
            }
            _ => {}
        }
        self.out.push(node);
        Ok(())
    }

    fn upsample(&mut self, node: &mut NodeProto) {
        if let Some(scales) = node.attr("scales").map(|a| a.floats.clone()) {
            let name = self.names.fresh(&format!("{}/scales", node.label()));
            self.graph.initializer.push(floats(&name, &[scales.len() as u64], &scales));
            node.input.push(name);
            drop_attribute(node, "scales");
        }
        node.op_type = Some("Resize".to_owned());
        resize(node);
    }

    /// Before set 13 a softmax took all dimensions from `axis` on as one.
    fn softmax(&mut self, mut softmax: NodeProto) {
        let axis = attribute_int(&softmax, "axis").unwrap_or(1);
        drop_attribute(&mut softmax, "axis");
        softmax.attribute.push(AttributeProto::int("axis", -1));
        if axis == -1 {
            self.out.push(softmax);
            return;
        }
        if softmax.input.is_empty() || softmax.output.is_empty() {
            // The runtime says what is missing when it opens the graph.
            self.out.push(softmax);
            return;
        }
        let label = softmax.label();
        let mut fresh = |part: &str| self.names.fresh(&format!("{label}/{part}"));
        let (shape, flat, done) = (fresh("shape"), fresh("flat"), fresh("done"));
        let names = ["read_shape", "flatten", "restore"].map(&mut fresh);
        let (input, output) = (softmax.input[0].clone(), softmax.output[0].clone());
        softmax.input[0].clone_from(&flat);
        softmax.output[0].clone_from(&done);
        self.out.push(NodeProto::new("Shape", &names[0], &[&input], &[&shape]));
        let flatten = NodeProto::new("Flatten", &names[1], &[&input], &[&flat]);
        self.out.push(flatten.with(AttributeProto::int("axis", axis)));
        self.out.push(softmax);
        self.out.push(NodeProto::new("Reshape", &names[2], &[&done, &shape], &[&output]));
    }
}

/// Of `Resize` in set 10 or `Upsample`: the scales move to where set 11 wants them, and what was
/// the only way to find a place is said.
fn resize(node: &mut NodeProto) {
    if node.input.len() == 2 {
        node.input.insert(1, String::new());
    }
    node.attribute.push(AttributeProto::text("coordinate_transformation_mode", "asymmetric"));
    if attribute_text(node, "mode").unwrap_or("nearest") == "nearest" {
        node.attribute.push(AttributeProto::text("nearest_mode", "floor"));
    }
}

fn floats(name: &str, dims: &[u64], values: &[f32]) -> TensorProto {
    TensorProto::inline(name, ElementType::F32, dims, bytemuck::cast_slice(values).to_vec())
}

fn drop_attribute(node: &mut NodeProto, name: &str) {
    node.attribute.retain(|attribute| attribute.name.as_deref() != Some(name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::proto::{OperatorSetIdProto, ValueInfoProto};

    fn model(version: i64, nodes: Vec<NodeProto>) -> ModelProto {
        let port = |name: &str| ValueInfoProto {
            name: Some(name.to_owned()),
            ..ValueInfoProto::default()
        };
        let graph = GraphProto {
            node: nodes,
            input: vec![port("x"), port("w")],
            initializer: vec![floats("w", &[1], &[1.0])],
            ..GraphProto::default()
        };
        let set = OperatorSetIdProto { domain: None, version: Some(version) };
        ModelProto {
            ir_version: Some(3),
            opset_import: vec![set],
            graph: Some(graph),
            ..ModelProto::default()
        }
    }

    fn one(op: &str, attribute: Vec<AttributeProto>) -> NodeProto {
        NodeProto { attribute, ..NodeProto::new(op, "n", &["x"], &["y"]) }
    }

    fn raised(version: i64, node: NodeProto) -> ModelProto {
        let mut model = model(version, vec![node]);
        upgrade(&mut model).unwrap().unwrap();
        model
    }

    #[test]
    fn attributes_that_became_inputs_move() {
        let model = raised(9, one("Squeeze", vec![AttributeProto::of_ints("axes", &[0, 2])]));
        let graph = model.graph.as_ref().unwrap();
        assert_eq!(graph.node[0].input, ["x", "n/axes"]);
        assert!(graph.node[0].attribute.is_empty());
        let axes = graph.initializer("n/axes").unwrap();
        assert_eq!(axes.dims, [2]);
        let clip = raised(7, one("Clip", vec![AttributeProto::float("max", 6.0)]));
        let graph = clip.graph.as_ref().unwrap();
        assert_eq!(graph.node[0].input, ["x", "", "n/max"]);
        assert_eq!((clip.opset(""), clip.ir_version), (Some(13), Some(7)));
        assert_eq!(graph.input.len(), 1, "constants are inputs no longer");
    }

    #[test]
    fn a_softmax_over_several_dimensions_stays_one() {
        let model = raised(11, one("Softmax", Vec::new()));
        let ops: Vec<&str> = model.graph.as_ref().unwrap().node.iter().map(NodeProto::op).collect();
        assert_eq!(ops, ["Shape", "Flatten", "Softmax", "Reshape"]);
        let model = raised(11, one("Softmax", vec![AttributeProto::int("axis", -1)]));
        assert_eq!(model.graph.as_ref().unwrap().node.len(), 1);
    }

    #[test]
    fn what_cannot_be_raised_is_told_and_newer_graphs_stay() {
        let mut new = model(14, vec![one("Softmax", Vec::new())]);
        let before = new.clone();
        assert_eq!((upgrade(&mut new).unwrap(), new), (None, before));
        let spatial = one("BatchNormalization", vec![AttributeProto::int("spatial", 0)]);
        assert!(upgrade(&mut model(7, vec![spatial])).unwrap_err().contains("`n`"));
        assert!(upgrade(&mut model(6, Vec::new())).unwrap_err().contains("set 6"));
    }
}
