//! Reading a graph without its weights.
//!
//! First a walk over the wire format that trusts no length, then decoding of what is left, then
//! what a message can say wrongly: elements that are not as many as their shape, data files that
//! lie elsewhere, values that nobody produces.

use std::io::{Read, Seek};
use std::path::Path;

use indexmap::{IndexMap, IndexSet};
use prost::Message;

use super::external::DataFiles;
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use super::tensor::{self, Wrong};
use super::wire::{self, Cut, Limits};
use super::{EXTERNAL, OnnxModel, Stored, scope};
use crate::model::{Fault, ModelError, bounded, content, shown};

impl OnnxModel {
    /// Reads the graph at `path` and looks at its data files, without loading large weights.
    ///
    /// What comes back is sound as a graph: every tensor has as many elements as its shape says,
    /// names of initializers and values are unique, whatever a node reads is produced by another
    /// node or given, without cycles, and nodes come after those they depend on (ONNX demands that
    /// order, its runtime does not, so nodes are put into it). Whether operators exist and get
    /// what they expect is left to who runs the graph.
    ///
    /// Strict where a guess could be wrong: a name given to two initializers is refused although
    /// ONNX Runtime takes the last one.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let (file, len) = bounded::open(path)?;
        Self::read_from(path, file, len, Limits::default()).map_err(|error| {
            // Something else by its content deserves a better answer.
            content::expect(path, None).err().unwrap_or(error)
        })
    }

    /// Reads the graph that `reader` gives, as if it were the file at `path` of `len` bytes.
    pub(super) fn read_from(
        path: &Path,
        reader: impl Read + Seek,
        len: u64,
        limits: Limits,
    ) -> Result<Self, ModelError> {
        let malformed =
            |fault| ModelError::Malformed { path: path.to_owned(), format: "ONNX", fault };
        let (mut proto, cuts) = decode(reader, len, limits).map_err(malformed)?;
        let mut files = vec![path.to_owned()];
        let graph = proto.graph.as_mut().expect("decode() refuses a model without a graph");
        let mut weights = cut_out(path, graph, &cuts).map_err(malformed)?;
        if graph.initializer.iter().any(is_outside) {
            let mut data = DataFiles::beside(path)?;
            resolve(graph, &mut data, &mut weights).map_err(malformed)?;
            files.extend(data.paths());
        }
        let weights = in_order(graph, weights);
        check_inline(&proto, &weights).map_err(malformed)?;
        scope::arrange(&mut proto).map_err(malformed)?;
        Ok(Self { path: path.to_owned(), proto, weights, files })
    }
}

fn decode(
    reader: impl Read + Seek,
    len: u64,
    limits: Limits,
) -> Result<(ModelProto, Vec<Cut>), Fault> {
    let slim = wire::walk(reader, len, limits)?;
    let proto = ModelProto::decode(slim.bytes.as_slice())
        .map_err(|error| Fault::new("model", error.to_string()))?;
    if proto.graph.is_none() {
        return Err(Fault::new("graph", "there is none"));
    }
    if proto.opset_import.is_empty() {
        let what = "there is none, so nobody can say what the operators mean";
        return Err(Fault::new("opset_import", what));
    }
    Ok((proto, slim.cuts))
}

/// Notes where weights lie that were left in the file.
fn cut_out(
    path: &Path,
    graph: &mut GraphProto,
    cuts: &[Cut],
) -> Result<IndexMap<String, Stored>, Fault> {
    let mut names = IndexSet::new();
    for (i, tensor) in graph.initializer.iter().enumerate() {
        let name = tensor.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(Fault::new(format!("{}, initializer {i}", place(graph)), "has no name"));
        }
        if !names.insert(name) {
            let what = "two initializers have this name";
            return Err(Fault::new(initializer(graph, tensor), what));
        }
    }
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let mut weights = IndexMap::new();
    for cut in cuts {
        let tensor = &graph.initializer[cut.initializer];
        let name = &names[cut.initializer];
        let place = initializer(graph, tensor);
        let stored = Stored { file: path.to_owned(), offset: cut.offset, bytes: cut.bytes };
        if weights.insert(name.clone(), stored).is_some() {
            let wrong = (cut.field, "the elements stand in several pieces".to_owned());
            return Err(of(&place, wrong).at(cut.offset));
        }
        tensor::check_cut(tensor, cut.field, cut.bytes).map_err(|wrong| {
            let is_here = wrong.0 == cut.field;
            let fault = of(&place, wrong);
            if is_here { fault.at(cut.offset) } else { fault }
        })?;
    }
    for cut in cuts {
        let tensor = &mut graph.initializer[cut.initializer];
        tensor.data_location = Some(EXTERNAL);
        tensor.external_data.clear();
    }
    Ok(weights)
}

/// True for a tensor whose bytes are said to lie in a data file and were not looked at yet.
fn is_outside(tensor: &TensorProto) -> bool {
    tensor.data_location == Some(EXTERNAL)
}

fn resolve(
    graph: &mut GraphProto,
    data: &mut DataFiles<'_>,
    weights: &mut IndexMap<String, Stored>,
) -> Result<(), Fault> {
    for i in 0..graph.initializer.len() {
        let tensor = &graph.initializer[i];
        let name = tensor.name.clone().unwrap_or_default();
        if !is_outside(tensor) || weights.contains_key(&name) {
            continue;
        }
        let stored =
            data.resolve(tensor).map_err(|wrong| of(&initializer(graph, tensor), wrong))?;
        weights.insert(name, stored);
        graph.initializer[i].external_data.clear();
    }
    Ok(())
}

/// The weights in the order of their initializers.
fn in_order(graph: &GraphProto, mut weights: IndexMap<String, Stored>) -> IndexMap<String, Stored> {
    let names = graph.initializer.iter().filter_map(|tensor| tensor.name.as_ref());
    names.filter_map(|name| weights.swap_remove_entry(name)).collect()
}

/// Checks every tensor whose elements are in the message.
fn check_inline(proto: &ModelProto, weights: &IndexMap<String, Stored>) -> Result<(), Fault> {
    let graph = proto.graph.as_ref().expect("decode() refuses a model without a graph");
    for tensor in &graph.initializer {
        if !weights.contains_key(tensor.name.as_deref().unwrap_or_default()) {
            tensor::check_inline(tensor).map_err(|wrong| of(&initializer(graph, tensor), wrong))?;
        }
    }
    check_rest(graph, &place(graph))?;
    for function in &proto.functions {
        let place = format!("function `{}`", shown(function.name.as_deref().unwrap_or_default()));
        check_nodes(&function.node, &place)?;
    }
    Ok(())
}

/// Everything in a graph but its dense initializers.
fn check_rest(graph: &GraphProto, place: &str) -> Result<(), Fault> {
    for (i, sparse) in graph.sparse_initializer.iter().enumerate() {
        for tensor in sparse.values.iter().chain(&sparse.indices) {
            tensor::check_inline(tensor)
                .map_err(|wrong| of(&format!("{place}, sparse initializer {i}"), wrong))?;
        }
    }
    check_nodes(&graph.node, place)
}

fn check_nodes(nodes: &[NodeProto], place: &str) -> Result<(), Fault> {
    for (i, node) in nodes.iter().enumerate() {
        if node.op().is_empty() {
            let name = node.name.as_deref().unwrap_or_default();
            let what = format!("node {i} `{}` names no operator", shown(name));
            return Err(Fault::new(format!("{place}, op_type"), what));
        }
        for attribute in &node.attribute {
            let here = || {
                let name = attribute.name.as_deref().unwrap_or_default();
                format!("{place}, node `{}`, attribute `{}`", shown(&node.label()), shown(name))
            };
            let sparse = attribute.sparse_tensor.as_deref().into_iter();
            let parts = sparse
                .chain(&attribute.sparse_tensors)
                .flat_map(|s| s.values.iter().chain(&s.indices));
            for tensor in attribute.t.as_deref().into_iter().chain(&attribute.tensors).chain(parts)
            {
                tensor::check_inline(tensor).map_err(|wrong| of(&here(), wrong))?;
            }
            for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
                for tensor in &graph.initializer {
                    let name = shown(tensor.name.as_deref().unwrap_or_default());
                    tensor::check_inline(tensor)
                        .map_err(|wrong| of(&format!("{}, initializer `{name}`", here()), wrong))?;
                }
                check_rest(graph, &here())?;
            }
        }
    }
    Ok(())
}

/// As faults name a graph.
pub(super) fn place(graph: &GraphProto) -> String {
    match graph.name.as_deref() {
        Some(name) if !name.is_empty() => format!("graph `{}`", shown(name)),
        _ => "graph".to_owned(),
    }
}

fn initializer(graph: &GraphProto, tensor: &TensorProto) -> String {
    let name = shown(tensor.name.as_deref().unwrap_or_default());
    format!("{}, initializer `{name}`", place(graph))
}

fn of(place: &str, (field, what): Wrong) -> Fault {
    Fault::new(format!("{place}, {field}"), what)
}
