//! Llama, Mistral and Qwen2: RMSNorm, rotary positions, grouped-query attention, SwiGLU.

use candle_core::{D, DType, Device, IndexOp, Result, Tensor};
use candle_nn::kv_cache::KvCache;
use candle_nn::ops::{rms_norm, softmax_last_dim};
use candle_nn::rotary_emb::{rope, rope_i};

use super::{Matrix, PartWork, Weights, part};
use crate::model::{LlamaConfig, RopeScaling};

/// A Llama with its weights and its KV cache.
pub struct Llama {
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Tensor,
    /// `None` when the output projection is the embedding.
    head: Option<Matrix>,
    rotary: Rotary,
    eps: f32,
    dtype: DType,
    vocab: usize,
}

struct Layer {
    index: usize,
    attention_norm: Tensor,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    /// Biases of query, key and value.
    qkv_bias: Option<[Tensor; 3]>,
    output: Matrix,
    output_bias: Option<Tensor>,
    mlp_norm: Tensor,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    cache: KvCache,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

struct Rotary {
    /// Shape (capacity, head_dim / 2).
    cos: Tensor,
    sin: Tensor,
    interleaved: bool,
}

impl Llama {
    /// Takes all weights out of `weights`. Sequences may grow to `capacity` positions; activations
    /// and cache are kept in `dtype`.
    pub fn new(
        config: &LlamaConfig,
        weights: &mut dyn Weights,
        dtype: DType,
        capacity: usize,
    ) -> Result<Self> {
        let hidden = config.hidden_size;
        let embedding = weights.matrix("model.embed_tokens.weight", config.vocab_size, hidden)?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            layers.push(Layer::new(config, weights, index, capacity)?);
        }
        let norm = weights.vector("model.norm.weight", hidden)?;
        let head = match config.tie_word_embeddings {
            true => None,
            false => Some(weights.matrix("lm_head.weight", config.vocab_size, hidden)?),
        };
        let factors = weights.rope_factors(config.head_dim / 2)?;
        let rotary = Rotary::new(config, factors, weights.interleaved_rope(), dtype, capacity)?;
        let eps = config.rms_norm_eps as f32;
        Ok(Self { embedding, layers, norm, head, rotary, eps, dtype, vocab: config.vocab_size })
    }

    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Forgets every position seen.
    pub fn reset(&mut self) {
        for layer in &mut self.layers {
            layer.cache.reset();
        }
    }

    /// Runs `tokens` (batch, positions) after what the cache holds.
    ///
    /// Returns f32 logits of shape (batch, positions, vocab), or (batch, 1, vocab) for the last
    /// position alone: the output projection is a fifth of a small model's prefill.
    pub fn forward(&mut self, tokens: &Tensor, last_only: bool) -> Result<Tensor> {
        let (batch, positions) = tokens.dims2()?;
        let start = self.layers[0].cache.current_seq_len();
        let (mut xs, mask) = {
            let _part = part("embedding", None, || {
                PartWork::moved(positions * batch * self.norm.elem_count())
            });
            let xs = self.embedding.rows(tokens)?.to_dtype(self.dtype)?;
            (xs, causal_mask(positions, start, self.dtype)?)
        };
        for layer in &mut self.layers {
            xs = layer.forward(&xs, &self.rotary, start, mask.as_ref(), self.eps)?;
        }
        if last_only {
            xs = xs.i((.., positions - 1.., ..))?.contiguous()?;
        }
        let xs = {
            let _part = part("norm", None, || PartWork::elementwise(4, &[&xs], &[&xs]));
            rms_norm(&xs, &self.norm, self.eps)?
        };
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        let _part = part("head", None, || Matrix::work(&[head], &xs));
        head.apply(&xs)?.to_dtype(DType::F32)
    }
}

impl Layer {
    fn new(
        config: &LlamaConfig,
        weights: &mut dyn Weights,
        index: usize,
        capacity: usize,
    ) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (heads, kv_heads, head_dim) =
            (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
        let mut matrix = |name: &str, rows, cols| {
            weights.matrix(&format!("model.layers.{index}.{name}.weight"), rows, cols)
        };
        let query = matrix("self_attn.q_proj", heads * head_dim, hidden)?;
        let key = matrix("self_attn.k_proj", kv_heads * head_dim, hidden)?;
        let value = matrix("self_attn.v_proj", kv_heads * head_dim, hidden)?;
        let output = matrix("self_attn.o_proj", hidden, heads * head_dim)?;
        let gate = matrix("mlp.gate_proj", inner, hidden)?;
        let up = matrix("mlp.up_proj", inner, hidden)?;
        let down = matrix("mlp.down_proj", hidden, inner)?;
        let mut bias = |name: &str, len| {
            weights.vector(&format!("model.layers.{index}.self_attn.{name}_proj.bias"), len)
        };
        let qkv_bias = match config.qkv_bias {
            true => Some([
                bias("q", heads * head_dim)?,
                bias("k", kv_heads * head_dim)?,
                bias("v", kv_heads * head_dim)?,
            ]),
            false => None,
        };
        let output_bias = if config.output_bias { Some(bias("o", hidden)?) } else { None };
        let mut norm =
            |name: &str| weights.vector(&format!("model.layers.{index}.{name}.weight"), hidden);
        Ok(Self {
            index,
            attention_norm: norm("input_layernorm")?,
            mlp_norm: norm("post_attention_layernorm")?,
            query,
            key,
            value,
            qkv_bias,
            output,
            output_bias,
            gate,
            up,
            down,
            cache: KvCache::new(2, capacity),
            heads,
            kv_heads,
            head_dim,
        })
    }

    fn forward(
        &mut self,
        xs: &Tensor,
        rotary: &Rotary,
        start: usize,
        mask: Option<&Tensor>,
        eps: f32,
    ) -> Result<Tensor> {
        let layer = Some(self.index);
        let norm = |xs: &Tensor, weight: &Tensor| {
            let _part = part("norm", layer, || PartWork::elementwise(4, &[xs], &[xs]));
            rms_norm(xs, weight, eps)
        };
        let normed = norm(xs, &self.attention_norm)?;
        let xs = {
            let _part = part("attention", layer, || PartWork::elementwise(1, &[xs, xs], &[xs]));
            (xs + self.attend(&normed, rotary, start, mask)?)?
        };
        let normed = norm(&xs, &self.mlp_norm)?;
        let _part = part("mlp", layer, || PartWork::elementwise(1, &[&xs, &xs], &[&xs]));
        let both = {
            let matrices = [&self.gate, &self.up];
            let _part = part("mlp.gate_up", layer, || Matrix::work(&matrices, &normed));
            Matrix::apply_all(&matrices, &normed)?
        };
        let inner = {
            let (gate, up) = (&both[0], &both[1]);
            let _part = part("mlp.silu", layer, || PartWork::elementwise(5, &[gate, up], &[gate]));
            (gate.silu()? * up)?
        };
        let down = {
            let _part = part("mlp.down", layer, || Matrix::work(&[&self.down], &inner));
            self.down.apply(&inner)?
        };
        xs + down
    }

    /// Causal attention of the new positions over everything in the cache.
    ///
    /// Query heads that share a key head are stacked along the positions axis, so keys and values
    /// are never repeated in memory.
    fn attend(
        &mut self,
        xs: &Tensor,
        rotary: &Rotary,
        start: usize,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (batch, positions, _) = xs.dims3()?;
        let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
        let layer = Some(self.index);
        let projected = {
            let matrices = [&self.query, &self.key, &self.value];
            let _part = part("attention.qkv", layer, || Matrix::work(&matrices, xs));
            let mut projected = Matrix::apply_all(&matrices, xs)?;
            for (projected, bias) in projected.iter_mut().zip(self.qkv_bias.iter().flatten()) {
                *projected = projected.broadcast_add(bias)?;
            }
            projected
        };
        let by_head = |tensor: &Tensor, heads| {
            tensor.reshape((batch, positions, heads, head_dim))?.transpose(1, 2)?.contiguous()
        };
        let (query, key) = {
            let turned = [&projected[0], &projected[1]];
            let _part =
                part("attention.rope", layer, || PartWork::elementwise(3, &turned, &turned));
            let query = rotary.turn(&by_head(&projected[0], heads)?, start)?;
            (query, rotary.turn(&by_head(&projected[1], kv_heads)?, start)?)
        };
        let (keys, values) = {
            let new = [&projected[1], &projected[2]];
            let _part = part("attention.cache", layer, || PartWork::elementwise(0, &new, &new));
            self.cache.append(&key, &by_head(&projected[2], kv_heads)?)?
        };

        let group = heads / kv_heads;
        let query = query.reshape((batch, kv_heads, group * positions, head_dim))?;
        let merged = {
            let work = || PartWork::attention(&query, &keys, &values);
            let _part = part("attention.scores", layer, work);
            let scale = 1.0 / (head_dim as f64).sqrt();
            let mut scores = (query.matmul(&keys.t()?)? * scale)?;
            if let Some(mask) = mask {
                let seen = start + positions;
                scores = scores
                    .reshape((batch, kv_heads, group, positions, seen))?
                    .broadcast_add(mask)?
                    .reshape((batch, kv_heads, group * positions, seen))?;
            }
            // candle sums a softmax in the type of its input, and a sum of hundreds of weights in
            // bf16 is off by tens of percent.
            softmax_last_dim(&scores.to_dtype(DType::F32)?)?
                .to_dtype(values.dtype())?
                .matmul(&values)?
                .reshape((batch, heads, positions, head_dim))?
                .transpose(1, 2)?
                .reshape((batch, positions, heads * head_dim))?
        };
        let _part = part("attention.output", layer, || Matrix::work(&[&self.output], &merged));
        let output = self.output.apply(&merged)?;
        match &self.output_bias {
            Some(bias) => output.broadcast_add(bias),
            None => Ok(output),
        }
    }
}

impl Rotary {
    fn new(
        config: &LlamaConfig,
        factors: Option<Tensor>,
        interleaved: bool,
        dtype: DType,
        capacity: usize,
    ) -> Result<Self> {
        let half = config.head_dim / 2;
        // A GGUF file carries the factors of its scaling; the configuration of a checkpoint names a rule.
        let frequencies = match factors {
            Some(factors) => {
                let plain = RopeScaling::None.frequencies(config.head_dim, config.rope_theta);
                let factors = factors.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                plain.iter().zip(factors).map(|(frequency, factor)| frequency / factor).collect()
            }
            None => config.rope_scaling.frequencies(config.head_dim, config.rope_theta),
        };
        let frequencies = Tensor::from_vec(frequencies, (1, half), &Device::Cpu)?;
        let positions = Tensor::arange(0, capacity as u32, &Device::Cpu)?
            .to_dtype(DType::F32)?
            .reshape((capacity, 1))?;
        let angles = positions.matmul(&frequencies)?;
        Ok(Self {
            cos: angles.cos()?.to_dtype(dtype)?,
            sin: angles.sin()?.to_dtype(dtype)?,
            interleaved,
        })
    }

    /// Rotates `xs` (batch, heads, positions, head_dim) whose first position is number `start`.
    fn turn(&self, xs: &Tensor, start: usize) -> Result<Tensor> {
        let positions = xs.dim(D::Minus2)?;
        let cos = self.cos.narrow(0, start, positions)?;
        let sin = self.sin.narrow(0, start, positions)?;
        if self.interleaved { rope_i(xs, &cos, &sin) } else { rope(xs, &cos, &sin) }
    }
}

/// 0 where a position may look, minus infinity where it may not; `None` for a single position.
fn causal_mask(positions: usize, start: usize, dtype: DType) -> Result<Option<Tensor>> {
    if positions == 1 {
        return Ok(None);
    }
    let seen = start + positions;
    let values: Vec<f32> = (0..positions)
        .flat_map(|row| {
            (0..seen).map(move |col| if col > start + row { f32::NEG_INFINITY } else { 0.0 })
        })
        .collect();
    Tensor::from_vec(values, (positions, seen), &Device::Cpu)?.to_dtype(dtype).map(Some)
}
