//! Scaling of pictures as Pillow does it, to the bit.
//!
//! A convolution along rows and one along columns, each rounded to 8 bits. The filter is widened
//! when a picture shrinks. Weights are whole numbers of 22 bits. Source: `src/libImaging/Resample.c`
//! and, for the nearest pixel, `ImagingScaleAffine` of `Geometry.c` in Pillow 13. Versions before
//! 13 always began with the rows: what is made much lower than narrower differs there.
//!
//! Only a window of the scaled picture is computed: what a crop throws away costs nothing, and what
//! it keeps is the same.

use std::f64::consts::PI;
use std::ops::Range;

use crate::data::Picture;

/// Bits of a weight behind the point: 32 without 8 of the pixel and 2 for overshoot.
const PRECISION: u32 = 32 - 8 - 2;

/// Most pixels of a window, and of the rows between both convolutions.
const MAX_PIXELS: usize = 1 << 26;

/// A filter, as Pillow and `preprocessor_config.json` number them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    Nearest,
    Lanczos,
    Bilinear,
    Bicubic,
    Box,
    Hamming,
}

impl Filter {
    /// In the order of Pillow's numbers, from 0.
    pub const ALL: [Self; 6] =
        [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming];

    /// Half the width in pixels of the larger picture, when nothing is shrunk.
    fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        let far = x.abs();
        match self {
            Self::Nearest | Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - far).max(0.0),
            Self::Hamming if far >= 1.0 => 0.0,
            // Pillow writes both numbers as f32.
            Self::Hamming => {
                sinc(far) * (f64::from(0.54_f32) + f64::from(0.46_f32) * (far * PI).cos())
            }
            // Keys' cubic with a = -0.5, in the order of Pillow's operations.
            Self::Bicubic if far < 1.0 => ((-0.5 + 2.0) * far - (-0.5 + 3.0)) * far * far + 1.0,
            Self::Bicubic if far < 2.0 => (((far - 5.0) * far + 8.0) * far - 4.0) * -0.5,
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Bicubic | Self::Lanczos => 0.0,
        }
    }
}

/// One side of a picture: its length, what it is scaled to, and which part of that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub length: usize,
    pub scaled: usize,
    pub window: Range<usize>,
}

/// Where the pixels of one result come from.
struct Taps {
    first: usize,
    /// Empty where the nearest pixel lies beyond the picture.
    weights: Vec<i32>,
}

/// The window of a scaled picture; `None` when it would be too large to compute.
///
/// The caller gives sides that belong to the picture, with windows within what they are scaled to
/// that are not empty.
pub(super) fn resample(
    picture: &Picture,
    across: &Side,
    down: &Side,
    filter: Filter,
) -> Option<Picture> {
    match picture.channels() {
        1 => resampled::<1>(picture, across, down, filter),
        _ => resampled::<3>(picture, across, down, filter),
    }
}

/// [`resample`] for a picture of `C` channels, which are scaled alike.
fn resampled<const C: usize>(
    picture: &Picture,
    across: &Side,
    down: &Side,
    filter: Filter,
) -> Option<Picture> {
    let (width, height) = (across.window.len(), down.window.len());
    let fits = |a: usize, b: usize| a.checked_mul(b).is_some_and(|pixels| pixels <= MAX_PIXELS);
    if !fits(width, height) {
        return None;
    }
    let (columns, lines) = (taps(across, filter), taps(down, filter));
    let (from_column, to_column) = used(&columns)?;
    let (from_row, to_row) = used(&lines)?;
    let columns_first = are_columns_first(across, down);
    let between = match columns_first {
        true => fits(to_column - from_column, height),
        false => fits(width, to_row - from_row),
    };
    if !between {
        return None;
    }
    let stride = C * picture.width();
    let out = if columns_first {
        let part = C * from_column..C * to_column;
        let low = along_columns(picture.pixels(), stride, &part, &lines, 0);
        along_rows::<C>(&low, part.len(), &columns, from_column)
    } else {
        let rows = &picture.pixels()[from_row * stride..to_row * stride];
        let is_whole = across.length == across.scaled && width == across.length;
        // Rows that are neither scaled nor cut need no convolution.
        let narrow = if is_whole { rows } else { &along_rows::<C>(rows, stride, &columns, 0) };
        along_columns(narrow, C * width, &(0..C * width), &lines, from_row)
    };
    Picture::with(width, height, C, out)
}

/// Whether Pillow begins with the convolution along columns: the height shrinks by more than twice
/// as many pixels as the width does.
fn are_columns_first(across: &Side, down: &Side) -> bool {
    let shrinks = |side: &Side| side.length as i64 - side.scaled as i64;
    shrinks(down) > 0 && shrinks(down) > 2 * shrinks(across)
}

/// The first pixel that is looked at, and the one after the last.
fn used(taps: &[Taps]) -> Option<(usize, usize)> {
    let first = taps.iter().map(|taps| taps.first).min()?;
    let end = taps.iter().map(|taps| taps.first + taps.weights.len()).max()?;
    Some((first, end))
}

/// Rows of `stride` bytes that begin at column `first`, each scaled to as many pixels as `columns`.
fn along_rows<const C: usize>(
    rows: &[u8],
    stride: usize,
    columns: &[Taps],
    first: usize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() / stride * columns.len() * C);
    for row in rows.chunks_exact(stride) {
        let (row, _) = row.as_chunks::<C>();
        for taps in columns {
            let start = taps.first - first;
            let mut sums = [1_i32 << (PRECISION - 1); C];
            for (pixel, &weight) in row[start..].iter().zip(&taps.weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
                }
            }
            out.extend(sums.map(rounded));
        }
    }
    out
}

/// The bytes `part` of rows of `stride` bytes, the first of which is row `first`, scaled to as many
/// rows as `lines`.
fn along_columns(
    rows: &[u8],
    stride: usize,
    part: &Range<usize>,
    lines: &[Taps],
    first: usize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(part.len() * lines.len());
    let mut sums = vec![0_i32; part.len()];
    for taps in lines {
        let row = |at: usize| &rows[(taps.first - first + at) * stride..][part.clone()];
        if taps.weights == [1 << PRECISION] {
            out.extend(row(0));
            continue;
        }
        sums.fill(1 << (PRECISION - 1));
        for (at, &weight) in taps.weights.iter().enumerate() {
            for (sum, &value) in sums.iter_mut().zip(row(at)) {
                *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
            }
        }
        out.extend(sums.iter().map(|&sum| rounded(sum)));
    }
    out
}

fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Where the pixels of every result of the window come from.
fn taps(side: &Side, filter: Filter) -> Vec<Taps> {
    let Side { length, scaled, window } = side;
    if length == scaled {
        let whole = |at| Taps { first: at, weights: vec![1 << PRECISION] };
        return window.clone().map(whole).collect();
    }
    let scale = *length as f64 / *scaled as f64;
    if filter == Filter::Nearest {
        return nearest(*length, scale, window);
    }
    let widened = scale.max(1.0);
    let support = filter.support() * widened;
    let of = |at: usize| {
        let center = (at as f64 + 0.5) * scale;
        // Casts round towards zero, as those of C do, and negative places become 0.
        let first = (center - support + 0.5) as usize;
        let end = ((center + support + 0.5) as usize).min(*length);
        let places = first..end;
        let weight = |place: usize| filter.weight((place as f64 - center + 0.5) * (1.0 / widened));
        let weights: Vec<f64> = places.map(weight).collect();
        let sum = weights.iter().fold(0.0, |sum, weight| sum + weight);
        let whole = |weight: &f64| {
            let weight = if sum == 0.0 { *weight } else { weight / sum };
            let scaled = weight * f64::from(1 << PRECISION);
            (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
        };
        Taps { first, weights: weights.iter().map(whole).collect() }
    };
    window.clone().map(of).collect()
}

/// Places are summed up one by one, because Pillow does so and the sums are not exact.
fn nearest(length: usize, scale: f64, window: &Range<usize>) -> Vec<Taps> {
    let mut place = scale * 0.5;
    let mut out = Vec::with_capacity(window.len());
    for at in 0..window.end {
        if window.contains(&at) {
            let first = place as usize;
            let weights = if first < length { vec![1 << PRECISION] } else { Vec::new() };
            out.push(Taps { first: first.min(length - 1), weights });
        }
        place += scale;
    }
    out
}
