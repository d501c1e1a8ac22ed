//! Names of values: each is given once, whatever is read is given, and nothing waits for itself.
//!
//! Nodes of a graph in a node see the values of the graphs around it (`onnx/docs/IR.md`, "Names
//! Within a Graph"), so what such a graph reads counts as read by the node that holds it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use indexmap::IndexSet;

use super::proto::{GraphProto, ModelProto, NodeProto};
use super::reader::place;
use crate::model::{Fault, shown};

/// Checks the names of a model and puts nodes after those they depend on. Nodes that are in
/// order stay where they are.
pub(super) fn arrange(model: &mut ModelProto) -> Result<(), Fault> {
    let mut orders = Orders(Vec::new());
    let graph = model.graph.as_ref().expect("the reader refuses a model without a graph");
    let initialized: HashSet<_> = graph.initializer.iter().map(|t| t.name.as_deref()).collect();
    for input in graph.input.iter().filter(|input| input.r#type.is_none()) {
        if !initialized.contains(&input.name.as_deref()) {
            let name = shown(input.name.as_deref().unwrap_or_default());
            return Err(Fault::new(format!("{}, input `{name}`", place(graph)), "has no type"));
        }
    }
    orders.graph(graph, &place(graph), None)?;
    for function in &model.functions {
        let name = shown(function.name.as_deref().unwrap_or_default());
        let body = Body {
            place: &format!("function `{name}`"),
            nodes: &function.node,
            inputs: function.input.iter().map(String::as_str).collect(),
            initializers: Vec::new(),
            outputs: function.output.iter().map(String::as_str).collect(),
        };
        orders.body(&body, None)?;
    }
    if orders.0.iter().all(Vec::is_empty) {
        return Ok(());
    }
    let mut orders = orders.0.into_iter();
    reorder(&mut model.graph.as_mut().expect("it was there above").node, &mut orders);
    for function in &mut model.functions {
        reorder(&mut function.node, &mut orders);
    }
    Ok(())
}

/// Orders of nodes, by graph as they are met on the way down; empty where nothing is to be done.
struct Orders(Vec<Vec<usize>>);

/// A graph or a function.
struct Body<'a, 'p> {
    place: &'p str,
    nodes: &'a [NodeProto],
    inputs: Vec<&'a str>,
    initializers: Vec<&'a str>,
    outputs: Vec<&'a str>,
}

/// Values of the graphs around one, from the inside to the outside; of values that a node gives,
/// the node.
struct Around<'a, 'p> {
    given: &'p HashMap<&'a str, Option<usize>>,
    next: Option<&'p Around<'a, 'p>>,
}

impl Around<'_, '_> {
    fn has(&self, name: &str) -> bool {
        self.given.contains_key(name) || self.next.is_some_and(|next| next.has(name))
    }
}

impl Orders {
    fn graph<'a>(
        &mut self,
        graph: &'a GraphProto,
        place: &str,
        around: Option<&Around<'a, '_>>,
    ) -> Result<IndexSet<&'a str>, Fault> {
        let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
        let initializers = graph.initializer.iter().chain(sparse);
        let body = Body {
            place,
            nodes: &graph.node,
            inputs: graph.input.iter().map(|v| v.name.as_deref().unwrap_or_default()).collect(),
            initializers: initializers.map(|t| t.name.as_deref().unwrap_or_default()).collect(),
            outputs: graph.output.iter().map(|v| v.name.as_deref().unwrap_or_default()).collect(),
        };
        self.body(&body, around)
    }

    /// Checks one body and those in its nodes; gives the names it reads from around.
    fn body<'a>(
        &mut self,
        body: &Body<'a, '_>,
        around: Option<&Around<'a, '_>>,
    ) -> Result<IndexSet<&'a str>, Fault> {
        let slot = self.0.len();
        self.0.push(Vec::new());
        let given = given(body)?;
        let inside = Around { given: &given, next: around };
        let mut free = IndexSet::new();
        let mut needs: Vec<Vec<usize>> = Vec::with_capacity(body.nodes.len());
        for node in body.nodes {
            let mut reads: IndexSet<&str> =
                node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
            for (attribute, graph) in graphs(node) {
                let place = format!(
                    "{}, node `{}`, attribute `{}`",
                    body.place,
                    shown(&node.label()),
                    shown(attribute)
                );
                reads.extend(self.graph(graph, &place, Some(&inside))?);
            }
            let mut need = Vec::new();
            for name in reads {
                match given.get(name) {
                    Some(Some(producer)) => need.push(*producer),
                    Some(None) => {}
                    None if around.is_some_and(|around| around.has(name)) => {
                        free.insert(name);
                    }
                    None => {
                        let field = format!("{}, node `{}`", body.place, shown(&node.label()));
                        let what = format!("reads `{}`, which nothing produces", shown(name));
                        return Err(Fault::new(field, what));
                    }
                }
            }
            needs.push(need);
        }
        for name in &body.outputs {
            if given.contains_key(name) {
                continue;
            }
            if !around.is_some_and(|around| around.has(name)) {
                let field = format!("{}, output `{}`", body.place, shown(name));
                return Err(Fault::new(field, "nothing produces it"));
            }
            free.insert(name);
        }
        self.0[slot] = order(body, &needs)?;
        Ok(free)
    }
}

/// Every value that a body gives, with the node it comes from.
fn given<'a>(body: &Body<'a, '_>) -> Result<HashMap<&'a str, Option<usize>>, Fault> {
    let mut given = HashMap::new();
    for (i, name) in body.inputs.iter().enumerate() {
        if name.is_empty() {
            return Err(Fault::new(format!("{}, input {i}", body.place), "has no name"));
        }
        if given.insert(*name, None).is_some() {
            let field = format!("{}, input `{}`", body.place, shown(name));
            return Err(Fault::new(field, "two inputs have this name"));
        }
    }
    given.extend(body.initializers.iter().map(|name| (*name, None)));
    for (i, node) in body.nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            let Some(first) = given.insert(name, Some(i)) else { continue };
            let field = format!("{}, node `{}`", body.place, shown(&node.label()));
            let other = match first {
                Some(first) => format!("node `{}`", shown(&body.nodes[first].label())),
                None => "an input or initializer".to_owned(),
            };
            let what = format!("produces `{}`, and so does {other}", shown(name));
            return Err(Fault::new(field, what));
        }
    }
    Ok(given)
}

/// An order in which nodes come after those they need, earliest first; empty when they are in
/// such an order. (Kahn 1962, Topological sorting of large networks.)
fn order(body: &Body<'_, '_>, needs: &[Vec<usize>]) -> Result<Vec<usize>, Fault> {
    if needs.iter().enumerate().all(|(i, need)| need.iter().all(|j| *j < i)) {
        return Ok(Vec::new());
    }
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut feeds: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (i, need) in needs.iter().enumerate() {
        for &j in need {
            feeds[j].push(i);
        }
    }
    let free = waiting.iter().enumerate().filter(|(_, n)| **n == 0).map(|(i, _)| Reverse(i));
    let mut ready: BinaryHeap<Reverse<usize>> = free.collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(i)) = ready.pop() {
        order.push(i);
        for &next in &feeds[i] {
            waiting[next] -= 1;
            if waiting[next] == 0 {
                ready.push(Reverse(next));
            }
        }
    }
    let Some(start) = waiting.iter().position(|n| *n > 0) else { return Ok(order) };
    // Every node that waits needs one that waits, so after as many steps this is on the cycle.
    let back = |i: usize| needs[i].iter().copied().find(|j| waiting[*j] > 0).unwrap_or(i);
    let on_cycle = (0..needs.len()).fold(start, |i, _| back(i));
    let field = format!("{}, node `{}`", body.place, shown(&body.nodes[on_cycle].label()));
    let other = shown(&body.nodes[back(on_cycle)].label());
    Err(Fault::new(field, format!("is part of a cycle: it waits for itself through `{other}`")))
}

/// The graphs in a node with the names of their attributes.
pub(super) fn graphs(node: &NodeProto) -> impl Iterator<Item = (&str, &GraphProto)> {
    node.attribute.iter().flat_map(|attribute| {
        let name = attribute.name.as_deref().unwrap_or_default();
        let graphs = attribute.g.as_deref().into_iter().chain(&attribute.graphs);
        graphs.map(move |graph| (name, graph))
    })
}

/// Applies orders on the way down that they were made on.
fn reorder(nodes: &mut Vec<NodeProto>, orders: &mut impl Iterator<Item = Vec<usize>>) {
    let order = orders.next().unwrap_or_default();
    for node in nodes.iter_mut() {
        for attribute in &mut node.attribute {
            let graphs = attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs);
            for graph in graphs {
                reorder(&mut graph.node, orders);
            }
        }
    }
    if order.is_empty() {
        return;
    }
    let mut old: Vec<Option<NodeProto>> = std::mem::take(nodes).into_iter().map(Some).collect();
    nodes.extend(order.into_iter().filter_map(|i| old[i].take()));
}
