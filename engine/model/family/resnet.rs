//! Residual convolutional networks that classify pictures.
//!
//! Source: He et al., 2016; layout and defaults as in transformers' `ResNetForImageClassification`
//! (version 1.5: the 3×3 convolution of a bottleneck strides). Input: `pixel_values` f32 (batch,
//! channels, side, side); output: `logits` (batch, classes).

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::describe::{ConfigFile, Description, Family, prepared};
use super::vit::numbered;
use crate::model::ModelError;
use crate::model::fields::{Fields, LAYER_LIMIT, SIZE_LIMIT};
use crate::model::network::{Activation, Convolution, Linear, Network, Op, Value as Made, Weight};

pub struct ResNet;

/// `layer_type` of a configuration.
#[derive(Clone, Copy, PartialEq)]
enum Block {
    Basic,
    /// Three convolutions of sides 1, 3 and 1; the first or the second strides.
    Bottleneck {
        narrow_strides: bool,
    },
}

/// A bottleneck has a fourth of the channels inside.
const REDUCTION: usize = 4;

/// Longest side of a picture.
const SIDE_LIMIT: usize = 1 << 14;

/// A convolution, its norm and, if there is one, an activation.
struct Unit<'a> {
    at: &'a str,
    inputs: usize,
    outputs: usize,
    side: usize,
    stride: usize,
    activation: Option<Activation>,
}

impl Unit<'_> {
    fn add(&self, n: &mut Network, x: Made) -> Made {
        let &Self { at, inputs, outputs, side, stride, activation } = self;
        let here = at.trim_start_matches("resnet.");
        let weight = |part: &str| Weight::new(format!("{at}.normalization.{part}"), &[outputs]);
        let convolution = Convolution {
            weight: Weight::new(format!("{at}.convolution.weight"), &[outputs, inputs, side, side]),
            bias: None,
            stride,
            padding: side / 2,
        };
        let x = n.node(here, Op::Convolution(convolution), &[x]);
        let norm = Op::BatchNorm {
            weight: weight("weight"),
            bias: weight("bias"),
            mean: weight("running_mean"),
            variance: weight("running_var"),
            epsilon: 1e-5,
        };
        let x = n.node(format!("{here}.norm"), norm, &[x]);
        match activation {
            Some(activation) => n.activate(&format!("{here}.activation"), activation, x),
            None => x,
        }
    }
}

/// A list of sizes, one for each stage.
fn sizes(fields: &Fields<'_>, field: &str, limit: usize) -> Result<Vec<usize>, ModelError> {
    let number = |value: &Value| {
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| (1..=limit).contains(size))
    };
    let list =
        fields.get(field).and_then(Value::as_array).filter(|list| (1..=16).contains(&list.len()));
    let list: Option<Vec<usize>> = list.and_then(|list| list.iter().map(number).collect());
    list.ok_or_else(|| fields.fault(field, format!("must be 1 to 16 integers from 1 to {limit}")))
}

impl Family for ResNet {
    fn id(&self) -> &'static str {
        "resnet"
    }

    fn about(&self) -> &'static str {
        "residual convolutional networks that classify pictures"
    }

    fn model_types(&self) -> &'static [&'static str] {
        &["resnet"]
    }

    fn read(&self, config: &ConfigFile<'_>) -> Result<Description, ModelError> {
        let fields = &config.fields;
        let stem = fields.size("embedding_size", SIZE_LIMIT)?.unwrap_or(64);
        let widths = sizes(fields, "hidden_sizes", SIZE_LIMIT)?;
        let depths = sizes(fields, "depths", LAYER_LIMIT)?;
        if widths.len() != depths.len() {
            return Err(fields.fault("depths", "must be as long as `hidden_sizes`"));
        }
        let channels = fields.size("num_channels", 64)?.unwrap_or(3);
        let activation = fields.activation("hidden_act", Activation::Relu)?;
        let block = match fields.text("layer_type")? {
            None | Some("bottleneck") => Block::Bottleneck { narrow_strides: false },
            Some("basic") => Block::Basic,
            Some(other) => {
                let what =
                    format!("is `{}`, supported are basic, bottleneck", crate::model::shown(other));
                return Err(fields.fault("layer_type", what));
            }
        };
        let block = match block {
            Block::Bottleneck { .. } => {
                Block::Bottleneck { narrow_strides: fields.flag("downsample_in_bottleneck")? }
            }
            Block::Basic => Block::Basic,
        };
        if matches!(block, Block::Bottleneck { .. })
            && let Some(narrowest) = widths.iter().find(|&&width| width < REDUCTION)
        {
            let what = format!("must be at least {REDUCTION} in a bottleneck, found {narrowest}");
            return Err(fields.fault("hidden_sizes", what));
        }
        let early = fields.flag("downsample_in_first_stage")?;
        // transformers' configuration has no size of pictures, the preprocessor decides.
        let [height, width] = match fields.size("image_size", SIDE_LIMIT)? {
            Some(side) => [side; 2],
            None => prepared(config, SIDE_LIMIT)?.unwrap_or([224; 2]),
        };
        let labels = fields.labels()?;

        let mut n = Network::default();
        let pixels = n.pixels(channels, height, width);
        let unit = Unit {
            at: "resnet.embedder.embedder",
            inputs: channels,
            outputs: stem,
            side: 7,
            stride: 2,
            activation: Some(activation),
        };
        let x = unit.add(&mut n, pixels);
        let mut x = n.node("embedder.pooler", Op::MaxPool { side: 3, stride: 2, padding: 1 }, &[x]);
        let mut inputs = stem;
        for (stage, (&width, &depth)) in widths.iter().zip(&depths).enumerate() {
            for layer in 0..depth {
                let stride = if layer == 0 && (stage > 0 || early) { 2 } else { 1 };
                let at = format!("resnet.encoder.stages.{stage}.layers.{layer}");
                x = residual(&mut n, &at, block, [inputs, width, stride], activation, x);
                inputs = width;
            }
        }
        let x = n.node("pooler", Op::GlobalAverage, &[x]);
        let x = n.linear("classifier", Linear::new("classifier.1", inputs, labels.len()), x);
        n.output("logits", labels.len(), x);
        Ok(Description {
            family: self.id(),
            task: "image_classification",
            parts: IndexMap::from([("", n)]),
            context: None,
            vocab: None,
            labels,
            unused: vec![".num_batches_tracked"],
            assumed: Vec::new(),
        })
    }

    fn catalog(&self) -> Vec<(&'static str, Value)> {
        let resnet = |stem: usize,
                      widths: &[usize],
                      depths: &[usize],
                      block: &str,
                      side: usize,
                      classes: usize| {
            json!({
                "architectures": ["ResNetForImageClassification"], "model_type": "resnet",
                "embedding_size": stem, "hidden_sizes": widths, "depths": depths,
                "layer_type": block, "hidden_act": "relu", "num_channels": 3,
                "image_size": side, "id2label": numbered(classes), "torch_dtype": "float32",
            })
        };
        vec![
            (
                "resnet-50",
                resnet(64, &[256, 512, 1024, 2048], &[3, 4, 6, 3], "bottleneck", 224, 1000),
            ),
            ("resnet-tiny", resnet(8, &[16, 32], &[1, 2], "bottleneck", 32, 5)),
        ]
    }
}

/// A block of two or three units beside a shortcut; `sizes` are inputs, outputs and stride.
fn residual(
    n: &mut Network,
    at: &str,
    block: Block,
    [inputs, outputs, stride]: [usize; 3],
    activation: Activation,
    x: Made,
) -> Made {
    let here = at.trim_start_matches("resnet.");
    let unit = |n: &mut Network,
                at: String,
                [inputs, outputs, side, stride]: [usize; 4],
                last: bool,
                x| {
        // Inside of a block it is always ReLU, whatever the configuration says.
        let activation = (!last).then_some(Activation::Relu);
        Unit { at: &at, inputs, outputs, side, stride, activation }.add(n, x)
    };
    let inner = |index: usize| format!("{at}.layer.{index}");
    let y = match block {
        Block::Basic => {
            let y = unit(n, inner(0), [inputs, outputs, 3, stride], false, x);
            unit(n, inner(1), [outputs, outputs, 3, 1], true, y)
        }
        Block::Bottleneck { narrow_strides } => {
            let narrow = outputs / REDUCTION;
            let strides = if narrow_strides { [stride, 1] } else { [1, stride] };
            let y = unit(n, inner(0), [inputs, narrow, 1, strides[0]], false, x);
            let y = unit(n, inner(1), [narrow, narrow, 3, strides[1]], false, y);
            unit(n, inner(2), [narrow, outputs, 1, 1], true, y)
        }
    };
    let shortcut = match inputs != outputs || stride != 1 {
        true => unit(n, format!("{at}.shortcut"), [inputs, outputs, 1, stride], true, x),
        false => x,
    };
    let sum = n.add(&format!("{here}.sum"), y, shortcut);
    n.activate(&format!("{here}.activation"), activation, sum)
}
