//! Training: packed windows of the endless stream, two halves of a batch side by side.
//!
//! Documents follow each other as `BOS text EOS` and are cut into windows without regard to
//! their ends. Most steps see short windows; the last ones see the model's full length, so that
//! every position has been trained.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use candle_core::Result as TensorResult;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use crate::corpus;
use crate::model::{Llama, Shape};
use crate::optimizer::AdamW;
use crate::tokenizer::{self, EOS_ID};
use crate::training::{self, Rates, SAVE_EVERY, keep, machine, recent};

/// Threads that share a batch. Fixed, because it decides the order of gradient sums.
const WORKERS: usize = 2;
/// Window length of most steps.
const SHORT: usize = 256;

/// How long and how fast to train.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps of training.
    #[arg(long, default_value_t = 3000)]
    pub steps: usize,
    /// Steps at the end that see windows of the model's full length.
    #[arg(long, default_value_t = 500)]
    pub long_steps: usize,
    /// Tokens per step; a multiple of 1024.
    #[arg(long, default_value_t = 1024)]
    pub tokens: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 1.5e-3)]
    pub rate: f64,
    /// Steps until the highest learning rate is reached.
    #[arg(long, default_value_t = 100)]
    pub warm_up: usize,
    /// Stop after this many steps, whatever the schedule still has in store.
    #[arg(long)]
    pub stop_after: Option<usize>,
}

/// What a training run was and how it went.
#[derive(Serialize, Deserialize)]
pub struct Record {
    pub seed: u64,
    pub schedule: Schedule,
    /// Steps done, and how many of them saw the model's full length.
    pub steps: usize,
    pub long_steps: usize,
    pub tokens_seen: usize,
    pub wall_seconds: f64,
    /// Mean loss of the last [`SAVE_EVERY`] steps, in nats per token.
    pub last_loss: f64,
    pub machine: String,
}

impl Schedule {
    /// Down to a twentieth of the highest rate.
    fn rates(&self) -> Rates {
        Rates { highest: self.rate, steps: self.steps, warm_up: self.warm_up, left: 0.05 }
    }
}

/// Trains from fresh weights, saving every [`SAVE_EVERY`] steps and at the end.
pub fn train(folder: &Path, schedule: &Schedule) -> Result<(), Box<dyn Error + Send + Sync>> {
    let shape = Shape::STORY;
    let mut stream = Stream::new(tokenizer::read(folder)?);
    let llama = Llama::new(shape)?;
    let mut optimizer = AdamW::new(&llama.vars);
    println!("{} parameters, {schedule:?}", shape.parameters());
    let (rates, start) = (schedule.rates(), Instant::now());
    let mut losses = Vec::new();
    let end = schedule.stop_after.unwrap_or(schedule.steps).min(schedule.steps);
    for step in 0..end {
        let length =
            if step + schedule.long_steps >= schedule.steps { shape.positions } else { SHORT };
        let halves: Vec<Batch> = (0..WORKERS)
            .map(|_| stream.batch(schedule.tokens / WORKERS / length, length))
            .collect::<Result<_, _>>()?;
        let (loss, grads) = gradients(&llama, &halves)?;
        let norm = optimizer.step(&llama.vars, &grads, rates.at(step) as f32)?;
        losses.push(loss);
        let done = step + 1;
        if done <= 5 || done % 20 == 0 {
            let wall = start.elapsed().as_secs_f64();
            let speed = (done * schedule.tokens) as f64 / wall;
            println!(
                "step {done} loss {:.4} norm {norm:.2} {speed:.0} tokens/s {wall:.0} s",
                recent(&losses, 20)
            );
        }
        if done % SAVE_EVERY == 0 || done == end {
            llama.save(folder)?;
            let record = Record {
                seed: corpus::SEED,
                schedule: schedule.clone(),
                steps: done,
                long_steps: schedule.long_steps.saturating_sub(schedule.steps - done),
                tokens_seen: done * schedule.tokens,
                wall_seconds: start.elapsed().as_secs_f64(),
                last_loss: recent(&losses, SAVE_EVERY),
                machine: machine(),
            };
            keep(&record, folder)?;
        }
    }
    Ok(())
}

/// One worker's share of a batch: `windows` windows, and the same ones a token later.
struct Batch {
    windows: usize,
    inputs: Vec<u32>,
    targets: Vec<u32>,
}

/// The mean loss over all shares and the gradient of that mean for every weight.
fn gradients(llama: &Llama, shares: &[Batch]) -> TensorResult<(f64, Vec<Vec<f32>>)> {
    let one = |share: &Batch| -> TensorResult<(f64, Vec<Vec<f32>>)> {
        let loss = llama.loss(&share.inputs, &share.targets, share.windows)?;
        let grads = training::gradients(&llama.vars, &loss)?;
        Ok((f64::from(loss.to_scalar::<f32>()?), grads))
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = shares.iter().map(|share| scope.spawn(move || one(share))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect()
    });
    let part = 1.0 / shares.len() as f32;
    let mut total: Option<(f64, Vec<Vec<f32>>)> = None;
    for result in results {
        let (loss, grads) = result?;
        let (sum, sums) =
            total.get_or_insert_with(|| (0.0, grads.iter().map(|g| vec![0.0; g.len()]).collect()));
        *sum += loss * f64::from(part);
        for (sums, grads) in sums.iter_mut().zip(&grads) {
            sums.iter_mut().zip(grads).for_each(|(sum, g)| *sum += g * part);
        }
    }
    Ok(total.expect("there is at least one share"))
}

/// The training stories as one endless row of tokens.
struct Stream {
    tokenizer: Tokenizer,
    stories: Box<dyn Iterator<Item = String>>,
    buffer: Vec<u32>,
}

impl Stream {
    fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, stories: Box::new(corpus::training()), buffer: Vec::new() }
    }

    fn batch(
        &mut self,
        windows: usize,
        length: usize,
    ) -> Result<Batch, Box<dyn Error + Send + Sync>> {
        let count = windows * length;
        while self.buffer.len() <= count {
            let story = self.stories.next().expect("the stream is endless");
            self.buffer.extend(tokenizer::ids(&self.tokenizer, &story)?);
            self.buffer.push(EOS_ID);
        }
        let (inputs, targets) = (self.buffer[..count].to_vec(), self.buffer[1..=count].to_vec());
        self.buffer.drain(..count);
        Ok(Batch { windows, inputs, targets })
    }
}
