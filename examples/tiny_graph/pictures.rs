//! Pictures that show nothing, and NumPy's archives to keep them in.

use std::io::{Cursor, Write};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

const SEED: u64 = 29;
const SIDE: usize = 28;

/// Numbers of one picture.
pub const PIXELS: usize = SIDE * SIDE;

/// Files and their pictures, one after another. No picture is in both.
pub fn sets() -> [(&'static str, Vec<f32>); 2] {
    let mut generator = Pcg64::seed_from_u64(SEED);
    let mut draw = |count| (0..count).flat_map(|_| picture(&mut generator)).collect();
    [("calib.npz", draw(16)), ("heldout.npz", draw(32))]
}

/// A few bright and dark rectangles on grey, from -1 to 1.
fn picture(generator: &mut Pcg64) -> Vec<f32> {
    let mut out = vec![0.0; PIXELS];
    for _ in 0..generator.random_range(2..7) {
        let mut span = || {
            let (a, b) = (generator.random_range(0..SIDE), generator.random_range(0..SIDE));
            a.min(b)..=a.max(b)
        };
        let (rows, columns) = (span(), span());
        let light = generator.random_range(-8..=8) as f32 / 8.0;
        for row in rows {
            out[row * SIDE..][columns.clone()].fill(light);
        }
    }
    out
}

/// An .npz archive with one array of 32-bit floats, as `numpy.savez` lays it out.
///
/// Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
pub fn npz(name: &str, shape: &[usize], values: &[f32]) -> ZipResult<Vec<u8>> {
    let dims = shape.iter().map(|dim| format!("{dim}, ")).collect::<Vec<_>>().concat();
    let dict =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end());
    // Magic, version and length take ten bytes; the data begin at a multiple of 64.
    let length = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    let mut array = b"\x93NUMPY\x01\x00".to_vec();
    array.extend((length as u16).to_le_bytes());
    array.extend(format!("{dict:<width$}\n", width = length - 1).into_bytes());
    array.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    // Neither compressed nor dated, so that the bytes depend on the numbers only.
    let how = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    archive.start_file(format!("{name}.npy"), how)?;
    archive.write_all(&array)?;
    Ok(archive.finish()?.into_inner())
}
