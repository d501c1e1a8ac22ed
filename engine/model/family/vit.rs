//! Vision transformers with a classifier over the first position.
//!
//! Source: Dosovitskiy et al., 2021; layout and defaults as in transformers'
//! `ViTForImageClassification`. Input: `pixel_values` f32 (batch, channels, height, width);
//! output: `logits` (batch, classes).

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::describe::{ConfigFile, Description, Family};
use crate::model::ModelError;
use crate::model::fields::{Fields, LAYER_LIMIT, SIZE_LIMIT};
use crate::model::network::{Activation, Convolution, Linear, Network, Op, Value as Made, Weight};

pub struct Vit;

/// Sides of pictures and patches, and the number of patches; `usual` is the side of a patch where
/// the file names none.
pub(super) fn patches(
    fields: &Fields<'_>,
    usual: usize,
) -> Result<(usize, usize, usize), ModelError> {
    let image = fields.size("image_size", 1 << 14)?.unwrap_or(224);
    let patch = fields.size("patch_size", image)?.unwrap_or(usual);
    if patch > image {
        let what = format!("must be at least the patch's side {patch}, found {image}");
        return Err(fields.fault("image_size", what));
    }
    let side = image / patch;
    Ok((image, patch, side * side))
}

/// One layer that normalizes before it computes, as ViT and CLIP have them.
pub(super) struct PreNorm<'a> {
    pub names: PreNormNames,
    /// Of the layer's weights, without a trailing dot.
    pub at: String,
    /// Of its nodes.
    pub here: &'a str,
    pub hidden: usize,
    pub inner: usize,
    pub heads: usize,
    pub activation: Activation,
    pub epsilon: f64,
    pub causal: bool,
    /// Whether query, key and value have a bias.
    pub bias: bool,
}

/// Names of the weights of a layer below its prefix.
#[derive(Clone, Copy)]
pub(super) struct PreNormNames {
    pub before: &'static str,
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub output: &'static str,
    pub after: &'static str,
    pub inner: &'static str,
    pub outer: &'static str,
}

impl PreNorm<'_> {
    pub fn add(&self, n: &mut Network, x: Made) -> Made {
        let Self { at, here, hidden, inner, epsilon, names, .. } = self;
        let of =
            |name: &str, inputs, outputs| Linear::new(&format!("{at}.{name}"), inputs, outputs);
        let projection = |name: &str| match self.bias {
            true => of(name, *hidden, *hidden),
            false => Linear::without_bias(&format!("{at}.{name}"), *hidden, *hidden),
        };
        let norm = format!("{at}.{}", names.before);
        let y = n.layer_norm(&format!("{here}.before"), &norm, *hidden, *epsilon, x);
        let attention = Op::Attention {
            heads: self.heads,
            query: projection(names.query),
            key: projection(names.key),
            value: projection(names.value),
            causal: self.causal,
        };
        let y = n.node(format!("{here}.attention"), attention, &[y]);
        let y = n.linear(&format!("{here}.output"), of(names.output, *hidden, *hidden), y);
        let x = n.add(&format!("{here}.attention_sum"), y, x);
        let norm = format!("{at}.{}", names.after);
        let y = n.layer_norm(&format!("{here}.after"), &norm, *hidden, *epsilon, x);
        let y = n.linear(&format!("{here}.inner"), of(names.inner, *hidden, *inner), y);
        let y = n.activate(&format!("{here}.activation"), self.activation, y);
        let y = n.linear(&format!("{here}.outer"), of(names.outer, *inner, *hidden), y);
        n.add(&format!("{here}.sum"), y, x)
    }
}

const LAYER: PreNormNames = PreNormNames {
    before: "layernorm_before",
    query: "attention.attention.query",
    key: "attention.attention.key",
    value: "attention.attention.value",
    output: "attention.output.dense",
    after: "layernorm_after",
    inner: "intermediate.dense",
    outer: "output.dense",
};

impl Family for Vit {
    fn id(&self) -> &'static str {
        "vit"
    }

    fn about(&self) -> &'static str {
        "vision transformers that classify pictures"
    }

    fn model_types(&self) -> &'static [&'static str] {
        &["vit"]
    }

    fn read(&self, config: &ConfigFile<'_>) -> Result<Description, ModelError> {
        let fields = &config.fields;
        let hidden = fields.needed("hidden_size", SIZE_LIMIT)?;
        let inner = fields.needed("intermediate_size", SIZE_LIMIT)?;
        let layers = fields.needed("num_hidden_layers", LAYER_LIMIT)?;
        let heads = fields.heads("num_attention_heads", hidden, None)?;
        let epsilon = fields.epsilon("layer_norm_eps", 1e-12)?;
        let channels = fields.size("num_channels", 64)?.unwrap_or(3);
        let activation = fields.activation("hidden_act", Activation::Gelu)?;
        let bias = fields.get("qkv_bias").is_none() || fields.flag("qkv_bias")?;
        let (image, patch, count) = patches(fields, 16)?;
        let labels = fields.labels()?;

        let mut n = Network::default();
        let pixels = n.pixels(channels, image, image);
        let at = "vit.embeddings.patch_embeddings.projection";
        let convolution = Convolution {
            weight: Weight::new(format!("{at}.weight"), &[hidden, channels, patch, patch]),
            bias: Some(Weight::new(format!("{at}.bias"), &[hidden])),
            stride: patch,
            padding: 0,
        };
        let x = n.node("patches", Op::Convolution(convolution), &[pixels]);
        let x = n.node("patches.rows", Op::Patches, &[x]);
        let token = Weight::new("vit.embeddings.cls_token", &[1, 1, hidden]);
        let x = n.node("class", Op::Prepend { token }, &[x]);
        let table = Weight::new("vit.embeddings.position_embeddings", &[1, count + 1, hidden]);
        let positions = n.node("positions", Op::Row { table, row: 0 }, &[]);
        let mut x = n.add("embeddings", x, positions);
        for layer in 0..layers {
            let (at, here) = (format!("vit.encoder.layer.{layer}"), format!("layers.{layer}"));
            let names = LAYER;
            let here = here.as_str();
            let causal = false;
            let layer = PreNorm {
                names,
                at,
                here,
                hidden,
                inner,
                heads,
                activation,
                epsilon,
                causal,
                bias,
            };
            x = layer.add(&mut n, x);
        }
        let x = n.node("first", Op::FirstPosition, &[x]);
        let x = n.layer_norm("norm", "vit.layernorm", hidden, epsilon, x);
        let x = n.linear("classifier", Linear::new("classifier", hidden, labels.len()), x);
        n.output("logits", labels.len(), x);
        Ok(Description {
            family: self.id(),
            task: "image_classification",
            parts: IndexMap::from([("", n)]),
            context: None,
            vocab: None,
            labels,
            unused: vec!["vit.pooler."],
            assumed: Vec::new(),
        })
    }

    fn catalog(&self) -> Vec<(&'static str, Value)> {
        let vit = |image: usize,
                   patch: usize,
                   hidden: usize,
                   layers: usize,
                   heads: usize,
                   classes: usize| {
            json!({
                "architectures": ["ViTForImageClassification"], "model_type": "vit",
                "image_size": image, "patch_size": patch, "num_channels": 3,
                "hidden_size": hidden, "intermediate_size": 4 * hidden,
                "num_hidden_layers": layers, "num_attention_heads": heads,
                "hidden_act": "gelu", "layer_norm_eps": 1e-12, "qkv_bias": true,
                "id2label": numbered(classes), "torch_dtype": "float32",
            })
        };
        vec![
            ("vit-base-patch16-224", vit(224, 16, 768, 12, 12, 1000)),
            ("vit-tiny", vit(16, 4, 32, 2, 4, 5)),
        ]
    }
}

/// `id2label` of classes without names.
pub(super) fn numbered(classes: usize) -> Value {
    Value::Object(
        (0..classes)
            .map(|id| (id.to_string(), json!(format!("LABEL_{id}"))))
            .collect::<Map<_, _>>(),
    )
}
