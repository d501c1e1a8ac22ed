//! A Chrome trace: what `chrome://tracing` and Perfetto show.

use serde_json::{Value, json};

use super::operators::Call;
use crate::backend::OpEvent;

/// Name of the file in a job's folder.
pub const FILE: &str = "trace.json";

/// Calls of each phase that are kept: the first ones after the warm-up.
const CALLS: usize = 8;

/// Events kept at most.
const MOST: usize = 50_000;

/// The operators of the first counted calls, nested by time, with their calls around them.
pub fn chrome(events: &[OpEvent], calls: &[Call]) -> String {
    let mut kept: Vec<(usize, &Call)> = Vec::new();
    for (number, call) in calls.iter().enumerate().filter(|(_, call)| call.counted) {
        if kept.iter().filter(|(_, other)| other.phase == call.phase).count() < CALLS {
            kept.push((number, call));
        }
    }
    let mut out = Vec::new();
    for (number, call) in kept {
        let own: Vec<&OpEvent> =
            events.iter().filter(|event| event.call as usize == number).collect();
        let begin = own.iter().map(|event| event.start).min();
        let end = own.iter().map(|event| event.start.saturating_add(event.nanos)).max();
        if let (Some(begin), Some(end)) = (begin, end) {
            out.push(entry(call.phase, "call", begin, end - begin, &json!({"call": number})));
        }
        for event in own {
            let mut args = json!({"operator": event.operator});
            if let Some(layer) = event.layer {
                args["layer"] = layer.into();
            }
            if let Some(work) = event.work {
                args["operations"] = work.operations.into();
                args["bytes"] = work.bytes.into();
                args["arithmetic"] = work.arithmetic.name().into();
            }
            out.push(entry(&event.name, "operator", event.start, event.nanos, &args));
        }
    }
    out.truncate(MOST);
    let lines: Vec<String> = out.iter().map(Value::to_string).collect();
    format!("{{\"traceEvents\":[\n{}\n]}}\n", lines.join(",\n"))
}

fn entry(name: &str, category: &str, start: u64, nanos: u64, args: &Value) -> Value {
    let micros = |nanos: u64| nanos as f64 / 1000.0;
    json!({
        "name": name,
        "cat": category,
        "ph": "X",
        "ts": micros(start),
        "dur": micros(nanos),
        "pid": 1,
        "tid": 1,
        "args": args,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_the_counted_calls_with_their_operators_inside() {
        let event = |call, name: &str, start| OpEvent {
            call,
            name: name.into(),
            operator: "MatMul".into(),
            layer: Some(2),
            start,
            nanos: 1500,
            own: 1500,
            provider: None,
            work: None,
        };
        let call = |counted| Call { phase: "decode", counted, nanos: 9, cpu_time: None };
        let events = [event(0, "warm", 0), event(1, "</script>", 10_000), event(1, "b", 12_000)];
        let text = chrome(&events, &[call(false), call(true)]);
        let trace: Value = serde_json::from_str(&text).unwrap();
        let list = trace["traceEvents"].as_array().unwrap();
        let names: Vec<_> = list.iter().map(|e| e["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["decode", "</script>", "b"]);
        assert_eq!((&list[0]["ts"], &list[0]["dur"]), (&json!(10.0), &json!(3.5)));
        assert_eq!(list[1]["args"]["layer"], 2);
    }
}
