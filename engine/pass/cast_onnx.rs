//! `cast` of a graph: weights, constants and what is computed between them in half precision.
//!
//! Every f32 value has one form, that of the node that makes it; where a reader needs the other, a
//! Cast is put between, one for all readers. Operators that know no half precision, or suffer from
//! it, go on in f32.

use std::collections::{HashMap, HashSet};

use super::cast::Float;
use super::files::copy_beside;
use super::linear::{idle, named};
use super::matrix::Matrix;
use super::{PassError, PassJob, PassNotes};
use crate::data::ElementType;
use crate::model::onnx::edit::Names;
use crate::model::onnx::proto::{TypeProtoValue, ValueInfoProto};
use crate::model::onnx::types::value_types;
use crate::model::onnx::{
    AttributeProto, EXTERNAL, GraphWriter, NodeProto, TensorProto, attribute_int, inline_bytes,
    type_code,
};
use crate::model::{Kind, OnnxModel};

/// Operators that stay in f32: `DEFAULT_OP_BLOCK_LIST` of ONNX Runtime's `float16.py` (from
/// onnxconverter-common), and those that quantize, whose scales are f32.
const F32_ONLY: &[&str] = &[
    "ArrayFeatureExtractor",
    "Binarizer",
    "CastMap",
    "CategoryMapper",
    "DictVectorizer",
    "FeatureVectorizer",
    "Imputer",
    "LabelEncoder",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "OneHotEncoder",
    "RandomUniformLike",
    "SVMClassifier",
    "SVMRegressor",
    "Scaler",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "TreeEnsemble",
    "ZipMap",
    "NonMaxSuppression",
    "TopK",
    "RoiAlign",
    "Range",
    "CumSum",
    "Min",
    "Max",
    "Upsample",
    "ArgMax",
    "ArgMin",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "TfIdfVectorizer",
    "DynamicQuantizeLinear",
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
];

/// Operators of ONNX Runtime's own set that take f16.
const OWN_HALF: &[&str] = &[
    "BiasGelu",
    "FastGelu",
    "FusedMatMul",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "QuickGelu",
    "RotaryEmbedding",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// Operators that only move numbers: all that the runtime's CPU kernels do in bf16.
const BF16: &[&str] = &[
    "Cast",
    "Concat",
    "Constant",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Shape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Writes the graph with floats as `to`.
pub fn cast(
    job: &PassJob<'_>,
    to: Float,
    keep_io: bool,
    exclude: &[String],
) -> Result<PassNotes, PassError> {
    let model = OnnxModel::read(job.input)?;
    let failed = |what: String| PassError::Graph { path: job.input.display().to_string(), what };
    let half = match to {
        Float::F16 => ElementType::F16,
        Float::Bf16 => ElementType::Bf16,
        Float::F32 => {
            return Err(failed("a graph can be cast to f16 or bf16 only".to_owned()));
        }
    };
    if let Some(pattern) = idle(model.graph(), exclude).first() {
        return Err(failed(format!("`exclude` names `{pattern}`, which fits no node")));
    }
    let mut work = Work::new(&model, to, half, keep_io, exclude);
    if half == ElementType::Bf16 {
        work.only_known_in_bf16().map_err(failed)?;
    }
    let mut writer = GraphWriter::new(job.out);
    let mut proto = model.proto.clone();
    proto.settle_constants();
    let graph = proto.graph.as_mut().expect("a model that was read has a graph");
    let (mut input, mut output) = (graph.input.clone(), graph.output.clone());
    work.ports(&mut input, &mut output);
    graph.node = work.nodes()?;
    (graph.input, graph.output) = (input, output);
    let (initializers, converted) = work.initializers(&mut writer, job.progress)?;
    graph.initializer = initializers;
    // Declared types of inner values no longer hold; the runtime infers them.
    graph.value_info.clear();
    graph.sort();
    let notes = vec![
        format!(
            "weights and arithmetic as {}, rounded to nearest, ties to even; {converted} tensors converted, {} Cast nodes inserted",
            half.name(),
            work.casts.len()
        ),
        match keep_io {
            true => "inputs and outputs keep their types, but for caches of keys and values".into(),
            false => format!("inputs and outputs of f32 are {} now", half.name()),
        },
        work.exceptions(),
    ];
    writer.finish_from(proto, &model, &|_| {})?;
    copy_beside(job.input, job.out)?;
    Ok(PassNotes { kind: Kind::Onnx, notes })
}

struct Work<'a> {
    model: &'a OnnxModel,
    to: Float,
    half: ElementType,
    /// By node: it goes on in f32.
    blocked: Vec<bool>,
    types: HashMap<String, i32>,
    /// f32 values that are made in half precision now, under their old name but for outputs that
    /// keep their type.
    halved: HashSet<String>,
    /// New names of halved values whose old name is an output that stays f32.
    renamed: HashMap<String, String>,
    /// Inserted Cast nodes: from which value, to half or back, and the new name.
    casts: HashMap<(String, bool), String>,
    added: Vec<NodeProto>,
    /// Constants in half precision: old and new name.
    small: HashMap<String, String>,
    /// Constants that are still read in f32.
    kept: HashSet<String>,
    keep_io: bool,
    names: Names,
}

impl<'a> Work<'a> {
    fn new(
        model: &'a OnnxModel,
        to: Float,
        half: ElementType,
        keep_io: bool,
        exclude: &[String],
    ) -> Self {
        let graph = model.graph();
        let mut captured: HashSet<&str> = HashSet::new();
        for body in graph.node.iter().flat_map(NodeProto::bodies) {
            captured.extend(body.captured());
        }
        let blocked = |node: &NodeProto| {
            let unknown = match node.set() {
                "" => F32_ONLY.contains(&node.op()),
                _ => !OWN_HALF.contains(&node.op()),
            };
            unknown
                || named(node, exclude)
                || node.bodies().next().is_some()
                || node.output.iter().any(|name| captured.contains(name.as_str()))
        };
        let blocked: Vec<bool> = graph.node.iter().map(blocked).collect();
        let mut work = Self {
            model,
            to,
            half,
            blocked,
            types: value_types(graph),
            halved: HashSet::new(),
            renamed: HashMap::new(),
            casts: HashMap::new(),
            added: Vec::new(),
            small: HashMap::new(),
            kept: captured.into_iter().map(str::to_owned).collect(),
            keep_io,
            names: Names::of(graph),
        };
        for (index, node) in graph.node.iter().enumerate() {
            for (at, name) in node.output.iter().enumerate() {
                // What `LayerNormalization` says about mean and deviation stays f32.
                let apart = node.op() == "LayerNormalization" && at > 0;
                if !work.blocked[index] && !apart && work.is_f32(name) {
                    work.halved.insert(name.clone());
                }
            }
        }
        work
    }

    fn is_f32(&self, name: &str) -> bool {
        self.types.get(name) == Some(&type_code(ElementType::F32))
    }

    /// An error naming the first node that would compute in bf16 without a kernel for it.
    fn only_known_in_bf16(&self) -> Result<(), String> {
        let nodes = self.model.graph().node.iter().zip(&self.blocked);
        let without = |node: &NodeProto| {
            let values = node.input.iter().chain(&node.output);
            !BF16.contains(&node.op()) && values.into_iter().any(|name| self.is_f32(name))
        };
        match nodes.into_iter().find(|(node, blocked)| !**blocked && without(node)) {
            None => Ok(()),
            Some((node, _)) => Err(format!(
                "ONNX Runtime has no CPU kernel for `{}` in bf16, which `{}` needs: cast to f16, or exclude it",
                node.op(),
                node.label()
            )),
        }
    }

    fn keeps(&self, port: &str) -> bool {
        let is_cache = port.starts_with("past_key_values.") || port.starts_with("present.");
        self.keep_io && !is_cache
    }

    /// Inputs that become half precision, and outputs that stay f32 beside a new inner value.
    fn ports(&mut self, inputs: &mut [ValueInfoProto], outputs: &mut [ValueInfoProto]) {
        let code = type_code(self.half);
        for port in inputs {
            let name = port.name.clone().unwrap_or_default();
            let is_constant = self.model.graph().initializer(&name).is_some();
            // A body that reads an input goes on in f32, and so the input stays.
            let captured = self
                .model
                .graph()
                .node
                .iter()
                .flat_map(NodeProto::bodies)
                .any(|body| body.captured().contains(&name.as_str()));
            if self.is_f32(&name) && !is_constant && !captured && !self.keeps(&name) {
                retype(port, code);
                self.halved.insert(name);
            }
        }
        for port in outputs {
            let name = port.name.clone().unwrap_or_default();
            if !self.is_f32(&name) {
                continue;
            }
            match (self.halved.contains(&name), self.keeps(&name)) {
                (true, true) => {
                    let inner = self.names.fresh(&format!("{name}_{}", self.half.name()));
                    self.insert_cast(&inner, &name, ElementType::F32);
                    self.casts.insert((name.clone(), false), name.clone());
                    self.renamed.insert(name, inner);
                }
                (true, false) => retype(port, code),
                // A node that stays in f32 makes it: what callers get does not change.
                (false, _) => {}
            }
        }
    }

    fn insert_cast(&mut self, from: &str, to: &str, dtype: ElementType) {
        let name = self.names.fresh(&format!("{to}/Cast"));
        let code = i64::from(type_code(dtype));
        let node = NodeProto::new("Cast", &name, &[from], &[to]);
        self.added.push(node.with(AttributeProto::int("to", code)));
    }

    /// The name under which an f32 value of the old graph is read, in half precision or not.
    fn read(&mut self, name: &str, in_half: bool) -> String {
        if self.model.graph().initializer(name).is_some() {
            if !in_half {
                self.kept.insert(name.to_owned());
                return name.to_owned();
            }
            let wanted = format!("{name}_{}", self.half.name());
            let names = &mut self.names;
            let small = self.small.entry(name.to_owned());
            return small.or_insert_with(|| names.fresh(&wanted)).clone();
        }
        if self.halved.contains(name) == in_half {
            return self.renamed.get(name).cloned().unwrap_or_else(|| name.to_owned());
        }
        if let Some(known) = self.casts.get(&(name.to_owned(), in_half)) {
            return known.clone();
        }
        let dtype = if in_half { self.half } else { ElementType::F32 };
        let to = self.names.fresh(&format!("{name}_{}", dtype.name()));
        let from = self.renamed.get(name).cloned().unwrap_or_else(|| name.to_owned());
        self.insert_cast(&from, &to, dtype);
        self.casts.insert((name.to_owned(), in_half), to.clone());
        to
    }

    /// The nodes, reading and making values in their new form.
    fn nodes(&mut self) -> Result<Vec<NodeProto>, PassError> {
        let model = self.model;
        let mut nodes = Vec::with_capacity(model.graph().node.len());
        for (index, old) in model.graph().node.iter().enumerate() {
            let mut node = old.clone();
            let blocked = self.blocked[index];
            for (at, name) in old.input.iter().enumerate() {
                if self.is_f32(name) {
                    // Scales of `Resize` are f32 whatever it resizes.
                    let apart = old.op() == "Resize" && at == old.input.len().min(3) - 1 && at > 0;
                    node.input[at] = self.read(name, !blocked && !apart);
                }
            }
            for name in &mut node.output {
                if let Some(new) = self.renamed.get(name.as_str()) {
                    name.clone_from(new);
                }
            }
            if !blocked {
                self.attributes(&mut node)?;
            }
            nodes.push(node);
        }
        nodes.append(&mut self.added);
        Ok(nodes)
    }

    /// Constants and types inside a node that now gives half precision.
    fn attributes(&self, node: &mut NodeProto) -> Result<(), PassError> {
        let code = type_code(self.half);
        let label = node.label();
        let scalar = |name: &str, dims: &[u64], values: &[f32]| {
            let bytes = self.to.encode(values, &label)?;
            Ok::<_, PassError>(AttributeProto::tensor(
                name,
                TensorProto::inline("", self.half, dims, bytes),
            ))
        };
        match node.op() {
            "Cast" if attribute_int(node, "to") == Some(1) => {
                node.attribute.retain(|a| a.name.as_deref() != Some("to"));
                node.attribute.push(AttributeProto::int("to", i64::from(code)));
            }
            "ConstantOfShape" if node.attr("value").is_none() => {
                node.attribute.push(scalar("value", &[1], &[0.0])?);
            }
            "Constant" | "ConstantOfShape" => {
                for attribute in &mut node.attribute {
                    if let Some(tensor) = &mut attribute.t
                        && tensor.data_type == Some(1)
                        && let Some(bytes) = inline_bytes(tensor)
                    {
                        let values = floats(&bytes);
                        let dims: Vec<u64> = tensor.dims.iter().map(|&dim| dim as u64).collect();
                        let bytes = self.encode(&values, &label)?;
                        **tensor = TensorProto::inline(tensor.label(), self.half, &dims, bytes);
                    } else if let Some(value) =
                        attribute.f.filter(|_| attribute.name.as_deref() == Some("value_float"))
                    {
                        *attribute = scalar("value", &[], &[value])?;
                    } else if attribute.name.as_deref() == Some("value_floats") {
                        let values = std::mem::take(&mut attribute.floats);
                        *attribute = scalar("value", &[values.len() as u64], &values)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Values that are infinite already stay so; others must stay finite.
    fn encode(&self, values: &[f32], tensor: &str) -> Result<Vec<u8>, PassError> {
        let finite: Vec<f32> =
            values.iter().map(|v| if v.is_finite() { *v } else { 0.0 }).collect();
        let mut bytes = self.to.encode(&finite, tensor)?;
        for (at, value) in values.iter().enumerate().filter(|(_, value)| !value.is_finite()) {
            let raw = match self.half {
                ElementType::F16 => half::f16::from_f32(*value).to_le_bytes(),
                _ => half::bf16::from_f32(*value).to_le_bytes(),
            };
            bytes[2 * at..2 * at + 2].copy_from_slice(&raw);
        }
        Ok(bytes)
    }

    /// The constants in the forms that are read, and how many were converted.
    fn initializers(
        &mut self,
        writer: &mut GraphWriter,
        progress: &dyn Fn(f64),
    ) -> Result<(Vec<TensorProto>, usize), PassError> {
        let total = self.model.graph().initializer.len().max(1) as f64;
        let mut out = Vec::new();
        for (done, tensor) in self.model.graph().initializer.iter().enumerate() {
            let name = tensor.label();
            let is_float = tensor.data_type == Some(type_code(ElementType::F32));
            if !is_float || self.kept.contains(name) || !self.small.contains_key(name) {
                out.push(tensor.clone());
            }
            if let Some(new) = self.small.get(name) {
                let dims: Vec<u64> = tensor.dims.iter().map(|&dim| dim as u64).collect();
                let values = match tensor.data_location == Some(EXTERNAL) {
                    true => match Matrix::open(self.model, name)? {
                        Some(matrix) => matrix.all()?,
                        None => Vec::new(),
                    },
                    false => floats(&inline_bytes(tensor).unwrap_or_default()),
                };
                let bytes = self.encode(&values, name)?;
                out.push(writer.weight::<PassError>(new, self.half, &dims, |part| part(&bytes))?);
            }
            progress((done + 1) as f64 / total);
        }
        Ok((out, self.small.len()))
    }

    /// Nodes that go on in f32, in words.
    fn exceptions(&self) -> String {
        let nodes = self.model.graph().node.iter().zip(&self.blocked);
        let floats = |node: &NodeProto| node.input.iter().any(|name| self.is_f32(name));
        let mut count: indexmap::IndexMap<&str, usize> = indexmap::IndexMap::new();
        for (node, _) in nodes.filter(|(node, blocked)| **blocked && floats(node)) {
            *count.entry(node.op()).or_default() += 1;
        }
        if count.is_empty() {
            "every operator on floats computes in the new type".to_owned()
        } else {
            let listed: Vec<String> =
                count.iter().map(|(op, count)| format!("{op} ({count})")).collect();
            format!("still in f32: {}", listed.join(", "))
        }
    }
}

fn retype(port: &mut ValueInfoProto, code: i32) {
    let value = port.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    if let Some(TypeProtoValue::TensorType(tensor)) = value {
        tensor.elem_type = Some(code);
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (whole, _) = bytes.as_chunks::<4>();
    whole.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}
