//! A second, naive implementation of the forward pass, to hold the engine's results to.
//!
//! It reads the shipped files alone, computes in `f64` with plain loops, one picture or text at a
//! time, and shares no code with training.

mod files;

type Rows = Vec<Vec<f64>>;

/// A matrix in row-major order: one row per output, or per position of an embedding.
///
/// Kept in `f32`, as the file has it; all sums are in `f64`.
struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

struct Linear {
    weight: Matrix,
    bias: Vec<f32>,
}

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f64,
}

struct Layer {
    norm1: Norm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    norm2: Norm,
    fc1: Linear,
    fc2: Linear,
}

/// What the two towers have in common.
struct Tower {
    layers: Vec<Layer>,
    heads: usize,
    positions: Matrix,
    last_norm: Norm,
    projection: Matrix,
}

/// The whole network.
pub struct Network {
    text: Tower,
    tokens: Matrix,
    end: u32,
    vision: Tower,
    class: Vec<f32>,
    patches: Matrix,
    first_norm: Norm,
    side: usize,
    patch: usize,
    mean: Vec<f64>,
    deviation: Vec<f64>,
    /// What cosines are multiplied by.
    pub scale: f64,
}

impl Network {
    /// The embedding of a picture of the model's own size, before normalization. Pixels are given
    /// row by row, red, green and blue of each.
    pub fn image(&self, pixels: &[u8]) -> Vec<f64> {
        let across = self.side / self.patch;
        let mut rows: Rows = vec![self.class.iter().map(|x| f64::from(*x)).collect()];
        for patch in 0..across * across {
            let mut window = Vec::new();
            for channel in 0..3 {
                for y in patch / across * self.patch..(patch / across + 1) * self.patch {
                    for x in patch % across * self.patch..(patch % across + 1) * self.patch {
                        let light = f64::from(pixels[(y * self.side + x) * 3 + channel]) / 255.0;
                        window.push((light - self.mean[channel]) / self.deviation[channel]);
                    }
                }
            }
            rows.push(self.patches.times(&window));
        }
        let tower = &self.vision;
        tower.add_positions(&mut rows);
        for row in &mut rows {
            *row = self.first_norm.of(row);
        }
        let rows = tower.run(rows, false);
        tower.projection.times(&tower.last_norm.of(&rows[0]))
    }

    /// The embedding of a text that has an end, before normalization.
    pub fn text(&self, ids: &[u32]) -> Vec<f64> {
        let width = self.tokens.columns;
        let row = |id: &u32| self.tokens.values[*id as usize * width..][..width].iter();
        let mut rows: Rows =
            ids.iter().map(|id| row(id).map(|x| f64::from(*x)).collect()).collect();
        let tower = &self.text;
        tower.add_positions(&mut rows);
        let rows = tower.run(rows, true);
        let end = ids.iter().position(|id| *id == self.end).unwrap_or(0);
        tower.projection.times(&tower.last_norm.of(&rows[end]))
    }
}

/// A vector scaled to length 1.
pub fn unit(x: &[f64]) -> Vec<f64> {
    let length = dot(x, x).sqrt();
    x.iter().map(|x| x / length).collect()
}

/// Eight partial sums, so that the compiler may keep them side by side.
pub fn dot<T: Copy + Into<f64>>(a: &[T], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (*a).into() * b;
        }
    }
    sums.iter().sum()
}

impl Tower {
    fn add_positions(&self, rows: &mut [Vec<f64>]) {
        for (row, position) in
            rows.iter_mut().zip(self.positions.values.chunks(self.positions.columns))
        {
            row.iter_mut().zip(position).for_each(|(x, position)| *x += f64::from(*position));
        }
    }

    fn run(&self, mut rows: Rows, causal: bool) -> Rows {
        for layer in &self.layers {
            let inner: Rows = rows.iter().map(|row| layer.norm1.of(row)).collect();
            for (row, seen) in rows.iter_mut().zip(self.attend(layer, &inner, causal)) {
                add(row, &layer.out.of(&seen));
            }
            for row in &mut rows {
                let mut inner = layer.fc1.of(&layer.norm2.of(row));
                for x in &mut inner {
                    *x /= 1.0 + (-1.702 * *x).exp();
                }
                add(row, &layer.fc2.of(&inner));
            }
        }
        rows
    }

    fn attend(&self, layer: &Layer, rows: &[Vec<f64>], causal: bool) -> Rows {
        let all = |linear: &Linear| -> Rows { rows.iter().map(|row| linear.of(row)).collect() };
        let (q, k, v) = (all(&layer.q), all(&layer.k), all(&layer.v));
        let d = q[0].len() / self.heads;
        let mut seen = vec![vec![0.0; d * self.heads]; rows.len()];
        for (at, seen) in seen.iter_mut().enumerate() {
            let last = if causal { at } else { rows.len() - 1 };
            for head in (0..self.heads).map(|head| head * d..(head + 1) * d) {
                let score =
                    |k: &Vec<f64>| dot(&q[at][head.clone()], &k[head.clone()]) / (d as f64).sqrt();
                let scores: Vec<f64> = k[..=last].iter().map(score).collect();
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|score| (score - top).exp()).sum();
                for (score, v) in scores.iter().zip(&v) {
                    let weight = (score - top).exp() / sum;
                    for x in head.clone() {
                        seen[x] += weight * v[x];
                    }
                }
            }
        }
        seen
    }
}

impl Matrix {
    fn times(&self, x: &[f64]) -> Vec<f64> {
        self.values.chunks_exact(self.columns).map(|row| dot(row, x)).collect()
    }
}

impl Linear {
    fn of(&self, x: &[f64]) -> Vec<f64> {
        let mut y = self.weight.times(x);
        y.iter_mut().zip(&self.bias).for_each(|(y, bias)| *y += f64::from(*bias));
        y
    }
}

impl Norm {
    fn of(&self, x: &[f64]) -> Vec<f64> {
        let count = x.len() as f64;
        let mean = x.iter().sum::<f64>() / count;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let scale = (variance + self.eps).sqrt().recip();
        x.iter()
            .zip(self.weight.iter().zip(&self.bias))
            .map(|(x, (weight, bias))| (x - mean) * scale * f64::from(*weight) + f64::from(*bias))
            .collect()
    }
}

fn add(x: &mut [f64], more: &[f64]) {
    x.iter_mut().zip(more).for_each(|(x, more)| *x += more);
}
