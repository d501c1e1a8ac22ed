//! Reads `preprocessor_config.json`, in the layouts the reference library has written over time.
//!
//! A class gives the defaults of what its file leaves out. Only classes whose steps are scaling,
//! cutting, rescaling and normalising are known; a field that asks for more is refused by name, so
//! that no picture is prepared in another way than its model expects.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::image_class::Class;
use super::preprocess::{ImageProcessor, PreprocessError, Target};
use super::resample::Filter;
use crate::base::text::inert;

/// Largest file.
const LIMIT: u64 = 1 << 20;

/// Longest side of a result.
const SIDE_LIMIT: u64 = 4096;

/// Steps that are not known here; false or null means that they are not taken.
const REFUSED: &[&str] = &[
    "do_pad",
    "do_flip_channel_order",
    "do_thumbnail",
    "do_align_long_axis",
    "do_align_axis",
    "do_crop_margin",
    "do_grayscale",
    "do_random_crop",
    "do_color_quantize",
    "do_image_splitting",
    "rescale_offset",
    "size_divisor",
];

impl ImageProcessor {
    /// Reads a `preprocessor_config.json`, or a `processor_config.json` with the same fields under
    /// `image_processor`. `model_type` of the model's `config.json` decides on the class when the
    /// file names none.
    pub fn read(path: &Path, model_type: Option<&str>) -> Result<Self, PreprocessError> {
        let failed = |source| PreprocessError::Read { path: path.to_owned(), source };
        if fs::metadata(path).map_err(failed)?.len() > LIMIT {
            let what = "is larger than 1 MiB".to_owned();
            return Err(PreprocessError::File { path: path.to_owned(), what });
        }
        Self::parse(path, &fs::read_to_string(path).map_err(failed)?, model_type)
    }

    /// Reads the text of such a file; `path` is only shown.
    pub fn parse(
        path: &Path,
        text: &str,
        model_type: Option<&str>,
    ) -> Result<Self, PreprocessError> {
        let fault = |what: String| PreprocessError::File { path: path.to_owned(), what };
        let whole: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| fault(format!("is not a JSON object: {error}")))?;
        let (prefix, map) = match whole.get("image_processor") {
            Some(Value::Object(inner)) => ("image_processor.", inner),
            _ => ("", &whole),
        };
        let fields = Fields { path, prefix, map };
        for field in REFUSED {
            match map.get(*field) {
                None | Some(Value::Null | Value::Bool(false)) => {}
                Some(_) => return Err(fields.fault(field, "asks for a step the engine lacks")),
            }
        }
        let class = fields.class(model_type)?;
        let crop = match fields.flag("do_center_crop", class.crop.is_some())? {
            true if class.has_crop_pct => {
                return Err(fields.fault("do_center_crop", "cuts a second time after `crop_pct`"));
            }
            true => Some(fields.crop(class)?),
            false => None,
        };
        let filter = fields.filter(class)?;
        let (resize, crop) = if fields.flag("do_resize", true)? {
            let (target, cut) = fields.target(class)?;
            (Some((target, filter)), cut.or(crop))
        } else {
            (None, crop)
        };
        let rescale_factor = match fields.flag("do_rescale", true)? {
            true => Some(fields.factor()?),
            false => None,
        };
        let normalize = match fields.flag("do_normalize", true)? {
            true => {
                let std = fields.channels("image_std", class.std)?;
                if std.contains(&0.0) {
                    return Err(fields.fault("image_std", "must not be 0"));
                }
                Some((fields.channels("image_mean", class.mean)?, std))
            }
            false => None,
        };
        Ok(Self { resize, crop, rescale_factor, normalize })
    }
}

/// The fields of a file, and errors that name them.
struct Fields<'a> {
    path: &'a Path,
    prefix: &'static str,
    map: &'a Map<String, Value>,
}

impl Fields<'_> {
    fn fault(&self, field: &str, what: impl Into<String>) -> PreprocessError {
        let field = format!("{}{field}", self.prefix);
        PreprocessError::Field { path: self.path.to_owned(), field, what: what.into() }
    }

    /// The value of a field; null is as good as none.
    fn get(&self, field: &str) -> Option<&Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    fn class(&self, model_type: Option<&str>) -> Result<&'static Class, PreprocessError> {
        let named = ["image_processor_type", "feature_extractor_type"];
        let named = named.into_iter().find_map(|field| Some((field, self.get(field)?)));
        let Some((field, value)) = named else {
            return model_type.and_then(Class::of_model).ok_or_else(|| {
                let what = format!("is missing; known are {}", Class::known());
                self.fault("image_processor_type", what)
            });
        };
        let found = value.as_str().ok_or_else(|| self.fault(field, "must be text"))?;
        Class::named(found).ok_or_else(|| {
            let what = format!("is `{}`, known are {}", inert(found), Class::known());
            self.fault(field, what)
        })
    }

    fn flag(&self, field: &str, usual: bool) -> Result<bool, PreprocessError> {
        match self.get(field) {
            None => Ok(usual),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.fault(field, "must be true or false")),
        }
    }

    fn side(&self, field: &str, value: &Value) -> Result<usize, PreprocessError> {
        if let Some(side @ 1..=SIDE_LIMIT) = value.as_u64() {
            return Ok(side as usize);
        }
        let found = inert(&value.to_string().chars().take(40).collect::<String>());
        let what = format!("must lie between 1 and {SIDE_LIMIT}, found {found}");
        Err(self.fault(field, what))
    }

    /// A size: one number, `[height, width]`, or an object with known keys.
    fn size(&self, field: &str, is_shortest: bool) -> Result<Option<Target>, PreprocessError> {
        let unknown = || {
            let what = "must be a number, {\"height\", \"width\"} or {\"shortest_edge\"}";
            Err(self.fault(field, what))
        };
        let target = match self.get(field) {
            None => return Ok(None),
            Some(value @ Value::Number(_)) => match (self.side(field, value)?, is_shortest) {
                (side, true) => Target::ShortestEdge(side),
                (side, false) => Target::Exact { height: side, width: side },
            },
            Some(Value::Array(sides)) => match sides.as_slice() {
                [height, width] => Target::Exact {
                    height: self.side(field, height)?,
                    width: self.side(field, width)?,
                },
                _ => return unknown(),
            },
            Some(Value::Object(sides)) => {
                let has = |key| sides.get(key).filter(|value: &&Value| !value.is_null());
                let keys = sides.values().filter(|value| !value.is_null()).count();
                match (has("height"), has("width"), has("shortest_edge"), keys) {
                    (Some(height), Some(width), None, 2) => Target::Exact {
                        height: self.side(&format!("{field}.height"), height)?,
                        width: self.side(&format!("{field}.width"), width)?,
                    },
                    (None, None, Some(edge), 1) => {
                        Target::ShortestEdge(self.side(&format!("{field}.shortest_edge"), edge)?)
                    }
                    _ => return unknown(),
                }
            }
            Some(_) => return unknown(),
        };
        Ok(Some(target))
    }

    fn crop(&self, class: &Class) -> Result<(usize, usize), PreprocessError> {
        match (self.size("crop_size", false)?, class.crop) {
            (Some(Target::Exact { height, width }), _) => Ok((height, width)),
            (Some(Target::ShortestEdge(_)), _) => {
                Err(self.fault("crop_size", "needs both `height` and `width`"))
            }
            (None, Some(usual)) => Ok(usual),
            (None, None) => Err(self.fault("crop_size", "is missing")),
        }
    }

    /// What a picture is scaled to, and the cut that belongs to `crop_pct`.
    fn target(&self, class: &Class) -> Result<(Target, Option<(usize, usize)>), PreprocessError> {
        let target = self.size("size", class.is_shortest)?.unwrap_or(class.size);
        if !class.has_crop_pct {
            return Ok((target, None));
        }
        let Target::ShortestEdge(edge) = target else {
            return Err(self.fault("size", "needs `shortest_edge` where `crop_pct` counts"));
        };
        if edge >= 384 {
            return Ok((Target::Exact { height: edge, width: edge }, None));
        }
        let share = match self.get("crop_pct").map(Value::as_f64) {
            None => 224.0 / 256.0,
            Some(Some(share)) if (0.1..=1.0).contains(&share) => share,
            Some(_) => return Err(self.fault("crop_pct", "must lie between 0.1 and 1")),
        };
        Ok((Target::ShortestEdge((edge as f64 / share) as usize), Some((edge, edge))))
    }

    fn filter(&self, class: &Class) -> Result<Filter, PreprocessError> {
        let Some(value) = self.get("resample") else { return Ok(class.filter) };
        let filter = value.as_u64().and_then(|n| Filter::ALL.get(usize::try_from(n).ok()?));
        filter.copied().ok_or_else(|| self.fault("resample", "must be a filter from 0 to 5"))
    }

    fn factor(&self) -> Result<f64, PreprocessError> {
        match self.get("rescale_factor").map(Value::as_f64) {
            None => Ok(1.0 / 255.0),
            Some(Some(factor)) if factor > 0.0 && factor <= 1.0 => Ok(factor),
            Some(_) => Err(self.fault("rescale_factor", "must lie above 0 and be at most 1")),
        }
    }

    /// A number for each of red, green and blue, or one for all.
    fn channels(&self, field: &str, usual: [f64; 3]) -> Result<[f64; 3], PreprocessError> {
        let number = |value: &Value| value.as_f64().filter(|n| n.abs() <= 1e6);
        let found = match self.get(field) {
            None => return Ok(usual),
            Some(Value::Array(values)) => match values.as_slice() {
                [red, green, blue] => Some([number(red), number(green), number(blue)]),
                _ => None,
            },
            Some(value) => Some([number(value); 3]),
        };
        match found {
            Some([Some(red), Some(green), Some(blue)]) => Ok([red, green, blue]),
            _ => Err(self.fault(field, "must be one number or three, for red, green and blue")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<ImageProcessor, String> {
        let parsed = ImageProcessor::parse(Path::new("p.json"), text, None);
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn layouts_of_all_times_mean_the_same() {
        let clip = parse(r#"{"image_processor_type": "CLIPImageProcessor"}"#).unwrap();
        let filter = Filter::Bicubic;
        assert_eq!(clip.resize, Some((Target::ShortestEdge(224), filter)));
        assert_eq!((clip.crop, clip.rescale_factor), (Some((224, 224)), Some(1.0 / 255.0)));
        for other in [
            r#"{"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224,
                "resample": 3, "do_center_crop": true, "do_normalize": true, "do_resize": true}"#,
            r#"{"image_processor_type": "CLIPImageProcessorFast", "size": {"shortest_edge": 224},
                "crop_size": {"height": 224, "width": 224}, "image_mean": null, "do_pad": null}"#,
            r#"{"processor_class": "CLIPProcessor", "image_processor":
                {"image_processor_type": "CLIPImageProcessor", "do_pad": false}}"#,
        ] {
            assert_eq!(parse(other).unwrap(), clip, "{other}");
        }
        let by_model = ImageProcessor::parse(Path::new("p.json"), "{}", Some("clip")).unwrap();
        assert_eq!(by_model, clip);
        let vit = r#"{"feature_extractor_type": "ViTFeatureExtractor", "size": 32, "resample": 2}"#;
        let vit = parse(vit).unwrap();
        assert_eq!(vit.output_size(), Some((32, 32)));
        assert_eq!(vit.normalize, Some(([0.5; 3], [0.5; 3])));
        let resnet = r#"{"feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": 0.875,
            "size": 224, "resample": 3, "image_mean": [0.485, 0.456, 0.406], "image_std": 0.25}"#;
        let resnet = parse(resnet).unwrap();
        assert_eq!(resnet.resize, Some((Target::ShortestEdge(256), filter)));
        assert_eq!(resnet.crop, Some((224, 224)));
        assert_eq!(resnet.normalize, Some(([0.485, 0.456, 0.406], [0.25; 3])));
        let large = r#"{"image_processor_type": "ConvNextImageProcessor"}"#;
        let large = parse(large).unwrap();
        assert_eq!((large.output_size(), large.crop), (Some((384, 384)), None));
        let off = r#"{"image_processor_type": "CLIPImageProcessor", "do_resize": false,
            "do_center_crop": false, "do_rescale": false, "do_normalize": false}"#;
        let off = parse(off).unwrap();
        assert!(off.resize.is_none() && off.crop.is_none());
        assert!(off.rescale_factor.is_none() && off.normalize.is_none());
    }

    #[test]
    fn what_cannot_be_done_is_told_with_file_and_field() {
        let cases = [
            ("[]", "`p.json` is not a JSON object"),
            ("{}", "field `image_processor_type` of `p.json` is missing"),
            (r#"{"image_processor_type": "DonutImageProcessor"}"#, "is `DonutImageProcessor`"),
            (r#"{"image_processor_type": 3}"#, "must be text"),
            (r#"{"image_processor_type": "CLIP"}"#, "is `CLIP`, known are"),
        ];
        for (text, part) in cases {
            let told = parse(text).unwrap_err();
            assert!(told.contains(part), "{text}: {told}");
        }
        let fields = [
            (r#""do_pad": true"#, "field `do_pad` of `p.json` asks for a step"),
            (r#""do_resize": 1"#, "field `do_resize` of `p.json` must be true or false"),
            (r#""size": 0"#, "field `size` of `p.json` must lie between 1 and 4096, found 0"),
            (r#""size": {"shortest_edge": -1}"#, "field `size.shortest_edge` of `p.json` must lie"),
            (r#""size": {"shortest_edge": 1, "longest_edge": 2}"#, "field `size` of"),
            (r#""size": {"height": 5}"#, "field `size` of `p.json` must be a number"),
            (r#""size": "224""#, "field `size` of"),
            (r#""crop_size": {"height": 1e9, "width": 3}"#, "field `crop_size.height` of"),
            (r#""crop_size": {"shortest_edge": 3}"#, "needs both `height` and `width`"),
            (r#""resample": 6"#, "field `resample` of `p.json` must be a filter from 0 to 5"),
            (r#""rescale_factor": 0"#, "field `rescale_factor` of"),
            (r#""image_mean": [1, 2]"#, "field `image_mean` of `p.json` must be one number"),
            (r#""image_std": [1, 2, "x"]"#, "field `image_std` of"),
            (r#""image_std": [1, 0, 1]"#, "field `image_std` of `p.json` must not be 0"),
        ];
        for (field, part) in fields {
            let flat = format!(r#"{{"image_processor_type": "CLIPImageProcessor", {field}}}"#);
            let told = parse(&flat).unwrap_err();
            assert!(told.contains(part), "{field}: {told}");
            let inner = format!(r#"{{"image_processor": {flat}}}"#);
            assert!(parse(&inner).unwrap_err().contains("field `image_processor."), "{field}");
        }
        let convnext = |rest: &str| {
            parse(&format!(r#"{{"image_processor_type": "ConvNextImageProcessor", {rest}}}"#))
                .unwrap_err()
        };
        assert!(convnext(r#""size": 224, "crop_pct": 0"#).contains("field `crop_pct`"));
        assert!(convnext(r#""size": {"height": 9, "width": 9}"#).contains("`shortest_edge`"));
        assert!(convnext(r#""do_center_crop": true"#).contains("field `do_center_crop`"));
    }

    proptest! {
        #[test]
        fn any_value_of_any_field_is_an_error_or_within_bounds(
            field in prop::sample::select(vec![
                "size", "crop_size", "resample", "rescale_factor", "image_mean", "image_std",
                "do_center_crop", "do_resize", "crop_pct", "image_processor_type",
            ]),
            value in prop::sample::select(vec![
                "1", "-1", "1e308", "4097", "0.5", "[]", "[1,2]", "[1,2,3]", "{}", "null", "true",
                "\"x\"", "{\"height\": 7, \"width\": 9}", "{\"shortest_edge\": 300}",
            ]),
            class in prop::sample::select(vec!["CLIP", "ViT", "ConvNext"]),
        ) {
            let class = format!("{class}ImageProcessor");
            let text = format!(r#"{{"image_processor_type": "{class}", "{field}": {value}}}"#);
            if let Ok(parsed) = parse(&text)
                && let Some((height, width)) = parsed.output_size()
            {
                prop_assert!(height.max(width) as u64 <= SIDE_LIMIT);
            }
        }
    }
}
