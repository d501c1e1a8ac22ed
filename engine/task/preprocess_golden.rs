//! Preprocessing against the reference library: `tests/cases/preprocess/reference.npz`, written by
//! `make.py` beside it from pictures that are drawn here again.

use std::path::PathBuf;

use super::preprocess::ImageProcessor;
use super::resample::{Filter, Side, resample};
use crate::base::Digest;
use crate::data::{Picture, Tensor, read_npz};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/preprocess")
}

/// The twin of `draw` in make.py.
fn draw(kind: &str, width: usize, height: usize) -> Picture {
    let pixel = |x: usize, y: usize, c: usize| -> u8 {
        match kind {
            "gradient" => match c {
                0 => (x * 255 / (width - 1).max(1)) as u8,
                1 => (y * 255 / (height - 1).max(1)) as u8,
                _ => ((x + y) * 3 % 256) as u8,
            },
            "noise" => {
                let v = ((x * 73_856_093) ^ (y * 19_349_663) ^ (c * 83_492_791)) as u32;
                let v = (v ^ (v >> 13)).wrapping_mul(0x5BD1_E995);
                (v ^ (v >> 15)) as u8
            }
            "shapes" => {
                let side = width.min(height);
                let far = (2 * x).abs_diff(width).pow(2) + (2 * y).abs_diff(height).pow(2);
                let is_stripe = (x / 3 + y / 5).is_multiple_of(2);
                match (far < side * side / 2, is_stripe) {
                    (true, _) => [230, 40, 60][c],
                    (false, true) => 20 + 90 * c as u8,
                    (false, false) => 250 - 60 * c as u8,
                }
            }
            other => panic!("no picture is called {other}"),
        }
    };
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let rgb = places.flat_map(|(x, y)| [0, 1, 2].map(|c| pixel(x, y, c))).collect();
    Picture::new(width, height, rgb).unwrap()
}

/// The pixels as planes, `[3, height, width]`.
fn planes(picture: &Picture) -> Vec<u8> {
    let rgb = picture.rgb();
    (0..3).flat_map(|c| rgb.iter().skip(c).step_by(3).copied()).collect()
}

/// The twin of `grid` in make.py.
fn grid<T: Copy>(values: &[T], (height, width): (usize, usize)) -> Vec<T> {
    let (down, across) = ((height / 8).max(1), (width / 8).max(1));
    let rows = (0..3 * height).filter(|row| (row % height).is_multiple_of(down));
    rows.flat_map(|row| values[row * width..(row + 1) * width].iter().copied().step_by(across))
        .collect()
}

struct Reference(Vec<(String, Tensor)>);

impl Reference {
    fn read() -> Self {
        Self(read_npz(&folder().join("reference.npz")).unwrap())
    }

    fn get(&self, name: &str) -> &Tensor {
        let found = self.0.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no array `{name}`")).1
    }

    /// The names before `/pixels` of arrays that are about a configuration, or a filter.
    fn cases(&self, is_filter: bool) -> Vec<&str> {
        let names = self.0.iter().filter_map(|(name, _)| name.strip_suffix("/pixels"));
        names.filter(|name| name.starts_with("filter") == is_filter).collect()
    }

    /// Compares a part of the pixels first, because it says by how much they differ.
    fn compare(&self, case: &str, pixels: &Picture) {
        let size = (pixels.height(), pixels.width());
        let pixels = planes(pixels);
        let wanted = &self.get(&format!("{case}/grid")).bytes;
        let found = grid(&pixels, size);
        assert_eq!(found.len(), wanted.len(), "{case}: another size, {size:?}");
        let most = found.iter().zip(wanted).map(|(a, b)| a.abs_diff(*b)).max();
        assert_eq!(most, Some(0), "{case}: largest difference of 8 bit pixels");
        let wanted = &self.get(&format!("{case}/pixels")).bytes;
        let digest: Vec<String> = wanted.iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = digest.concat();
        assert_eq!(Digest::of_bytes(&pixels).hex(), digest, "{case}: a pixel beside the grid");
    }
}

fn size_of(text: &str) -> (usize, usize) {
    let (width, height) = text.split_once('x').unwrap();
    (width.parse().unwrap(), height.parse().unwrap())
}

#[test]
fn every_configuration_gives_the_numbers_of_the_reference_library() {
    let reference = Reference::read();
    let cases = reference.cases(false);
    assert!(cases.len() >= 45, "only {} cases", cases.len());
    for case in cases {
        let [config, kind, size] = case.split('/').collect::<Vec<_>>().try_into().unwrap();
        let (width, height) = size_of(size);
        let picture = draw(kind, width, height);
        let path = folder().join(format!("{config}.json"));
        let processor = ImageProcessor::read(&path, None).unwrap();
        reference.compare(case, &processor.pixels(&picture).unwrap());
        let mut values = Vec::new();
        let size = processor.append(&picture, 3, &mut values).unwrap();
        let wanted = reference.get(&format!("{case}/values"));
        let wanted: &[f32] = &wanted.to_f64().iter().map(|&v| v as f32).collect::<Vec<_>>();
        assert_eq!(grid(&values, size), wanted, "{case}: the final numbers");
    }
}

#[test]
fn every_filter_gives_the_pixels_of_pillow() {
    let reference = Reference::read();
    let cases = reference.cases(true);
    assert!(cases.len() >= 42, "only {} cases", cases.len());
    for case in cases {
        let [filter, kind, from, to] = case.split('/').collect::<Vec<_>>().try_into().unwrap();
        let number: usize = filter.strip_prefix("filter").unwrap().parse().unwrap();
        let ((width, height), (across, down)) = (size_of(from), size_of(to));
        let side = |length, scaled| Side { length, scaled, window: 0..scaled };
        let picture = draw(kind, width, height);
        let filter = Filter::ALL[number];
        let scaled = resample(&picture, &side(width, across), &side(height, down), filter);
        reference.compare(case, &scaled.unwrap());
    }
}
