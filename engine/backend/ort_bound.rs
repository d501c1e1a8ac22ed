//! Inputs and outputs that keep their memory from run to run.
//!
//! What is bound stays bound while names, types and shapes of the inputs stay the same: new values
//! are written over the old ones, and the runtime writes outputs where it wrote those of the run
//! before. An output whose declared sizes do not follow from those of the inputs may be larger in
//! the next run, and gets new memory each time.

use std::collections::HashSet;

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{DynValue, Outlet, TensorElementType, ValueType};

use super::ort_environment::run_error;
use super::ort_value::{fill, value_of};
use super::{BackendError, Device};
use crate::data::{ElementType, Tensor};

pub struct Bound {
    binding: IoBinding,
    inputs: Vec<Input>,
    /// Names of the outputs, each with whether inputs of equal shapes give it an equal shape.
    outputs: Vec<(String, bool)>,
    /// Whether the session copied the inputs elsewhere when they were bound.
    copied: bool,
}

struct Input {
    name: String,
    value: DynValue,
    /// What was bound last, for its type and shape.
    like: (ElementType, Vec<usize>),
}

impl Input {
    fn fits(&self, (name, tensor): &(String, Tensor)) -> bool {
        let (dtype, shape) = &self.like;
        self.name == *name && *dtype == tensor.dtype && *shape == tensor.shape
    }
}

impl Bound {
    /// A binding without inputs for a session on `device`.
    pub fn new(session: &Session, device: Device) -> Result<Self, BackendError> {
        let binding = session.create_binding().map_err(run_error)?;
        let known: HashSet<&str> = session.inputs().iter().flat_map(symbols).collect();
        let output = |outlet: &Outlet| (outlet.name().to_owned(), follows(outlet, &known));
        let outputs = session.outputs().iter().map(output).collect();
        let copied = !matches!(device, Device::Cpu);
        Ok(Self { binding, inputs: Vec::new(), outputs, copied })
    }

    /// What a session runs with.
    pub fn binding(&self) -> &IoBinding {
        &self.binding
    }

    /// Makes `inputs` those of the next run.
    pub fn give(&mut self, inputs: &[(String, Tensor)]) -> Result<(), BackendError> {
        let fits = |(bound, given): (&Input, &(String, Tensor))| bound.fits(given);
        let same = self.inputs.len() == inputs.len();
        if same && self.inputs.iter().zip(inputs).all(fits) {
            for (input, (_, tensor)) in self.inputs.iter_mut().zip(inputs) {
                if tensor.dtype.is_text() {
                    input.value = value_of(tensor)?;
                } else {
                    fill(&mut input.value, tensor)?;
                }
                if self.copied || tensor.dtype.is_text() {
                    let name = input.name.as_str();
                    self.binding.bind_input(name, &input.value).map_err(run_error)?;
                }
            }
            return self.bind_outputs(false);
        }
        self.binding.clear_inputs();
        self.inputs.clear();
        for (name, tensor) in inputs {
            let value = value_of(tensor)?;
            self.binding.bind_input(name.as_str(), &value).map_err(run_error)?;
            let like = (tensor.dtype, tensor.shape.clone());
            self.inputs.push(Input { name: name.clone(), value, like });
        }
        self.bind_outputs(true)
    }

    /// Lets the next run find memory for all outputs, or for those only whose size may change.
    fn bind_outputs(&mut self, all: bool) -> Result<(), BackendError> {
        for (name, follows) in &self.outputs {
            if all || !follows {
                // A bound output keeps the memory, and with it the shape, of its first run.
                let host = host().map_err(run_error)?;
                self.binding.bind_output_to_device(name.as_str(), &host).map_err(run_error)?;
            }
        }
        Ok(())
    }
}

/// The host's memory, where outputs are read.
pub fn host() -> ort::Result<MemoryInfo<'static>> {
    MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)
}

/// Names of the free dimensions of an input or output.
fn symbols(outlet: &Outlet) -> Vec<&str> {
    match outlet.dtype() {
        ValueType::Tensor { dimension_symbols, .. } => {
            dimension_symbols.iter().map(String::as_str).filter(|name| !name.is_empty()).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether every dimension of an output is fixed or one of those that inputs have. An output
/// without dimensions may be a scalar or one of unknown rank, and does not count; texts have
/// memory of their own anyway.
fn follows(outlet: &Outlet, known: &HashSet<&str>) -> bool {
    match outlet.dtype() {
        ValueType::Tensor { ty: TensorElementType::String, .. } => false,
        ValueType::Tensor { shape, dimension_symbols, .. } => {
            let mut sizes = shape.iter().zip(dimension_symbols.iter());
            !shape.is_empty()
                && sizes.all(|(&size, name)| size >= 0 || known.contains(name.as_str()))
        }
        _ => false,
    }
}
