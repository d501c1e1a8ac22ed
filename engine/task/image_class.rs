//! Classes of image processors of the reference library, and what each does where a file is silent.
//!
//! Only classes whose steps are scaling, cutting, rescaling and normalising are here. Values are
//! those of transformers 5.24.

use super::preprocess::Target;
use super::resample::Filter;

const CLIP_MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// What a class does where its file says nothing.
pub(super) struct Class {
    /// Its names without the endings.
    names: &'static [&'static str],
    /// `model_type` of the config.json whose processors are of this class.
    models: &'static [&'static str],
    pub size: Target,
    pub filter: Filter,
    pub crop: Option<(usize, usize)>,
    pub mean: [f64; 3],
    pub std: [f64; 3],
    /// One number as `size` is the shorter side, not both.
    pub is_shortest: bool,
    /// `size` counts after a cut, and the picture is first scaled to `size / crop_pct`.
    pub has_crop_pct: bool,
}

const HALF: [f64; 3] = [0.5; 3];

const CLIP: Class = Class {
    names: &["CLIP", "ChineseCLIP"],
    models: &["clip", "clip_vision_model", "chinese_clip"],
    size: Target::ShortestEdge(224),
    filter: Filter::Bicubic,
    crop: Some((224, 224)),
    mean: CLIP_MEAN,
    std: CLIP_STD,
    is_shortest: true,
    has_crop_pct: false,
};

const VIT: Class = Class {
    names: &["ViT"],
    models: &["vit"],
    size: Target::Exact { height: 224, width: 224 },
    filter: Filter::Bilinear,
    crop: None,
    mean: HALF,
    std: HALF,
    is_shortest: false,
    has_crop_pct: false,
};

const SIGLIP: Class = Class {
    names: &["Siglip"],
    models: &["siglip"],
    filter: Filter::Bicubic,
    is_shortest: true,
    ..VIT
};

const DEIT: Class = Class {
    names: &["DeiT"],
    models: &["deit"],
    size: Target::Exact { height: 256, width: 256 },
    filter: Filter::Bicubic,
    crop: Some((224, 224)),
    ..VIT
};

const CONVNEXT: Class = Class {
    names: &["ConvNext"],
    models: &["convnext", "convnextv2", "resnet", "regnet"],
    size: Target::ShortestEdge(384),
    filter: Filter::Bicubic,
    crop: None,
    mean: HALF,
    std: HALF,
    is_shortest: true,
    has_crop_pct: true,
};

const CLASSES: &[Class] = &[CLIP, VIT, SIGLIP, DEIT, CONVNEXT];

impl Class {
    /// The class with this name, such as `CLIPImageProcessor`, in the endings of all times.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        let name = name.strip_suffix("Fast").or(name.strip_suffix("Pil")).unwrap_or(name);
        let name = name.strip_suffix("ImageProcessor").or(name.strip_suffix("FeatureExtractor"))?;
        CLASSES.iter().find(|class| class.names.contains(&name))
    }

    /// The class of the processors of models with this `model_type`.
    pub(super) fn of_model(model_type: &str) -> Option<&'static Self> {
        CLASSES.iter().find(|class| class.models.contains(&model_type))
    }

    /// All names, for an error.
    pub(super) fn known() -> String {
        let names = CLASSES.iter().flat_map(|class| class.names);
        names.map(|name| format!("`{name}ImageProcessor`")).collect::<Vec<_>>().join(", ")
    }
}
