//! Prompts of a chosen length: real text where there is some, seeded tokens where there is none.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Where the prompts or inputs of a cell came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptSource {
    Text,
    /// Inputs of a graph from files.
    Recorded,
    Synthetic,
}

#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("the prompt texts give only {found} tokens, a prompt needs {needed}")]
    TooShort { found: usize, needed: usize },
}

/// An endless, seeded sequence of prompts. The same seed gives the same prompts to every variant.
pub struct Prompts {
    generator: Pcg64,
    texts: Option<Vec<Vec<u32>>>,
    vocab: u32,
    length: usize,
}

impl Prompts {
    /// Prompts of `length` tokens cut from `texts` (token sequences without beginning-of-text).
    /// A text that is shorter is continued with the next ones.
    pub fn from_texts(texts: Vec<Vec<u32>>, length: usize, seed: u64) -> Result<Self, PromptError> {
        let found = texts.iter().map(Vec::len).sum();
        if found < length {
            return Err(PromptError::TooShort { found, needed: length });
        }
        let generator = Pcg64::seed_from_u64(seed);
        Ok(Self { generator, texts: Some(texts), vocab: 0, length })
    }

    /// Prompts of `length` uniformly random tokens below `vocab`.
    pub fn synthetic(vocab: usize, length: usize, seed: u64) -> Self {
        let vocab = u32::try_from(vocab).unwrap_or(u32::MAX).max(1);
        Self { generator: Pcg64::seed_from_u64(seed), texts: None, vocab, length }
    }

    /// Goes on as if it had begun with another seed.
    pub fn reseed(&mut self, seed: u64) {
        self.generator = Pcg64::seed_from_u64(seed);
    }

    pub fn source(&self) -> PromptSource {
        if self.texts.is_some() { PromptSource::Text } else { PromptSource::Synthetic }
    }

    /// The next `batch` prompts, row by row.
    pub fn next_batch(&mut self, batch: usize) -> Vec<u32> {
        let mut out = Vec::with_capacity(batch * self.length);
        for _ in 0..batch {
            self.append_prompt(&mut out);
        }
        out
    }

    fn append_prompt(&mut self, out: &mut Vec<u32>) {
        let end = out.len() + self.length;
        match &self.texts {
            None => {
                let (generator, vocab) = (&mut self.generator, self.vocab);
                out.extend((0..self.length).map(|_| generator.random_range(0..vocab)));
            }
            Some(texts) => {
                let mut at = self.generator.random_range(0..texts.len());
                // From its beginning when the text is short, else from anywhere that leaves enough.
                let spare = texts[at].len().saturating_sub(self.length);
                let mut skip = self.generator.random_range(0..=spare);
                while out.len() < end {
                    out.extend(texts[at].iter().skip(skip).take(end - out.len()));
                    at = (at + 1) % texts.len();
                    skip = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_have_the_asked_length_and_come_from_the_texts() {
        let texts = vec![vec![1, 2, 3], vec![4], vec![5, 6]];
        let mut prompts = Prompts::from_texts(texts.clone(), 5, 1).unwrap();
        for _ in 0..20 {
            assert_eq!(prompts.next_batch(3).len(), 15);
        }
        assert!(Prompts::from_texts(texts, 7, 1).is_err());
    }

    #[test]
    fn one_seed_gives_every_variant_the_same_prompts() {
        let draw = |seed| {
            let mut prompts = Prompts::synthetic(1000, 8, seed);
            (prompts.next_batch(2), prompts.next_batch(2))
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        assert_ne!(draw(3).0, draw(3).1, "requests are fresh");
        assert!(draw(3).0.iter().all(|&t| t < 1000));
    }
}
