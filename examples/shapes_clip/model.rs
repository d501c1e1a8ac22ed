//! The weights: names, shapes and first values, and the files that Hugging Face's `CLIPModel`
//! reads.

use std::error::Error;
use std::fs;
use std::path::Path;

use candle_core::{Device, Result, Tensor, Var};
use indexmap::IndexMap;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::pictures::{SEED, SIDE};
use crate::tokenizer::{PAD_ID, start_and_end};

/// The sizes of a tower of transformer layers.
#[derive(Clone, Copy)]
pub struct Tower {
    pub hidden: usize,
    pub heads: usize,
    pub intermediate: usize,
    pub layers: usize,
}

pub const VISION: Tower = Tower { hidden: 128, heads: 4, intermediate: 256, layers: 4 };
pub const TEXT: Tower = Tower { hidden: 96, heads: 3, intermediate: 192, layers: 3 };

/// Pixels along each side of a patch.
pub const PATCH: usize = 8;
/// The longest text in tokens.
pub const POSITIONS: usize = 24;
/// The length of an embedding.
pub const PROJECTION: usize = 64;
pub const NORM_EPS: f64 = 1e-5;

/// The logarithm of 1 / 0.07, as in the paper (Radford and others, 2021).
const FIRST_SCALE: f64 = 2.6592;
/// Mean and deviation of the channels, from 0 to 1; those of the original CLIP.
pub const MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
pub const DEVIATION: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// Patches of a picture.
pub const PATCHES: usize = (SIDE / PATCH) * (SIDE / PATCH);

/// The trainable weights by name, in the order of the network.
pub struct Clip {
    pub vocabulary: usize,
    weights: IndexMap<String, Var>,
}

/// Name and dimensions of every weight.
fn shapes(vocabulary: usize) -> Vec<(String, Vec<usize>)> {
    let (text, vision) = (TEXT.hidden, VISION.hidden);
    let mut shapes = Vec::new();
    let mut add = |name: &str, dims: &[usize]| shapes.push((name.to_owned(), dims.to_vec()));
    add("text_model.embeddings.token_embedding.weight", &[vocabulary, text]);
    add("text_model.embeddings.position_embedding.weight", &[POSITIONS, text]);
    layers("text_model", TEXT, &mut add);
    norm("text_model.final_layer_norm", text, &mut add);
    add("text_projection.weight", &[PROJECTION, text]);
    add("vision_model.embeddings.class_embedding", &[vision]);
    add("vision_model.embeddings.patch_embedding.weight", &[vision, 3, PATCH, PATCH]);
    add("vision_model.embeddings.position_embedding.weight", &[PATCHES + 1, vision]);
    norm("vision_model.pre_layrnorm", vision, &mut add);
    layers("vision_model", VISION, &mut add);
    norm("vision_model.post_layernorm", vision, &mut add);
    add("visual_projection.weight", &[PROJECTION, vision]);
    add("logit_scale", &[]);
    shapes
}

fn norm(name: &str, hidden: usize, add: &mut impl FnMut(&str, &[usize])) {
    add(&format!("{name}.weight"), &[hidden]);
    add(&format!("{name}.bias"), &[hidden]);
}

fn layers(model: &str, tower: Tower, add: &mut impl FnMut(&str, &[usize])) {
    let Tower { hidden, intermediate, .. } = tower;
    for layer in 0..tower.layers {
        let at = format!("{model}.encoder.layers.{layer}");
        norm(&format!("{at}.layer_norm1"), hidden, add);
        let matrices = [
            ("self_attn.q_proj", hidden, hidden),
            ("self_attn.k_proj", hidden, hidden),
            ("self_attn.v_proj", hidden, hidden),
            ("self_attn.out_proj", hidden, hidden),
            ("mlp.fc1", intermediate, hidden),
            ("mlp.fc2", hidden, intermediate),
        ];
        for (name, outputs, inputs) in matrices {
            add(&format!("{at}.{name}.weight"), &[outputs, inputs]);
            add(&format!("{at}.{name}.bias"), &[outputs]);
        }
        norm(&format!("{at}.layer_norm2"), hidden, add);
    }
}

impl Clip {
    /// Draws fresh weights: matrices keep the size of what they are applied to, those that write
    /// to the residual stream add a share of it, embeddings are small.
    pub fn new(vocabulary: usize) -> Result<Self> {
        let mut rng = Pcg64::seed_from_u64(SEED);
        let mut weights = IndexMap::new();
        for (name, dims) in shapes(vocabulary) {
            let count: usize = dims.iter().product();
            let inputs = dims.iter().skip(1).product::<usize>() as f64;
            let writes = name.contains("out_proj") || name.contains("fc2");
            let depth = if name.starts_with("text") { TEXT.layers } else { VISION.layers };
            let values: Vec<f32> = if name == "logit_scale" {
                vec![FIRST_SCALE as f32]
            } else if name.ends_with("bias") {
                vec![0.0; count]
            } else if name.contains("norm") {
                vec![1.0; count]
            } else {
                let deviation = if name.contains("n_embedding") || dims.len() == 1 {
                    0.1
                } else if writes {
                    (inputs * 2.0 * depth as f64).sqrt().recip()
                } else {
                    inputs.sqrt().recip()
                };
                (0..count).map(|_| (normal(&mut rng) * deviation) as f32).collect()
            };
            weights.insert(name, Var::from_tensor(&Tensor::from_vec(values, dims, &Device::Cpu)?)?);
        }
        Ok(Self { vocabulary, weights })
    }

    /// The weight of a name that [`shapes`] lists.
    pub fn weight(&self, name: &str) -> &Tensor {
        self.weights[name].as_tensor()
    }

    /// All weights with their names, in the order of the network.
    pub fn named(&self) -> impl Iterator<Item = (&String, &Var)> {
        self.weights.iter()
    }

    pub fn parameters(&self) -> usize {
        self.weights.values().map(|var| var.elem_count()).sum()
    }

    /// Writes `model.safetensors` in f32 with Hugging Face's names, and the two config files.
    pub fn save(&self, folder: &Path) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
        fs::create_dir_all(folder)?;
        let mut tensors = Vec::new();
        for (name, var) in &self.weights {
            let values = var.as_tensor().flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            tensors.push((name, var.dims().to_vec(), bytes));
        }
        let views = tensors
            .iter()
            .map(|(name, dims, bytes)| {
                Ok((*name, TensorView::new(Dtype::F32, dims.clone(), bytes)?))
            })
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()?;
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        fs::write(
            folder.join("model.safetensors"),
            safetensors::serialize(views, Some(metadata))?,
        )?;
        for (name, value) in
            [("config.json", self.config()), ("preprocessor_config.json", preprocessor())]
        {
            fs::write(folder.join(name), format!("{value:#}\n"))?;
        }
        Ok(())
    }

    /// `config.json` as the Transformers library writes it.
    fn config(&self) -> Value {
        let (start, end) = start_and_end(self.vocabulary);
        let mut text = tower("clip_text_model", TEXT);
        text["vocab_size"] = json!(self.vocabulary);
        text["max_position_embeddings"] = json!(POSITIONS);
        text["bos_token_id"] = json!(start);
        text["eos_token_id"] = json!(end);
        text["pad_token_id"] = json!(PAD_ID);
        let mut vision = tower("clip_vision_model", VISION);
        vision["image_size"] = json!(SIDE);
        vision["patch_size"] = json!(PATCH);
        vision["num_channels"] = json!(3);
        json!({
            "architectures": ["CLIPModel"],
            "initializer_factor": 1.0,
            "logit_scale_init_value": FIRST_SCALE,
            "model_type": "clip",
            "projection_dim": PROJECTION,
            "text_config": text,
            "torch_dtype": "float32",
            "vision_config": vision,
        })
    }
}

fn tower(model_type: &str, tower: Tower) -> Value {
    json!({
        "attention_dropout": 0.0,
        "hidden_act": "quick_gelu",
        "hidden_size": tower.hidden,
        "intermediate_size": tower.intermediate,
        "layer_norm_eps": NORM_EPS,
        "model_type": model_type,
        "num_attention_heads": tower.heads,
        "num_hidden_layers": tower.layers,
        "projection_dim": PROJECTION,
    })
}

/// `preprocessor_config.json`: pictures of another size are resized and cropped to the true one.
fn preprocessor() -> Value {
    json!({
        "crop_size": { "height": SIDE, "width": SIDE },
        "do_center_crop": true,
        "do_convert_rgb": true,
        "do_normalize": true,
        "do_rescale": true,
        "do_resize": true,
        "image_mean": MEAN,
        "image_processor_type": "CLIPImageProcessor",
        "image_std": DEVIATION,
        "resample": 3,
        "rescale_factor": 1.0 / 255.0,
        "size": { "shortest_edge": SIDE },
    })
}

/// One standard normal number by the Box-Muller transform.
fn normal(rng: &mut Pcg64) -> f64 {
    let mut uniform = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let (u, v) = (uniform(), uniform());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
