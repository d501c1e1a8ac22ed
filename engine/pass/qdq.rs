//! Writing a plan of eight bits into a graph: QuantizeLinear and DequantizeLinear around tensors.
//!
//! Every tensor of the plan passes through eight bits right where it is made, so all that read it
//! read the same values, whatever they compute in. The runtime fuses the pairs with the operator
//! between them; a runtime that does not computes the same numbers in floats.

use indexmap::IndexMap;

use super::PassError;
use super::matrix::Matrix;
use super::observe::Range;
use super::qdq_plan::{Bias, Plan, Weight};
use crate::data::ElementType;
use crate::model::OnnxModel;
use crate::model::onnx::edit::Names;
use crate::model::onnx::{AttributeProto, GraphWriter, ModelProto, NodeProto, TensorProto};

/// How real numbers become integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formula {
    /// u8 or i8.
    pub activation: ElementType,
    /// Weights use seven of their eight bits, so that sums of two products fit 16 bits.
    pub reduce_range: bool,
}

/// Real numbers are `scale * (q - zero)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    pub scale: f32,
    pub zero: i32,
}

impl Formula {
    /// The map of `range`, which holds zero, onto all values of the activation's type.
    pub fn affine(self, range: Range) -> Affine {
        let lowest = if self.activation == ElementType::I8 { -128.0 } else { 0.0 };
        let scale = (f64::from(range.max) - f64::from(range.min)) / 255.0;
        if scale < f64::from(f32::MIN_POSITIVE) {
            return Affine { scale: 1.0, zero: 0 };
        }
        let zero = (lowest - f64::from(range.min) / scale).round_ties_even();
        Affine { scale: scale as f32, zero: zero.clamp(lowest, lowest + 255.0) as i32 }
    }

    fn most(self) -> f32 {
        if self.reduce_range { 64.0 } else { 127.0 }
    }
}

/// A weight in eight bits, symmetric around zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Bytes {
    pub values: Vec<i8>,
    /// One, or one per entry of the axis.
    pub scales: Vec<f32>,
}

/// Rounds `values` with the dimensions `dims` to multiples of a scale for each entry of `axis`,
/// at least `least`, which may be empty.
pub fn symmetric(
    values: &[f32],
    dims: &[u64],
    axis: Option<usize>,
    most: f32,
    least: &[f32],
) -> Bytes {
    let (channels, inner) = match axis {
        Some(axis) => (dims[axis], dims[axis + 1..].iter().product::<u64>()),
        None => (1, values.len() as u64),
    };
    let (channels, inner) = (channels as usize, (inner as usize).max(1));
    let channel = |at: usize| at / inner % channels.max(1);
    let mut scales = vec![0.0_f32; channels];
    for (at, value) in values.iter().enumerate() {
        let largest = &mut scales[channel(at)];
        *largest = largest.max(value.abs());
    }
    for (at, scale) in scales.iter_mut().enumerate() {
        *scale = (*scale / most).max(least.get(at).copied().unwrap_or(0.0));
        if *scale < f32::MIN_POSITIVE {
            *scale = 1.0;
        }
    }
    let round = |(at, value): (usize, &f32)| {
        (value / scales[channel(at)]).round_ties_even().clamp(-most, most) as i8
    };
    Bytes { values: values.iter().enumerate().map(round).collect(), scales }
}

/// What a rewriting did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub activations: usize,
    pub weights: usize,
}

/// The graph of `model` with eight bits as planned; weights go to `writer`. `ranges` holds every
/// tensor that the plan observes.
pub fn rewrite(
    model: &OnnxModel,
    plan: &Plan,
    ranges: &IndexMap<String, Range>,
    formula: Formula,
    writer: &mut GraphWriter,
    progress: &dyn Fn(f64),
) -> Result<(ModelProto, Counts), PassError> {
    let mut proto = model.proto.clone();
    let mut edit = Edit {
        model,
        plan,
        formula,
        names: Names::of(model.graph()),
        affine: IndexMap::new(),
        nodes: Vec::new(),
        initializers: Vec::new(),
    };
    for name in plan.observed() {
        let range = ranges.get(name).ok_or_else(|| {
            PassError::Calibration(format!("no run of the data gave a value of `{name}`"))
        })?;
        edit.affine.insert(name.to_owned(), (formula.affine(*range), String::new(), String::new()));
    }
    edit.parameters();
    let graph = proto.graph.as_mut().expect("a model that was read has a graph");
    let inputs = edit.activations(&mut graph.node);
    let weights = edit.weights(writer, progress)?;
    let biases = edit.biases(&weights)?;
    for (&index, chosen) in &plan.nodes {
        let node = &mut graph.node[index];
        for &at in &chosen.activations {
            if let Some(name) = inputs.get(&node.input[at]) {
                node.input[at].clone_from(name);
            }
        }
        if let Some((at, bias)) = &chosen.bias {
            node.input[*at].clone_from(&biases[&key(plan, bias)]);
        }
        if let Some((at, weight)) = &chosen.weight {
            node.input[*at].clone_from(&weights[weight].name);
        }
    }
    let counts = Counts { activations: plan.activations.len(), weights: weights.len() };
    graph.node.append(&mut edit.nodes);
    graph.initializer.append(&mut edit.initializers);
    graph.prune();
    graph.sort();
    Ok((proto, counts))
}

/// All values of a constant.
fn floats(model: &OnnxModel, name: &str) -> Result<Vec<f32>, PassError> {
    let matrix = Matrix::open(model, name)?.ok_or_else(|| PassError::Graph {
        path: model.path.display().to_string(),
        what: format!("its constant `{name}` has no floating-point numbers"),
    })?;
    matrix.all()
}

/// A weight's new name in the graph and its scales.
struct Stored {
    name: String,
    scales: Vec<f32>,
}

/// A bias that nodes share has one form for each input scale and weight.
fn key(plan: &Plan, bias: &Bias) -> (String, String, Weight) {
    (bias.name.clone(), plan.root(&bias.input).to_owned(), bias.weight.clone())
}

struct Edit<'a> {
    model: &'a OnnxModel,
    plan: &'a Plan,
    formula: Formula,
    names: Names,
    /// Of every observed tensor: its map, and the initializers of scale and zero point.
    affine: IndexMap<String, (Affine, String, String)>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Edit<'_> {
    fn floats(&mut self, wanted: &str, values: &[f32], is_scalar: bool) -> String {
        let name = self.names.fresh(wanted);
        let shape = if is_scalar { Vec::new() } else { vec![values.len() as u64] };
        let bytes = bytemuck::cast_slice(values).to_vec();
        self.initializers.push(TensorProto::inline(&name, ElementType::F32, &shape, bytes));
        name
    }

    /// Scales and zero points of activations.
    fn parameters(&mut self) {
        let known: Vec<(String, Affine)> =
            self.affine.iter().map(|(name, (affine, ..))| (name.clone(), *affine)).collect();
        for (name, affine) in known {
            let scale = self.floats(&format!("{name}_scale"), &[affine.scale], true);
            let zero = self.names.fresh(&format!("{name}_zero_point"));
            let bytes = vec![affine.zero as u8];
            self.initializers.push(TensorProto::inline(&zero, self.formula.activation, &[], bytes));
            self.affine[&name] = (affine, scale, zero);
        }
    }

    /// A node from one value and its parameters to another.
    fn convert(&mut self, op: &str, inputs: &[&str], output: &str, axis: Option<usize>) {
        let name = self.names.fresh(&format!("{output}/{op}"));
        let mut node = NodeProto::new(op, &name, inputs, &[output]);
        node.attribute.extend(axis.map(|axis| AttributeProto::int("axis", axis as i64)));
        self.nodes.push(node);
    }

    /// Leads every activation through eight bits. Gives the new names of those that keep their
    /// own, which are inputs of the graph.
    fn activations(&mut self, nodes: &mut [NodeProto]) -> IndexMap<String, String> {
        let mut inputs = IndexMap::new();
        let mut makers: std::collections::HashMap<String, (usize, usize)> =
            std::collections::HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            for (at, name) in node.output.iter().enumerate() {
                makers.insert(name.clone(), (index, at));
            }
        }
        let plan = self.plan;
        for name in plan.activations.keys() {
            let (_, scale, zero) = self.affine[plan.root(name)].clone();
            let small = self.names.fresh(&format!("{name}_quantized"));
            let (from, to) = match makers.get(name) {
                Some(&(index, at)) => {
                    let float = self.names.fresh(&format!("{name}_float"));
                    nodes[index].output[at].clone_from(&float);
                    (float, name.clone())
                }
                None => (name.clone(), self.names.fresh(&format!("{name}_dequantized"))),
            };
            self.convert("QuantizeLinear", &[&from, &scale, &zero], &small, None);
            self.convert("DequantizeLinear", &[&small, &scale, &zero], &to, None);
            if from == *name {
                inputs.insert(from, to);
            }
        }
        inputs
    }

    fn dims(&self, name: &str) -> Vec<u64> {
        let tensor = self.model.graph().initializer(name);
        tensor.map_or(Vec::new(), |t| t.dims.iter().map(|&dim| dim as u64).collect())
    }

    /// Smallest scales of a weight with which the biases added to its products fit 32 bits.
    fn least(&self, weight: &Weight) -> Result<Vec<f32>, PassError> {
        let mut least: Vec<f32> = Vec::new();
        let biases = self.plan.nodes.values().filter_map(|chosen| chosen.bias.as_ref());
        for (_, bias) in biases.filter(|(_, bias)| bias.weight == *weight) {
            let input = self.affine[self.plan.root(&bias.input)].0.scale;
            let values = floats(self.model, &bias.name)?;
            let needed: Vec<f32> =
                values.iter().map(|value| value.abs() / (i32::MAX as f32 * 0.99) / input).collect();
            let needed = match weight.axis {
                Some(_) => needed,
                None => vec![needed.into_iter().fold(0.0, f32::max)],
            };
            least.resize(needed.len(), 0.0);
            least.iter_mut().zip(&needed).for_each(|(least, needed)| *least = least.max(*needed));
        }
        Ok(least)
    }

    fn weights(
        &mut self,
        writer: &mut GraphWriter,
        progress: &dyn Fn(f64),
    ) -> Result<IndexMap<Weight, Stored>, PassError> {
        let mut wanted: Vec<&Weight> =
            self.plan.nodes.values().filter_map(|c| Some(&c.weight.as_ref()?.1)).collect();
        let mut seen = std::collections::HashSet::new();
        wanted.retain(|weight| seen.insert(*weight));
        let mut stored = IndexMap::new();
        let total = wanted.len().max(1) as f64;
        for (done, weight) in wanted.into_iter().enumerate() {
            let values = floats(self.model, &weight.name)?;
            let (dims, least) = (self.dims(&weight.name), self.least(weight)?);
            let most = self.formula.most();
            let Bytes { values, scales } = symmetric(&values, &dims, weight.axis, most, &least);
            let small_name = self.names.fresh(&format!("{}_quantized", weight.name));
            let tensor =
                writer.weight::<PassError>(&small_name, ElementType::I8, &dims, |out| {
                    out(bytemuck::cast_slice(&values))
                })?;
            self.initializers.push(tensor);
            let is_scalar = weight.axis.is_none();
            let scale = self.floats(&format!("{}_scale", weight.name), &scales, is_scalar);
            let zero = self.names.fresh(&format!("{}_zero_point", weight.name));
            let shape = if is_scalar { Vec::new() } else { vec![scales.len() as u64] };
            let zeros = vec![0; scales.len()];
            self.initializers.push(TensorProto::inline(&zero, ElementType::I8, &shape, zeros));
            let name = self.names.fresh(&format!("{}_dequantized", weight.name));
            let inputs = [small_name.as_str(), &scale, &zero];
            self.convert("DequantizeLinear", &inputs, &name, weight.axis);
            stored.insert(weight.clone(), Stored { name, scales });
            progress((done + 1) as f64 / total);
        }
        Ok(stored)
    }

    fn biases(
        &mut self,
        weights: &IndexMap<Weight, Stored>,
    ) -> Result<IndexMap<(String, String, Weight), String>, PassError> {
        let mut named = IndexMap::new();
        let plan = self.plan;
        for (_, bias) in plan.nodes.values().filter_map(|chosen| chosen.bias.as_ref()) {
            let key = key(plan, bias);
            if named.contains_key(&key) {
                continue;
            }
            let input = self.affine[plan.root(&bias.input)].0.scale;
            let values = floats(self.model, &bias.name)?;
            let scales: Vec<f32> =
                weights[&bias.weight].scales.iter().map(|scale| scale * input).collect();
            let round = |(at, value): (usize, &f32)| {
                let scale = scales[if scales.len() == 1 { 0 } else { at }];
                // Casting saturates; `least` has made sure that there is room.
                (f64::from(*value) / f64::from(scale)).round_ties_even() as i32
            };
            let rounded: Vec<i32> = values.iter().enumerate().map(round).collect();
            let small_name = self.names.fresh(&format!("{}_quantized", bias.name));
            let shape = [rounded.len() as u64];
            let bytes = bytemuck::cast_slice(&rounded).to_vec();
            self.initializers.push(TensorProto::inline(
                &small_name,
                ElementType::I32,
                &shape,
                bytes,
            ));
            let is_scalar = bias.weight.axis.is_none();
            let scale = self.floats(&format!("{}_scale", bias.name), &scales, is_scalar);
            let zero = self.names.fresh(&format!("{}_zero_point", bias.name));
            let shape = if is_scalar { Vec::new() } else { vec![scales.len() as u64] };
            let zeros = vec![0; 4 * scales.len()];
            self.initializers.push(TensorProto::inline(&zero, ElementType::I32, &shape, zeros));
            let name = self.names.fresh(&format!("{}_dequantized", bias.name));
            let axis = bias.weight.axis.map(|_| 0);
            let inputs = [small_name.as_str(), &scale, &zero];
            self.convert("DequantizeLinear", &inputs, &name, axis);
            named.insert(key, name);
        }
        Ok(named)
    }
}
