//! What a backend tells about the time of its operators, when it was opened to be profiled.

use serde::{Deserialize, Serialize};

/// One run of one operator, or of one part of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpEvent {
    /// The call of the generator or session it belongs to, counted from 0 since opening.
    pub call: u32,
    /// Its name in the graph, such as `/layers.3/mlp/down_proj/MatMul`.
    pub name: String,
    /// Its type, such as `MatMul`.
    pub operator: String,
    pub layer: Option<u32>,
    /// Nanoseconds since profiling began.
    pub start: u64,
    /// Nanoseconds from its start to its end.
    pub nanos: u64,
    /// Nanoseconds without what ran inside it as events of their own.
    pub own: u64,
    /// Execution provider, of a runtime that has several.
    pub provider: Option<String>,
    /// `None` where shapes do not tell.
    pub work: Option<Work>,
}

/// What an operator had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Multiplications and additions, each counted as one. 0 for what only moves data.
    pub operations: u64,
    /// Bytes of operands and results, each once; `None` where the width of a weight is not known.
    pub bytes: Option<u64>,
    /// Number of stored weights, for an operator that multiplies with weights.
    pub weights: Option<u64>,
    pub arithmetic: Arithmetic,
}

/// The type in which operands are multiplied; it decides the peak rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    Int8,
    Bf16,
    F32,
}

impl Arithmetic {
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }
}

/// The number after `layers.`, `layer.`, `h.` or `blocks.` in a name whose parts are separated by
/// `/`, `.` or `_`: `/model/layers.3/attn/MatMul` belongs to layer 3.
pub fn layer_of(name: &str) -> Option<u32> {
    let mut parts = name.split(['/', '.', '_']).peekable();
    while let Some(part) = parts.next() {
        let is_list = matches!(part, "layers" | "layer" | "h" | "blocks" | "block");
        if let Some(number) = parts.peek().filter(|_| is_list).and_then(|next| next.parse().ok()) {
            return Some(number);
        }
    }
    None
}

/// Sets `own` of every event to its time without the events inside it. Events must be of one
/// thread; they come back in order of their start.
pub(super) fn settle_own(events: &mut [OpEvent]) {
    events.sort_by_key(|event| (event.start, std::cmp::Reverse(event.nanos)));
    let mut open: Vec<usize> = Vec::new();
    for index in 0..events.len() {
        let (start, nanos) = (events[index].start, events[index].nanos);
        let ended = |&outer: &usize| events[outer].start + events[outer].nanos <= start;
        while open.last().is_some_and(ended) {
            open.pop();
        }
        events[index].own = nanos;
        if let Some(&outer) = open.last() {
            events[outer].own = events[outer].own.saturating_sub(nanos);
        }
        open.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn event(name: &str, start: u64, nanos: u64) -> OpEvent {
        OpEvent {
            call: 0,
            name: name.into(),
            operator: name.into(),
            layer: None,
            start,
            nanos,
            own: 0,
            provider: None,
            work: None,
        }
    }

    #[test]
    fn layers_are_found_in_names() {
        for (name, layer) in [
            ("/model/layers.3/attn/q_proj/MatMul", Some(3)),
            ("layer.11.mlp", Some(11)),
            ("/h.0/attn", Some(0)),
            ("model_layers_12_gate", Some(12)),
            ("/encoder/blocks.7/x", Some(7)),
            ("lm_head", None),
            ("/layers/norm", None),
            ("layers.4294967296", None),
            ("", None),
        ] {
            assert_eq!(layer_of(name), layer, "{name}");
        }
    }

    #[test]
    fn nested_time_counts_once() {
        let mut events = vec![
            event("inner", 12, 5),
            event("outer", 10, 20),
            event("second", 18, 4),
            event("innermost", 13, 2),
            event("after", 30, 7),
        ];
        settle_own(&mut events);
        let own: Vec<_> = events.iter().map(|e| (e.name.as_str(), e.own)).collect();
        assert_eq!(
            own,
            [("outer", 11), ("inner", 3), ("innermost", 2), ("second", 4), ("after", 7)]
        );
        assert_eq!(own.iter().map(|(_, own)| own).sum::<u64>(), 27, "the time on the clock");
    }
}
