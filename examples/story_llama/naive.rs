//! A second, naive implementation of the forward pass, to hold the engine's results to.
//!
//! It reads the shipped files alone, computes in `f64` with plain loops, one token after the
//! other, and shares no code with training.

use std::error::Error;
use std::fs;
use std::path::Path;

use half::bf16;
use safetensors::SafeTensors;
use serde_json::Value;

/// Documents are cut at this many tokens.
const CUT: usize = 512;

type Failure = Box<dyn Error + Send + Sync>;

/// A matrix in row-major order: one row per output.
///
/// Kept in `f32`, which holds every bf16 number exactly; all sums are in `f64`.
struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

struct Layer {
    attention_norm: Vec<f32>,
    q: Matrix,
    k: Matrix,
    v: Matrix,
    o: Matrix,
    mlp_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// The whole network.
pub struct Network {
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    theta: f64,
    eps: f64,
}

/// The keys and values of the positions so far, per layer.
#[derive(Default, Clone)]
struct Past {
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
}

impl Network {
    /// Reads `config.json` and `model.safetensors` of a folder.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let config: Value = serde_json::from_str(&fs::read_to_string(folder.join("config.json"))?)?;
        let whole = |key: &str| {
            config[key].as_u64().ok_or(format!("`{key}` is missing")).map(|n| n as usize)
        };
        let real = |key: &str| config[key].as_f64().ok_or(format!("`{key}` is missing"));
        let bytes = fs::read(folder.join("model.safetensors"))?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let matrix = |name: &str| -> Result<Matrix, Failure> {
            let tensor = tensors.tensor(&format!("model.{name}.weight"))?;
            let pairs = tensor.data().chunks_exact(2);
            let values = pairs.map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect();
            Ok(Matrix { columns: *tensor.shape().last().ok_or("a weight has a shape")?, values })
        };
        let layer = |n: usize| -> Result<Layer, Failure> {
            let part = |name: &str| matrix(&format!("layers.{n}.{name}"));
            Ok(Layer {
                attention_norm: part("input_layernorm")?.values,
                q: part("self_attn.q_proj")?,
                k: part("self_attn.k_proj")?,
                v: part("self_attn.v_proj")?,
                o: part("self_attn.o_proj")?,
                mlp_norm: part("post_attention_layernorm")?.values,
                gate: part("mlp.gate_proj")?,
                up: part("mlp.up_proj")?,
                down: part("mlp.down_proj")?,
            })
        };
        Ok(Self {
            embedding: matrix("embed_tokens")?,
            layers: (0..whole("num_hidden_layers")?).map(layer).collect::<Result<_, _>>()?,
            norm: matrix("norm")?.values,
            heads: whole("num_attention_heads")?,
            kv_heads: whole("num_key_value_heads")?,
            head_dim: whole("head_dim")?,
            theta: real("rope_theta")?,
            eps: real("rms_norm_eps")?,
        })
    }

    /// The logits after every token.
    pub fn logits(&self, ids: &[u32]) -> Vec<Vec<f64>> {
        let mut past = vec![Past::default(); self.layers.len()];
        ids.iter().map(|id| self.next(*id, &mut past)).collect()
    }

    /// The number of predicted tokens and the sum of their negative log-likelihoods.
    pub fn score(&self, ids: &[u32]) -> (usize, f64) {
        let ids = &ids[..ids.len().min(CUT)];
        let logits = self.logits(&ids[..ids.len() - 1]);
        let nll = logits.iter().zip(&ids[1..]).map(|(row, id)| {
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter().map(|x| (x - top).exp()).sum::<f64>().ln() + top - row[*id as usize]
        });
        (ids.len() - 1, nll.sum())
    }

    /// The most likely `count` tokens, one after the other; EOS does not stop them.
    pub fn greedy(&self, ids: &[u32], count: usize) -> Vec<u32> {
        let mut past = vec![Past::default(); self.layers.len()];
        let mut logits = Vec::new();
        for id in ids {
            logits = self.next(*id, &mut past);
        }
        let mut chosen = Vec::with_capacity(count);
        for _ in 0..count {
            let best = (0..logits.len())
                .fold(0, |best, at| if logits[at] > logits[best] { at } else { best });
            chosen.push(best as u32);
            logits = self.next(best as u32, &mut past);
        }
        chosen
    }

    fn next(&self, id: u32, past: &mut [Past]) -> Vec<f64> {
        let width = self.embedding.columns;
        let mut x = self.embedding.values[id as usize * width..][..width]
            .iter()
            .map(|x| f64::from(*x))
            .collect::<Vec<f64>>();
        for (layer, past) in self.layers.iter().zip(past) {
            let seen = self.attend(layer, &rms_norm(&x, &layer.attention_norm, self.eps), past);
            add(&mut x, &layer.o.times(&seen));
            let inner = rms_norm(&x, &layer.mlp_norm, self.eps);
            let gated: Vec<f64> = layer
                .gate
                .times(&inner)
                .iter()
                .zip(layer.up.times(&inner))
                .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
                .collect();
            add(&mut x, &layer.down.times(&gated));
        }
        self.embedding.times(&rms_norm(&x, &self.norm, self.eps))
    }

    fn attend(&self, layer: &Layer, x: &[f64], past: &mut Past) -> Vec<f64> {
        let position = past.keys.len();
        let d = self.head_dim;
        let q = self.rotated(layer.q.times(x), position);
        past.keys.push(self.rotated(layer.k.times(x), position));
        past.values.push(layer.v.times(x));
        let mut seen = vec![0.0; self.heads * d];
        for head in 0..self.heads {
            let shared = head / (self.heads / self.kv_heads) * d;
            let q = &q[head * d..][..d];
            let scores: Vec<f64> = past
                .keys
                .iter()
                .map(|k| dot(q, &k[shared..shared + d]) / (d as f64).sqrt())
                .collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            for (score, value) in scores.iter().zip(&past.values) {
                let weight = (score - top).exp() / sum;
                for at in 0..d {
                    seen[head * d + at] += weight * value[shared + at];
                }
            }
        }
        seen
    }

    fn rotated(&self, mut heads: Vec<f64>, position: usize) -> Vec<f64> {
        let half = self.head_dim / 2;
        for head in heads.chunks_exact_mut(self.head_dim) {
            for at in 0..half {
                let angle = position as f64 * self.theta.powf(-(at as f64) / half as f64);
                let (a, b) = (head[at], head[at + half]);
                head[at] = a * angle.cos() - b * angle.sin();
                head[at + half] = b * angle.cos() + a * angle.sin();
            }
        }
        heads
    }
}

impl Matrix {
    fn times(&self, x: &[f64]) -> Vec<f64> {
        self.values.chunks_exact(self.columns).map(|row| dot(row, x)).collect()
    }
}

fn rms_norm(x: &[f64], weight: &[f32], eps: f64) -> Vec<f64> {
    let scale = (dot(x, x) / x.len() as f64 + eps).sqrt().recip();
    x.iter().zip(weight).map(|(x, weight)| x * scale * f64::from(*weight)).collect()
}

/// Eight partial sums, so that the compiler may keep them side by side.
fn dot<T: Copy + Into<f64>>(a: &[T], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (*a).into() * b;
        }
    }
    sums.iter().sum()
}

fn add(x: &mut [f64], more: &[f64]) {
    x.iter_mut().zip(more).for_each(|(x, more)| *x += more);
}
