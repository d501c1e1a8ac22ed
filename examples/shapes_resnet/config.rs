//! The configuration files beside the weights.

use serde_json::{Map, Value, json};

use crate::network::{STEM, WIDTHS, labels};
use crate::pictures::SIDE;

/// Mean and deviation of the channels, from 0 to 1; those of `shapes_clip`.
pub const MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
pub const DEVIATION: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// `config.json` as the Transformers library writes it.
pub fn config() -> Value {
    let labels = labels();
    let numbers: Map<String, Value> =
        labels.iter().enumerate().map(|(id, label)| (label.clone(), json!(id))).collect();
    let names: Map<String, Value> =
        labels.into_iter().enumerate().map(|(id, label)| (id.to_string(), json!(label))).collect();
    json!({
        "architectures": ["ResNetForImageClassification"],
        "depths": WIDTHS.map(|_| 1),
        "downsample_in_bottleneck": false,
        "downsample_in_first_stage": false,
        "embedding_size": STEM,
        "hidden_act": "relu",
        "hidden_sizes": WIDTHS,
        "id2label": names,
        "label2id": numbers,
        "layer_type": "basic",
        "model_type": "resnet",
        "num_channels": 3,
        "problem_type": "single_label_classification",
        "torch_dtype": "float32",
    })
}

/// `preprocessor_config.json`: pictures of another size are resized and cropped to the true one.
pub fn preprocessor() -> Value {
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
