//! Pictures as rows of numbers.

use engine::data::{ElementType, Tensor};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::Bench;

/// A picture without its transparency. Its bytes say what it is: one name lies.
pub fn picture(bench: &Bench, name: &str) -> Result<RgbImage, String> {
    let decoded = image::load_from_memory(&bench.bytes(name)?);
    let decoded = decoded.map_err(|error| format!("{name}: {error}"))?;
    Ok(decoded.to_rgb8())
}

/// Scaled to a size, whatever the proportions.
pub fn stretched(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    imageops::resize(picture, width, height, FilterType::Triangle)
}

/// Scaled so that the shorter side has `side` pixels, and the square in the middle of that.
pub fn cropped(picture: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let scaled = |length: u32| length * side / width.min(height);
    let small = stretched(picture, scaled(width), scaled(height));
    let (x, y) = ((small.width() - side) / 2, (small.height() - side) / 2);
    imageops::crop_imm(&small, x, y, side, side).to_image()
}

/// Scaled to fit into a square from its upper left corner, the rest filled with `rest`.
pub fn fitted(picture: &RgbImage, side: u32, rest: u8) -> RgbImage {
    let longer = picture.width().max(picture.height());
    let scaled = |length: u32| length * side / longer;
    let small = stretched(picture, scaled(picture.width()), scaled(picture.height()));
    let mut out = RgbImage::from_pixel(side, side, Rgb([rest; 3]));
    imageops::replace(&mut out, &small, 0, 0);
    out
}

/// Order of the planes.
#[derive(Clone, Copy)]
pub enum Order {
    Rgb,
    Bgr,
}

/// Pictures of one size as planes, `[pictures, 3, height, width]`, each value as `prepared`.
pub fn planes(
    pictures: &[RgbImage],
    order: Order,
    dtype: ElementType,
    prepared: impl Fn(f64) -> f64,
) -> Tensor {
    let (width, height) = pictures.first().map_or((0, 0), RgbImage::dimensions);
    let channels = match order {
        Order::Rgb => [0, 1, 2],
        Order::Bgr => [2, 1, 0],
    };
    let mut values = Vec::new();
    for picture in pictures {
        for channel in channels {
            values.extend(picture.pixels().map(|pixel| prepared(f64::from(pixel.0[channel]))));
        }
    }
    let shape = vec![pictures.len(), 3, height as usize, width as usize];
    Tensor::of_f64(dtype, shape, &values)
}

/// Brightness of each pixel, 0 to 255 (Y of ITU-R BT.601 at full range, as in JPEG).
pub fn brightness(picture: &RgbImage) -> Vec<f64> {
    let of = |Rgb([r, g, b]): &Rgb<u8>| {
        0.299 * f64::from(*r) + 0.587 * f64::from(*g) + 0.114 * f64::from(*b)
    };
    picture.pixels().map(of).collect()
}
