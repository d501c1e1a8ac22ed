//! Which nodes of a graph compute in eight bits, and which tensors that takes.
//!
//! Convolutions and matrix products begin; what stands between them joins where its operands have
//! eight bits anyway, so that values are not turned into floats and back on the way: pooling,
//! reshaping, concatenation and the additions of residual connections. It is the choice of ONNX
//! Runtime's `quantize_static` (QDQ), but that results of matrix products which nothing in eight
//! bits reads, such as the logits of a last layer, keep their 32. A convolution's result is always
//! rounded, at the end of a graph too: without that the runtime computes it in floats.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::linear::named;
use crate::data::ElementType;
use crate::model::OnnxModel;
use crate::model::onnx::{GraphProto, NodeProto, attribute_int, element_type};

/// How a tensor of the graph gets its eight bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scale {
    /// By the range of its own values.
    Own,
    /// As another tensor whose values it holds in another order or in part.
    As(String),
}

/// A weight in eight bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Weight {
    pub name: String,
    /// The dimension whose entries have a scale each; `None` for one scale.
    pub axis: Option<usize>,
}

/// A bias in 32 bits, whose scale is that of the input times that of the weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bias {
    pub name: String,
    pub input: String,
    pub weight: Weight,
}

/// One node in eight bits: for each of its inputs, what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chosen {
    pub activations: Vec<usize>,
    pub weight: Option<(usize, Weight)>,
    pub bias: Option<(usize, Bias)>,
}

#[derive(Debug, Default)]
pub struct Plan {
    /// By the index of the node.
    pub nodes: IndexMap<usize, Chosen>,
    /// Every tensor that is not constant and gets eight bits.
    pub activations: IndexMap<String, Scale>,
    /// Nodes that stay as they are although their operator could be quantized, and why.
    pub kept: Vec<(String, String)>,
}

impl Plan {
    /// Tensors whose values have to be seen.
    pub fn observed(&self) -> impl Iterator<Item = &str> {
        let own = self.activations.iter().filter(|(_, scale)| **scale == Scale::Own);
        own.map(|(name, _)| name.as_str())
    }

    /// The tensor that gives `name` its scale.
    pub fn root<'a>(&'a self, name: &'a str) -> &'a str {
        match self.activations.get(name) {
            Some(Scale::As(other)) => self.root(other),
            _ => name,
        }
    }

    /// Takes back everything that needs one of `tensors`, whose values are no 32-bit floats.
    pub fn without(&mut self, tensors: &HashSet<String>, graph: &GraphProto) {
        let bad: HashSet<String> = self
            .activations
            .keys()
            .filter(|name| tensors.contains(self.root(name)))
            .cloned()
            .collect();
        self.activations.retain(|name, _| !bad.contains(name));
        let mut kept = Vec::new();
        self.nodes.retain(|&index, chosen| {
            let node = &graph.node[index];
            let sound = chosen.activations.iter().all(|&at| !bad.contains(&node.input[at]));
            if !sound {
                kept.push((node.label(), "its operands are not f32".to_owned()));
            }
            sound
        });
        self.kept.append(&mut kept);
    }
}

/// Plans `model`. With `per_channel`, weights get a scale for each output channel.
pub fn plan(model: &OnnxModel, per_channel: bool, exclude: &[String]) -> Plan {
    let graph = model.graph();
    let mut planner = Planner {
        graph,
        consumers: graph.consumers(),
        constants: graph.initializer.iter().map(|t| (t.label(), (t.data_type, &t.dims))).collect(),
        per_channel,
        plan: Plan::default(),
    };
    let wanted = |node: &NodeProto| node.set().is_empty() && !named(node, exclude);
    for (index, node) in graph.node.iter().enumerate() {
        if !is_product(node) {
            continue;
        }
        let chosen = match wanted(node) {
            true => planner.product(node),
            false => Err("it is excluded".to_owned()),
        };
        match chosen {
            Ok(chosen) => planner.choose(index, chosen),
            Err(why) => planner.plan.kept.push((node.label(), why)),
        }
    }
    for (index, node) in graph.node.iter().enumerate() {
        if wanted(node) {
            planner.join(index, node);
        }
    }
    planner.plan
}

/// A node that eight bits are about.
pub fn is_product(node: &NodeProto) -> bool {
    matches!(node.op(), "Conv" | "MatMul" | "Gemm")
}

/// Type and dimensions of a constant.
type Constant<'a> = (Option<i32>, &'a Vec<i64>);

struct Planner<'a> {
    graph: &'a GraphProto,
    consumers: HashMap<&'a str, Vec<usize>>,
    constants: HashMap<&'a str, Constant<'a>>,
    per_channel: bool,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn is_constant(&self, name: &str) -> bool {
        self.constants.contains_key(name)
    }

    /// A constant of f32 with these dimensions.
    fn floats(&self, name: &str) -> Option<&'a [i64]> {
        let (dtype, dims) = self.constants.get(name)?;
        (element_type((*dtype)?) == Some(ElementType::F32)).then_some(dims.as_slice())
    }

    fn weight(&self, name: &str, axis: impl FnOnce(usize) -> Option<usize>) -> Option<Weight> {
        let rank = self.floats(name)?.len();
        let axis = if self.per_channel { axis(rank) } else { None };
        Some(Weight { name: name.to_owned(), axis })
    }

    /// What becomes of the inputs of a convolution or matrix product, or why it stays.
    fn product(&self, node: &NodeProto) -> Result<Chosen, String> {
        let unfit = |what: &str| format!("its {what} is no constant of f32");
        let [left, right, ..] = node.input.as_slice() else {
            return Err("it has fewer than two inputs".to_owned());
        };
        match node.op() {
            "MatMul" => match (self.is_constant(left), self.is_constant(right)) {
                (false, false) if left == right => {
                    Ok(Chosen { activations: vec![0], ..Chosen::default() })
                }
                (false, false) => Ok(Chosen { activations: vec![0, 1], ..Chosen::default() }),
                (false, true) => {
                    // The runtime's kernels know a scale per column of a matrix only.
                    let weight = self.weight(right, |rank| (rank == 2).then_some(1));
                    let weight = weight.ok_or_else(|| unfit("matrix"))?;
                    let weight = Some((1, weight));
                    Ok(Chosen { activations: vec![0], weight, ..Chosen::default() })
                }
                (true, false) => {
                    let weight = self.weight(left, |_| None).ok_or_else(|| unfit("matrix"))?;
                    let weight = Some((0, weight));
                    Ok(Chosen { activations: vec![1], weight, ..Chosen::default() })
                }
                (true, true) => Err("both its matrices are constants".to_owned()),
            },
            op => {
                if self.is_constant(left) {
                    return Err("its input is a constant".to_owned());
                }
                let turned = attribute_int(node, "transB") == Some(1);
                let axis = usize::from(!(op == "Conv" || turned));
                let weight = self.weight(right, |_| Some(axis)).ok_or_else(|| unfit("weight"))?;
                Ok(Chosen {
                    activations: vec![0],
                    bias: self.bias(node, left, &weight, axis),
                    weight: Some((1, weight)),
                })
            }
        }
    }

    /// The bias of a node, where the kernels can add it as 32-bit integers.
    fn bias(
        &self,
        node: &NodeProto,
        input: &str,
        weight: &Weight,
        axis: usize,
    ) -> Option<(usize, Bias)> {
        let name = node.input.get(2)?;
        let channels = *self.floats(&weight.name)?.get(axis)?;
        let whole = |key| node.attr(key).and_then(|a| a.f).is_none_or(|factor| factor == 1.0);
        let fits = self.floats(name)? == [channels] && whole("alpha") && whole("beta");
        let bias = Bias { name: name.clone(), input: input.to_owned(), weight: weight.clone() };
        fits.then_some((2, bias))
    }

    fn choose(&mut self, index: usize, chosen: Chosen) {
        let node = &self.graph.node[index];
        let output = if node.op() == "Conv" {
            // Without rounding behind it the runtime would compute it in floats all the same.
            let Some(output) = self.result(node) else { return };
            Some(output)
        } else {
            None
        };
        for &at in &chosen.activations {
            self.plan.activations.entry(node.input[at].clone()).or_insert(Scale::Own);
        }
        if let Some(output) = output {
            self.plan.activations.entry(output).or_insert(Scale::Own);
        }
        self.plan.nodes.insert(index, chosen);
    }

    /// The tensor that holds a node's result: what a ReLU makes of it, where one follows alone,
    /// because the runtime folds it into the rounding.
    fn result(&mut self, node: &NodeProto) -> Option<String> {
        let output = node.output.first()?;
        let Some(&[only]) = self.consumers.get(output.as_str()).map(Vec::as_slice) else {
            return Some(output.clone());
        };
        let next = &self.graph.node[only];
        let follows = next.set().is_empty() && next.input.first() == Some(output);
        match next.op() {
            _ if self.graph.is_output(output) => Some(output.clone()),
            "Relu" | "Clip" if follows => next.output.first().cloned(),
            "BatchNormalization" if follows => {
                let why = "a BatchNormalization follows it: `fuse: {level: basic}` before this stage folds that into its weights";
                self.plan.kept.push((node.label(), why.to_owned()));
                None
            }
            _ => Some(output.clone()),
        }
    }

    /// Takes a node in whose operands have eight bits.
    fn join(&mut self, index: usize, node: &NodeProto) {
        let has = |name: &String| self.plan.activations.contains_key(name);
        let operands: Vec<usize> = (0..node.input.len()).collect();
        let (activations, scale) = match node.op() {
            "MaxPool" | "Reshape" | "Flatten" | "Transpose" | "Squeeze" | "Unsqueeze" => {
                let Some(input) = node.input.first().filter(|name| has(name)) else { return };
                (vec![0], Scale::As(input.clone()))
            }
            "AveragePool" | "GlobalAveragePool" => {
                if !node.input.first().is_some_and(has) {
                    return;
                }
                (vec![0], Scale::Own)
            }
            "Add" | "Mul" | "Concat" => {
                if node.input.is_empty() || !node.input.iter().all(has) {
                    return;
                }
                (operands, Scale::Own)
            }
            _ => return,
        };
        // A second output, such as the places of maxima, has no kernel in eight bits.
        if node.output.iter().skip(1).any(|name| !name.is_empty()) {
            return;
        }
        let result = match scale {
            Scale::Own => self.result(node),
            Scale::As(_) => node.output.first().cloned(),
        };
        let Some(result) = result.filter(|name| !self.graph.is_output(name)) else { return };
        self.plan.activations.insert(result, scale);
        self.plan.nodes.insert(index, Chosen { activations, ..Chosen::default() });
    }
}
