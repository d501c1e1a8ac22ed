//! The network: Llama as Hugging Face's `LlamaForCausalLM` computes it, in trainable form.

use std::error::Error;
use std::fs;
use std::path::Path;

use candle_core::{Device, Result, Tensor, Var};
use half::bf16;
use rand::Rng;
use rand_pcg::Pcg64;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::corpus::SEED;
use crate::ops::{CausalSoftmax, CrossEntropy, RmsNorm, Rope, SwiGlu};
use crate::tokenizer::{BOS_ID, EOS_ID};

/// The sizes of a network.
#[derive(Clone, Copy)]
pub struct Shape {
    pub vocab: usize,
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub intermediate: usize,
    pub positions: usize,
    pub rope_theta: f64,
    pub norm_eps: f64,
}

impl Shape {
    /// The shipped model. Hidden and intermediate sizes are multiples of 256, the block of
    /// k-quants.
    pub const STORY: Shape = Shape {
        vocab: 1024,
        hidden: 256,
        layers: 6,
        heads: 8,
        kv_heads: 4,
        head_dim: 32,
        intermediate: 768,
        positions: 512,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
    };

    /// Name and dimensions of every weight, in the order of the network.
    pub fn weights(&self) -> Vec<(String, Vec<usize>)> {
        let (h, i) = (self.hidden, self.intermediate);
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let mut weights = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocab, h])];
        for layer in 0..self.layers {
            let parts: [(&str, Vec<usize>); 9] = [
                ("input_layernorm", vec![h]),
                ("self_attn.q_proj", vec![q, h]),
                ("self_attn.k_proj", vec![kv, h]),
                ("self_attn.v_proj", vec![kv, h]),
                ("self_attn.o_proj", vec![h, q]),
                ("post_attention_layernorm", vec![h]),
                ("mlp.gate_proj", vec![i, h]),
                ("mlp.up_proj", vec![i, h]),
                ("mlp.down_proj", vec![h, i]),
            ];
            weights.extend(
                parts.map(|(part, dims)| (format!("model.layers.{layer}.{part}.weight"), dims)),
            );
        }
        weights.push(("model.norm.weight".to_owned(), vec![h]));
        weights
    }

    /// The number of parameters; the tied output matrix counts once.
    pub fn parameters(&self) -> usize {
        self.weights().iter().map(|(_, dims)| dims.iter().product::<usize>()).sum()
    }

    /// `config.json` as the Transformers library writes it.
    pub fn config(&self) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": BOS_ID,
            "eos_token_id": EOS_ID,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate,
            "max_position_embeddings": self.positions,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "pretraining_tp": 1,
            "rms_norm_eps": self.norm_eps,
            "rope_scaling": null,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": true,
            "torch_dtype": "bfloat16",
            "use_cache": true,
            "vocab_size": self.vocab,
        })
    }
}

/// The trainable weights, in the order of [`Shape::weights`].
pub struct Llama {
    pub shape: Shape,
    pub names: Vec<String>,
    pub vars: Vec<Var>,
}

impl Llama {
    /// Draws fresh weights: norms are one, matrices normal with deviation 0.02, and those that
    /// write to the residual stream smaller by `sqrt(2 * layers)`.
    pub fn new(shape: Shape) -> Result<Self> {
        let mut rng = Pcg64::new(u128::from(SEED), 1000);
        let (mut names, mut vars) = (Vec::new(), Vec::new());
        for (name, dims) in shape.weights() {
            let count = dims.iter().product();
            let writes = name.contains("o_proj") || name.contains("down_proj");
            let deviation = if writes { 0.02 / (2.0 * shape.layers as f64).sqrt() } else { 0.02 };
            let values: Vec<f32> = match dims.len() {
                1 => vec![1.0; count],
                _ => (0..count).map(|_| (normal(&mut rng) * deviation) as f32).collect(),
            };
            vars.push(Var::from_tensor(&Tensor::from_vec(values, dims, &Device::Cpu)?)?);
            names.push(name);
        }
        Ok(Self { shape, names, vars })
    }

    /// Mean loss per token of `batch` windows of `length` tokens, given one after the other.
    pub fn loss(&self, inputs: &[u32], targets: &[u32], batch: usize) -> Result<Tensor> {
        let length = inputs.len() / batch;
        let embedding = self.vars[0].as_tensor();
        let mut x =
            embedding.index_select(&Tensor::from_slice(inputs, inputs.len(), &Device::Cpu)?, 0)?;
        for layer in self.vars[1..].chunks_exact(9) {
            x = (&x + self.attention(&self.norm(&x, &layer[0])?, &layer[1..5], batch, length)?)?;
            x = (&x + mlp(&self.norm(&x, &layer[5])?, &layer[6..])?)?;
        }
        let last = self.vars.last().expect("the final norm is the last weight");
        let logits = self.norm(&x, last)?.matmul(&embedding.t()?)?;
        logits.apply_op1(CrossEntropy { targets: targets.to_vec() })
    }

    /// Query heads that share a key head are stacked as extra rows, so nothing is repeated.
    fn attention(
        &self,
        x: &Tensor,
        weights: &[Var],
        batch: usize,
        length: usize,
    ) -> Result<Tensor> {
        let Shape { heads, kv_heads, head_dim, rope_theta, .. } = self.shape;
        let split = |weight: &Var, heads: usize| {
            x.matmul(&weight.t()?)?
                .reshape((batch, length, heads, head_dim))?
                .transpose(1, 2)?
                .contiguous()
        };
        let rope = || Rope { theta: rope_theta as f32, direction: 1.0 };
        let rows = heads / kv_heads * length;
        let q = split(&weights[0], heads)?
            .apply_op1(rope())?
            .reshape((batch, kv_heads, rows, head_dim))?;
        let k = split(&weights[1], kv_heads)?.apply_op1(rope())?;
        let v = split(&weights[2], kv_heads)?;
        let scale = (head_dim as f32).sqrt().recip();
        let seen = q.matmul(&k.t()?)?.apply_op1(CausalSoftmax { scale })?.matmul(&v)?;
        let joined =
            seen.reshape((batch, heads, length, head_dim))?.transpose(1, 2)?.contiguous()?;
        joined.reshape((batch * length, heads * head_dim))?.matmul(&weights[3].t()?)
    }

    fn norm(&self, x: &Tensor, weight: &Var) -> Result<Tensor> {
        x.apply_op2(weight.as_tensor(), RmsNorm { eps: self.shape.norm_eps as f32 })
    }

    /// Writes `model.safetensors` in bf16 with Hugging Face's names, and the two config files.
    pub fn save(&self, folder: &Path) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
        fs::create_dir_all(folder)?;
        let mut tensors = Vec::new();
        for (name, var) in self.names.iter().zip(&self.vars) {
            let values = var.as_tensor().flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> =
                values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
            tensors.push((name, var.dims().to_vec(), bytes));
        }
        let views = tensors
            .iter()
            .map(|(name, dims, bytes)| {
                Ok((*name, TensorView::new(Dtype::BF16, dims.clone(), bytes)?))
            })
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()?;
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        fs::write(
            folder.join("model.safetensors"),
            safetensors::serialize(views, Some(metadata))?,
        )?;
        fs::write(folder.join("config.json"), format!("{:#}\n", self.shape.config()))?;
        let generation =
            json!({ "bos_token_id": BOS_ID, "do_sample": false, "eos_token_id": EOS_ID });
        fs::write(folder.join("generation_config.json"), format!("{generation:#}\n"))?;
        Ok(())
    }
}

fn mlp(x: &Tensor, weights: &[Var]) -> Result<Tensor> {
    let (gate, up) = (x.matmul(&weights[0].t()?)?, x.matmul(&weights[1].t()?)?);
    gate.apply_op2(&up, SwiGlu)?.matmul(&weights[2].t()?)
}

/// One standard normal number by the Box-Muller transform.
fn normal(rng: &mut Pcg64) -> f64 {
    let mut uniform = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let (u, v) = (uniform(), uniform());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
