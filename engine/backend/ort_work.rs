//! What a kernel of ONNX Runtime has to do, from the shapes in its profile.
//!
//! A session repacks constant weights when it opens, and then no longer names them among a
//! kernel's inputs: their shape follows from the other operand and from the result. What shapes do
//! not tell (the bits of packed weights, the filter of a convolution) comes from the graph.

use std::collections::HashMap;

use super::operators::{Arithmetic, Work};
use crate::model::OnnxModel;
use crate::model::onnx::attribute_int;

/// Type and dimensions of a tensor as the profile names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shaped {
    pub dtype: String,
    pub dims: Vec<u64>,
}

/// What the graph tells about its nodes, by name.
#[derive(Debug, Clone, Default)]
pub struct Hints(HashMap<String, Hint>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hint {
    /// Bits of packed weights.
    pub bits: Option<u64>,
    /// Level 4 lets a kernel multiply in 8 bits.
    pub accuracy_level: Option<i64>,
    /// Bytes of the scales and zero points of packed weights.
    pub scales: Option<u64>,
    /// Dimensions of the constant second operand.
    pub weights: Option<Vec<u64>>,
}

impl Hints {
    /// Those of `model`.
    pub fn of(model: &OnnxModel) -> Self {
        let graph = model.graph();
        let constants: HashMap<&str, &[i64]> = graph
            .initializer
            .iter()
            .map(|tensor| (tensor.name.as_deref().unwrap_or_default(), tensor.dims.as_slice()))
            .collect();
        let hint = |node: &crate::model::onnx::NodeProto| {
            let second = node.input.get(1).and_then(|name| constants.get(name.as_str()));
            let weights = second.and_then(|dims| {
                dims.iter().map(|&dim| u64::try_from(dim).ok()).collect::<Option<Vec<u64>>>()
            });
            Hint {
                bits: attribute_int(node, "bits").and_then(|bits| u64::try_from(bits).ok()),
                accuracy_level: attribute_int(node, "accuracy_level"),
                scales: attribute_int(node, "block_size").map(|_| {
                    let small = node.input.iter().skip(2).filter_map(|name| {
                        let tensor = model.graph().initializer(name)?;
                        let element = crate::model::onnx::element_type(tensor.data_type?)?;
                        Some(tensor.elements().saturating_mul(element.bytes() as u64))
                    });
                    small.fold(0, u64::saturating_add)
                }),
                weights,
            }
        };
        Self(graph.node.iter().map(|node| (node.label(), hint(node))).collect())
    }

    pub fn node(&self, name: &str) -> Option<&Hint> {
        self.0.get(name)
    }
}

impl Shaped {
    fn elements(&self) -> u64 {
        self.dims.iter().fold(1, |product: u64, &dim| product.saturating_mul(dim))
    }

    fn bytes(&self) -> u64 {
        let width = match self.dtype.as_str() {
            "double" | "int64" | "uint64" => 8,
            "float16" | "bfloat16" | "int16" | "uint16" => 2,
            "int8" | "uint8" | "bool" => 1,
            _ => 4,
        };
        self.elements().saturating_mul(width)
    }

    fn last(&self) -> u64 {
        self.dims.last().copied().unwrap_or(1)
    }
}

/// What `operator` does with `inputs` to get `outputs`; `None` where that cannot be told.
/// `parameters` are the bytes of constant inputs that are still named.
pub fn work(
    operator: &str,
    inputs: &[Shaped],
    outputs: &[Shaped],
    parameters: Option<u64>,
    hint: Option<&Hint>,
) -> Option<Work> {
    // How long texts are is not in the profile.
    if inputs.iter().chain(outputs).any(|shaped| shaped.dtype == "string") {
        return None;
    }
    match operator {
        "Reshape" | "Squeeze" | "Unsqueeze" | "Identity" | "Shape" | "Flatten" | "If" | "Loop"
        | "Scan" => Some(moved(0)),
        "Gather" | "Slice" | "GatherBlockQuantized" | "EmbedLayerNormalization" => {
            Some(moved(all(outputs).saturating_mul(2)))
        }
        // Writes its second input into a buffer that stays where it is.
        "TensorScatter" => Some(moved(inputs.get(1)?.bytes().saturating_mul(2))),
        "Transpose" | "Concat" | "Split" | "Expand" | "Tile" | "Pad" | "Cast" | "Where" => {
            Some(moved(all(inputs).saturating_add(all(outputs))))
        }
        "MatMul" | "FusedMatMul" | "Gemm" | "FusedGemm" => {
            product(inputs, outputs, parameters, Arithmetic::F32, Width::OfInput)
        }
        "MatMulInteger"
        | "DynamicQuantizeMatMul"
        | "MatMulIntegerToFloat"
        | "QLinearMatMul"
        | "QGemm" => product(inputs, outputs, parameters, Arithmetic::Int8, Width::Bits(8)),
        // One scale of 32 bits for each block, which the session does not always name.
        "MatMulNBits" => {
            let scales = hint.and_then(|hint| hint.scales).unwrap_or(0);
            let int8 = hint.and_then(|hint| hint.accuracy_level) == Some(4);
            let arithmetic = if int8 { Arithmetic::Int8 } else { Arithmetic::F32 };
            let width = hint.and_then(|hint| hint.bits).map_or(Width::Unknown, Width::Bits);
            let work = product(inputs, outputs, None, arithmetic, width)?;
            Some(Work { bytes: work.bytes.map(|bytes| bytes.saturating_add(scales)), ..work })
        }
        "Conv" | "FusedConv" => convolution(inputs, outputs, Arithmetic::F32, hint),
        "ConvInteger" | "QLinearConv" => convolution(inputs, outputs, Arithmetic::Int8, hint),
        "GroupQueryAttention" | "MultiHeadAttention" => attention(inputs, outputs),
        // The runtime's own operator of this name also projects; the standard one has one row of
        // values more than of keys.
        "Attention" if inputs.len() > 2 && inputs[1].dims.len() >= 3 => attention(inputs, outputs),
        // What these do inside follows from no shape at hand.
        "Attention"
        | "LSTM"
        | "GRU"
        | "RNN"
        | "ConvTranspose"
        | "Einsum"
        | "QAttention"
        | "TreeEnsembleClassifier"
        | "TreeEnsembleRegressor"
        | "TreeEnsemble"
        | "TopK"
        | "NonMaxSuppression"
        | "DynamicQuantizeLSTM"
        | "DeformConv"
        | "STFT"
        | "DFT" => None,
        _ => {
            let operations = outputs.first().map_or(0, Shaped::elements);
            Some(Work { operations, ..moved(all(inputs).saturating_add(all(outputs))) })
        }
    }
}

fn all(shapes: &[Shaped]) -> u64 {
    shapes.iter().fold(0, |sum: u64, shape| sum.saturating_add(shape.bytes()))
}

fn moved(bytes: u64) -> Work {
    Work { operations: 0, bytes: Some(bytes), weights: None, arithmetic: Arithmetic::F32 }
}

/// Width of a weight.
#[derive(Clone, Copy)]
enum Width {
    /// As wide as an element of the other operand.
    OfInput,
    Bits(u64),
    Unknown,
}

/// A matrix product: the result has `rows × n` elements, each a sum over `k` products.
fn product(
    inputs: &[Shaped],
    outputs: &[Shaped],
    parameters: Option<u64>,
    arithmetic: Arithmetic,
    width: Width,
) -> Option<Work> {
    let (a, out) = (inputs.first()?, outputs.first()?);
    let (k, n) = (a.last(), out.last());
    let operations = out.elements().saturating_mul(k).saturating_mul(2);
    // Both operands are named and neither is constant: no weights.
    let second = inputs.get(1).filter(|b| b.dims.len() >= 2);
    if second.is_some() && parameters == Some(0) {
        let bytes = all(inputs).saturating_add(all(outputs));
        return Some(Work { operations, bytes: Some(bytes), weights: None, arithmetic });
    }
    let weights = k.saturating_mul(n);
    let stored = match width {
        Width::OfInput => {
            Some(weights.saturating_mul(a.bytes().checked_div(a.elements()).unwrap_or(4)))
        }
        Width::Bits(bits) => Some(weights.saturating_mul(bits) / 8),
        Width::Unknown => None,
    };
    // Scales and zero points are the small inputs that are left.
    let small: Vec<Shaped> =
        inputs.iter().skip(1).filter(|input| input.dims.len() < 2).cloned().collect();
    let moved = [a.bytes(), all(&small), all(outputs)]
        .iter()
        .fold(0, |sum: u64, &bytes| sum.saturating_add(bytes));
    let bytes = stored.map(|stored| stored.saturating_add(moved));
    Some(Work { operations, bytes, weights: Some(weights), arithmetic })
}

/// A convolution: each element of the result sums over one filter.
fn convolution(
    inputs: &[Shaped],
    outputs: &[Shaped],
    arithmetic: Arithmetic,
    hint: Option<&Hint>,
) -> Option<Work> {
    let (image, out) = (inputs.first()?, outputs.first()?);
    let named = inputs.iter().skip(1).find(|w| w.dims.len() == image.dims.len());
    let dims = named.map(|w| &w.dims).or_else(|| hint.and_then(|hint| hint.weights.as_ref()))?;
    let filter = dims.iter().skip(1).fold(1, |product: u64, &dim| product.saturating_mul(dim));
    let weights = filter.saturating_mul(dims.first().copied().unwrap_or(1));
    let stored = weights.saturating_mul(if arithmetic == Arithmetic::Int8 { 1 } else { 4 });
    Some(Work {
        operations: out.elements().saturating_mul(filter).saturating_mul(2),
        bytes: Some(image.bytes().saturating_add(all(outputs)).saturating_add(stored)),
        weights: Some(weights),
        arithmetic,
    })
}

/// Attention over a cache whose keys and values are (batch, heads, positions, head dimension)
/// among the outputs, or else among the inputs. A new sequence is causal: on average a query sees
/// half of it. A single query sees all positions of the cache, which for a cache of fixed size are
/// more than are filled.
fn attention(inputs: &[Shaped], outputs: &[Shaped]) -> Option<Work> {
    let (query, out) = (inputs.first()?, outputs.first()?);
    // Positions stand before the heads' width: (b, s, width) or (b, heads, s, width).
    let positions_of = |shape: &Shaped| shape.dims.iter().rev().nth(1).copied();
    let positions = positions_of(query)?;
    let rank_of_cache = |shape: &&Shaped| shape.dims.len() == 4;
    let keys = outputs.get(1).filter(rank_of_cache).or_else(|| inputs.get(1));
    let keys = keys.filter(|keys| keys.dims.len() >= 3);
    let stored = keys.and_then(positions_of).unwrap_or(positions);
    let (seen, used) = match positions {
        1 => (stored, stored),
        new => (new.div_ceil(2), new.min(stored)),
    };
    let cache = keys.map_or(0, |keys| {
        keys.bytes().checked_div(stored.max(1)).unwrap_or(0).saturating_mul(2).saturating_mul(used)
    });
    Some(Work {
        operations: out.elements().saturating_mul(seen).saturating_mul(4),
        bytes: Some(query.bytes().saturating_add(out.bytes()).saturating_add(cache)),
        weights: None,
        arithmetic: Arithmetic::F32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(dtype: &str, dims: &[u64]) -> Shaped {
        Shaped { dtype: dtype.into(), dims: dims.to_vec() }
    }

    #[test]
    fn packed_weights_have_the_bits_of_the_graph() {
        let hint = Hint { bits: Some(4), accuracy_level: Some(4), scales: None, weights: None };
        let inputs = [shaped("float", &[1, 1, 2048]), shaped("float", &[8192 * 64])];
        let outputs = [shaped("float", &[1, 1, 8192])];
        let found = work("MatMulNBits", &inputs, &outputs, Some(0), Some(&hint)).unwrap();
        assert_eq!(found.operations, 2 * 2048 * 8192);
        assert_eq!(found.weights, Some(2048 * 8192));
        let scales = 8192 * 64 * 4;
        assert_eq!(found.bytes, Some(2048 * 8192 / 2 + scales + 4 * (2048 + 8192)));
        assert_eq!(found.arithmetic, Arithmetic::Int8);
    }

    #[test]
    fn a_product_of_two_activations_has_no_weights() {
        let inputs = [shaped("float", &[1, 8, 5, 64]), shaped("float", &[1, 8, 64, 7])];
        let outputs = [shaped("float", &[1, 8, 5, 7])];
        let found = work("MatMul", &inputs, &outputs, Some(0), None).unwrap();
        assert_eq!((found.operations, found.weights), (2 * 8 * 5 * 7 * 64, None));
        assert_eq!(found.bytes, Some(4 * 8 * (5 * 64 + 64 * 7 + 5 * 7)));
    }

    #[test]
    fn attention_counts_what_a_query_sees() {
        let cache = shaped("float", &[1, 8, 160, 64]);
        let step = |positions| {
            let query = shaped("float", &[1, positions, 3072]);
            let out = shaped("float", &[1, positions, 2048]);
            work("GroupQueryAttention", &[query], &[out, cache.clone(), cache.clone()], None, None)
        };
        let decode = step(1).unwrap();
        assert_eq!(decode.operations, 4 * 2048 * 160);
        assert_eq!(decode.bytes, Some(4 * (3072 + 2048) + 2 * 4 * 8 * 160 * 64));
        assert_eq!(step(128).unwrap().operations, 4 * 128 * 2048 * 64);
        // The standard operator has heads in front of positions, and keys among its inputs.
        let query = shaped("float", &[1, 32, 1, 64]);
        let out = [query.clone()];
        let inputs = [query, cache.clone(), cache];
        let standard = work("Attention", &inputs, &out, None, None).unwrap();
        assert_eq!(standard.operations, decode.operations);
    }

    #[test]
    fn a_convolution_without_its_filter_is_not_guessed() {
        let image = shaped("float", &[1, 3, 224, 224]);
        let out = [shaped("float", &[1, 64, 112, 112])];
        assert_eq!(work("Conv", std::slice::from_ref(&image), &out, Some(0), None), None);
        let hint = Hint { weights: Some(vec![64, 3, 7, 7]), ..Hint::default() };
        let found = work("Conv", &[image], &out, Some(0), Some(&hint)).unwrap();
        assert_eq!(found.operations, 2 * 64 * 112 * 112 * 3 * 49);
    }
}
