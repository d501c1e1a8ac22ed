//! Plain runs on ONNX Runtime: named tensors in, named tensors out.

use std::path::Path;

use ort::session::Session as OrtGraph;
use ort::value::DynValue;

use super::onnxruntime::ID;
use super::operators::OpEvent;
use super::ort_bound::Bound;
use super::ort_environment::{end_profile, run_error, session};
use super::ort_value::{tensor_of, value_of};
use super::ort_work::Hints;
use super::{BackendError, OpenOptions, Session};
use crate::data::Tensor;
use crate::model::onnx::SessionOptions;
use crate::model::{OnnxModel, Signature};

pub struct OrtSession {
    session: OrtGraph,
    signature: Signature,
    /// What the graph tells about its nodes, where it was opened to be profiled.
    profiled: Option<Hints>,
    runs: usize,
    /// Names of the outputs.
    names: Vec<String>,
    /// Inputs and outputs in one memory for all runs, where the graph asks for it.
    bound: Option<Bound>,
    /// Inputs of the next run, where they are handed over with it.
    given: Vec<(String, DynValue)>,
    /// Outputs of the last run, in the order of `names`.
    outputs: Vec<DynValue>,
}

impl OrtSession {
    pub fn open(artifact: &Path, how: &OpenOptions) -> Result<Self, BackendError> {
        let model = OnnxModel::read(artifact)?;
        let profiled = how.profile.is_some().then(|| Hints::of(&model));
        let signature = model.facts().signature;
        let session = session(&model, how)?;
        let bound = match SessionOptions::of(&model)?.io_binding {
            Some(true) => Some(Bound::new(&session, how.placement.device)?),
            Some(false) | None => None,
        };
        let names = session.outputs().iter().map(|outlet| outlet.name().to_owned()).collect();
        let (given, outputs) = (Vec::new(), Vec::new());
        Ok(Self { session, signature, profiled, runs: 0, names, bound, given, outputs })
    }
}

impl Session for OrtSession {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn give(&mut self, inputs: &[(String, Tensor)]) -> Result<(), BackendError> {
        self.outputs.clear();
        if let Some(bound) = &mut self.bound {
            return bound.give(inputs);
        }
        let value = |(name, tensor): &(String, Tensor)| Ok((name.clone(), value_of(tensor)?));
        self.given = inputs.iter().map(value).collect::<Result<_, BackendError>>()?;
        Ok(())
    }

    fn execute(&mut self) -> Result<(), BackendError> {
        self.runs += 1;
        self.outputs.clear();
        let mut outputs = match &self.bound {
            Some(bound) => self.session.run_binding(bound.binding()),
            None => self.session.run(std::mem::take(&mut self.given)),
        }
        .map_err(run_error)?;
        for name in &self.names {
            let value = outputs.remove(name);
            self.outputs.push(value.ok_or_else(|| run_error(format!("no `{name}`")))?);
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Vec<(String, Tensor)>, BackendError> {
        let outputs = std::mem::take(&mut self.outputs);
        let named = self.names.iter().zip(outputs).map(|(name, value)| {
            let tensor = tensor_of(&value)
                .map_err(|why| run_error(format!("output `{name}` cannot be taken: {why}")))?;
            Ok((name.clone(), tensor))
        });
        named.collect()
    }

    fn operators(&mut self) -> Result<Vec<OpEvent>, BackendError> {
        let hints = self.profiled.take().ok_or(BackendError::Unprofiled { backend: ID })?;
        end_profile(&mut self.session, &hints, self.runs)
    }
}
