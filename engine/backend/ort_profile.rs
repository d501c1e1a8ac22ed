//! ONNX Runtime's profile: a Chrome trace in JSON with one event per kernel.
//!
//! Each run of a session is an event `model_run`; kernels are events of category `Node` whose
//! names end in `_kernel_time`. Times are whole microseconds, rounded down, so that a session of
//! many short kernels loses some: the loss shows up as time outside operators. A kernel that runs
//! a sub-graph contains the sub-graph's kernels.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::operators::{OpEvent, layer_of, settle_own};
use super::ort_work::{Hints, Shaped, work};
use crate::base::files::read_bounded;

/// Largest profile that is read, in bytes.
const LONGEST: u64 = 1 << 30;

const KERNEL: &str = "_kernel_time";

#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error(transparent)]
    Read(#[from] crate::base::files::FileError),
    #[error("the runtime's profile cannot be read: {0}")]
    Parse(#[from] serde_json::Error),
    #[error("the runtime's profile has no runs in it")]
    NoRuns,
    #[error(
        "the runtime's profile holds {found} of {made} runs: it keeps a limited number of events"
    )]
    Cut { found: usize, made: usize },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    cat: String,
    name: String,
    /// Microseconds since profiling began.
    ts: i64,
    dur: i64,
    tid: i64,
    args: Args,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Args {
    op_name: String,
    provider: Option<String>,
    input_type_shape: Value,
    output_type_shape: Value,
    /// Bytes as decimal text.
    parameter_size: Value,
}

/// The kernels in the profile at `path` of a session that has made `made` runs, call by call.
pub fn read(path: &Path, hints: &Hints, made: usize) -> Result<Vec<OpEvent>, ProfileError> {
    let raw: Vec<Raw> = serde_json::from_slice(&read_bounded(path, LONGEST)?)?;
    let found = runs(&raw).len();
    if found > 0 && found < made {
        return Err(ProfileError::Cut { found, made });
    }
    kernels(&raw, hints)
}

/// Begin and end of each run.
fn runs(raw: &[Raw]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = raw
        .iter()
        .filter(|event| event.cat == "Session" && event.name == "model_run")
        .map(|event| (nanos(event.ts), nanos(event.ts.saturating_add(event.dur))))
        .collect();
    runs.sort_unstable();
    runs
}

#[cfg(test)]
fn parse(bytes: &[u8], hints: &Hints) -> Result<Vec<OpEvent>, ProfileError> {
    kernels(&serde_json::from_slice::<Vec<Raw>>(bytes)?, hints)
}

fn kernels(raw: &[Raw], hints: &Hints) -> Result<Vec<OpEvent>, ProfileError> {
    let runs = runs(raw);
    if runs.is_empty() {
        return Err(ProfileError::NoRuns);
    }
    let mut threads: Vec<(i64, Vec<OpEvent>)> = Vec::new();
    for event in raw {
        let Some(name) = event.name.strip_suffix(KERNEL).filter(|_| event.cat == "Node") else {
            continue;
        };
        let start = nanos(event.ts);
        // Kernels outside runs fold constants while the session opens.
        let run = runs.partition_point(|&(begin, _)| begin <= start).checked_sub(1);
        let Some(call) = run.filter(|&run| start <= runs[run].1) else { continue };
        let found = kernel(event, name, call as u32, start, hints);
        match threads.iter_mut().find(|(tid, _)| *tid == event.tid) {
            Some((_, events)) => events.push(found),
            None => threads.push((event.tid, vec![found])),
        }
    }
    for (_, events) in &mut threads {
        settle_own(events);
    }
    let mut events: Vec<OpEvent> = threads.into_iter().flat_map(|(_, events)| events).collect();
    events.sort_by_key(|event| event.start);
    Ok(events)
}

fn kernel(event: &Raw, name: &str, call: u32, start: u64, hints: &Hints) -> OpEvent {
    let args = &event.args;
    let (inputs, outputs) = (shapes(&args.input_type_shape), shapes(&args.output_type_shape));
    let parameters = args.parameter_size.as_str().and_then(|text| text.parse().ok());
    OpEvent {
        call,
        name: name.to_owned(),
        operator: args.op_name.clone(),
        layer: layer_of(name),
        start,
        nanos: nanos(event.dur),
        own: 0,
        provider: args.provider.clone(),
        work: work(&args.op_name, &inputs, &outputs, parameters, hints.node(name)),
    }
}

fn nanos(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or(0).saturating_mul(1000)
}

/// `[{"float": [1, 5, 64]}, {"int64": []}]` as types and dimensions; what is no tensor is left out.
fn shapes(value: &Value) -> Vec<Shaped> {
    let one = |entry: &Value| {
        let (dtype, dims) = entry.as_object()?.iter().next()?;
        let dims: Option<Vec<u64>> = dims.as_array()?.iter().map(Value::as_u64).collect();
        Some(Shaped { dtype: dtype.clone(), dims: dims? })
    };
    value.as_array().map_or_else(Vec::new, |list| list.iter().filter_map(one).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::Arithmetic;

    /// Made with onnxruntime 1.31.1 from a graph of ours: two runs of ten nodes, one of them an
    /// `If`; trimmed to the fields that are read and one that is not.
    const SAMPLE: &[u8] = include_bytes!("../../tests/golden/ort_profile.json");

    #[test]
    fn kernels_are_found_with_their_run_layer_and_own_time() {
        let events = parse(SAMPLE, &Hints::default()).unwrap();
        let first: Vec<_> = events.iter().filter(|event| event.call == 0).collect();
        assert_eq!(events.len(), 22);
        assert_eq!(first.len(), 11, "ten nodes and one inside the `If`");
        let named = |name: &str| *first.iter().find(|event| event.name == name).unwrap();
        let outer = named("/layers.1/mlp/If");
        let inner = named("/layers.1/mlp/then/MatMul");
        assert_eq!((outer.nanos, inner.nanos), (36_000, 11_000));
        assert_eq!((outer.own, inner.own), (25_000, 11_000));
        assert_eq!(outer.layer, Some(1));
        assert_eq!(named("/embed_tokens/Gather").layer, None);
        assert_eq!(inner.provider.as_deref(), Some("CPUExecutionProvider"));
        let sum: u64 = first.iter().map(|event| event.own).sum();
        assert!(sum <= 364_000, "operators take no longer than their run: {sum}");
    }

    #[test]
    fn work_follows_from_shapes_even_where_weights_were_repacked() {
        let events = parse(SAMPLE, &Hints::default()).unwrap();
        let work = |name: &str| {
            events.iter().find(|event| event.name == name).and_then(|event| event.work).unwrap()
        };
        // 5 × 64 times 64 × 96 in f32, the weights of which the event no longer names.
        let dense = work("/layers.0/attn/q_proj/MatMul");
        assert_eq!(dense.operations, 2 * 5 * 64 * 96);
        assert_eq!(dense.weights, Some(64 * 96));
        assert_eq!(dense.bytes, Some((5 * 64 + 64 * 96 + 5 * 96) * 4));
        assert_eq!(dense.arithmetic, Arithmetic::F32);
        let integer = work("/layers.0/mlp/MatMulInteger");
        assert_eq!((integer.operations, integer.weights), (2 * 5 * 64 * 96, Some(64 * 96)));
        assert_eq!(integer.arithmetic, Arithmetic::Int8);
        // Without the graph the number of bits is not known, and so the bytes are not.
        let packed = work("/layers.1/attn/o_proj/MatMulNBits");
        assert_eq!((packed.operations, packed.bytes), (2 * 5 * 64 * 96, None));
    }

    #[test]
    fn what_is_no_profile_is_an_error() {
        for text in ["", "{}", "[{]", "[1]", r#"[{"ts": "x"}]"#, r#"[{"args": 3}]"#] {
            assert!(matches!(
                parse(text.as_bytes(), &Hints::default()),
                Err(ProfileError::Parse(_))
            ));
        }
        assert!(matches!(parse(b"[]", &Hints::default()), Err(ProfileError::NoRuns)));
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes(), &Hints::default()).is_err());
    }

    #[test]
    fn strange_numbers_and_shapes_neither_panic_nor_overflow() {
        let text = r#"[
            {"cat": "Session", "name": "model_run", "ts": 0, "dur": 9223372036854775807},
            {"cat": "Node", "name": "a_kernel_time", "ts": 9223372036854775807, "dur": 9223372036854775807,
             "args": {"op_name": "MatMul", "input_type_shape": [{"float": [4294967296, 4294967296, 9]}],
                      "output_type_shape": [{"float": [4294967296, 4294967296, 4294967296]}]}},
            {"cat": "Node", "name": "b_kernel_time", "ts": -5, "dur": -7,
             "args": {"op_name": "Conv", "input_type_shape": [7, {"x": "y"}, {"float": [-1]}], "output_type_shape": 3}}
        ]"#;
        let events = parse(text.as_bytes(), &Hints::default()).unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].nanos, 0);
    }

    proptest! {
        #[test]
        fn no_cut_or_changed_byte_panics(cut in 0..SAMPLE.len(), at in 0..SAMPLE.len(), byte: u8) {
            let _ = parse(&SAMPLE[..cut], &Hints::default());
            let mut changed = SAMPLE.to_vec();
            changed[at] = byte;
            let _ = parse(&changed, &Hints::default());
        }
    }
}
