//! Spans around the parts of a model, for whoever profiles it. Nobody listens while a model is
//! timed: then a span is one comparison with an atomic, and its fields are not computed.

use candle_core::Tensor;
use tracing::span::EnteredSpan;
use tracing::{Level, trace_span};

/// Target of the spans.
pub const TARGET: &str = "engine::layer";

/// What a part has to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct PartWork {
    /// Multiplications and additions, each counted as one.
    pub operations: usize,
    /// Bytes of operands and results, each once, weights included.
    pub bytes: usize,
    /// Number of weights.
    pub weights: usize,
    /// Whether weights and inputs are multiplied as 8-bit integers.
    pub int8: bool,
}

impl PartWork {
    /// `operations` per element of `results`, whose operands are `operands`.
    pub fn elementwise(operations: usize, operands: &[&Tensor], results: &[&Tensor]) -> Self {
        let elements: usize = results.iter().map(|tensor| tensor.elem_count()).sum();
        let bytes = operands.iter().chain(results).map(|tensor| bytes_of(tensor)).sum();
        Self { operations: operations * elements, bytes, ..Self::default() }
    }

    /// `elements` of f32 looked up and written.
    pub fn moved(elements: usize) -> Self {
        Self { bytes: 8 * elements, ..Self::default() }
    }

    /// Causal attention as it is computed: every query with every key of the cache, masked or not.
    pub fn attention(query: &Tensor, keys: &Tensor, values: &Tensor) -> Self {
        let seen = keys.dims().iter().rev().nth(1).copied().unwrap_or_default();
        let bytes = 2 * bytes_of(query) + bytes_of(keys) + bytes_of(values);
        Self { operations: 4 * query.elem_count() * seen, bytes, ..Self::default() }
    }
}

pub fn bytes_of(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}

/// A span over one part of a model until it is dropped. `layer` is `None` outside the layers.
pub fn part(
    operator: &'static str,
    layer: Option<usize>,
    work: impl FnOnce() -> PartWork,
) -> EnteredSpan {
    if !tracing::span_enabled!(target: TARGET, Level::TRACE) {
        return tracing::Span::none().entered();
    }
    let work = work();
    let layer = layer.map(|layer| layer as u64);
    trace_span!(
        target: TARGET,
        "part",
        operator,
        layer,
        operations = work.operations as u64,
        bytes = work.bytes as u64,
        weights = work.weights as u64,
        int8 = work.int8,
    )
    .entered()
}
