//! Continuing one token sequence until a stop token or a limit.

use super::sampling::{Sampler, Sampling};
use crate::backend::{BackendError, Generator};

/// When a continuation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model gave a stop token, which is not part of the result.
    Stop,
    /// The limit on new tokens was reached.
    Length,
}

/// Continues `prompt` by at most `longest` tokens.
pub fn continuation(
    generator: &mut dyn Generator,
    prompt: &[u32],
    longest: usize,
    stop: &[u32],
    sampling: Sampling,
) -> Result<(Vec<u32>, Finish), BackendError> {
    let mut sampler = Sampler::new(sampling);
    let mut tokens = Vec::new();
    if longest == 0 || prompt.is_empty() {
        return Ok((tokens, Finish::Length));
    }
    let mut next = sampler.next(&generator.prefill(prompt, 1)?.values);
    loop {
        if stop.contains(&next) {
            return Ok((tokens, Finish::Stop));
        }
        tokens.push(next);
        if tokens.len() == longest {
            return Ok((tokens, Finish::Length));
        }
        next = sampler.next(&generator.decode(&[next])?.values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Logits;

    /// Says the token after the last one.
    struct Counter;

    impl Counter {
        fn after(token: u32) -> Logits {
            let mut values = vec![0.0; 10];
            values[(token as usize + 1) % 10] = 1.0;
            Logits { values, vocab: 10 }
        }
    }

    impl Generator for Counter {
        fn vocab(&self) -> usize {
            10
        }

        fn prefill(&mut self, tokens: &[u32], _: usize) -> Result<Logits, BackendError> {
            Ok(Self::after(tokens[tokens.len() - 1]))
        }

        fn decode(&mut self, tokens: &[u32]) -> Result<Logits, BackendError> {
            Ok(Self::after(tokens[0]))
        }

        fn score(&mut self, _: &[u32]) -> Result<Logits, BackendError> {
            unreachable!("a continuation generates")
        }
    }

    #[test]
    fn a_stop_token_ends_the_text_and_is_left_out() {
        let greedy = Sampling::default();
        let run = |longest, stop: &[u32]| {
            continuation(&mut Counter, &[3], longest, stop, greedy).unwrap()
        };
        assert_eq!(run(100, &[7]), (vec![4, 5, 6], Finish::Stop));
        assert_eq!(run(2, &[7]), (vec![4, 5], Finish::Length));
        assert_eq!(run(0, &[]), (vec![], Finish::Length));
        assert_eq!(run(100, &[4]), (vec![], Finish::Stop));
    }
}
