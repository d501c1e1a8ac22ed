//! `session`: how the graph wants to be opened.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::files::copy_beside;
use super::{Pass, PassError, PassJob, PassNotes};
use crate::model::onnx::session_options::METADATA_KEY;
use crate::model::onnx::{GraphWriter, SessionOptions};
use crate::model::{Kind, OnnxModel};

pub struct SetSession;

impl Pass for SetSession {
    fn id(&self) -> &'static str {
        "session"
    }

    fn epoch(&self) -> u32 {
        2
    }

    fn about(&self) -> &'static str {
        "writes into an ONNX graph how its session is opened; weights stay as they are"
    }

    fn params(&self) -> Value {
        let threads = |what: &str| json!({"type": "integer", "minimum": 1, "maximum": 4096, "description": what});
        let switch = |what: &str| json!({"type": "boolean", "description": what});
        json!({
            "type": "object",
            "properties": {
                "threads": threads("Threads that share the work of one operator where nothing else says so, such as in other programs that read the graph's metadata. A benchmark's setting wins."),
                "inter_threads": threads("Threads that run operators side by side; of use with `execution: parallel` only."),
                "execution": {
                    "description": "Operators one after the other, or side by side where the graph allows it.",
                    "enum": ["sequential", "parallel"],
                },
                "arena": switch("Keep freed memory for the next run."),
                "memory_pattern": switch("Allocate the memory of a run in one piece once its shapes are known."),
                "spinning": switch("Threads wait for work by spinning instead of sleeping."),
                "graph_level": {
                    "description": "The runtime's own optimizations of the graph when the session is opened. `all` also chooses layouts for this machine.",
                    "enum": ["none", "basic", "extended", "all"],
                },
                "flush_denormals": switch("Numbers too small for a normal float count as zero."),
                "io_binding": switch("Inputs and outputs stay bound to the session, and their memory serves every run of the same shapes; an output whose size does not follow from those of the inputs gets its memory anew. False: they are handed over with every run. A cache of keys and values is always bound, and false is refused when a graph that has one generates text. When left out: text generation binds, graphs of task `tensor` do not."),
            },
            "additionalProperties": false,
            "minProperties": 1,
        })
    }

    fn takes(&self, kind: Kind) -> Result<Kind, String> {
        super::graph_only("session", kind)
    }

    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError> {
        let params = SessionOptions::deserialize(job.params)?;
        let model = OnnxModel::read(job.input)?;
        let options = params.over(&SessionOptions::of(&model)?);
        let mut proto = model.proto.clone();
        proto.set_metadata(METADATA_KEY, &options.text());
        GraphWriter::new(job.out).finish_from(proto, &model, job.progress)?;
        copy_beside(job.input, job.out)?;
        let set: Map<String, Value> = serde_json::from_str(&options.text())?;
        let listed: Vec<String> = set.iter().map(|(key, value)| format!("{key} {value}")).collect();
        let notes = vec![format!("sessions open with {}", listed.join(", ").replace('"', ""))];
        Ok(PassNotes { kind: Kind::Onnx, notes })
    }
}
