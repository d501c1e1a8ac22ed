//! Writes the shipped pictures, and reads them back.

use std::error::Error;
use std::fs;
use std::path::Path;

use image::ExtendedColorType::Rgb8;
use image::ImageEncoder as _;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use serde::Deserialize;

use crate::pictures::{self, SIDE};

type Failure = Box<dyn Error + Send + Sync>;

/// A line of a split's file.
#[derive(Deserialize)]
pub struct Line {
    pub image: String,
    pub caption: String,
    pub class: String,
}

/// What was written of a split.
pub struct Written {
    pub split: &'static str,
    pub pictures: usize,
    pub bytes: usize,
}

/// Writes every split as lines of JSON and PNG files beside them.
pub fn write(folder: &Path) -> Result<Vec<Written>, Failure> {
    let mut written = Vec::new();
    for (split, samples) in pictures::shipped() {
        fs::create_dir_all(folder.join(split))?;
        let (mut lines, mut bytes) = (String::new(), 0);
        for (at, sample) in samples.iter().enumerate() {
            lines += &(pictures::line(split, at, sample) + "\n");
            let png = png(&sample.picture())?;
            bytes += png.len();
            fs::write(folder.join(format!("{split}/{at:04}.png")), png)?;
        }
        bytes += lines.len();
        fs::write(folder.join(format!("{split}.jsonl")), lines)?;
        written.push(Written { split, pictures: samples.len(), bytes });
    }
    Ok(written)
}

/// The lines of a split, and the pixels of its pictures.
pub fn read(folder: &Path, split: &str) -> Result<Vec<(Line, Vec<u8>)>, Failure> {
    let text = fs::read_to_string(folder.join(format!("{split}.jsonl")))?;
    let item = |text: &str| -> Result<(Line, Vec<u8>), Failure> {
        let line: Line = serde_json::from_str(text)?;
        let pixels = image::open(folder.join(&line.image))?.into_rgb8().into_raw();
        Ok((line, pixels))
    };
    text.lines().map(item).collect()
}

/// Noise does not become smaller by the filters of the format, so none is used.
fn png(pixels: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut file = Vec::new();
    PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::NoFilter)
        .write_image(pixels, SIDE as u32, SIDE as u32, Rgb8)?;
    Ok(file)
}
