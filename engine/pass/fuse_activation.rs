//! Activations of several operators as one.
//!
//! - `BiasGelu`: Gelu(x + b) = (x + b) Φ(x + b) with the error function, b one number per column.
//! - `FastGelu`: Gelu(x) or Gelu(x + b) where the graph itself asks for the approximation by tanh.
//! - `QuickGelu`: x σ(αx), with α = 1 for SiLU.
//!
//! All compute the formula that is replaced. Sums with a bias are taken out of the reach of
//! quantized products, which would add it on the way: before `quantize`, `bias_gelu` costs time.

use crate::data::ElementType;
use crate::model::OnnxModel;
use crate::model::onnx::build::MICROSOFT;
use crate::model::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, attribute_text, element_type,
};

use super::PassError;
use super::fuse_shape::Shapes;
use super::fuse_view::{View, standard, whole};

const LEAST_INPUTS: &[(&str, usize)] = &[("Add", 2), ("Gelu", 1), ("Mul", 2), ("Sigmoid", 1)];

/// Which approximation or extension of a GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bias,
    Fast,
    Quick,
}

impl Kind {
    fn op(self) -> &'static str {
        match self {
            Self::Bias => "BiasGelu",
            Self::Fast => "FastGelu",
            Self::Quick => "QuickGelu",
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::Bias => {
                "no exact `Gelu` in it follows the sum with a constant of one number per column"
            }
            Self::Fast => "no `Gelu` in it asks for the approximation by tanh",
            Self::Quick => "nothing in it computes x · sigmoid(αx)",
        }
    }
}

/// Fuses every activation of one kind. `constants` holds the constants of `model`. Gives what was
/// done, or why nothing could be.
pub(super) fn fuse(
    model: &mut ModelProto,
    constants: &OnnxModel,
    kind: Kind,
) -> Result<Result<String, String>, PassError> {
    let Some(graph) = model.graph.as_mut() else { return Ok(Err("it has no graph".into())) };
    if let Err(why) = whole(graph, LEAST_INPUTS) {
        return Ok(Err(why));
    }
    let fused = match kind {
        Kind::Quick => gates(graph, constants)?,
        Kind::Bias | Kind::Fast => gelus(graph, kind),
    };
    if fused.is_empty() {
        return Ok(Err(kind.wanted().into()));
    }
    let count = fused.len();
    for (at, node) in fused {
        graph.node[at] = node.of_set(MICROSOFT);
    }
    graph.drop_unused();
    model.import(MICROSOFT, 1);
    Ok(Ok(format!("{count} activations as {}", kind.op())))
}

/// What takes the place of each `Gelu`.
fn gelus(graph: &GraphProto, kind: Kind) -> Vec<(usize, NodeProto)> {
    let seen = View::new(graph);
    let shapes = Shapes::of(&seen);
    let exact = |node: &NodeProto| attribute_text(node, "approximate").unwrap_or("none") == "none";
    let mut fused = Vec::new();
    for (at, node) in graph.node.iter().enumerate() {
        if !standard(node, "Gelu") || exact(node) != (kind == Kind::Bias) {
            continue;
        }
        let inputs = match biased(&seen, &shapes, &node.input[0]) {
            Some((x, bias)) => vec![x, bias],
            None if kind == Kind::Fast => vec![node.input[0].as_str()],
            None => continue,
        };
        fused.push((at, NodeProto::new(kind.op(), &node.label(), &inputs, &[&node.output[0]])));
    }
    fused
}

/// The operands of a sum with one constant number per column that nothing else reads.
fn biased<'a>(seen: &View<'a>, shapes: &Shapes<'a>, sum: &str) -> Option<(&'a str, &'a str)> {
    let add = seen.maker(sum, "Add").ok().filter(|_| seen.is_read_once(sum))?;
    let (left, right) = (add.input[0].as_str(), add.input[1].as_str());
    let fits = |x: &str, bias: &str| {
        let Some(tensor) = seen.graph.initializer(bias) else { return false };
        let columns = shapes.get(x).map(|shape| shape.columns);
        is_f32(tensor.data_type) && tensor.dims.len() == 1 && columns == Some(tensor.dims[0])
    };
    if fits(left, right) {
        return Some((left, right));
    }
    fits(right, left).then_some((right, left))
}

/// What takes the place of each product x · σ(αx).
fn gates(graph: &GraphProto, constants: &OnnxModel) -> Result<Vec<(usize, NodeProto)>, PassError> {
    let seen = View::new(graph);
    let mut fused = Vec::new();
    for (at, node) in graph.node.iter().enumerate() {
        if !standard(node, "Mul") {
            continue;
        }
        for (x, gate) in [(0, 1), (1, 0)].map(|(x, gate)| (&node.input[x], &node.input[gate])) {
            let Some(alpha) = slope(&seen, constants, x, gate)? else { continue };
            let new = NodeProto::new("QuickGelu", &node.label(), &[x], &[&node.output[0]]);
            fused.push((at, new.with(AttributeProto::float("alpha", alpha))));
            break;
        }
    }
    Ok(fused)
}

/// α if `gate` is σ(αx) and nothing else reads it.
fn slope(
    seen: &View<'_>,
    constants: &OnnxModel,
    x: &str,
    gate: &str,
) -> Result<Option<f32>, PassError> {
    let Some(sigmoid) = seen.maker(gate, "Sigmoid").ok().filter(|_| seen.is_read_once(gate)) else {
        return Ok(None);
    };
    let steep = sigmoid.input[0].as_str();
    if steep == x {
        return Ok(Some(1.0));
    }
    let Some(mul) = seen.maker(steep, "Mul").ok().filter(|_| seen.is_read_once(steep)) else {
        return Ok(None);
    };
    let factor = match (mul.input[0] == x, mul.input[1] == x) {
        (true, false) => &mul.input[1],
        (false, true) => &mul.input[0],
        _ => return Ok(None),
    };
    let scalar = |name: &str| {
        let tensor = seen.graph.initializer(name)?;
        (is_f32(tensor.data_type) && matches!(tensor.dims[..], [] | [1])).then_some(())
    };
    if scalar(factor).is_none() {
        return Ok(None);
    }
    let bytes = constants.bytes_of(factor)?.unwrap_or_default();
    Ok(bytes.first_chunk::<4>().map(|bytes| f32::from_le_bytes(*bytes)))
}

fn is_f32(code: Option<i32>) -> bool {
    code.and_then(element_type) == Some(ElementType::F32)
}
