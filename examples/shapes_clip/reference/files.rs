//! Reads the shipped files into the network.

use std::error::Error;
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use super::{Layer, Linear, Matrix, Network, Norm, Tower};

type Failure = Box<dyn Error + Send + Sync>;

/// A model folder under reading.
struct Files<'f> {
    tensors: SafeTensors<'f>,
    config: Value,
}

impl Network {
    /// Reads `config.json`, `preprocessor_config.json` and `model.safetensors` of a folder.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let json = |name: &str| -> Result<Value, Failure> {
            Ok(serde_json::from_str(&fs::read_to_string(folder.join(name))?)?)
        };
        let bytes = fs::read(folder.join("model.safetensors"))?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let files = Files { tensors, config: json("config.json")? };
        let preprocessor = json("preprocessor_config.json")?;
        let reals = |key: &str| -> Result<Vec<f64>, Failure> {
            let values = preprocessor[key].as_array().ok_or(format!("`{key}` is missing"))?;
            Ok(values.iter().filter_map(Value::as_f64).collect())
        };
        Ok(Self {
            text: files.tower("text", "final_layer_norm", "text_projection")?,
            tokens: files.matrix("text_model.embeddings.token_embedding.weight")?,
            end: files.whole("text_config", "eos_token_id")? as u32,
            vision: files.tower("vision", "post_layernorm", "visual_projection")?,
            class: files.values("vision_model.embeddings.class_embedding")?,
            patches: files.matrix("vision_model.embeddings.patch_embedding.weight")?,
            first_norm: files.norm("vision_model.pre_layrnorm", "vision_config")?,
            side: files.whole("vision_config", "image_size")?,
            patch: files.whole("vision_config", "patch_size")?,
            mean: reals("image_mean")?,
            deviation: reals("image_std")?,
            scale: f64::from(files.values("logit_scale")?[0]).exp(),
        })
    }
}

impl Files<'_> {
    fn whole(&self, section: &str, key: &str) -> Result<usize, Failure> {
        let value = self.config[section][key].as_u64();
        Ok(value.ok_or(format!("`{section}.{key}` is missing"))? as usize)
    }

    fn values(&self, name: &str) -> Result<Vec<f32>, Failure> {
        let numbers = self.tensors.tensor(name)?.data().chunks_exact(4);
        Ok(numbers.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    fn matrix(&self, name: &str) -> Result<Matrix, Failure> {
        let columns = self.tensors.tensor(name)?.shape().iter().skip(1).product();
        Ok(Matrix { columns, values: self.values(name)? })
    }

    fn linear(&self, name: &str) -> Result<Linear, Failure> {
        let weight = self.matrix(&format!("{name}.weight"))?;
        Ok(Linear { weight, bias: self.values(&format!("{name}.bias"))? })
    }

    fn norm(&self, name: &str, section: &str) -> Result<Norm, Failure> {
        let eps = self.config[section]["layer_norm_eps"].as_f64();
        Ok(Norm {
            weight: self.values(&format!("{name}.weight"))?,
            bias: self.values(&format!("{name}.bias"))?,
            eps: eps.ok_or(format!("`{section}.layer_norm_eps` is missing"))?,
        })
    }

    fn tower(&self, kind: &str, last_norm: &str, projection: &str) -> Result<Tower, Failure> {
        let (model, section) = (format!("{kind}_model"), format!("{kind}_config"));
        let layer = |n: usize| -> Result<Layer, Failure> {
            let at = format!("{model}.encoder.layers.{n}");
            let linear = |name: &str| self.linear(&format!("{at}.{name}"));
            Ok(Layer {
                norm1: self.norm(&format!("{at}.layer_norm1"), &section)?,
                q: linear("self_attn.q_proj")?,
                k: linear("self_attn.k_proj")?,
                v: linear("self_attn.v_proj")?,
                out: linear("self_attn.out_proj")?,
                norm2: self.norm(&format!("{at}.layer_norm2"), &section)?,
                fc1: linear("mlp.fc1")?,
                fc2: linear("mlp.fc2")?,
            })
        };
        let count = self.whole(&section, "num_hidden_layers")?;
        Ok(Tower {
            layers: (0..count).map(layer).collect::<Result<_, _>>()?,
            heads: self.whole(&section, "num_attention_heads")?,
            positions: self.matrix(&format!("{model}.embeddings.position_embedding.weight"))?,
            last_norm: self.norm(&format!("{model}.{last_norm}"), &section)?,
            projection: self.matrix(&format!("{projection}.weight"))?,
        })
    }
}
