//! The forward pass of both towers and the contrastive loss, in trainable form.

use candle_core::{Device, Result, Tensor};
use candle_nn::loss::cross_entropy;

use crate::model::{
    Clip, DEVIATION, MEAN, NORM_EPS, PATCH, PATCHES, PROJECTION, TEXT, Tower, VISION,
};
use crate::ops::{AddBias, LayerNorm, QuickGelu, Softmax};
use crate::pictures::SIDE;
use crate::tokenizer::PAD_ID;

/// The loss of a batch and the share of pictures whose own caption scores highest.
pub struct Judged {
    pub loss: Tensor,
    pub hits: f64,
}

impl Clip {
    /// Mean of the cross-entropies of finding each picture's caption and each caption's picture in
    /// the batch (Radford and others, 2021, figure 3).
    pub fn loss(&self, pictures: &[Vec<u8>], texts: &[Vec<u32>]) -> Result<Judged> {
        let (images, texts) = (unit(&self.images(pictures)?)?, unit(&self.texts(texts)?)?);
        let scale = self.weight("logit_scale").exp()?;
        let scores = images.matmul(&texts.t()?)?.broadcast_mul(&scale)?;
        let own = Tensor::arange(0, pictures.len() as u32, &Device::Cpu)?;
        let both = cross_entropy(&scores, &own)? + cross_entropy(&scores.t()?.contiguous()?, &own)?;
        let best = scores.argmax(1)?.to_vec1::<u32>()?;
        let hits = best.iter().zip(0..).filter(|(best, own)| *best == own).count();
        Ok(Judged { loss: (both? / 2.0)?, hits: hits as f64 / pictures.len() as f64 })
    }

    /// Embeddings of pictures before normalization, a row each.
    pub fn images(&self, pictures: &[Vec<u8>]) -> Result<Tensor> {
        let (count, hidden) = (pictures.len(), VISION.hidden);
        let weight = |name: &str| self.weight(&format!("vision_model.embeddings.{name}"));
        let values: Vec<f32> = pictures.iter().flat_map(|picture| patches(picture)).collect();
        let shape = (count * PATCHES, 3 * PATCH * PATCH);
        let kernel = weight("patch_embedding.weight").reshape((hidden, ()))?;
        let x = Tensor::from_vec(values, shape, &Device::Cpu)?.matmul(&kernel.t()?)?;
        let class = weight("class_embedding").broadcast_as((count, 1, hidden))?;
        let x = Tensor::cat(&[class, x.reshape((count, PATCHES, hidden))?], 1)?;
        let x = x.broadcast_add(weight("position_embedding.weight"))?;
        let x = self.norm("vision_model.pre_layrnorm", &x.reshape(((), hidden))?)?;
        let x = self.encode("vision_model", VISION, x, count)?;
        let first: Vec<u32> = (0..count).map(|at| (at * (PATCHES + 1)) as u32).collect();
        let x = x.index_select(&Tensor::new(first, &Device::Cpu)?, 0)?;
        let x = self.norm("vision_model.post_layernorm", &x)?;
        x.matmul(&self.weight("visual_projection.weight").t()?)?.reshape((count, PROJECTION))
    }

    /// Embeddings of texts before normalization, a row each. Shorter texts are padded behind
    /// their ends, where no earlier position sees them.
    pub fn texts(&self, texts: &[Vec<u32>]) -> Result<Tensor> {
        let (count, hidden) = (texts.len(), TEXT.hidden);
        let length = texts.iter().map(Vec::len).max().unwrap_or(0);
        let weight = |name: &str| self.weight(&format!("text_model.embeddings.{name}.weight"));
        let mut ids = Vec::with_capacity(count * length);
        let mut ends = Vec::with_capacity(count);
        for text in texts {
            ends.push((ids.len() + text.len() - 1) as u32);
            ids.extend(text);
            ids.resize(ends.len() * length, PAD_ID);
        }
        let x = weight("token_embedding").index_select(&Tensor::new(ids, &Device::Cpu)?, 0)?;
        let x = x
            .reshape((count, length, hidden))?
            .broadcast_add(&weight("position_embedding").narrow(0, 0, length)?)?;
        let x = self.encode("text_model", TEXT, x.reshape(((), hidden))?, count)?;
        let x = x.index_select(&Tensor::new(ends, &Device::Cpu)?, 0)?;
        let x = self.norm("text_model.final_layer_norm", &x)?;
        x.matmul(&self.weight("text_projection.weight").t()?)?.reshape((count, PROJECTION))
    }

    fn encode(&self, model: &str, tower: Tower, mut x: Tensor, count: usize) -> Result<Tensor> {
        for layer in 0..tower.layers {
            let at = format!("{model}.encoder.layers.{layer}");
            let inner = self.norm(&format!("{at}.layer_norm1"), &x)?;
            x = (&x + self.attention(&format!("{at}.self_attn"), tower, &inner, count)?)?;
            let inner = self.norm(&format!("{at}.layer_norm2"), &x)?;
            let inner = self.linear(&format!("{at}.mlp.fc1"), &inner)?.apply_op1(QuickGelu)?;
            x = (&x + self.linear(&format!("{at}.mlp.fc2"), &inner)?)?;
        }
        Ok(x)
    }

    fn attention(&self, at: &str, tower: Tower, x: &Tensor, count: usize) -> Result<Tensor> {
        let width = tower.hidden / tower.heads;
        let split = |name: &str| {
            self.linear(&format!("{at}.{name}"), x)?
                .reshape((count, (), tower.heads, width))?
                .transpose(1, 2)?
                .contiguous()
        };
        let (q, k, v) = (split("q_proj")?, split("k_proj")?, split("v_proj")?);
        let scale = (width as f32).sqrt().recip();
        let causal = at.starts_with("text");
        let weights = q.matmul(&k.t()?)?.apply_op1(Softmax { scale, causal })?;
        let seen = weights.matmul(&v)?.transpose(1, 2)?.contiguous()?;
        self.linear(&format!("{at}.out_proj"), &seen.reshape(((), tower.hidden))?)
    }

    fn linear(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        x.matmul(&self.weight(&weight).t()?)?.apply_op2(self.weight(&bias), AddBias)
    }

    fn norm(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let norm = LayerNorm { eps: NORM_EPS as f32 };
        x.apply_op3(self.weight(&weight), self.weight(&bias), norm)
    }
}

/// Normalized pixels, patch by patch; channels, rows and columns within each, as the kernel of
/// the patch embedding has them.
fn patches(picture: &[u8]) -> Vec<f32> {
    let mut values = Vec::with_capacity(picture.len());
    for patch in 0..PATCHES {
        let (top, left) = (patch / (SIDE / PATCH) * PATCH, patch % (SIDE / PATCH) * PATCH);
        for (channel, (mean, deviation)) in MEAN.iter().zip(DEVIATION).enumerate() {
            let (mean, deviation) = (*mean as f32, deviation as f32);
            for at in 0..PATCH * PATCH {
                let (y, x) = (top + at / PATCH, left + at % PATCH);
                let light = f32::from(picture[(y * SIDE + x) * 3 + channel]) / 255.0;
                values.push((light - mean) / deviation);
            }
        }
    }
    values
}

/// Rows scaled to length 1.
fn unit(x: &Tensor) -> Result<Tensor> {
    x.broadcast_div(&x.sqr()?.sum_keepdim(1)?.sqrt()?)
}
