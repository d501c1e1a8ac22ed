//! The post-conditions that only a graph can meet: operators, casts, operator set, placement.
//!
//! A check that fails names the nodes at fault. A check that cannot be made fails too and says
//! why: a promise that nobody looked at is none.

use super::Artifact;
use super::check::{Placed, counted};
use crate::backend::{self, Assigned, Backend, Runner};
use crate::data::ElementType;
use crate::model::onnx::{NodeProto, OnnxFacts, element_type};
use crate::model::{Kind, LlamaConfig, ModelFacts, OnnxModel};
use crate::record::Check;
use crate::spec::{CountBounds, Expect, NodeBounds, NodeCount, ProviderFallback};

/// Most nodes that one check names.
const MOST_NAMED: usize = 10;

pub fn check(
    expect: &Expect,
    facts: &ModelFacts,
    artifact: &Artifact,
    runner: &Runner,
    placed: Option<&Placed>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let graph = facts.onnx.as_ref();
    for (operator, bounds) in &expect.ops {
        checks.push(operators(operator, bounds, graph, artifact));
    }
    if let Some(bounds) = &expect.casts {
        let what = "Cast nodes".to_owned();
        checks.push(match graph {
            None => no_graph(what, facts.kind),
            Some(graph) => {
                let found = count(graph, "Cast");
                let named = excess(found, bounds.equals.or(bounds.max), "Cast", artifact);
                counted(what, bounds, found, &named)
            }
        });
    }
    if let Some(bounds) = &expect.opset {
        let what = "version of the standard operator set".to_owned();
        checks.push(match graph {
            None => no_graph(what, facts.kind),
            Some(graph) => {
                let found = graph.opsets.get("ai.onnx").copied().unwrap_or(0);
                counted(what, bounds, found.max(0) as u64, "")
            }
        });
    }
    // On an accelerator silence is no consent.
    let asked = match expect.provider_fallback {
        Some(asked) => asked == ProviderFallback::None,
        None => !runner.placement.device.is_cpu(),
    };
    if asked {
        checks.push(placement(runner, placed));
    }
    checks
}

/// Operators whose constants are weights, not tables or bounds.
const WEIGHTED: &[&str] = &[
    "Conv",
    "ConvTranspose",
    "FusedConv",
    "FusedGemm",
    "FusedMatMul",
    "GRU",
    "Gather",
    "Gemm",
    "LSTM",
    "MatMul",
    "RNN",
];

/// Nodes of a graph whose large weights are still floats of 16 bits or more, in words; empty for
/// other artifacts.
pub fn unquantized(artifact: &Artifact) -> String {
    let Some(model) = graph_of(artifact) else { return String::new() };
    let float = |name: &String| {
        let tensor = model.graph().initializer(name);
        let dtype = tensor.and_then(|tensor| element_type(tensor.data_type?));
        dtype.is_some_and(ElementType::is_float) && tensor.is_some_and(|t| t.dims.len() > 1)
    };
    let at_fault =
        |node: &&NodeProto| WEIGHTED.contains(&node.op()) && node.input.iter().any(float);
    named("; floating-point weights in", model.graph().node.iter().filter(at_fault))
}

fn operators(
    operator: &str,
    bounds: &NodeBounds,
    graph: Option<&OnnxFacts>,
    artifact: &Artifact,
) -> Check {
    let what = format!("{operator} nodes");
    let Some(graph) = graph else { return no_graph(what, artifact.kind) };
    let needs_layers = [bounds.min, bounds.max, bounds.equals].contains(&Some(NodeCount::Layers));
    let layers = if needs_layers { layers(artifact) } else { Ok(0) };
    let layers = match layers {
        Ok(layers) => layers,
        Err(why) => {
            let expected = "a number that depends on `layers`".to_owned();
            return Check { what, expected, found: format!("unchecked: {why}"), passed: false };
        }
    };
    let number = |count: NodeCount| match count {
        NodeCount::Layers => layers,
        NodeCount::Count(n) => n,
    };
    let bounds = CountBounds {
        min: bounds.min.map(number),
        max: bounds.max.map(number),
        equals: bounds.equals.map(number),
    };
    let found = count(graph, operator);
    let named = excess(found, bounds.equals.or(bounds.max), operator, artifact);
    counted(what, &bounds, found, &named)
}

/// Number of nodes with an operator, which may be named with or without its set.
fn count(graph: &OnnxFacts, operator: &str) -> u64 {
    let same = |name: &str| {
        let bare = name.rsplit_once('.').map_or(name, |(_, bare)| bare);
        name == operator || bare == operator
    };
    graph.operators.iter().filter(|(name, _)| same(name)).map(|(_, count)| count).sum()
}

/// Layers of the model that the graph was made from.
fn layers(artifact: &Artifact) -> Result<u64, String> {
    let folder = artifact.path.parent().unwrap_or(&artifact.path);
    match LlamaConfig::of_folder(folder) {
        Ok(config) => Ok(config.num_hidden_layers as u64),
        Err(error) => Err(format!("the model's number of layers is not known: {error}")),
    }
}

/// Names of the nodes with `operator` when there are more than `most`.
fn excess(found: u64, most: Option<u64>, operator: &str, artifact: &Artifact) -> String {
    if most.is_none_or(|most| found <= most) {
        return String::new();
    }
    let Some(model) = graph_of(artifact) else { return String::new() };
    let bare = operator.rsplit_once('.').map_or(operator, |(_, bare)| bare);
    named(":", model.graph().node.iter().filter(|node| node.op() == bare))
}

fn graph_of(artifact: &Artifact) -> Option<OnnxModel> {
    match artifact.kind {
        Kind::Onnx => OnnxModel::read(&artifact.path).ok(),
        Kind::Checkpoint | Kind::Gguf => None,
    }
}

fn named<'a>(what: &str, nodes: impl Iterator<Item = &'a NodeProto>) -> String {
    let labels: Vec<String> = nodes.map(|node| format!("`{}`", node.label())).collect();
    let shown = labels[..labels.len().min(MOST_NAMED)].join(", ");
    match labels.len() {
        0 => String::new(),
        n if n > MOST_NAMED => format!("{what} {shown} and {} more", n - MOST_NAMED),
        _ => format!("{what} {shown}"),
    }
}

fn no_graph(what: String, kind: Kind) -> Check {
    let found = format!("unchecked: a model of kind `{}` is no graph", kind.name());
    Check { what, expected: "a graph".to_owned(), found, passed: false }
}

/// Whether all nodes run on the provider that was asked for. Where nobody looked, a backend that
/// registers one provider has nothing to fall back to.
fn placement(runner: &Runner, placed: Option<&Placed>) -> Check {
    let providers = backend::of(runner).map_or(&[][..], Backend::providers);
    let (found, passed) = match (placed, providers) {
        (Some(Ok(assigned)), _) => spread(runner.placement.provider(), assigned),
        (Some(Err(why)), _) => (format!("unchecked: {why}"), false),
        (None, [only]) => (format!("none: {only} is the only provider registered"), true),
        (None, _) => {
            let why = "unchecked: which provider a node runs on is known only when it is opened";
            (why.to_owned(), false)
        }
    };
    Check {
        what: "nodes on another provider than asked for".to_owned(),
        expected: "none".to_owned(),
        found,
        passed,
    }
}

/// In words, and whether `wanted` runs everything.
fn spread(wanted: &str, assigned: &[Assigned]) -> (String, bool) {
    let nodes = |own: bool| assigned.iter().filter(move |a| (a.provider == wanted) == own);
    let count = |own: bool| nodes(own).map(|a| a.nodes).sum::<u64>();
    let s = |n: u64| if n == 1 { "" } else { "s" };
    let (inside, outside) = (count(true), count(false));
    if outside == 0 {
        return (format!("none: {wanted} runs {inside} node{}", s(inside)), inside > 0);
    }
    let others: Vec<String> = nodes(false)
        .map(|other| {
            let names: Vec<String> = other.named.iter().map(|name| format!("`{name}`")).collect();
            let more = other.nodes - (names.len() as u64).min(other.nodes);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{} on {}: {}{more}", other.nodes, other.provider, names.join(", "))
        })
        .collect();
    (format!("{outside} of {}; {}", inside + outside, others.join("; ")), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Digest, Percent};
    use crate::model::facts;
    use crate::model::onnx::build::GraphBuilder;
    use crate::model::onnx::{AttributeProto, GraphWriter, TensorProto};
    use crate::model::signature::Dim;
    use crate::spec::ShareBounds;
    use crate::stage::check;

    /// A graph that claims to be quantized and is so in one of its two products only.
    fn mis_quantized() -> (std::path::PathBuf, Artifact) {
        let unique =
            format!("engine-expect-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = std::env::temp_dir().join(unique.replace(['(', ')'], ""));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let mut writer = GraphWriter::new(&folder);
        let mut weight = |name: &str, dtype: ElementType| -> TensorProto {
            let bytes = vec![0; 64 * 64 * dtype.bytes()];
            writer
                .weight::<crate::model::ModelError>(name, dtype, &[64, 64], |out| out(&bytes))
                .unwrap()
        };
        let mut b = GraphBuilder::default();
        let shape = [Dim::Named("batch".into()), Dim::Fixed(64)];
        let x = b.input("x", ElementType::F32, &shape);
        let small = b.initializer(weight("small", ElementType::I8));
        let large = b.initializer(weight("large", ElementType::F32));
        let to = vec![AttributeProto::int("to", 1)];
        let cast = b.op_with("widen", "Cast", &[&small], to);
        let first = b.op("first_product", "MatMul", &[&x, &cast]);
        b.node("second_product", "MatMul", "", &[&first.0, &large.0], &["y"], Vec::new());
        b.output("y", ElementType::F32, &shape);
        writer.finish(&b.model("t", 17, &[])).unwrap();
        let path = folder.join(crate::model::onnx::GRAPH_FILE);
        let digest = Digest::of_bytes(b"t");
        (folder, Artifact { kind: Kind::Onnx, path, digest, bytes: 1, stamp: None })
    }

    fn checked(expect: &Expect) -> Vec<Check> {
        let (folder, artifact) = mis_quantized();
        let facts = facts(&artifact.path).unwrap();
        let checks = check(expect, &facts, &artifact, None, &"onnxruntime".into(), None, &|_| None);
        std::fs::remove_dir_all(folder).unwrap();
        checks
    }

    fn bounds(max: Option<u64>, equals: Option<u64>) -> CountBounds {
        CountBounds { min: None, max, equals }
    }

    #[test]
    fn a_mis_quantized_graph_fails_with_its_nodes_named() {
        let share = ShareBounds { min: Some(Percent(0.9)), max: None };
        let expect = Expect { quantized_weights: Some(share), ..Expect::default() };
        let check = &checked(&expect)[0];
        assert!(!check.passed);
        assert_eq!(check.found, "50%; floating-point weights in `second_product`");
    }

    #[test]
    fn operators_casts_and_operator_set_are_counted() {
        let ops = |equals: NodeCount| {
            let bounds = NodeBounds { min: None, max: None, equals: Some(equals) };
            Expect {
                ops: [("MatMul".to_owned(), bounds)].into_iter().collect(),
                ..Expect::default()
            }
        };
        assert!(checked(&ops(NodeCount::Count(2)))[0].passed);
        let check = &checked(&ops(NodeCount::Count(1)))[0];
        assert!(!check.passed);
        assert_eq!(check.found, "2: `first_product`, `second_product`");
        let check = &checked(&ops(NodeCount::Layers))[0];
        assert!(!check.passed && check.found.starts_with("unchecked: "), "{}", check.found);

        let casts = Expect { casts: Some(bounds(Some(0), None)), ..Expect::default() };
        let check = &checked(&casts)[0];
        assert_eq!((check.passed, check.found.as_str()), (false, "1: `widen`"));
        let opset = Expect { opset: Some(bounds(None, Some(17))), ..Expect::default() };
        assert!(checked(&opset)[0].passed);
    }

    #[test]
    fn placement_is_checked_or_said_to_be_unchecked() {
        let expect =
            Expect { provider_fallback: Some(ProviderFallback::None), ..Expect::default() };
        let check = &checked(&expect)[0];
        assert!(check.passed && check.found.contains("CPUExecutionProvider"), "{}", check.found);
        let unknown = placement(&"no such backend".into(), None);
        assert!(!unknown.passed && unknown.found.starts_with("unchecked: "));
        let assigned = |provider: &str, nodes| Assigned {
            provider: provider.to_owned(),
            nodes,
            named: vec!["last".to_owned()],
        };
        let runner = Runner::from("onnxruntime");
        let all = placement(&runner, Some(&Ok(vec![assigned("CPUExecutionProvider", 7)])));
        assert_eq!(
            (all.found.as_str(), all.passed),
            ("none: CPUExecutionProvider runs 7 nodes", true)
        );
        let strayed = vec![assigned("CPUExecutionProvider", 7), assigned("OtherProvider", 2)];
        let strayed = placement(&runner, Some(&Ok(strayed)));
        assert_eq!(strayed.found, "2 of 9; 2 on OtherProvider: `last` and 1 more");
        assert!(!strayed.passed);
        let nowhere = placement(&runner, Some(&Ok(Vec::new())));
        assert!(!nowhere.passed, "a graph without nodes proves nothing");
        assert!(!placement(&runner, Some(&Err("it does not open".into()))).passed);
        let allow =
            Expect { provider_fallback: Some(ProviderFallback::Allow), ..Expect::default() };
        assert!(checked(&allow).is_empty());
    }

    #[test]
    fn what_is_no_graph_fails_its_graph_checks_with_the_reason() {
        let check = no_graph("Cast nodes".to_owned(), Kind::Gguf);
        assert!(!check.passed && check.found.contains("gguf"));
    }
}
