//! Training: fresh pictures at every step, no caption twice within a batch.

use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use candle_core::Var;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use crate::model::Clip;
use crate::optimizer::AdamW;
use crate::pictures::{SEED, Training};
use crate::tokenizer;
use crate::training::{Rates, SAVE_EVERY, gradients, keep, machine, recent};

/// How long and how fast to train.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps of training.
    #[arg(long, default_value_t = 8000)]
    pub steps: usize,
    /// Pictures and captions per step.
    #[arg(long, default_value_t = 48)]
    pub batch: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 5e-4)]
    pub rate: f64,
    /// Steps until the highest learning rate is reached.
    #[arg(long, default_value_t = 150)]
    pub warm_up: usize,
}

/// What a training run was and how it went.
#[derive(Serialize, Deserialize)]
pub struct Record {
    pub seed: u64,
    pub schedule: Schedule,
    pub steps: usize,
    pub parameters: usize,
    pub wall_seconds: f64,
    /// Means over the last [`SAVE_EVERY`] steps: the loss in nats, and the share of pictures
    /// whose own caption scored highest in the batch.
    pub last_loss: f64,
    pub last_hits: f64,
    pub machine: String,
}

impl Schedule {
    /// Down to a hundredth of the highest rate.
    fn rates(&self) -> Rates {
        Rates { highest: self.rate, steps: self.steps, warm_up: self.warm_up, left: 0.01 }
    }
}

/// Trains from fresh weights, saving every [`SAVE_EVERY`] steps and at the end.
pub fn train(folder: &Path, schedule: &Schedule) -> Result<(), Box<dyn Error + Send + Sync>> {
    let vocabulary = tokenizer::write(folder)?;
    let tokenizer = Tokenizer::from_file(folder.join("tokenizer.json"))?;
    let clip = Clip::new(vocabulary)?;
    let vars: Vec<Var> = clip.named().map(|(_, var)| var.clone()).collect();
    let mut optimizer = AdamW::new(&vars);
    let mut stream = Training::default();
    println!("{} parameters, {vocabulary} tokens, {schedule:?}", clip.parameters());
    let (rates, start) = (schedule.rates(), Instant::now());
    let (mut losses, mut hits) = (Vec::new(), Vec::new());
    for step in 0..schedule.steps {
        let (pictures, texts) = batch(&mut stream, &tokenizer, schedule.batch)?;
        let judged = clip.loss(&pictures, &texts)?;
        let grads = gradients(&vars, &judged.loss)?;
        let norm = optimizer.step(&vars, &grads, rates.at(step) as f32)?;
        losses.push(f64::from(judged.loss.to_scalar::<f32>()?));
        hits.push(judged.hits);
        let done = step + 1;
        let wall_seconds = start.elapsed().as_secs_f64();
        if done <= 5 || done % 20 == 0 {
            println!(
                "step {done} loss {:.4} hits {:.3} norm {norm:.2} scale {:.2} {wall_seconds:.0} s",
                recent(&losses, 20),
                recent(&hits, 20),
                clip.weight("logit_scale").to_scalar::<f32>()?.exp(),
            );
        }
        if done % SAVE_EVERY == 0 || done == schedule.steps {
            clip.save(folder)?;
            let record = Record {
                seed: SEED,
                schedule: schedule.clone(),
                steps: done,
                parameters: clip.parameters(),
                wall_seconds,
                last_loss: recent(&losses, SAVE_EVERY),
                last_hits: recent(&hits, SAVE_EVERY),
                machine: machine(),
            };
            keep(&record, folder)?;
        }
    }
    Ok(())
}

type Batch = (Vec<Vec<u8>>, Vec<Vec<u32>>);

/// The next pictures of the stream and the tokens of their captions, none of them twice.
fn batch(
    stream: &mut Training,
    tokenizer: &Tokenizer,
    count: usize,
) -> Result<Batch, Box<dyn Error + Send + Sync>> {
    let mut told = HashSet::new();
    let (mut pictures, mut texts) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for sample in stream {
        if told.insert(sample.caption.clone()) {
            pictures.push(sample.picture());
            texts.push(tokenizer::ids(tokenizer, &sample.caption)?);
        }
        if texts.len() == count {
            break;
        }
    }
    Ok((pictures, texts))
}
