//! Requests one after the other, drawn from whatever the inputs come from.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::inputs::{Beside, InputError, InputPort, Named, TensorInputs};
use super::origin::Origin;
use super::pictures::{Pictures, PicturesError};
use super::recorded::{Item, RecordedError};
use crate::data::Look;

/// An endless, seeded sequence of requests. The same seed gives the same inputs to every variant.
pub struct Requests<'a> {
    ports: &'a [InputPort],
    from: Pool,
    batch: usize,
    generator: Pcg64,
}

/// What requests are drawn from, with replacement.
enum Pool {
    /// Rules of the ports.
    Rules,
    Items(Vec<Item>),
    /// Decoded for every request, because that is part of what is measured.
    Pictures(Box<Pictures>),
}

/// The inputs of a request, and what making them took.
#[derive(Debug, Default)]
pub struct Drawn {
    pub inputs: Named,
    /// Nanoseconds spent on reading and decoding pictures.
    pub decode: Option<u64>,
    /// Nanoseconds spent on turning pictures into tensors.
    pub preprocess: Option<u64>,
}

impl<'a> Requests<'a> {
    /// Requests of `batch` items; `model` as for [`TensorInputs::items`].
    pub fn open(
        inputs: &'a TensorInputs,
        model: Beside<'_>,
        batch: usize,
        seed: u64,
    ) -> Result<Self, InputError> {
        let from = match &inputs.origin {
            Origin::Synthetic => {
                inputs.affordable(batch)?;
                Pool::Rules
            }
            Origin::Pictures(file) => {
                let pictures = Pictures::open(file, &inputs.inputs, model, Look::Stamps)?;
                if batch > 1 && !pictures.are_alike() {
                    return Err(PicturesError::Unlike.into());
                }
                Pool::Pictures(Box::new(pictures))
            }
            _ => Pool::Items(inputs.items(model, 0, 0)?),
        };
        if let Pool::Items(items) = &from
            && batch > 1
        {
            side_by_side(&inputs.inputs, items)?;
        }
        let generator = Pcg64::seed_from_u64(seed);
        Ok(Self { ports: &inputs.inputs, from, batch, generator })
    }

    /// Goes on as if it had begun with another seed.
    pub fn reseed(&mut self, seed: u64) {
        self.generator = Pcg64::seed_from_u64(seed);
    }

    /// The inputs of the next request. `now` is a clock in nanoseconds.
    pub fn draw(&mut self, now: &dyn Fn() -> u64) -> Result<Drawn, InputError> {
        let (batch, generator) = (self.batch, &mut self.generator);
        match &mut self.from {
            Pool::Rules => {
                let drawn = self.ports.iter().map(|p| (p.name.clone(), p.draw(batch, generator)));
                Ok(Drawn { inputs: drawn.collect(), ..Drawn::default() })
            }
            Pool::Items(items) => {
                let chosen: Vec<&Item> =
                    (0..batch).map(|_| &items[generator.random_range(0..items.len())]).collect();
                Ok(Drawn { inputs: joined(self.ports, &chosen), ..Drawn::default() })
            }
            Pool::Pictures(pictures) => {
                let mut drawn = Drawn { decode: Some(0), preprocess: Some(0), ..Drawn::default() };
                let mut chosen = Vec::with_capacity(batch);
                for _ in 0..batch {
                    let at = generator.random_range(0..pictures.count());
                    let begin = now();
                    let picture = pictures.decode(at)?;
                    let decoded = now();
                    let inputs = pictures.tensors(&picture)?;
                    let done = now();
                    drawn.decode = drawn.decode.map(|sum| sum + (decoded - begin));
                    drawn.preprocess = drawn.preprocess.map(|sum| sum + (done - decoded));
                    chosen.push(Item { inputs, ..Item::default() });
                }
                drawn.inputs = joined(self.ports, &chosen.iter().collect::<Vec<_>>());
                Ok(drawn)
            }
        }
    }
}

/// Batched inputs of the items one after the other, the others as in the first item.
fn joined(ports: &[InputPort], chosen: &[&Item]) -> Named {
    let mut out = chosen[0].inputs.clone();
    for (at, port) in ports.iter().enumerate().filter(|(_, port)| port.is_batched()) {
        for item in &chosen[1..] {
            out[at].1.bytes.extend_from_slice(&item.inputs[at].1.bytes);
        }
        debug_assert_eq!(port.name, out[at].0);
        out[at].1.shape[0] *= chosen.len();
    }
    out
}

/// Items of one request must agree in everything but the contents of batched inputs.
fn side_by_side(ports: &[InputPort], items: &[Item]) -> Result<(), RecordedError> {
    let first = &items[0];
    for (number, item) in items.iter().enumerate() {
        for (at, port) in ports.iter().enumerate() {
            let (a, b) = (&first.inputs[at].1, &item.inputs[at].1);
            let fits = match (port.has_inner_batch(), port.is_batched()) {
                (true, _) => false,
                (false, true) => a.shape == b.shape,
                (false, false) => a == b,
            };
            if !fits {
                let input = port.name.clone();
                return Err(RecordedError::Unlike { input, item: number });
            }
        }
    }
    Ok(())
}
