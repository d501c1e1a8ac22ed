//! A forward pass in `f64` with loops, written from the papers.
//!
//! It shares nothing with the engine but the readers of configuration and headers.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use engine::model::{Checkpoint, LlamaConfig};

/// A decoder with its weights as they are stored.
pub struct Naive {
    config: LlamaConfig,
    tensors: HashMap<String, Vec<f64>>,
}

impl Naive {
    /// Reads the f32 weights of a checkpoint folder.
    pub fn read(dir: &Path) -> Self {
        let bytes = fs::read(dir.join("model.safetensors")).unwrap();
        let checkpoint = Checkpoint::open(dir).unwrap();
        let values = |start: u64, end: u64| {
            let (words, _) = bytes[start as usize..end as usize].as_chunks::<4>();
            words.iter().map(|word| f64::from(f32::from_le_bytes(*word))).collect()
        };
        let tensors = checkpoint.tensors.iter();
        let tensors = tensors.map(|(name, (_, info))| (name.clone(), values(info.start, info.end)));
        let config = checkpoint.decoder("this test").unwrap().clone();
        Self { tensors: tensors.collect(), config }
    }

    pub fn without_biases(mut self) -> Self {
        let biases = self.tensors.iter_mut().filter(|(name, _)| name.contains("_proj.bias"));
        biases.for_each(|(_, values)| values.fill(0.0));
        self
    }

    /// The matrix `name` times `x`, plus the bias beside it where there is one.
    fn times(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let rows = self.tensors[&format!("{name}.weight")].chunks(x.len());
        let mut out: Vec<f64> =
            rows.map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect();
        if let Some(bias) = self.tensors.get(&format!("{name}.bias")) {
            out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
        }
        out
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let square: f64 = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (square + self.config.rms_norm_eps).sqrt();
        x.iter().zip(&self.tensors[&format!("{name}.weight")]).map(|(x, w)| x * scale * w).collect()
    }

    /// Turns element i of each head against element i + half by position × theta^(-2i / size).
    fn turn(&self, x: &mut [f64], position: usize) {
        let size = self.config.head_dim;
        for head in x.chunks_mut(size) {
            for i in 0..size / 2 {
                let exponent = -2.0 * i as f64 / size as f64;
                let angle = position as f64 * self.config.rope_theta.powf(exponent);
                let (a, b) = (head[i], head[i + size / 2]);
                head[i] = a * angle.cos() - b * angle.sin();
                head[i + size / 2] = a * angle.sin() + b * angle.cos();
            }
        }
    }

    /// What the last of `queries`, `keys` and `values` sees.
    fn attend(&self, query: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>]) -> Vec<f64> {
        let size = self.config.head_dim;
        let group = self.config.num_attention_heads / self.config.num_key_value_heads;
        let mut out = Vec::new();
        for (head, query) in query.chunks(size).enumerate() {
            let span = (head / group) * size..(head / group + 1) * size;
            let dot = |key: &Vec<f64>| -> f64 {
                key[span.clone()].iter().zip(query).map(|(k, q)| k * q).sum()
            };
            let weights: Vec<f64> =
                keys.iter().map(|key| (dot(key) / (size as f64).sqrt()).exp()).collect();
            let total: f64 = weights.iter().sum();
            for at in span.clone() {
                let sum = values.iter().zip(&weights).map(|(value, w)| value[at] * w / total);
                out.push(sum.sum());
            }
        }
        out
    }

    /// Logits of every position, row by row.
    pub fn logits(&self, ids: &[u32]) -> Vec<f64> {
        let hidden = self.config.hidden_size;
        let embedding = &self.tensors["model.embed_tokens.weight"];
        let row = |id: &u32| embedding[*id as usize * hidden..][..hidden].to_vec();
        let mut xs: Vec<Vec<f64>> = ids.iter().map(row).collect();
        for layer in 0..self.config.num_hidden_layers {
            let of = |part: &str| format!("model.layers.{layer}.{part}");
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for (position, x) in xs.iter_mut().enumerate() {
                let normed = self.norm(&of("input_layernorm"), x);
                let mut query = self.times(&of("self_attn.q_proj"), &normed);
                let mut key = self.times(&of("self_attn.k_proj"), &normed);
                self.turn(&mut query, position);
                self.turn(&mut key, position);
                keys.push(key);
                values.push(self.times(&of("self_attn.v_proj"), &normed));
                let seen = self.attend(&query, &keys, &values);
                let seen = self.times(&of("self_attn.o_proj"), &seen);
                x.iter_mut().zip(seen).for_each(|(x, seen)| *x += seen);
                let normed = self.norm(&of("post_attention_layernorm"), x);
                let gate = self.times(&of("mlp.gate_proj"), &normed);
                let up = self.times(&of("mlp.up_proj"), &normed);
                let inner: Vec<f64> =
                    gate.iter().zip(up).map(|(g, up)| g / (1.0 + (-g).exp()) * up).collect();
                let down = self.times(&of("mlp.down_proj"), &inner);
                x.iter_mut().zip(down).for_each(|(x, down)| *x += down);
            }
        }
        let head = match self.config.tie_word_embeddings {
            true => "model.embed_tokens",
            false => "lm_head",
        };
        xs.iter().flat_map(|x| self.times(head, &self.norm("model.norm", x))).collect()
    }
}
