//! The ONNX Runtime backend.

use std::path::Path;

use super::{Backend, BackendError, Generator, OpenOptions};
use crate::model::Kind;

pub struct OnnxRuntime;

/// Name in specs.
pub const ID: &str = "onnxruntime";

impl Backend for OnnxRuntime {
    fn id(&self) -> &'static str {
        ID
    }

    fn about(&self) -> &'static str {
        "ONNX Runtime, loaded at run time; opens ONNX graphs"
    }

    fn version(&self) -> String {
        format!("ort {}", env!("ENGINE_ORT_VERSION"))
    }

    fn opens(&self) -> &'static [Kind] {
        &[Kind::Onnx]
    }

    fn open(
        &self,
        _artifact: &Path,
        kind: Kind,
        _how: &OpenOptions,
    ) -> Result<Box<dyn Generator>, BackendError> {
        Err(BackendError::Kind { backend: ID, kind })
    }
}
