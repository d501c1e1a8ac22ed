//! Products of matrices with a bias behind them as `Gemm`, before they are quantized.
//!
//! ONNX Runtime itself makes `Gemm` of `MatMul` and `Add` where both factors have two dimensions,
//! and it does so before it looks for eight bits. A `Gemm` whose bias has no 32-bit form is then
//! computed in floats, from weights that are turned back into floats in every run. As `Gemm` in
//! the first place, its bias is quantized with it.

use std::collections::HashSet;

use super::linear::named;
use crate::data::ElementType;
use crate::model::onnx::{GraphProto, NodeProto, TensorProto, element_type};

/// Rewrites every such pair whose first factor is one of `matrices`, values of two dimensions; what
/// `exclude` names stays. Gives how many.
pub(super) fn join(
    graph: &mut GraphProto,
    matrices: &HashSet<String>,
    exclude: &[String],
) -> usize {
    let mut joined: Vec<(usize, usize, NodeProto)> = Vec::new();
    let users = graph.consumers();
    for (at, product) in graph.node.iter().enumerate() {
        let Some((after, gemm)) = with_bias(graph, product, |name| users.get(name)) else {
            continue;
        };
        let wanted = [product, &graph.node[after], &gemm].iter().all(|n| !named(n, exclude));
        if wanted && matrices.contains(&product.input[0]) {
            joined.push((at, after, gemm));
        }
    }
    let count = joined.len();
    let gone: HashSet<usize> = joined.iter().map(|(at, ..)| *at).collect();
    // The sum's place is behind everything that makes its operands.
    for (_, after, gemm) in joined {
        graph.node[after] = gemm;
    }
    let mut at = 0;
    graph.node.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
    count
}

/// The number of the sum behind `product` and the `Gemm` that computes both.
fn with_bias<'a>(
    graph: &'a GraphProto,
    product: &NodeProto,
    users: impl Fn(&str) -> Option<&'a Vec<usize>>,
) -> Option<(usize, NodeProto)> {
    let standard = |node: &NodeProto, op: &str| node.op() == op && node.set().is_empty();
    let [x, weight] = product.input.as_slice() else { return None };
    let out = product.output.first()?;
    let &[after] = users(out)?.as_slice() else { return None };
    let sum = &graph.node[after];
    if !standard(product, "MatMul") || !standard(sum, "Add") || graph.is_output(out) {
        return None;
    }
    let [left, right] = sum.input.as_slice() else { return None };
    let bias = if left == out { right } else { left };
    let floats = |name: &str| {
        let tensor: &TensorProto = graph.initializer(name)?;
        let known = tensor.data_type.and_then(element_type) == Some(ElementType::F32);
        known.then_some(tensor.dims.as_slice())
    };
    let (&[_, columns], &[length]) = (floats(weight)?, floats(bias)?) else { return None };
    let inputs = [x.as_str(), weight, bias];
    let gemm = || {
        NodeProto::new(
            "Gemm",
            &product.label(),
            &inputs,
            &[sum.output.first().map_or("", String::as_str)],
        )
    };
    (columns == length && graph.initializer(x).is_none()).then(|| (after, gemm()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> GraphProto {
        let floats = |name: &str, dims: &[u64]| {
            let bytes = vec![0; 4 * dims.iter().product::<u64>() as usize];
            TensorProto::inline(name, ElementType::F32, dims, bytes)
        };
        GraphProto {
            node: vec![
                NodeProto::new("MatMul", "first", &["x", "w"], &["a"]),
                NodeProto::new("Add", "bias", &["b", "a"], &["y"]),
                NodeProto::new("MatMul", "second", &["y", "w"], &["c"]),
                NodeProto::new("Add", "wide", &["c", "column"], &["z"]),
            ],
            initializer: vec![floats("w", &[3, 3]), floats("b", &[3]), floats("column", &[3, 1])],
            ..GraphProto::default()
        }
    }

    #[test]
    fn a_product_with_a_number_per_column_behind_it_is_joined() {
        let matrices: HashSet<String> = ["x", "y"].map(str::to_owned).into();
        let mut joined = graph();
        assert_eq!(join(&mut joined, &matrices, &[]), 1);
        let gemm = &joined.node[0];
        assert_eq!((gemm.op(), gemm.label().as_str()), ("Gemm", "first"));
        assert_eq!((gemm.input.join(" "), gemm.output.join(" ")), ("x w b".into(), "y".into()));
        assert_eq!(joined.node.len(), 3);
        for exclude in ["first", "bias", "MatMul", "Gemm"] {
            assert_eq!(join(&mut graph(), &matrices, &[exclude.to_owned()]), 0);
        }
        assert_eq!(join(&mut graph(), &HashSet::new(), &[]), 0);
    }
}
