//! candle on the CPU: checkpoints in their own precision and GGUF files with its quantized kernels.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::candle_weights::{CheckpointWeights, GgufWeights};
use super::{Backend, BackendError, Generator, Logits, OpenOptions};
use crate::model::Kind;
use crate::model::checkpoint::Checkpoint;
use crate::model::config::LlamaConfig;
use crate::model::family::llama::Llama;
use crate::model::gguf::Gguf;

pub struct Candle;

const ID: &str = "candle";

impl Backend for Candle {
    fn id(&self) -> &'static str {
        ID
    }

    fn about(&self) -> &'static str {
        "candle on the CPU; opens checkpoints (f32, f16, bf16) and GGUF files"
    }

    fn version(&self) -> String {
        format!("candle {}", env!("ENGINE_CANDLE_VERSION"))
    }

    fn opens(&self) -> &'static [Kind] {
        &[Kind::Checkpoint, Kind::Gguf]
    }

    fn open(
        &self,
        artifact: &Path,
        kind: Kind,
        how: &OpenOptions,
    ) -> Result<Box<dyn Generator>, BackendError> {
        let failed = |error: candle_core::Error| BackendError::Open {
            backend: ID,
            path: artifact.display().to_string(),
            why: error.to_string(),
        };
        let model = match kind {
            Kind::Checkpoint => {
                let checkpoint = Checkpoint::open(artifact)?;
                let config = checkpoint.config.clone();
                let dtype = match checkpoint.dtype() {
                    "f32" => DType::F32,
                    "f16" => DType::F16,
                    _ => DType::BF16,
                };
                let mut weights = CheckpointWeights::new(&checkpoint, dtype);
                Llama::new(&config, &mut weights, dtype, how.capacity).map_err(failed)?
            }
            Kind::Gguf => {
                let gguf = Gguf::read(artifact)?;
                let config = LlamaConfig::from_gguf(&gguf, artifact)?;
                let mut weights = GgufWeights::new(&gguf, artifact).map_err(failed)?;
                Llama::new(&config, &mut weights, DType::F32, how.capacity).map_err(failed)?
            }
            Kind::Onnx => {
                return Err(BackendError::Kind { backend: ID, kind });
            }
        };
        Ok(Box::new(CandleLlama { model, capacity: how.capacity, position: 0 }))
    }
}

struct CandleLlama {
    model: Llama,
    capacity: usize,
    position: usize,
}

impl CandleLlama {
    fn run(&mut self, tokens: &[u32], batch: usize, last: bool) -> Result<Logits, BackendError> {
        let vocab = self.model.vocab();
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab) {
            return Err(BackendError::Token { token, vocab });
        }
        let positions = tokens.len() / batch.max(1);
        let needed = self.position + positions;
        if needed > self.capacity {
            return Err(BackendError::Capacity { needed, capacity: self.capacity });
        }
        let model = &mut self.model;
        let values = Tensor::from_slice(tokens, (batch, positions), &Device::Cpu)
            .and_then(|tokens| model.forward(&tokens, last))
            .and_then(|logits| logits.flatten_all()?.to_vec1::<f32>())
            .map_err(|error| BackendError::Run { backend: ID, why: error.to_string() })?;
        self.position = needed;
        Ok(Logits { values, vocab })
    }

    fn reset(&mut self) {
        self.model.reset();
        self.position = 0;
    }
}

impl Generator for CandleLlama {
    fn vocab(&self) -> usize {
        self.model.vocab()
    }

    fn prefill(&mut self, tokens: &[u32], batch: usize) -> Result<Logits, BackendError> {
        self.reset();
        self.run(tokens, batch, true)
    }

    fn decode(&mut self, tokens: &[u32]) -> Result<Logits, BackendError> {
        self.run(tokens, tokens.len(), true)
    }

    fn score(&mut self, tokens: &[u32]) -> Result<Logits, BackendError> {
        self.reset();
        self.run(tokens, 1, false)
    }
}
