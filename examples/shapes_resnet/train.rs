//! Training: fresh pictures at every step.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use candle_nn::loss::cross_entropy;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::network::{ResNet, Seen, labels};
use crate::optimizer::AdamW;
use crate::pictures::{SEED, Training};

type Failure = Box<dyn Error + Send + Sync>;

/// Weights are saved after this many steps.
const SAVE_EVERY: usize = 200;
/// The file that keeps what was measured, next to the weights.
pub const RECORD: &str = "training.json";

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
    /// Linear warm-up, then a cosine down to a hundredth of the highest rate.
    fn rate(&self, step: usize) -> f64 {
        if step < self.warm_up {
            return self.rate * (step + 1) as f64 / self.warm_up as f64;
        }
        let way = (step - self.warm_up) as f64 / (self.steps - self.warm_up).max(1) as f64;
        self.rate * (0.01 + 0.99 * 0.5 * (1.0 + (std::f64::consts::PI * way).cos()))
    }
}

/// Trains from fresh weights, saving every [`SAVE_EVERY`] steps and at the end.
pub fn train(folder: &Path, schedule: &Schedule) -> Result<(), Failure> {
    let mut network = ResNet::new()?;
    let (vars, labels) = (network.vars(), labels());
    let mut optimizer = AdamW::new(&vars);
    let mut stream = Training::default();
    println!("{} parameters, {schedule:?}", network.parameters());
    let start = Instant::now();
    let (mut losses, mut hits) = (Vec::new(), Vec::new());
    for step in 0..schedule.steps {
        let (pictures, own) = batch(&mut stream, &labels, schedule.batch);
        let mut seen = Seen::new();
        let scores = network.scores(&pictures, Some(&mut seen))?;
        let loss = cross_entropy(&scores, &Tensor::new(own.as_slice(), &Device::Cpu)?)?;
        let grads = gradients(&vars, &loss)?;
        let norm = optimizer.step(&vars, &grads, schedule.rate(step) as f32)?;
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
            fs::write(folder.join(RECORD), serde_json::to_string_pretty(&record)? + "\n")?;
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

/// The gradient of the loss for every weight.
fn gradients(vars: &[Var], loss: &Tensor) -> candle_core::Result<Vec<Vec<f32>>> {
    let mut store = loss.backward()?;
    let grads = vars.iter().map(|var| {
        let grad = store.remove(var).expect("every weight takes part in the loss");
        grad.flatten_all()?.to_vec1::<f32>()
    });
    grads.collect()
}

fn recent(values: &[f64], count: usize) -> f64 {
    let last = &values[values.len().saturating_sub(count)..];
    last.iter().sum::<f64>() / last.len() as f64
}

/// The processor's name and the number of its threads this process may use.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {threads} threads", name.map_or("unknown processor", |(_, name)| name))
}
