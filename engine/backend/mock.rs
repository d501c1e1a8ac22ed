//! A device that is not there, so that planning, keys, skipping and reports of accelerators are
//! tested on machines without one. No spec can ask for it: tests plan with
//! `plan::Surroundings::mock`.
//!
//! `mock:0` runs everything, `mock:1` leaves one node to the CPU, and no other is there. Its
//! generator continues every sequence by a rule; nothing is computed.

use std::path::Path;

use super::{Assigned, Backend, BackendError, Device, Generator, Logits, OpenOptions, Placement};
use crate::model::{self, Kind, LlamaConfig};

pub struct Mock;

const ID: &str = "mock";

/// Vocabulary of a model that does not tell.
const VOCABULARY: usize = 256;

/// Fails for a device that is not there, and for a node that may not fall back.
fn ready(placement: &Placement) -> Result<(), BackendError> {
    let device = placement.device;
    let failed = |why: &str| Err(BackendError::Device { device, why: why.to_owned() });
    match device {
        Device::Mock(0) => Ok(()),
        Device::Mock(1) if placement.fallback => Ok(()),
        Device::Mock(1) => failed("a node would fall back to the CPU"),
        _ => failed("there is no such device"),
    }
}

impl Backend for Mock {
    fn id(&self) -> &'static str {
        ID
    }

    fn about(&self) -> &'static str {
        "a device for tests"
    }

    fn version(&self) -> String {
        "mock 1".to_owned()
    }

    fn opens(&self) -> &'static [Kind] {
        &[Kind::Checkpoint, Kind::Gguf, Kind::Onnx]
    }

    fn providers(&self) -> &'static [&'static str] {
        &["MockExecutionProvider", "CPUExecutionProvider"]
    }

    fn open(
        &self,
        artifact: &Path,
        _kind: Kind,
        how: &OpenOptions,
    ) -> Result<Box<dyn Generator>, BackendError> {
        ready(&how.placement)?;
        let folder =
            if artifact.is_dir() { artifact } else { artifact.parent().unwrap_or(artifact) };
        let vocab = LlamaConfig::of_folder(folder).map_or(VOCABULARY, |config| config.vocab_size);
        Ok(Box::new(MockGenerator { vocab, last: Vec::new() }))
    }

    fn probe(&self, how: &OpenOptions) -> Result<(), BackendError> {
        // A single node falls back nowhere.
        let placement = Placement { fallback: true, ..how.placement.clone() };
        ready(&placement)
    }

    fn place(
        &self,
        artifact: &Path,
        _kind: Kind,
        how: &OpenOptions,
    ) -> Result<Vec<Assigned>, BackendError> {
        ready(&how.placement)?;
        let nodes = model::facts(artifact)?.tensor_counts.values().sum::<u64>().max(2);
        let own = |nodes| Assigned {
            provider: how.placement.provider().to_owned(),
            nodes,
            named: Vec::new(),
        };
        Ok(match how.placement.device {
            Device::Mock(1) => vec![
                own(nodes - 1),
                Assigned {
                    provider: "CPUExecutionProvider".to_owned(),
                    nodes: 1,
                    named: vec!["/mock/last".to_owned()],
                },
            ],
            _ => vec![own(nodes)],
        })
    }
}

/// After every token comes the next one.
struct MockGenerator {
    vocab: usize,
    last: Vec<u32>,
}

impl MockGenerator {
    fn logits<'a>(&self, tokens: impl IntoIterator<Item = &'a u32>) -> Logits {
        let mut values = Vec::new();
        for &token in tokens {
            let next = (token as usize + 1) % self.vocab;
            values.extend((0..self.vocab).map(|i| if i == next { 1.0_f32 } else { 0.0 }));
        }
        Logits { values, vocab: self.vocab }
    }
}

impl Generator for MockGenerator {
    fn vocab(&self) -> usize {
        self.vocab
    }

    fn prefill(&mut self, tokens: &[u32], batch: usize) -> Result<Logits, BackendError> {
        let rows = tokens.chunks(tokens.len() / batch.max(1));
        self.last = rows.filter_map(|row| row.last().copied()).collect();
        Ok(self.logits(&self.last))
    }

    fn decode(&mut self, tokens: &[u32]) -> Result<Logits, BackendError> {
        self.last = tokens.to_vec();
        Ok(self.logits(&self.last))
    }

    fn score(&mut self, tokens: &[u32]) -> Result<Logits, BackendError> {
        Ok(self.logits(tokens))
    }
}
