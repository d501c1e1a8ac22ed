//! Pictures as inputs of a network: decoded, and made into numbers as the configuration beside the
//! model says.

use std::borrow::Cow;
use std::path::Path;

use super::inputs::{Beside, InputPort, Named, Size};
use super::origin::PictureFile;
use super::preprocess::{ImageProcessor, PreprocessError};
use super::recorded::Item;
use crate::base::Digest;
use crate::data::{
    ElementType, Excluded, ImageColumns, ImageItem, Images, ImagesError, Look, Picture, Pixels,
    Tensor, is_idx,
};
use crate::model::Kind;

/// Name of the configuration beside a model.
const CONFIGURATION: &str = "preprocessor_config.json";

#[derive(Debug, thiserror::Error)]
pub enum PicturesError {
    #[error(transparent)]
    Images(#[from] ImagesError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error("`{0}` changed while it was used")]
    Changed(String),
    #[error("`{name}` {why}")]
    Item { name: String, why: String },
    #[error(
        "there is no `{CONFIGURATION}` beside the model, which says how a picture becomes numbers"
    )]
    NoConfiguration,
    #[error("pictures become {found}, and the model takes {wanted} for input `{input}`")]
    Size { input: String, found: String, wanted: String },
    #[error(
        "pictures keep sizes of their own, and a batch needs them to be alike: `{CONFIGURATION}` neither crops nor scales to one size"
    )]
    Unlike,
    #[error("a picture has colours, and the model takes one channel for input `{input}`")]
    Colours { input: String },
    #[error("a model with {0} inputs takes no pictures")]
    Inputs(usize),
}

/// Pictures that can be used, and what becomes of them.
pub struct Pictures {
    images: Images,
    processor: ImageProcessor,
    port: InputPort,
}

/// What a look at a set of pictures tells.
#[derive(Debug, Clone)]
pub struct Looked {
    /// Digest of every picture that can be used.
    pub items: Vec<Digest>,
    /// Classes without a picture.
    pub empty_labels: Vec<String>,
    /// Pictures that cannot be used.
    pub excluded: Vec<Excluded>,
    /// Whether every picture has a caption, and a class.
    pub has_captions: bool,
    pub has_labels: bool,
}

/// Whether all pictures are in one idx file.
fn is_one_file(file: &PictureFile) -> bool {
    is_idx(&file.path) || file.labels.is_some()
}

/// Lists the pictures that `file` names, whether they can be used or not.
fn listed(file: &PictureFile, look: Look) -> Result<Images, PicturesError> {
    if is_one_file(file) {
        if file.split.is_some() {
            let path = file.path.display().to_string();
            return Err(ImagesError::OneFile { path }.into());
        }
        return Ok(Images::of_idx(&file.path, file.labels.as_deref(), look)?);
    }
    let columns = ImageColumns {
        image: file.image.clone(),
        label: file.label.clone(),
        caption: file.field.clone(),
        ..ImageColumns::default()
    };
    Ok(Images::list(&file.path, file.split.as_deref(), &columns, look)?)
}

impl Pictures {
    /// Looks at the pictures of `file`: digests each and decodes those that are used, once, and
    /// fills in their digest, their stamp and those that are left out.
    pub fn look(file: &mut PictureFile) -> Result<Looked, PicturesError> {
        // Before the bytes: a file that changes in between has another stamp later.
        file.stamp = Some(match is_one_file(file) {
            true => Images::idx_stamp(&file.path, file.labels.as_deref())?,
            false => listed(file, Look::Stamps)?.digest,
        });
        let images = listed(file, Look::Bytes)?.choose(file.take, file.seed, |_| Ok(()))?;
        file.digest = images.digest;
        file.left_out = images.excluded.iter().map(|excluded| excluded.name.clone()).collect();
        let mut items = Vec::with_capacity(images.items.len());
        for item in &images.items {
            let name = item.name.clone();
            items.push(item.digest().map_err(|why| PicturesError::Item { name, why })?);
        }
        Ok(Looked {
            items,
            empty_labels: images.empty_labels,
            excluded: images.excluded,
            has_captions: images.items.iter().all(|item| !item.captions.is_empty()),
            has_labels: images.items.iter().all(|item| item.label.is_some()),
        })
    }

    /// The pictures of `file` for the one input of `ports`, with the configuration beside `model`.
    /// They are compared with what was looked at before: by every byte, or by their stamps.
    pub fn open(
        file: &PictureFile,
        ports: &[InputPort],
        model: Beside<'_>,
        look: Look,
    ) -> Result<Self, PicturesError> {
        let [port] = ports else { return Err(PicturesError::Inputs(ports.len())) };
        let (look, known) = match (look, file.stamp) {
            (Look::Stamps, Some(stamp)) => (Look::Stamps, stamp),
            _ => (Look::Bytes, file.digest),
        };
        let images = listed(file, look)?.chosen(file.take, file.seed, &file.left_out);
        if images.digest != known {
            return Err(PicturesError::Changed(file.path.display().to_string()));
        }
        let folder = match model.kind {
            Kind::Checkpoint => model.path,
            Kind::Gguf | Kind::Onnx => model.path.parent().unwrap_or(Path::new(".")),
        };
        let configuration = folder.join(CONFIGURATION);
        if !configuration.is_file() {
            return Err(PicturesError::NoConfiguration);
        }
        let processor = ImageProcessor::read(&configuration, None)?;
        Ok(Self { images, processor, port: port.clone() })
    }

    /// Whether every byte of the pictures of `file` is what was looked at before.
    pub fn are_same(file: &PictureFile) -> bool {
        listed(file, Look::Bytes).is_ok_and(|images| images.digest == file.digest)
    }

    /// Whether all pictures become tensors of one shape.
    pub fn are_alike(&self) -> bool {
        let fixed = |side: &Size| matches!(side, Size::Fixed(_));
        let in_one_file = |item: &ImageItem| matches!(item.pixels, Pixels::Idx(..));
        self.processor.output_size().is_some()
            || self.port.shape.iter().skip(2).all(fixed)
            || self.images.items.iter().all(in_one_file)
    }

    pub fn count(&self) -> usize {
        self.images.items.len()
    }

    /// Names of all classes, in the order in which items number them.
    pub fn labels(&self) -> &[String] {
        &self.images.labels
    }

    /// Reads and decodes one picture.
    pub fn decode(&self, at: usize) -> Result<Picture, PicturesError> {
        let item = &self.images.items[at];
        item.picture().map_err(|why| PicturesError::Item { name: item.name.clone(), why })
    }

    /// The numbers of a picture, (1, 3, height, width); of a grey one for a model that takes one
    /// channel, (1, 1, height, width).
    pub fn tensors(&self, picture: &Picture) -> Result<Named, PicturesError> {
        let planes = if self.port.shape.get(1) == Some(&Size::Fixed(1)) { 1 } else { 3 };
        let picture = match planes < picture.channels() {
            false => Cow::Borrowed(picture),
            true => Cow::Owned(picture.to_grey().ok_or_else(|| {
                let input = self.port.name.clone();
                PicturesError::Colours { input }
            })?),
        };
        let mut values = Vec::new();
        let (height, width) = self.processor.append(&picture, planes, &mut values)?;
        let shape = vec![1, planes, height, width];
        self.port.takes(&shape).map_err(|wanted| PicturesError::Size {
            input: self.port.name.clone(),
            found: format!("{shape:?}"),
            wanted,
        })?;
        let tensor = match self.port.dtype {
            ElementType::F32 => Tensor::of_f32(shape, &values),
            other => {
                let values: Vec<f64> = values.into_iter().map(f64::from).collect();
                Tensor::of_f64(other, shape, &values)
            }
        };
        Ok(vec![(self.port.name.clone(), tensor)])
    }

    /// Every picture as an item.
    pub fn items(&self) -> Result<Vec<Item>, PicturesError> {
        let item = |at: usize| {
            let known = &self.images.items[at];
            Ok(Item {
                inputs: self.tensors(&self.decode(at)?)?,
                class: known.label,
                label: known.label.map(|label| self.images.labels[label].clone()),
                texts: known.captions.clone(),
                ..Item::default()
            })
        };
        (0..self.count()).map(item).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::inputs::tests::input;
    use super::*;
    use crate::data::ElementType::F32;
    use crate::data::idx_of;

    #[test]
    fn grey_pictures_go_to_one_channel_and_changed_ones_are_noticed() {
        let folder = std::env::temp_dir().join(format!("engine-grey-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("all-idx3-ubyte");
        fs::write(&path, idx_of(8, &[1, 1, 2], &[3, 250])).unwrap();
        let plain = r#"{"image_processor_type": "ViTImageProcessor", "do_resize": false,
            "do_rescale": false, "do_normalize": false}"#;
        fs::write(folder.join(CONFIGURATION), plain).unwrap();
        let mut file = PictureFile::at(path.clone());
        let looked = Pictures::look(&mut file).unwrap();
        assert_eq!((looked.items.len(), looked.has_labels), (1, false));
        let port = |channels| {
            let shape = [Size::Batch, Size::Fixed(channels), Size::Any, Size::Any];
            [input("pixels", F32, &shape)]
        };
        let model = folder.join("model.onnx");
        let beside = Beside { kind: Kind::Onnx, path: &model };
        let open = |channels, look| Pictures::open(&file, &port(channels), beside, look);
        for look in [Look::Bytes, Look::Stamps] {
            let one = open(1, look).unwrap();
            let tensor = &one.tensors(&one.decode(0).unwrap()).unwrap()[0].1;
            assert_eq!(
                (tensor.shape.as_slice(), tensor.to_f64()),
                (&[1, 1, 1, 2][..], vec![3.0, 250.0])
            );
            assert!(one.are_alike());
            assert_eq!(
                one.decode(0).unwrap().channels(),
                1,
                "nothing is repeated to be thrown away"
            );
            let three = open(3, look).unwrap();
            let tensor = &three.tensors(&three.decode(0).unwrap()).unwrap()[0].1;
            assert_eq!(tensor.to_f64(), [3.0, 250.0].repeat(3));
        }
        let one = open(1, Look::Bytes).unwrap();
        let red = Picture::new(1, 1, vec![9, 0, 0]).unwrap();
        assert!(matches!(one.tensors(&red), Err(PicturesError::Colours { .. })));
        let pale = Picture::new(1, 1, vec![9; 3]).unwrap();
        assert_eq!(one.tensors(&pale).unwrap()[0].1.to_f64(), [9.0]);
        assert!(Pictures::are_same(&file));
        let touched = fs::File::options().write(true).open(&path).unwrap();
        touched.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert!(matches!(open(1, Look::Stamps), Err(PicturesError::Changed(_))));
        assert!(open(1, Look::Bytes).is_ok() && Pictures::are_same(&file), "bytes are what counts");
        fs::write(&path, idx_of(8, &[1, 1, 2], &[3, 251])).unwrap();
        assert!(!Pictures::are_same(&file));
        for look in [Look::Bytes, Look::Stamps] {
            assert!(matches!(open(1, look), Err(PicturesError::Changed(_))));
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
