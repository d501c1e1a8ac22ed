//! What the programs that train a model share: learning rates, gradients, and what records say.

use std::f64::consts::PI;
use std::path::Path;
use std::{fs, io};

use candle_core::{Result, Tensor, Var};
use serde::Serialize;

/// Weights are saved after this many steps.
pub const SAVE_EVERY: usize = 200;
/// The file that keeps what was measured, next to the weights.
pub const RECORD: &str = "training.json";

/// How the learning rate moves over the steps of a training.
pub struct Rates {
    pub highest: f64,
    pub steps: usize,
    /// Steps until the highest rate is reached.
    pub warm_up: usize,
    /// Share of the highest rate that is left at the end.
    pub left: f64,
}

impl Rates {
    /// Linear warm-up, then a cosine down to what is left.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warm_up {
            return self.highest * (step + 1) as f64 / self.warm_up as f64;
        }
        let way = (step - self.warm_up) as f64 / (self.steps - self.warm_up).max(1) as f64;
        self.highest * (self.left + (1.0 - self.left) * 0.5 * (1.0 + (PI * way).cos()))
    }
}

/// The gradient of the loss for every weight.
pub fn gradients(vars: &[Var], loss: &Tensor) -> Result<Vec<Vec<f32>>> {
    let mut store = loss.backward()?;
    let grads = vars.iter().map(|var| {
        let grad = store.remove(var).expect("every weight takes part in the loss");
        grad.flatten_all()?.to_vec1::<f32>()
    });
    grads.collect()
}

/// Mean of the last `count` values.
pub fn recent(values: &[f64], count: usize) -> f64 {
    let last = &values[values.len().saturating_sub(count)..];
    last.iter().sum::<f64>() / last.len() as f64
}

/// Writes what was measured next to the weights.
pub fn keep(record: &impl Serialize, folder: &Path) -> io::Result<()> {
    fs::write(folder.join(RECORD), serde_json::to_string_pretty(record)? + "\n")
}

/// The processor's name and the number of its threads this process may use.
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {threads} threads", name.map_or("unknown processor", |(_, name)| name))
}
