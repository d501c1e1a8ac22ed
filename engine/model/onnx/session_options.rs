//! How a graph wants its session opened, written into the graph itself.
//!
//! The options travel with the artifact: its digest covers them, and every cell that opens it
//! opens it in the same way.

use serde::{Deserialize, Serialize};

use super::OnnxModel;
use crate::model::{Fault, ModelError};

/// Key of `metadata_props` that holds the options as JSON.
pub const METADATA_KEY: &str = "engine.session";

/// Most threads that a graph may ask for.
const MOST_THREADS: u32 = 4096;

/// Options of ONNX Runtime's sessions. What is left out is the backend's own choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionOptions {
    /// Threads that share the work of one operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Threads that run operators side by side; of use with parallel execution only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inter_threads: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
    /// Keep freed memory for the next run (`enable_cpu_mem_arena`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arena: Option<bool>,
    /// Allocate the memory of a run in one piece once its shapes are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_pattern: Option<bool>,
    /// Threads wait for work by spinning instead of sleeping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spinning: Option<bool>,
    /// Optimizations of the graph when the session is opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph_level: Option<GraphLevel>,
    /// Optimizers that are left out, by ONNX Runtime's names, so that what was not fused stays so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Numbers too small for a normal float count as zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flush_denormals: Option<bool>,
    /// Inputs and outputs stay bound, in the same memory, while their shapes stay the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_binding: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Execution {
    Sequential,
    Parallel,
}

/// Levels of ONNX Runtime's own graph optimizations; each contains those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphLevel {
    None,
    /// Constant folding and removal of what does nothing; independent of the provider.
    Basic,
    /// Also fused operators of the runtime's own set.
    Extended,
    /// Also other layouts of tensors, chosen for this machine.
    All,
}

impl GraphLevel {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "basic",
            Self::Extended => "extended",
            Self::All => "all",
        }
    }
}

impl SessionOptions {
    /// The options of `model`; the defaults when it has none.
    pub fn of(model: &OnnxModel) -> Result<Self, ModelError> {
        let Some(text) = model.metadata(METADATA_KEY) else { return Ok(Self::default()) };
        let malformed = |what: String| ModelError::Malformed {
            path: model.path.clone(),
            format: "ONNX",
            fault: Fault::new(format!("metadata_props[{METADATA_KEY}]"), what),
        };
        let options: Self =
            serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        for threads in [options.threads, options.inter_threads].into_iter().flatten() {
            if !(1..=MOST_THREADS).contains(&threads) {
                return Err(malformed(format!(
                    "asks for {threads} threads; from 1 to {MOST_THREADS} can be given"
                )));
            }
        }
        Ok(options)
    }

    /// These options where they say something, else those of `earlier`.
    pub fn over(self, earlier: &Self) -> Self {
        Self {
            threads: self.threads.or(earlier.threads),
            inter_threads: self.inter_threads.or(earlier.inter_threads),
            execution: self.execution.or(earlier.execution),
            arena: self.arena.or(earlier.arena),
            memory_pattern: self.memory_pattern.or(earlier.memory_pattern),
            spinning: self.spinning.or(earlier.spinning),
            graph_level: self.graph_level.or(earlier.graph_level),
            without: if self.without.is_empty() { earlier.without.clone() } else { self.without },
            flush_denormals: self.flush_denormals.or(earlier.flush_denormals),
            io_binding: self.io_binding.or(earlier.io_binding),
        }
    }

    /// As JSON on one line, without what is left out.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("numbers, booleans and names always serialize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::ModelProto;

    fn model(options: Option<&str>) -> OnnxModel {
        let mut proto = ModelProto::default();
        if let Some(options) = options {
            proto.set_metadata(METADATA_KEY, options);
        }
        let (weights, files) = (indexmap::IndexMap::new(), Vec::new());
        OnnxModel { path: "model.onnx".into(), proto, weights, files }
    }

    #[test]
    fn options_survive_the_graph_and_later_ones_win() {
        let earlier = SessionOptions {
            threads: Some(4),
            graph_level: Some(GraphLevel::All),
            ..SessionOptions::default()
        };
        let later = SessionOptions {
            threads: Some(1),
            execution: Some(Execution::Parallel),
            ..SessionOptions::default()
        };
        let both = later.over(&earlier);
        assert_eq!(both.text(), r#"{"threads":1,"execution":"parallel","graph_level":"all"}"#);
        assert_eq!(SessionOptions::of(&model(Some(&both.text()))).unwrap(), both);
        assert_eq!(SessionOptions::of(&model(None)).unwrap(), SessionOptions::default());
    }

    #[test]
    fn options_that_cannot_be_read_name_their_place() {
        let told = SessionOptions::of(&model(Some("{\"thread\": 1}"))).unwrap_err().to_string();
        assert!(told.contains("engine.session") && told.contains("thread"), "{told}");
    }
}
