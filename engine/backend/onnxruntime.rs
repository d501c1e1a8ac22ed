//! The ONNX Runtime backend: graphs on the CPU or on a GPU.

use std::path::Path;

pub use super::ort_facts::{describe, version};
use super::ort_generator::OrtGenerator;
use super::ort_session::OrtSession;
use super::{
    Assigned, Backend, BackendError, Generator, OpenOptions, Session, ort_facts, ort_placement,
};
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

    fn providers(&self) -> &'static [&'static str] {
        &["CPUExecutionProvider"]
    }

    fn runtime(&self) -> Option<&'static str> {
        Some(ID)
    }

    fn open(
        &self,
        artifact: &Path,
        kind: Kind,
        how: &OpenOptions,
    ) -> Result<Box<dyn Generator>, BackendError> {
        match kind {
            Kind::Onnx => Ok(Box::new(OrtGenerator::open(artifact, how)?)),
            _ => Err(BackendError::Kind { backend: ID, kind }),
        }
    }

    fn session(
        &self,
        artifact: &Path,
        kind: Kind,
        how: &OpenOptions,
    ) -> Result<Box<dyn Session>, BackendError> {
        match kind {
            Kind::Onnx => Ok(Box::new(OrtSession::open(artifact, how)?)),
            _ => Err(BackendError::Kind { backend: ID, kind }),
        }
    }

    fn probe(&self, how: &OpenOptions) -> Result<(), BackendError> {
        ort_facts::probe(how)
    }

    fn place(
        &self,
        artifact: &Path,
        kind: Kind,
        how: &OpenOptions,
    ) -> Result<Vec<Assigned>, BackendError> {
        match kind {
            Kind::Onnx => ort_placement::placed(artifact, how),
            _ => Err(BackendError::Kind { backend: ID, kind }),
        }
    }
}
