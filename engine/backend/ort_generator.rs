//! Text generation on ONNX Runtime: keys and values stay where the session wrote them.

use std::path::Path;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session, SessionOutputs};
use ort::value::{DynTensor, Shape, Tensor, TensorElementType, ValueType};

use super::onnxruntime::ID;
use super::operators::OpEvent;
use super::ort_bound::host;
use super::ort_environment::{end_profile, open_error, run_error, session};
use super::ort_work::Hints;
use super::{BackendError, Device, Generator, Logits, OpenOptions};
use crate::model::onnx::SessionOptions;
use crate::model::{LlamaConfig, OnnxModel};

const INPUT_IDS: &str = "input_ids";
const LOGITS: &str = "logits";

pub struct OrtGenerator {
    session: Session,
    binding: IoBinding,
    /// Tokens and logits are handed over with every run; only where there is no cache.
    by_value: bool,
    cache: Option<Cache>,
    /// Rows and positions that the output `logits` is bound for.
    logits: [usize; 2],
    /// Rows of tokens seen so far, for a graph without a cache.
    seen: Vec<Vec<u32>>,
    vocab: usize,
    capacity: usize,
    position: usize,
    batch: usize,
    /// What the graph tells about its nodes, where it was opened to be profiled.
    profiled: Option<Hints>,
    runs: usize,
}

/// Buffers that the graph reads and writes in place: one for each `past_key_values` input.
struct Cache {
    /// Names of the input and of the output that share a buffer.
    names: Vec<(String, String)>,
    dtype: TensorElementType,
    kv_heads: i64,
    head_dim: i64,
    buffers: Vec<DynTensor>,
    /// Gives memory of the GPU; `None` where the session runs on the CPU.
    allocator: Option<Allocator>,
}

impl OrtGenerator {
    pub fn open(artifact: &Path, how: &OpenOptions) -> Result<Self, BackendError> {
        let model = OnnxModel::read(artifact)?;
        let refused = |why: String| open_error(artifact, why);
        // A graph of other hands may have no configuration beside it, and then no window either.
        let config = LlamaConfig::of_folder(model.folder()).ok();
        if let Some(why) = config.and_then(|config| config.beyond_window(how.capacity)) {
            return Err(refused(why));
        }
        let session = session(&model, how)?;
        let logits = session.outputs().iter().find(|outlet| outlet.name() == LOGITS);
        let vocab = match logits.map(ort::value::Outlet::dtype) {
            Some(ValueType::Tensor { shape, .. }) => shape.last().copied().filter(|&n| n > 0),
            _ => None,
        };
        let vocab = vocab.ok_or_else(|| {
            refused("it has no output `logits` whose last dimension is the vocabulary".into())
        })?;
        if !session.inputs().iter().any(|outlet| outlet.name() == INPUT_IDS) {
            return Err(refused("it has no input `input_ids`".into()));
        }
        let mut cache = Cache::of(&session).map_err(refused)?;
        let bound = SessionOptions::of(&model)?.io_binding;
        if cache.is_some() && bound == Some(false) {
            return Err(refused(
                "its session options say `io_binding: false`, and its cache of keys and values is \
                 written in place, which takes binding; leave `io_binding` out"
                    .into(),
            ));
        }
        if let Some(cache) = &mut cache {
            cache.allocator = gpu_memory(&session, how.placement.device).map_err(run_error)?;
        }
        let binding = session.create_binding().map_err(run_error)?;
        Ok(Self {
            session,
            binding,
            by_value: bound == Some(false),
            cache,
            logits: [0; 2],
            seen: Vec::new(),
            vocab: vocab as usize,
            capacity: how.capacity,
            position: 0,
            batch: 0,
            runs: 0,
            profiled: how.profile.is_some().then(|| Hints::of(&model)),
        })
    }

    fn check(&self, tokens: &[u32], batch: usize) -> Result<usize, BackendError> {
        let vocab = self.vocab;
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab) {
            return Err(BackendError::Token { token, vocab });
        }
        let positions = tokens.len() / batch.max(1);
        let needed = self.position + positions;
        if needed > self.capacity {
            return Err(BackendError::Capacity { needed, capacity: self.capacity });
        }
        Ok(positions)
    }

    /// Appends `tokens` (`batch` rows) and returns the logits of the last `keep` positions.
    fn append(
        &mut self,
        tokens: &[u32],
        batch: usize,
        keep: usize,
    ) -> Result<Logits, BackendError> {
        let positions = self.check(tokens, batch)?;
        let values = if let Some(cache) = &mut self.cache {
            cache.prepare(&self.session, &mut self.binding, batch, self.capacity)?;
            let past = vec![self.position as i64; batch];
            let past = Tensor::from_array(([batch], past)).map_err(run_error)?;
            let kept = vec![keep as i64];
            let kept = Tensor::from_array(([1_usize], kept)).map_err(run_error)?;
            self.binding.bind_input("past_lengths", &past).map_err(run_error)?;
            self.binding.bind_input("num_logits_to_keep", &kept).map_err(run_error)?;
            self.run(tokens, [batch, positions], [batch, keep])?
        } else {
            self.seen.resize(batch, Vec::new());
            for (row, new) in self.seen.iter_mut().zip(tokens.chunks(positions.max(1))) {
                row.extend_from_slice(new);
            }
            let all = self.seen.concat();
            let length = self.position + positions;
            let values = self.run(&all, [batch, length], [batch, length])?;
            let rows = values.chunks(length * self.vocab);
            rows.flat_map(|row| &row[(length - keep) * self.vocab..]).copied().collect()
        };
        self.position += positions;
        self.batch = batch;
        Ok(Logits { values, vocab: self.vocab })
    }

    /// Runs `tokens` of `shape` (rows, positions); `logits` is the shape (rows, positions) of what
    /// comes out, without the vocabulary.
    fn run(
        &mut self,
        tokens: &[u32],
        shape: [usize; 2],
        logits: [usize; 2],
    ) -> Result<Vec<f32>, BackendError> {
        let ids: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        let ids = Tensor::from_array((shape, ids)).map_err(run_error)?;
        self.runs += 1;
        if self.by_value {
            let outputs = self.session.run(vec![(INPUT_IDS, ids)]).map_err(run_error)?;
            return logits_of(&outputs);
        }
        if self.logits != logits {
            // A bound output keeps the buffer, and with it the shape, of the first run.
            let host = host().map_err(run_error)?;
            self.binding.bind_output_to_device(LOGITS, &host).map_err(run_error)?;
            self.logits = logits;
        }
        self.binding.bind_input(INPUT_IDS, &ids).map_err(run_error)?;
        let outputs = self.session.run_binding(&self.binding).map_err(run_error)?;
        logits_of(&outputs)
    }

    fn reset(&mut self) {
        self.position = 0;
        self.seen.clear();
    }
}

impl Cache {
    /// The cache of a graph; `None` when it has none, an error when it is of another layout.
    fn of(session: &Session) -> Result<Option<Self>, String> {
        let mut names = Vec::new();
        let mut found = None;
        for outlet in session.inputs() {
            let Some(rest) = outlet.name().strip_prefix("past_key_values.") else { continue };
            let output = format!("present.{rest}");
            if !session.outputs().iter().any(|outlet| outlet.name() == output) {
                return Err(format!("it has no output `{output}`"));
            }
            match outlet.dtype() {
                ValueType::Tensor { ty, shape, .. } if shape.len() == 4 => {
                    let layout = (*ty, shape[1], shape[3]);
                    if layout.1 < 1 || layout.2 < 1 || found.is_some_and(|known| known != layout) {
                        return Err(format!(
                            "the cache `{}` has another number or size of heads than the others",
                            outlet.name()
                        ));
                    }
                    found = Some(layout);
                }
                other => return Err(format!("`{}` is {other}", outlet.name())),
            }
            names.push((outlet.name().to_owned(), output));
        }
        let Some((dtype, kv_heads, head_dim)) = found else { return Ok(None) };
        for name in ["past_lengths", "num_logits_to_keep"] {
            if !session.inputs().iter().any(|outlet| outlet.name() == name) {
                return Err(format!(
                    "it has key and value caches but no input `{name}`: only graphs that write \
                     their cache in place are run"
                ));
            }
        }
        Ok(Some(Self { names, dtype, kv_heads, head_dim, buffers: Vec::new(), allocator: None }))
    }

    /// Makes sure that there are bound buffers for `batch` rows of `capacity` positions.
    fn prepare(
        &mut self,
        session: &Session,
        binding: &mut IoBinding,
        batch: usize,
        capacity: usize,
    ) -> Result<(), BackendError> {
        let wanted = [batch as i64, self.kv_heads, capacity as i64, self.head_dim];
        if self.buffers.first().is_some_and(|buffer| buffer.shape()[..] == wanted) {
            return Ok(());
        }
        self.buffers.clear();
        for (input, output) in &self.names {
            // Memory of the host is made of zeros. That of a GPU is made so, because a kernel may
            // multiply what it hides by zero, and what lies there may not be a number.
            let zeros = DynTensor::new(session.allocator(), self.dtype, Shape::new(wanted))
                .map_err(run_error)?;
            let mut buffer = match &self.allocator {
                None => zeros,
                Some(allocator) => {
                    let shape = Shape::new(wanted);
                    let mut own =
                        DynTensor::new(allocator, self.dtype, shape).map_err(run_error)?;
                    zeros.copy_into(&mut own).map_err(run_error)?;
                    own
                }
            };
            binding.bind_input(input.as_str(), &buffer).map_err(run_error)?;
            binding.bind_output(output.as_str(), &mut buffer).map_err(run_error)?;
            self.buffers.push(buffer);
        }
        Ok(())
    }
}

/// The logits among the outputs of a run.
fn logits_of(outputs: &SessionOutputs<'_>) -> Result<Vec<f32>, BackendError> {
    let logits = outputs.get(LOGITS).ok_or_else(|| run_error("it gave no logits"))?;
    if let Ok((_, values)) = logits.try_extract_tensor::<f32>() {
        return Ok(values.to_vec());
    }
    let (_, values) = logits.try_extract_tensor::<half::f16>().map_err(run_error)?;
    Ok(values.iter().map(|value| value.to_f32()).collect())
}

/// What gives memory where a session on `device` keeps its cache, if that is not the host's.
fn gpu_memory(session: &Session, device: Device) -> ort::Result<Option<Allocator>> {
    let Device::Cuda(number) = device else { return Ok(None) };
    let memory = MemoryInfo::new(
        AllocationDevice::CUDA,
        number as i32,
        AllocatorType::Device,
        MemoryType::Default,
    )?;
    Allocator::new(session, memory).map(Some)
}

impl Generator for OrtGenerator {
    fn vocab(&self) -> usize {
        self.vocab
    }

    fn prefill(&mut self, tokens: &[u32], batch: usize) -> Result<Logits, BackendError> {
        self.reset();
        self.append(tokens, batch, 1)
    }

    fn decode(&mut self, tokens: &[u32]) -> Result<Logits, BackendError> {
        self.append(tokens, tokens.len(), 1)
    }

    fn score(&mut self, tokens: &[u32]) -> Result<Logits, BackendError> {
        self.reset();
        self.append(tokens, 1, tokens.len())
    }

    fn operators(&mut self) -> Result<Vec<OpEvent>, BackendError> {
        let hints = self.profiled.take().ok_or(BackendError::Unprofiled { backend: ID })?;
        end_profile(&mut self.session, &hints, self.runs)
    }
}
