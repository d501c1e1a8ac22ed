//! Pictures as image models want them: scaled, cut, rescaled and normalised.
//!
//! What is done is read from `preprocessor_config.json` ([`ImageProcessor::read`]), and done as the
//! processors of the reference library do it with Pillow and NumPy: scaling and cutting on 8 bit
//! pixels ([`super::resample`]), then each value through `(value * factor - mean) / std` in its
//! precision. As a pixel has 256 values, the arithmetic is a table.

use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

use super::resample::{Filter, Side, resample};
use crate::data::Picture;

#[derive(Debug, thiserror::Error)]
pub enum PreprocessError {
    #[error("cannot read `{path}`: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{path}` {what}")]
    File { path: PathBuf, what: String },
    #[error("field `{field}` of `{path}` {what}")]
    Field { path: PathBuf, field: String, what: String },
    #[error("a picture of {width} x {height} pixels is too large once scaled")]
    Large { width: usize, height: usize },
}

/// What a picture is scaled to, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Whatever the proportions.
    Exact { height: usize, width: usize },
    /// The shorter side gets this length, and the longer one keeps the proportions.
    ShortestEdge(usize),
}

/// The steps between a decoded picture and the numbers a model takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageProcessor {
    pub resize: Option<(Target, Filter)>,
    /// Height and width of the middle that is kept; what a smaller picture lacks is black.
    pub crop: Option<(usize, usize)>,
    pub rescale_factor: Option<f64>,
    /// Mean and standard deviation of red, green and blue after rescaling.
    pub normalize: Option<([f64; 3], [f64; 3])>,
}

/// One side of a picture on its way through scaling and cutting.
struct Cut {
    /// What is kept of the scaled side.
    window: Range<usize>,
    /// Black before it, and the length with black on both ends.
    before: usize,
    length: usize,
}

impl Cut {
    /// The middle `crop` of `scaled` pixels. The odd pixel stays after the middle when something
    /// is cut off and comes before it when something is added, as in the reference library.
    fn of(scaled: usize, crop: Option<usize>) -> Self {
        let length = crop.unwrap_or(scaled);
        if length <= scaled {
            let first = (scaled - length) / 2;
            return Self { window: first..first + length, before: 0, length };
        }
        Self { window: 0..scaled, before: (length - scaled).div_ceil(2), length }
    }
}

impl ImageProcessor {
    /// Height and width of every result; `None` when they depend on the picture.
    pub fn output_size(&self) -> Option<(usize, usize)> {
        match (self.crop, self.resize) {
            (Some(crop), _) => Some(crop),
            (None, Some((Target::Exact { height, width }, _))) => Some((height, width)),
            (None, _) => None,
        }
    }

    /// Appends the numbers of one picture to `out`: all reds row by row, then the greens, then the
    /// blues. With one plane, which grey pictures are for, only what would be the reds. Returns
    /// height and width. Nothing is appended on an error.
    pub fn append(
        &self,
        picture: &Picture,
        planes: usize,
        out: &mut Vec<f32>,
    ) -> Result<(usize, usize), PreprocessError> {
        let pixels = self.pixels(picture)?;
        let (channels, bytes) = (pixels.channels(), pixels.pixels());
        out.reserve(planes * pixels.height() * pixels.width());
        for plane in 0..planes.min(3) {
            let table = self.table(plane);
            let own = bytes.iter().skip(plane.min(channels - 1)).step_by(channels);
            out.extend(own.map(|&value| table[usize::from(value)]));
        }
        Ok((pixels.height(), pixels.width()))
    }

    /// The picture scaled and cut.
    pub fn pixels(&self, picture: &Picture) -> Result<Picture, PreprocessError> {
        let (width, height) = (picture.width(), picture.height());
        let large = || PreprocessError::Large { width, height };
        let ((down, across), filter) = match self.resize {
            None => ((height, width), Filter::Nearest),
            Some((Target::Exact { height, width }, filter)) => ((height, width), filter),
            Some((Target::ShortestEdge(edge), filter)) => (scaled(height, width, edge), filter),
        };
        let rows = Cut::of(down, self.crop.map(|(height, _)| height));
        let columns = Cut::of(across, self.crop.map(|(_, width)| width));
        let across = Side { length: width, scaled: across, window: columns.window.clone() };
        let down = Side { length: height, scaled: down, window: rows.window.clone() };
        let kept = resample(picture, &across, &down, filter).ok_or_else(large)?;
        if (kept.height(), kept.width()) == (rows.length, columns.length) {
            return Ok(kept);
        }
        let channels = kept.channels();
        let mut black = vec![0; channels * rows.length * columns.length];
        let lines = black.chunks_exact_mut(channels * columns.length).skip(rows.before);
        for (line, row) in lines.zip(kept.pixels().chunks_exact(channels * kept.width())) {
            line[channels * columns.before..][..row.len()].copy_from_slice(row);
        }
        Picture::with(columns.length, rows.length, channels, black).ok_or_else(large)
    }

    /// What becomes of the values 0 to 255 of a channel: the product in f64, everything after it in
    /// f32, as NumPy computes it in the reference library.
    fn table(&self, channel: usize) -> [f32; 256] {
        let rescaled = |value: usize| match self.rescale_factor {
            Some(factor) => (value as f64 * factor) as f32,
            None => value as f32,
        };
        std::array::from_fn(|value| match &self.normalize {
            Some((mean, std)) => (rescaled(value) - mean[channel] as f32) / std[channel] as f32,
            None => rescaled(value),
        })
    }
}

/// Height and width with a shorter side of `edge`. The longer one is rounded down after a division
/// in f64.
fn scaled(height: usize, width: usize, edge: usize) -> (usize, usize) {
    let longer = |long: usize, short: usize| ((edge * long) as f64 / short as f64) as usize;
    match width <= height {
        true => (longer(height, width), edge),
        false => (edge, longer(width, height)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONE: ImageProcessor =
        ImageProcessor { resize: None, crop: None, rescale_factor: None, normalize: None };

    fn numbered(width: usize, height: usize) -> Picture {
        let rgb = (0..width * height).flat_map(|n| [n as u8; 3]).collect();
        Picture::new(width, height, rgb).unwrap()
    }

    #[test]
    fn without_steps_the_planes_are_the_pixels() {
        let picture = Picture::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let mut out = vec![9.0];
        assert_eq!(NONE.append(&picture, 3, &mut out).unwrap(), (1, 2));
        assert_eq!(out, [9.0, 1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(NONE.output_size(), None);
    }

    /// Expected by hand from `center_crop` of the reference library.
    #[test]
    fn odd_pixels_are_cut_at_the_end_and_added_at_the_start() {
        let crop = |height, width| ImageProcessor { crop: Some((height, width)), ..NONE };
        let first =
            |picture: Picture| -> Vec<u8> { picture.rgb().iter().step_by(3).copied().collect() };
        let cut = crop(1, 2).pixels(&numbered(5, 2)).unwrap();
        assert_eq!(first(cut), [1, 2]);
        let padded = crop(2, 4).pixels(&numbered(3, 1)).unwrap();
        assert_eq!((padded.height(), padded.width()), (2, 4));
        assert_eq!(first(padded), [0, 0, 0, 0, 0, 0, 1, 2]);
        // One side is cut while black is added to the other.
        let both = crop(3, 2).pixels(&numbered(4, 1)).unwrap();
        assert_eq!(first(both), [0, 0, 1, 2, 0, 0]);
    }

    #[test]
    fn numbers_are_rescaled_in_f64_and_normalised_in_f32() {
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let rescale_factor = Some(1.0 / 255.0);
        let all = ImageProcessor { rescale_factor, normalize: Some((mean, std)), ..NONE };
        let mut out = Vec::new();
        all.append(&Picture::new(1, 1, vec![0, 128, 255]).unwrap(), 3, &mut out).unwrap();
        let green = ((128.0 * (1.0 / 255.0_f64)) as f32 - 0.456) / 0.224;
        assert_eq!(out, [-0.485_f32 / 0.229, green, (1.0 - 0.406_f32) / 0.225]);
    }

    #[test]
    fn a_strip_is_scaled_only_where_it_is_looked_at() {
        let strip = Picture::new(1, 60_000, vec![7; 180_000]).unwrap();
        let resize = Some((Target::ShortestEdge(224), Filter::Bicubic));
        let whole = ImageProcessor { resize, ..NONE };
        assert!(matches!(whole.pixels(&strip), Err(PreprocessError::Large { .. })));
        let middle = ImageProcessor { resize, crop: Some((224, 224)), ..NONE };
        let pixels = middle.pixels(&strip).unwrap();
        assert!(pixels.rgb().iter().all(|&value| value == 7));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn sizes_are_as_promised_and_one_colour_stays_one_colour(
            (width, height) in (1_usize..40, 1_usize..40),
            (rows, columns) in (1_usize..20, 1_usize..20),
            edge in 1_usize..20,
            filter in prop::sample::select(&Filter::ALL[..]),
            (is_exact, is_cut) in any::<(bool, bool)>(),
            colour in any::<u8>(),
        ) {
            let target = match is_exact {
                true => Target::Exact { height: rows, width: columns },
                false => Target::ShortestEdge(edge),
            };
            let crop = is_cut.then_some((columns, rows));
            let processor = ImageProcessor { resize: Some((target, filter)), crop, ..NONE };
            let picture = Picture::new(width, height, vec![colour; 3 * width * height]).unwrap();
            let pixels = processor.pixels(&picture).unwrap();
            let grey = processor.pixels(&picture.to_grey().unwrap()).unwrap();
            prop_assert_eq!(grey.channels(), 1);
            prop_assert_eq!(grey.rgb(), pixels.rgb());
            if let Some(size) = processor.output_size() {
                prop_assert_eq!(size, (pixels.height(), pixels.width()));
            } else {
                prop_assert_eq!(pixels.height().min(pixels.width()), edge);
            }
            let middle = 3 * (pixels.height() / 2 * pixels.width() + pixels.width() / 2);
            prop_assert_eq!(pixels.rgb()[middle], colour);
        }

        #[test]
        fn a_window_is_the_same_part_of_the_whole(
            (width, height) in (1_usize..30, 1_usize..30),
            (rows, columns) in (2_usize..30, 2_usize..30),
            filter in prop::sample::select(&Filter::ALL[..]),
        ) {
            let resize = Some((Target::Exact { height: rows, width: columns }, filter));
            let picture = numbered(width, height);
            let whole = ImageProcessor { resize, ..NONE }.pixels(&picture).unwrap();
            let crop = Some((rows / 2, columns / 2));
            let direct = ImageProcessor { resize, crop, ..NONE }.pixels(&picture).unwrap();
            let after = ImageProcessor { crop, ..NONE }.pixels(&whole).unwrap();
            prop_assert_eq!(direct.to_grey().unwrap(), {
                let grey = picture.to_grey().unwrap();
                ImageProcessor { resize, crop, ..NONE }.pixels(&grey).unwrap()
            });
            prop_assert_eq!(direct, after);
        }
    }
}
