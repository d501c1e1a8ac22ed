//! `single_stream`: one request after the other.

use serde::{Deserialize, Serialize};

use super::Clock;
use super::warmup::warm_up;
use crate::backend::{BackendError, Generator, Session};
use crate::data::Tensor;
use crate::measure::{Timeline, WarmupEnd};

/// The work of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub batch: usize,
    pub prompt_tokens: usize,
    pub new_tokens: usize,
}

/// How many requests a launch makes after its first call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRules {
    /// Requests before those that count, at least.
    pub warmup: u32,
    /// Nanoseconds that finding the steady state may take; `None` where `warmup` says it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detect: Option<u64>,
    pub min: u32,
    pub max: u32,
    /// Nanoseconds the counted requests must have taken before fewer than `max` are enough.
    pub min_time: u64,
}

/// First call, warm-up and counted requests on one generator. Greedy choice; end-of-text tokens do
/// not end a request, so that the work of all variants is equal.
///
/// `prompt` gives the tokens of the next request, row by row. Returns the first call's timeline
/// and those of the later requests in order, and why the warm-up ended.
pub fn single_stream(
    generator: &mut dyn Generator,
    prompt: &mut dyn FnMut() -> Vec<u32>,
    request: Request,
    rules: StreamRules,
    clock: &dyn Clock,
) -> Result<(Timeline, Vec<Timeline>, WarmupEnd), BackendError> {
    stream(rules, clock, &mut || {
        let tokens = prompt();
        complete(generator, &tokens, request, clock)
    })
}

/// The inputs of a run, and what making them took in nanoseconds, where that is measured.
#[derive(Debug, Default)]
pub struct Given {
    pub inputs: Vec<(String, Tensor)>,
    pub decode: Option<u64>,
    pub preprocess: Option<u64>,
}

/// The same for a graph: a request is one run on the inputs that `next` gives, `batch` items of
/// them, and ends when all outputs are there.
pub fn single_stream_of_runs<E: From<BackendError>>(
    session: &mut dyn Session,
    next: &mut dyn FnMut() -> Result<Given, E>,
    batch: u32,
    rules: StreamRules,
    clock: &dyn Clock,
) -> Result<(Timeline, Vec<Timeline>, WarmupEnd), E> {
    stream(rules, clock, &mut || run_once(session, next, batch, clock))
}

/// One run on the inputs that `next` gives.
pub fn run_once<E: From<BackendError>>(
    session: &mut dyn Session,
    next: &mut dyn FnMut() -> Result<Given, E>,
    batch: u32,
    clock: &dyn Clock,
) -> Result<Timeline, E> {
    let Given { inputs, decode, preprocess } = next()?;
    session.give(&inputs)?;
    let sent = clock.now();
    session.execute()?;
    let done = clock.now();
    // An output that cannot be taken is no answer, however fast it came.
    session.take()?;
    let (tokens, prompt_tokens) = (vec![done], None);
    let times = Timeline { sent, tokens, prompt_tokens, decode, preprocess, ..Timeline::default() };
    Ok(Timeline { batch, ..times })
}

/// First call, warm-up and counted requests, each made by `run`.
fn stream<E>(
    rules: StreamRules,
    clock: &dyn Clock,
    run: &mut dyn FnMut() -> Result<Timeline, E>,
) -> Result<(Timeline, Vec<Timeline>, WarmupEnd), E> {
    let first_call = run()?;
    let (mut requests, end) = warm_up(rules, clock, run)?;
    counted(rules, clock, &mut requests, run)?;
    Ok((first_call, requests, end))
}

/// Adds requests that count to `requests`, of which some may count already, until there are enough.
pub(super) fn counted<E>(
    rules: StreamRules,
    clock: &dyn Clock,
    requests: &mut Vec<Timeline>,
    run: &mut dyn FnMut() -> Result<Timeline, E>,
) -> Result<(), E> {
    let early = requests.iter().filter(|request| request.warmup).count();
    let begin = requests.get(early).map_or_else(|| clock.now(), |request| request.sent);
    let counted = |requests: &[Timeline]| (requests.len() - early) as u32;
    while counted(requests) < rules.max
        && (counted(requests) < rules.min || clock.now().saturating_sub(begin) < rules.min_time)
    {
        requests.push(run()?);
    }
    Ok(())
}

/// One request: its prompt, then tokens one by one, each chosen greedily.
pub fn complete(
    generator: &mut dyn Generator,
    prompt: &[u32],
    request: Request,
    clock: &dyn Clock,
) -> Result<Timeline, BackendError> {
    let mut tokens = Vec::with_capacity(request.new_tokens);
    let sent = clock.now();
    let mut logits = generator.prefill(prompt, request.batch)?;
    let mut next = logits.argmax();
    tokens.push(clock.now());
    while tokens.len() < request.new_tokens {
        logits = generator.decode(&next)?;
        next = logits.argmax();
        tokens.push(clock.now());
    }
    // After the last instant: a model that computes nothing must not be reported as fast.
    if logits.values.iter().any(|value| value.is_nan()) {
        return Err(BackendError::NotANumber);
    }
    Ok(Timeline {
        sent,
        tokens,
        prompt_tokens: Some((prompt.len() / request.batch.max(1)) as u32),
        batch: request.batch as u32,
        ..Timeline::default()
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::backend::Logits;
    use crate::model::Signature;

    struct Fake<'a> {
        clock: &'a Ticks,
        decoded: u32,
    }

    struct Ticks(Cell<u64>);

    impl Clock for Ticks {
        fn now(&self) -> u64 {
            self.0.get()
        }
    }

    impl Fake<'_> {
        fn spend(&self, nanos: u64, rows: usize) -> Logits {
            self.clock.0.set(self.clock.0.get() + nanos);
            Logits { values: [0.0, 1.0].repeat(rows), vocab: 2 }
        }
    }

    impl Generator for Fake<'_> {
        fn vocab(&self) -> usize {
            2
        }

        fn prefill(&mut self, tokens: &[u32], batch: usize) -> Result<Logits, BackendError> {
            Ok(self.spend(10 * tokens.len() as u64, batch))
        }

        fn decode(&mut self, tokens: &[u32]) -> Result<Logits, BackendError> {
            self.decoded += 1;
            assert!(tokens.iter().all(|&t| t == 1), "greedy choice");
            Ok(self.spend(7, tokens.len()))
        }

        fn score(&mut self, _: &[u32]) -> Result<Logits, BackendError> {
            unreachable!("a stream generates")
        }
    }

    #[test]
    fn instants_are_those_of_a_backend_with_known_durations() {
        let clock = Ticks(Cell::new(1000));
        let mut fake = Fake { clock: &clock, decoded: 0 };
        let request = Request { batch: 2, prompt_tokens: 3, new_tokens: 4 };
        let rules = StreamRules { warmup: 1, detect: None, min: 2, max: 5, min_time: 0 };
        let (first, rest, _) =
            single_stream(&mut fake, &mut || vec![0; 6], request, rules, &clock).unwrap();
        assert_eq!(first.sent, 1000);
        assert_eq!(first.tokens, [1060, 1067, 1074, 1081]);
        assert_eq!((first.prompt_tokens, first.batch), (Some(3), 2));
        let warm: Vec<_> = rest.iter().map(|t| t.warmup).collect();
        assert_eq!(warm, [true, false, false]);
        assert_eq!(fake.decoded, 4 * 3);
    }

    #[test]
    fn a_model_that_answers_with_no_numbers_is_an_error() {
        struct Broken;
        impl Generator for Broken {
            fn vocab(&self) -> usize {
                2
            }

            fn prefill(&mut self, _: &[u32], batch: usize) -> Result<Logits, BackendError> {
                Ok(Logits { values: [0.0, f32::NAN].repeat(batch), vocab: 2 })
            }

            fn decode(&mut self, tokens: &[u32]) -> Result<Logits, BackendError> {
                self.prefill(&[], tokens.len())
            }

            fn score(&mut self, _: &[u32]) -> Result<Logits, BackendError> {
                unreachable!("a stream generates")
            }
        }
        let clock = Ticks(Cell::new(0));
        let request = Request { batch: 1, prompt_tokens: 1, new_tokens: 2 };
        let rules = StreamRules { warmup: 0, detect: None, min: 1, max: 1, min_time: 0 };
        let result = single_stream(&mut Broken, &mut || vec![0], request, rules, &clock);
        assert!(matches!(result, Err(BackendError::NotANumber)));
    }

    #[test]
    fn short_requests_are_repeated_until_the_time_is_filled() {
        let clock = Ticks(Cell::new(0));
        let mut fake = Fake { clock: &clock, decoded: 0 };
        let request = Request { batch: 1, prompt_tokens: 1, new_tokens: 1 };
        let rules = StreamRules { warmup: 0, detect: None, min: 1, max: 100, min_time: 45 };
        let (_, rest, _) =
            single_stream(&mut fake, &mut || vec![0], request, rules, &clock).unwrap();
        assert_eq!(rest.len(), 5);
    }

    #[test]
    fn a_run_of_a_graph_is_a_request_with_one_instant_and_copies_are_not_timed() {
        struct Doubling<'a> {
            clock: &'a Ticks,
            signature: Signature,
        }
        impl Session for Doubling<'_> {
            fn signature(&self) -> &Signature {
                &self.signature
            }

            fn give(&mut self, _: &[(String, Tensor)]) -> Result<(), BackendError> {
                self.clock.0.set(self.clock.0.get() + 300);
                Ok(())
            }

            fn execute(&mut self) -> Result<(), BackendError> {
                self.clock.0.set(self.clock.0.get() + 5);
                Ok(())
            }

            fn take(&mut self) -> Result<Vec<(String, Tensor)>, BackendError> {
                self.clock.0.set(self.clock.0.get() + 700);
                Ok(Vec::new())
            }
        }
        let clock = Ticks(Cell::new(100));
        let signature = Signature { inputs: Vec::new(), outputs: Vec::new() };
        let mut session = Doubling { clock: &clock, signature };
        let mut made = 0;
        let mut next = || {
            made += 1;
            clock.0.set(clock.0.get() + 1000);
            let inputs = vec![("x".to_owned(), Tensor::of_f32(vec![1], &[made as f32]))];
            Ok::<_, BackendError>(Given { inputs, decode: Some(600), ..Given::default() })
        };
        let rules = StreamRules { warmup: 1, detect: None, min: 2, max: 2, min_time: 0 };
        let (first, rest, _) =
            single_stream_of_runs(&mut session, &mut next, 8, rules, &clock).unwrap();
        assert_eq!((first.sent, first.tokens.as_slice()), (1400, &[1405][..]));
        assert_eq!((first.batch, first.prompt_tokens), (8, None));
        assert_eq!((first.decode, first.preprocess), (Some(600), None));
        let warm: Vec<_> = rest.iter().map(|t| t.warmup).collect();
        assert_eq!(warm, [true, false, false]);
        assert_eq!(made, 4);
    }
}
