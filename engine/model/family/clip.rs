//! CLIP: a picture tower and a text tower whose vectors share a space.
//!
//! Source: Radford et al., 2021; layout and defaults as in transformers' `CLIPModel`. The towers
//! are two networks, parts `image` and `text`, each with its projection, its vectors divided by
//! their length. Inputs: `pixel_values` f32 (batch, 3, height, width); `input_ids` i64 (batch,
//! sequence), whose end token carries the text's vector. No mask: a position looks back only, so
//! what is padded after the end token changes nothing.

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::describe::{ConfigFile, Description, Family, within};
use super::vit::{PreNorm, PreNormNames, patches};
use crate::model::ModelError;
use crate::model::fields::{CONTEXT_LIMIT, Fields, LAYER_LIMIT, SIZE_LIMIT, VOCAB_LIMIT};
use crate::model::network::{Activation, Convolution, Linear, Network, Op, Value as Made, Weight};

pub struct Clip;

/// Names of the parts.
pub const IMAGE: &str = "image";
pub const TEXT: &str = "text";

const LAYER: PreNormNames = PreNormNames {
    before: "layer_norm1",
    query: "self_attn.q_proj",
    key: "self_attn.k_proj",
    value: "self_attn.v_proj",
    output: "self_attn.out_proj",
    after: "layer_norm2",
    inner: "mlp.fc1",
    outer: "mlp.fc2",
};

/// Sizes that both towers have.
struct Tower {
    hidden: usize,
    inner: usize,
    layers: usize,
    heads: usize,
    activation: Activation,
    epsilon: f64,
}

impl Tower {
    /// Files of transformers leave out what is usual; `usual` are hidden size, inner size and
    /// heads.
    fn read(fields: &Fields<'_>, usual: [usize; 3]) -> Result<Self, ModelError> {
        let hidden = fields.size("hidden_size", SIZE_LIMIT)?.unwrap_or(usual[0]);
        Ok(Self {
            hidden,
            inner: fields.size("intermediate_size", SIZE_LIMIT)?.unwrap_or(usual[1]),
            layers: fields.size("num_hidden_layers", LAYER_LIMIT)?.unwrap_or(12),
            heads: fields.heads("num_attention_heads", hidden, Some(usual[2]))?,
            activation: fields.activation("hidden_act", Activation::QuickGelu)?,
            epsilon: fields.epsilon("layer_norm_eps", 1e-5)?,
        })
    }

    fn layers(&self, n: &mut Network, at: &str, causal: bool, mut x: Made) -> Made {
        for layer in 0..self.layers {
            let layer = PreNorm {
                names: LAYER,
                at: format!("{at}.encoder.layers.{layer}"),
                here: &format!("layers.{layer}"),
                hidden: self.hidden,
                inner: self.inner,
                heads: self.heads,
                activation: self.activation,
                epsilon: self.epsilon,
                causal,
                bias: true,
            };
            x = layer.add(n, x);
        }
        x
    }
}

fn image(fields: &Fields<'_>, shared: usize) -> Result<Network, ModelError> {
    let tower = Tower::read(fields, [768, 3072, 12])?;
    let (side, patch, count) = patches(fields, 32)?;
    let channels = fields.size("num_channels", 64)?.unwrap_or(3);
    let (hidden, at) = (tower.hidden, "vision_model");
    let mut n = Network::default();
    let pixels = n.pixels(channels, side, side);
    let convolution = Convolution {
        weight: Weight::new(
            format!("{at}.embeddings.patch_embedding.weight"),
            &[hidden, channels, patch, patch],
        ),
        bias: None,
        stride: patch,
        padding: 0,
    };
    let x = n.node("patches", Op::Convolution(convolution), &[pixels]);
    let x = n.node("patches.rows", Op::Patches, &[x]);
    let token = Weight::new(format!("{at}.embeddings.class_embedding"), &[hidden]);
    let x = n.node("class", Op::Prepend { token }, &[x]);
    let table =
        Weight::new(format!("{at}.embeddings.position_embedding.weight"), &[count + 1, hidden]);
    let positions = n.node("positions", Op::Positions { table, first: 0 }, &[x]);
    let x = n.add("embeddings", x, positions);
    // The name is spelled so.
    let x = n.layer_norm("norm_before", &format!("{at}.pre_layrnorm"), hidden, tower.epsilon, x);
    let x = tower.layers(&mut n, at, false, x);
    let x = n.node("first", Op::FirstPosition, &[x]);
    let x = n.layer_norm("norm", &format!("{at}.post_layernorm"), hidden, tower.epsilon, x);
    let x = n.linear("projection", Linear::without_bias("visual_projection", hidden, shared), x);
    let x = n.node("normalize", Op::Normalize, &[x]);
    n.output("image_embeds", shared, x);
    Ok(n)
}

fn text(
    fields: &Fields<'_>,
    shared: usize,
    vocab: usize,
    context: usize,
) -> Result<Network, ModelError> {
    let tower = Tower::read(fields, [512, 2048, 8])?;
    let (hidden, at) = (tower.hidden, "text_model");
    // Early configurations name 2 by mistake; the end token is then the largest id.
    let end = fields.tokens("eos_token_id")?.first().copied().unwrap_or(49_407);
    if end as usize >= vocab {
        let what = format!("must lie below `vocab_size` {vocab}, found {end}");
        return Err(fields.fault("eos_token_id", what));
    }
    let end = Some(end).filter(|&id| id != 2);
    let mut n = Network::default();
    let ids = n.tokens("input_ids");
    let table = Weight::new(format!("{at}.embeddings.token_embedding.weight"), &[vocab, hidden]);
    let x = n.node("tokens", Op::Embedding { table }, &[ids]);
    let table =
        Weight::new(format!("{at}.embeddings.position_embedding.weight"), &[context, hidden]);
    let positions = n.node("positions", Op::Positions { table, first: 0 }, &[ids]);
    let x = n.add("embeddings", x, positions);
    let x = tower.layers(&mut n, at, true, x);
    let x = n.layer_norm("norm", &format!("{at}.final_layer_norm"), hidden, tower.epsilon, x);
    let x = n.node("end", Op::PositionOf { id: end }, &[x, ids]);
    let x = n.linear("projection", Linear::without_bias("text_projection", hidden, shared), x);
    let x = n.node("normalize", Op::Normalize, &[x]);
    n.output("text_embeds", shared, x);
    Ok(n)
}

impl Family for Clip {
    fn id(&self) -> &'static str {
        "clip"
    }

    fn about(&self) -> &'static str {
        "CLIP: a picture tower and a text tower, run and optimized apart"
    }

    fn model_types(&self) -> &'static [&'static str] {
        &["clip"]
    }

    fn read(&self, config: &ConfigFile<'_>) -> Result<Description, ModelError> {
        let fields = &config.fields;
        let shared = fields.size("projection_dim", SIZE_LIMIT)?.unwrap_or(512);
        let words = fields.inner("text_config")?;
        let sized = |field, limit, usual| -> Result<usize, ModelError> {
            Ok(words.size(field, limit).map_err(within("text_config"))?.unwrap_or(usual))
        };
        let vocab = sized("vocab_size", VOCAB_LIMIT, 49_408)?;
        let context = sized("max_position_embeddings", CONTEXT_LIMIT, 77)?;
        let pictures = fields.inner("vision_config")?;
        let parts = IndexMap::from([
            (IMAGE, image(&pictures, shared).map_err(within("vision_config"))?),
            (TEXT, text(&words, shared, vocab, context).map_err(within("text_config"))?),
        ]);
        Ok(Description {
            family: self.id(),
            task: "zero_shot_image_classification",
            parts,
            context: Some(context),
            vocab: Some(vocab),
            labels: Vec::new(),
            unused: vec!["logit_scale", ".position_ids"],
            assumed: Vec::new(),
        })
    }

    fn catalog(&self) -> Vec<(&'static str, Value)> {
        let tower = |hidden: usize, layers: usize, heads: usize| {
            json!({
                "hidden_size": hidden, "intermediate_size": 4 * hidden,
                "num_hidden_layers": layers, "num_attention_heads": heads,
                "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
            })
        };
        let clip = |[image, patch, context, vocab, shared]: [usize; 5],
                    mut vision: Value,
                    mut text: Value| {
            vision["image_size"] = json!(image);
            vision["patch_size"] = json!(patch);
            text["max_position_embeddings"] = json!(context);
            text["vocab_size"] = json!(vocab);
            text["eos_token_id"] = json!(vocab - 1);
            json!({
                "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": shared,
                "vision_config": vision, "text_config": text, "torch_dtype": "float32",
            })
        };
        vec![
            (
                "clip-vit-base-patch32",
                clip([224, 32, 77, 49_408, 512], tower(768, 12, 12), tower(512, 12, 8)),
            ),
            ("clip-tiny", clip([16, 4, 12, 64, 16], tower(32, 2, 4), tower(24, 2, 4))),
        ]
    }
}
