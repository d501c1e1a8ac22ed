//! Real backends as servers: a generator that answers prompts, a session that runs a graph.
//!
//! Inputs are made before the clock of the first request starts, and used in turn: making them while
//! requests wait would count as time of the server. Where they would fill more than
//! [`MOST_PREPARED`] bytes some are used again.

use super::single_stream::complete;
use super::{Clock, Given, Request, Server};
use crate::backend::{BackendError, Generator, Session};
use crate::measure::Timeline;

/// Bytes of inputs that are made beforehand, at most; one request's at least.
const MOST_PREPARED: usize = 256 << 20;

/// As many of `wanted` inputs as fit, each made by `make`, which also tells its bytes.
fn prepared<T, E>(
    wanted: u32,
    mut make: impl FnMut() -> Result<(T, usize), E>,
) -> Result<Vec<T>, E> {
    let (mut out, mut bytes) = (Vec::new(), 0);
    while (out.len() as u32) < wanted.max(1) && (bytes < MOST_PREPARED || out.is_empty()) {
        let (input, own) = make()?;
        out.push(input);
        bytes += own;
    }
    Ok(out)
}

/// Generates text, greedily, as `single_stream` does.
pub struct TextServer<'a> {
    generator: &'a mut dyn Generator,
    prompts: Vec<Vec<u32>>,
    request: Request,
    clock: &'a dyn Clock,
    served: usize,
}

impl<'a> TextServer<'a> {
    /// `prompt` gives the tokens of a request, row by row; `requests` are to come.
    pub fn new(
        generator: &'a mut dyn Generator,
        prompt: &mut dyn FnMut() -> Vec<u32>,
        request: Request,
        requests: u32,
        clock: &'a dyn Clock,
    ) -> Self {
        let make = || {
            let tokens = prompt();
            let bytes = size_of_val(tokens.as_slice());
            Ok::<_, std::convert::Infallible>((tokens, bytes))
        };
        let Ok(prompts) = prepared(requests, make);
        Self { generator, prompts, request, clock, served: 0 }
    }
}

impl<E: From<BackendError>> Server<E> for TextServer<'_> {
    fn serve(&mut self) -> Result<Timeline, E> {
        let prompt = &self.prompts[self.served % self.prompts.len()];
        self.served += 1;
        Ok(complete(self.generator, prompt, self.request, self.clock)?)
    }
}

/// Runs a graph. Its time is that from handing over the inputs until the outputs are taken: a server
/// copies both, and so do the requests that wait for it.
pub struct GraphServer<'a> {
    session: &'a mut dyn Session,
    inputs: Vec<Given>,
    batch: u32,
    clock: &'a dyn Clock,
    served: usize,
}

impl<'a> GraphServer<'a> {
    /// `next` gives the inputs of a request of `batch` items; `requests` are to come.
    pub fn new<E>(
        session: &'a mut dyn Session,
        next: &mut dyn FnMut() -> Result<Given, E>,
        batch: u32,
        requests: u32,
        clock: &'a dyn Clock,
    ) -> Result<Self, E> {
        let make = || {
            let given = next()?;
            let bytes = given.inputs.iter().map(|(_, tensor)| tensor.bytes.len()).sum();
            Ok((given, bytes))
        };
        let inputs = prepared(requests, make)?;
        Ok(Self { session, inputs, batch, clock, served: 0 })
    }
}

impl<E: From<BackendError>> Server<E> for GraphServer<'_> {
    fn serve(&mut self) -> Result<Timeline, E> {
        let count = self.inputs.len();
        let given = &mut self.inputs[self.served % count];
        self.served += 1;
        let sent = self.clock.now();
        self.session.give(&given.inputs)?;
        self.session.execute()?;
        self.session.take()?;
        // Making the inputs was timed once, however often they are used.
        let (decode, preprocess) = (given.decode.take(), given.preprocess.take());
        let tokens = vec![self.clock.now()];
        let times = Timeline { sent, tokens, decode, preprocess, ..Timeline::default() };
        Ok(Timeline { batch: self.batch, ..times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Logits;
    use crate::data::Tensor;
    use crate::model::Signature;
    use crate::scenario::Virtual;

    struct Echo<'a> {
        clock: &'a Virtual,
        prompts: Vec<u32>,
    }

    impl Generator for Echo<'_> {
        fn vocab(&self) -> usize {
            2
        }

        fn prefill(&mut self, tokens: &[u32], batch: usize) -> Result<Logits, BackendError> {
            self.prompts.push(tokens[0]);
            self.clock.spend(50);
            Ok(Logits { values: [0.0, 1.0].repeat(batch), vocab: 2 })
        }

        fn decode(&mut self, tokens: &[u32]) -> Result<Logits, BackendError> {
            self.clock.spend(7);
            Ok(Logits { values: [0.0, 1.0].repeat(tokens.len()), vocab: 2 })
        }

        fn score(&mut self, _: &[u32]) -> Result<Logits, BackendError> {
            unreachable!("a server generates")
        }
    }

    #[test]
    fn prompts_are_made_before_and_used_in_turn() {
        let clock = Virtual::default();
        let mut echo = Echo { clock: &clock, prompts: Vec::new() };
        let mut made = 0;
        let mut prompt = || {
            made += 1;
            clock.spend(1000);
            vec![made]
        };
        let request = Request { batch: 1, prompt_tokens: 1, new_tokens: 3 };
        let mut server = TextServer::new(&mut echo, &mut prompt, request, 2, &clock);
        let times: Vec<(u64, Vec<u64>)> = (0..3)
            .map(|_| Server::<BackendError>::serve(&mut server).unwrap())
            .map(|t| (t.sent, t.tokens))
            .collect();
        assert_eq!(times[0], (2000, vec![2050, 2057, 2064]));
        assert_eq!(times[1].0, 2064, "nothing is made in between");
        assert_eq!(echo.prompts, [1, 2, 1]);
    }

    #[test]
    fn a_graph_is_served_with_its_copies() {
        struct Doubling<'a> {
            clock: &'a Virtual,
            signature: Signature,
        }
        impl Session for Doubling<'_> {
            fn signature(&self) -> &Signature {
                &self.signature
            }

            fn give(&mut self, _: &[(String, Tensor)]) -> Result<(), BackendError> {
                self.clock.spend(3);
                Ok(())
            }

            fn execute(&mut self) -> Result<(), BackendError> {
                self.clock.spend(40);
                Ok(())
            }

            fn take(&mut self) -> Result<Vec<(String, Tensor)>, BackendError> {
                self.clock.spend(5);
                Ok(Vec::new())
            }
        }
        let clock = Virtual::default();
        let signature = Signature { inputs: Vec::new(), outputs: Vec::new() };
        let mut session = Doubling { clock: &clock, signature };
        let mut next = || {
            let inputs = vec![("x".to_owned(), Tensor::of_f32(vec![1], &[1.0]))];
            Ok::<_, BackendError>(Given { inputs, decode: Some(9), ..Given::default() })
        };
        let mut server = GraphServer::new(&mut session, &mut next, 4, 1, &clock).unwrap();
        let mut serve = || Server::<BackendError>::serve(&mut server).unwrap();
        let first = serve();
        assert_eq!((first.sent, first.tokens, first.batch), (0, vec![48], 4));
        assert_eq!((first.decode, serve().decode), (Some(9), None), "timed once");
    }

    #[test]
    fn inputs_that_do_not_fit_are_used_again() {
        let made = prepared(100, || Ok::<_, ()>(((), MOST_PREPARED / 4))).unwrap();
        assert_eq!(made.len(), 4);
        let huge = prepared(100, || Ok::<_, ()>(((), 2 * MOST_PREPARED))).unwrap();
        assert_eq!(huge.len(), 1);
    }
}
