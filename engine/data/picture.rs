//! Decoded pictures: rows of red, green and blue, or of grey. The only door to the image package.
//!
//! Whatever a file holds becomes 8 bit RGB as Pillow's `Image.open(…).convert("RGB")` makes it:
//! transparency is dropped, grey is one channel that stands for three equal ones, of 16 bits per
//! channel the upper 8 stay, except in grey pictures without transparency, where values above 255
//! become 255. The orientation that a camera noted is not applied, as Pillow does not apply it
//! either.

use std::borrow::Cow;
use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::base::text::inert;

/// Most pixels of a picture: a small file can claim any number of them.
const MAX_PIXELS: u64 = 1 << 26;

/// Most bytes that a decoder may ask for at once.
const MAX_ALLOC: u64 = 1 << 29;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PictureError {
    #[error("is neither PNG nor JPEG")]
    Kind,
    #[error("has {width} x {height} pixels, more than {MAX_PIXELS}")]
    Large { width: u32, height: u32 },
    #[error("ends before its last row")]
    Cut,
    #[error("cannot be decoded: {0}")]
    Damaged(String),
}

/// A picture in memory. It has at least one pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// A picture from rows of red, green and blue from the top; `None` when it would have no pixel
    /// or `rgb` are not three bytes for each.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Option<Self> {
        Self::with(width, height, 3, rgb)
    }

    /// As [`Picture::new`], from rows of grey, one byte for each pixel.
    pub fn from_grey(width: usize, height: usize, grey: Vec<u8>) -> Option<Self> {
        Self::with(width, height, 1, grey)
    }

    /// A picture of `channels` bytes for each pixel, which are 1 or 3.
    pub fn with(width: usize, height: usize, channels: usize, pixels: Vec<u8>) -> Option<Self> {
        let needed = width.checked_mul(height)?.checked_mul(channels)?;
        let fits = matches!(channels, 1 | 3) && needed > 0 && needed == pixels.len();
        fits.then_some(Self { width, height, channels, pixels })
    }

    /// Decodes the bytes of a PNG or JPEG file; they say themselves which it is. Sizes are compared
    /// with bounds before memory is asked for.
    pub fn decode(bytes: &[u8]) -> Result<Self, PictureError> {
        let damaged = |error: image::ImageError| PictureError::Damaged(inert(&error.to_string()));
        let Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) = image::guess_format(bytes) else {
            return Err(PictureError::Kind);
        };
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MAX_ALLOC);
        reader.limits(limits);
        let decoder = reader.into_decoder().map_err(damaged)?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            return Err(PictureError::Large { width, height });
        }
        // The decoder fills what is missing of a JPEG with grey; such a picture is not judged on.
        if format == ImageFormat::Jpeg && !is_whole_jpeg(bytes) {
            return Err(PictureError::Cut);
        }
        let decoded = DynamicImage::from_decoder(decoder).map_err(damaged)?;
        let (channels, pixels) = pixels_of(decoded)?;
        Self::with(width as usize, height as usize, channels, pixels)
            .ok_or_else(|| PictureError::Damaged("it has no pixels".to_owned()))
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// Bytes of each pixel: 1 of a grey picture, else 3.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The channels of each pixel, row after row from the top.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Red, green and blue of each pixel, row after row from the top.
    pub fn rgb(&self) -> Cow<'_, [u8]> {
        match self.channels {
            1 => self.pixels.iter().flat_map(|&value| [value; 3]).collect(),
            _ => Cow::Borrowed(&self.pixels),
        }
    }

    /// The same with one channel; `None` where a pixel has a colour.
    pub fn to_grey(&self) -> Option<Self> {
        let (width, height) = (self.width, self.height);
        let grey = |pixel: &[u8]| pixel.iter().all(|value| *value == pixel[0]).then_some(pixel[0]);
        let pixels: Option<Vec<u8>> = self.pixels.chunks_exact(self.channels).map(grey).collect();
        Some(Self { width, height, channels: 1, pixels: pixels? })
    }
}

/// The channels and pixels that stand for what Pillow's `convert("RGB")` makes of each kind.
fn pixels_of(decoded: DynamicImage) -> Result<(usize, Vec<u8>), PictureError> {
    let upper = |value: u16| (value >> 8) as u8;
    Ok(match decoded {
        DynamicImage::ImageRgb8(image) => (3, image.into_raw()),
        DynamicImage::ImageLuma8(image) => (1, image.into_raw()),
        DynamicImage::ImageLumaA8(image) => (1, image.pixels().map(|p| p.0[0]).collect()),
        DynamicImage::ImageRgba8(image) => {
            (3, image.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]]).collect())
        }
        DynamicImage::ImageLuma16(image) => {
            (1, image.pixels().map(|p| p.0[0].min(255) as u8).collect())
        }
        DynamicImage::ImageLumaA16(image) => (1, image.pixels().map(|p| upper(p.0[0])).collect()),
        DynamicImage::ImageRgb16(image) => {
            (3, image.pixels().flat_map(|p| p.0.map(upper)).collect())
        }
        DynamicImage::ImageRgba16(image) => {
            (3, image.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]].map(upper)).collect())
        }
        other => {
            let what = format!("pixels of kind {:?} are not read", other.color());
            return Err(PictureError::Damaged(what));
        }
    })
}

/// Whether the mark of the end follows the first scan. Segments before it are stepped over, since a
/// thumbnail among them has an end of its own.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    let mut at = 2;
    while let Some(&[mark, kind]) = bytes.get(at..at + 2) {
        match (mark, kind) {
            (0xFF, 0xFF) => at += 1,
            (0xFF, START_OF_SCAN) => {
                return bytes[at..].windows(2).rev().any(|pair| pair == [0xFF, 0xD9]);
            }
            // These stand alone; all others have a length.
            (0xFF, 0x01 | 0xD0..=0xD8) => at += 2,
            (0xFF, _) => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            // Rubbish between segments: decoders look for the next mark.
            _ => at += 1,
        }
    }
    false
}

#[cfg(test)]
pub(crate) mod tests {
    use image::{ImageBuffer, Luma, LumaA, Rgb, Rgba};
    use proptest::prelude::*;

    use super::*;

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        image.into().write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    /// A PNG file of one colour.
    pub fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
        encoded(ImageBuffer::from_pixel(width, height, Rgb(colour)), ImageFormat::Png)
    }

    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        let draw = |x, y| Rgb([(x * 9 % 256) as u8, (y * 7 % 256) as u8, ((x + y) % 256) as u8]);
        encoded(ImageBuffer::from_fn(width, height, draw), ImageFormat::Jpeg)
    }

    /// A PNG file whose header claims a size; its checksum is right.
    fn claiming(width: u32, height: u32) -> Vec<u8> {
        let mut file = png(1, 1, [0; 3]);
        file[16..20].copy_from_slice(&width.to_be_bytes());
        file[20..24].copy_from_slice(&height.to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&file[12..29]);
        file[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        file
    }

    /// Expected values: Pillow 13.0.0, `Image.open(…).convert("RGB")`.
    #[test]
    fn channels_and_depths_become_rgb_as_pillow_converts_them() {
        let of = |file: Vec<u8>| Picture::decode(&file).unwrap().rgb().to_vec();
        let png = ImageFormat::Png;
        assert_eq!(of(encoded(ImageBuffer::from_pixel(1, 1, Luma([77_u8])), png)), [77; 3]);
        assert_eq!(of(encoded(ImageBuffer::from_pixel(1, 1, LumaA([77_u8, 0])), png)), [77; 3]);
        let half = ImageBuffer::from_pixel(1, 1, Rgba([200_u8, 100, 50, 128]));
        assert_eq!(of(encoded(half, png)), [200, 100, 50]);
        for (value, upper, grey) in
            [(255_u16, 0, 255), (256, 1, 255), (383, 1, 255), (32896, 128, 255), (65407, 255, 255)]
        {
            let deep = ImageBuffer::from_pixel(1, 1, Rgb([value; 3]));
            assert_eq!(of(encoded(deep, png)), [upper; 3], "rgb {value}");
            let deep = ImageBuffer::from_pixel(1, 1, Rgba([value; 4]));
            assert_eq!(of(encoded(deep, png)), [upper; 3], "rgba {value}");
            let deep = ImageBuffer::from_pixel(1, 1, LumaA([value; 2]));
            assert_eq!(of(encoded(deep, png)), [upper; 3], "grey and alpha {value}");
            let deep = ImageBuffer::from_pixel(1, 1, Luma([value]));
            assert_eq!(of(encoded(deep, png)), [grey; 3], "grey {value}");
        }
        let grey = ImageBuffer::from_pixel(8, 8, Luma([128_u8]));
        let grey = encoded(grey, ImageFormat::Jpeg);
        assert_eq!(Picture::decode(&grey).unwrap().channels(), 1);
        assert_eq!(of(grey), [128; 192]);
    }

    #[test]
    fn a_picture_without_colours_has_one_channel_if_asked() {
        let grey = Picture::from_grey(2, 1, vec![7, 9]).unwrap();
        let repeated = Picture::new(2, 1, vec![7, 7, 7, 9, 9, 9]).unwrap();
        assert_eq!(
            (repeated.to_grey().as_ref(), grey.to_grey().as_ref()),
            (Some(&grey), Some(&grey))
        );
        assert_eq!(grey.rgb(), repeated.rgb());
        assert_eq!(Picture::new(2, 1, vec![7, 7, 7, 9, 9, 8]).unwrap().to_grey(), None);
    }

    #[test]
    fn a_picture_of_impossible_size_is_refused_before_memory_is_asked_for() {
        let large = Picture::decode(&claiming(30_000, 30_000)).unwrap_err();
        assert_eq!(large, PictureError::Large { width: 30_000, height: 30_000 });
        assert!(Picture::decode(&claiming(u32::MAX, u32::MAX)).is_err());
        assert!(Picture::decode(&claiming(0, 5)).is_err());
        assert!(Picture::decode(&claiming(100, 100)).is_err(), "its rows are missing");
        let mut huge = jpeg(16, 16);
        let frame = huge.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
        huge[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
        let huge = Picture::decode(&huge).unwrap_err();
        assert_eq!(huge, PictureError::Large { width: 0xFFDC, height: 0xFFDC });
    }

    #[test]
    fn other_kinds_and_cut_files_are_errors() {
        for bytes in [&b""[..], b"hello", b"GIF89a\x01\x00\x01\x00", b"\x89PNG", b"\xff\xd8"] {
            assert!(Picture::decode(bytes).is_err(), "{bytes:?}");
        }
        let gif = Picture::decode(b"GIF89a\x01\x00\x01\x00").unwrap_err();
        assert_eq!(gif, PictureError::Kind);
        for whole in [png(40, 30, [1, 2, 3]), jpeg(40, 30)] {
            assert!(Picture::decode(&whole).is_ok());
            // The last chunk of a PNG and the last mark of a JPEG belong to it.
            for length in [whole.len() / 2, whole.len() * 3 / 4, whole.len() - 13] {
                assert!(Picture::decode(&whole[..length]).is_err(), "cut to {length} bytes");
            }
        }
        let whole = jpeg(40, 30);
        assert_eq!(Picture::decode(&whole[..whole.len() - 2]), Err(PictureError::Cut));
        assert!(Picture::new(0, 4, vec![]).is_none() && Picture::new(1, 1, vec![0; 4]).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn changed_bytes_are_an_error_or_a_picture_of_bounded_size(
            is_png in any::<bool>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut bytes = if is_png { png(17, 9, [9, 8, 7]) } else { jpeg(17, 9) };
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(picture) = Picture::decode(&bytes) {
                prop_assert_eq!(picture.rgb().len(), picture.width() * picture.height() * 3);
                prop_assert!(picture.rgb().len() as u64 <= 3 * MAX_PIXELS);
            }
        }

        #[test]
        fn any_bytes_behind_a_signature_are_an_error(
            is_png in any::<bool>(),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let signature: &[u8] = if is_png { b"\x89PNG\r\n\x1a\n" } else { b"\xff\xd8\xff" };
            prop_assert!(Picture::decode(&[signature, &rest].concat()).is_err());
        }
    }
}
