//! Reading a graph without its weights.

use std::path::Path;

use super::OnnxModel;
use crate::model::{Fault, ModelError};

impl OnnxModel {
    /// Reads the graph at `path`.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let fault = Fault::new("model", "is not read yet");
        Err(ModelError::Malformed { path: path.to_owned(), format: "ONNX", fault })
    }
}
