//! Training: fresh pictures at every step.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use candle_nn::loss::cross_entropy;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::network::{ResNet, Seen, labels};
use crate::optimizer::AdamW;
use crate::pictures::{SEED, Training};
use crate::training::{Rates, SAVE_EVERY, gradients, keep, machine, recent};

type Failure = Box<dyn Error + Send + Sync>;

/// How long and how fast to train.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps of training.
    #[arg(long, default_value_t = 3000)]
    pub steps: usize,
    /// Pictures per step.
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 4e-3)]
    pub rate: f64,
    /// Steps until the highest learning rate is reached.
    #[arg(long, default_value_t = 100)]
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
    /// Means over the last [`SAVE_EVERY`] steps: the loss in nats, and the share of pictures that
    /// get their class, both before the step that learns from them.
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
pub fn train(folder: &Path, schedule: &Schedule) -> Result<(), Failure> {
    let mut network = ResNet::new()?;
    let (vars, labels) = (network.vars(), labels());
    let mut optimizer = AdamW::new(&vars);
    let mut stream = Training::default();
    println!("{} parameters, {schedule:?}", network.parameters());
    let (rates, start) = (schedule.rates(), Instant::now());
    let (mut losses, mut hits) = (Vec::new(), Vec::new());
    for step in 0..schedule.steps {
        let (pictures, own) = batch(&mut stream, &labels, schedule.batch);
        let mut seen = Seen::new();
        let scores = network.scores(&pictures, Some(&mut seen))?;
        let loss = cross_entropy(&scores, &Tensor::new(own.as_slice(), &Device::Cpu)?)?;
        let grads = gradients(&vars, &loss)?;
        let norm = optimizer.step(&vars, &grads, rates.at(step) as f32)?;
        network.remember(seen);
        losses.push(f64::from(loss.to_scalar::<f32>()?));
        let best = scores.argmax(1)?.to_vec1::<u32>()?;
        let right = best.iter().zip(&own).filter(|(best, own)| best == own).count();
        hits.push(right as f64 / own.len() as f64);
        let done = step + 1;
        let wall_seconds = start.elapsed().as_secs_f64();
        if done <= 5 || done % 20 == 0 {
            println!(
                "step {done} loss {:.4} hits {:.3} norm {norm:.2} {wall_seconds:.1} s",
                recent(&losses, 20),
                recent(&hits, 20),
            );
        }
        if done % SAVE_EVERY == 0 || done == schedule.steps {
            network.save(folder)?;
            let record = Record {
                seed: SEED,
                schedule: schedule.clone(),
                steps: done,
                parameters: network.parameters(),
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

/// The next pictures of the stream and the numbers of their classes.
fn batch(stream: &mut Training, labels: &[String], count: usize) -> (Vec<Vec<u8>>, Vec<u32>) {
    let number = |class: &str| labels.iter().position(|label| label == class);
    let drawn = stream.take(count).map(|sample| {
        let own = number(&sample.class()).expect("every class is a label");
        (sample.picture(), own as u32)
    });
    drawn.unzip()
}
