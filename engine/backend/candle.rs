//! candle on the CPU: checkpoints in their own precision and GGUF files with its quantized kernels.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::candle_network::CandleNetwork;
use super::candle_weights::{CheckpointWeights, GgufWeights};
use super::operators::OpEvent;
use super::spans::Spans;
use super::{Backend, BackendError, Generator, Logits, OpenOptions, Session};
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

    fn providers(&self) -> &'static [&'static str] {
        &["candle's CPU device"]
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
                let config = checkpoint.decoder("generation")?.clone();
                fits(&config, how.capacity, artifact)?;
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
                fits(&config, how.capacity, artifact)?;
                let architecture = config.architecture;
                let mut weights =
                    GgufWeights::new(&gguf, artifact, architecture).map_err(failed)?;
                Llama::new(&config, &mut weights, DType::F32, how.capacity).map_err(failed)?
            }
            Kind::Onnx => {
                return Err(BackendError::Kind { backend: ID, kind });
            }
        };
        let spans = how.profile.is_some().then(Spans::new);
        Ok(Box::new(CandleLlama { model, capacity: how.capacity, position: 0, spans }))
    }

    fn session(
        &self,
        artifact: &Path,
        kind: Kind,
        how: &OpenOptions,
    ) -> Result<Box<dyn Session>, BackendError> {
        match kind {
            Kind::Checkpoint => Ok(Box::new(CandleNetwork::open(artifact, how)?)),
            _ => Err(BackendError::Kind { backend: ID, kind }),
        }
    }
}

fn fits(config: &LlamaConfig, capacity: usize, path: &Path) -> Result<(), BackendError> {
    match config.beyond_window(capacity) {
        Some(why) => Err(BackendError::Open { backend: ID, path: path.display().to_string(), why }),
        None => Ok(()),
    }
}

struct CandleLlama {
    model: Llama,
    capacity: usize,
    position: usize,
    /// Where it was opened to be profiled.
    spans: Option<Spans>,
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
        let mut compute = || {
            Tensor::from_slice(tokens, (batch, positions), &Device::Cpu)
                .and_then(|tokens| model.forward(&tokens, last))
                .and_then(|logits| logits.flatten_all()?.to_vec1::<f32>())
        };
        let values = match &self.spans {
            None => compute(),
            Some(spans) => spans.around(compute),
        }
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

    fn operators(&mut self) -> Result<Vec<OpEvent>, BackendError> {
        let spans = self.spans.as_ref().ok_or(BackendError::Unprofiled { backend: ID })?;
        spans.take().map_err(|why| BackendError::Run { backend: ID, why })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::base::files::seam::Scratch;
    use crate::model::RandomModel;

    #[test]
    fn parts_of_a_model_are_timed_only_when_asked_for_and_fit_into_their_calls() {
        let folder = Scratch::new();
        RandomModel::parse("random://llama-tiny?seed=3").unwrap().generate(&folder).unwrap();
        let layers = Checkpoint::open(&folder).unwrap().decoder("this").unwrap().num_hidden_layers;
        let mut how = OpenOptions { capacity: 12, ..OpenOptions::default() };
        let mut plain = Candle.open(&folder, Kind::Checkpoint, &how).unwrap();
        let expected = plain.prefill(&[1, 2, 3, 4], 1).unwrap();
        assert!(matches!(plain.operators(), Err(BackendError::Unprofiled { .. })));

        how.profile = Some(folder.to_path_buf());
        let mut profiled = Candle.open(&folder, Kind::Checkpoint, &how).unwrap();
        let mut spent = Vec::new();
        for call in 0..4 {
            let begin = Instant::now();
            let logits = match call {
                0 => profiled.prefill(&[1, 2, 3, 4], 1).unwrap(),
                _ => profiled.decode(&[5]).unwrap(),
            };
            spent.push(begin.elapsed().as_nanos() as u64);
            assert!(call > 0 || logits == expected, "spans change no number");
        }
        let events = profiled.operators().unwrap();
        for (call, &latency) in spent.iter().enumerate() {
            let own: Vec<_> = events.iter().filter(|e| e.call as usize == call).collect();
            // Two norms, attention with five parts, a feed-forward block with three; embedding,
            // last norm and head around the layers.
            assert_eq!(own.len(), layers * 12 + 3, "call {call}");
            let sum: u64 = own.iter().map(|event| event.own).sum();
            assert!(sum > 0 && sum <= latency, "call {call}: {sum} of {latency} ns");
        }
        let head = events.iter().find(|event| event.operator == "head").unwrap();
        let down = events.iter().find(|event| event.name == "layer.1.mlp.down").unwrap();
        assert_eq!((head.layer, down.layer), (None, Some(1)));
        let work = head.work.unwrap();
        assert_eq!(work.operations, 2 * work.weights.unwrap(), "one position, every weight once");
    }
}
