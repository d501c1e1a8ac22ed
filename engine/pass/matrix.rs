//! Whole matrices in memory, one at a time: read, turned and cut in parallel.

use std::fs::File;
use std::os::unix::fs::FileExt;

use half::{bf16, f16};
use rayon::prelude::*;

use super::rows::Source;
use super::{PassError, file_error};
use crate::data::ElementType;
use crate::model::OnnxModel;
use crate::model::onnx::element_type;

/// Side of the squares in which a matrix is turned: two of them fit the first-level cache.
const TILE: usize = 32;

/// All rows of a checkpoint's tensor as f32.
pub fn read(source: &Source<'_>) -> Result<Vec<f32>, PassError> {
    let step = ((1_u64 << 20) / source.cols.max(1)).max(1);
    let starts: Vec<u64> = (0..source.rows).step_by(step as usize).collect();
    let mut values = vec![0.0; (source.rows * source.cols) as usize];
    values.par_chunks_mut((step * source.cols).max(1) as usize).zip(starts).try_for_each(
        |(part, start)| {
            let end = (start + step).min(source.rows);
            part.copy_from_slice(&source.read(start..end, &|row| row)?);
            Ok::<_, PassError>(())
        },
    )?;
    Ok(values)
}

/// An initializer of the main graph as f32, row by row. All values are finite.
pub fn read_initializer(model: &OnnxModel, name: &str) -> Result<Vec<f32>, PassError> {
    let tensor = model.graph().initializer.iter().find(|t| t.name.as_deref() == Some(name));
    let dtype = tensor.and_then(|t| element_type(t.data_type?));
    let unreadable = || PassError::Graph {
        path: model.path.display().to_string(),
        what: format!("initializer `{name}` has no floating-point numbers"),
    };
    let values: Vec<f32> = match (dtype, model.weights.get(name)) {
        (Some(ElementType::F32), Some(stored)) => {
            let file = File::open(&stored.file).map_err(file_error("open", &stored.file))?;
            let mut values = vec![0.0_f32; stored.bytes as usize / 4];
            let chunk = 1 << 22;
            values.par_chunks_mut(chunk).enumerate().try_for_each(|(i, part)| {
                let at = stored.offset + (i * chunk * 4) as u64;
                file.read_exact_at(bytemuck::cast_slice_mut(part), at)
                    .map_err(file_error("read", &stored.file))
            })?;
            values
        }
        (Some(dtype), _) => {
            let bytes = model.bytes_of(name)?.ok_or_else(unreadable)?;
            match dtype {
                ElementType::F32 => floats(&bytes, f32::from_le_bytes),
                ElementType::F16 => floats(&bytes, |b| f16::from_le_bytes(b).to_f32()),
                ElementType::Bf16 => floats(&bytes, |b| bf16::from_le_bytes(b).to_f32()),
                _ => return Err(unreadable()),
            }
        }
        (None, _) => return Err(unreadable()),
    };
    match values.par_iter().position_any(|value| !value.is_finite()) {
        None => Ok(values),
        Some(at) => Err(PassError::NotFinite { tensor: name.to_owned(), row: at as u64 }),
    }
}

fn floats<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (whole, _) = bytes.as_chunks::<N>();
    whole.iter().map(|chunk| value(*chunk)).collect()
}

/// `values` (rows, cols) as (cols, rows).
pub fn transpose<T: Copy + Default + Send + Sync>(
    values: &[T],
    rows: usize,
    cols: usize,
) -> Vec<T> {
    let mut out = vec![T::default(); values.len()];
    if values.is_empty() {
        return out;
    }
    out.par_chunks_mut(rows * TILE).enumerate().for_each(|(stripe, out)| {
        let first = stripe * TILE;
        let width = out.len() / rows;
        for top in (0..rows).step_by(TILE) {
            for row in top..(top + TILE).min(rows) {
                for col in 0..width {
                    out[col * rows + row] = values[row * cols + first + col];
                }
            }
        }
    });
    out
}

/// Runs `convert` over rows of `cols` values, several at once; results come in order.
pub fn by_row<R: Send>(
    values: &[f32],
    cols: usize,
    convert: impl Fn(usize, &[f32]) -> R + Sync + Send,
) -> Vec<R> {
    values.par_chunks(cols.max(1)).enumerate().map(|(row, values)| convert(row, values)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_matrix_has_rows_where_columns_were() {
        for (rows, cols) in [(1, 1), (3, 5), (32, 32), (33, 65), (100, 7)] {
            let values: Vec<u32> = (0..rows * cols).map(|v| v as u32).collect();
            let turned = transpose(&values, rows, cols);
            for row in 0..rows {
                for col in 0..cols {
                    assert_eq!(turned[col * rows + row], values[row * cols + col]);
                }
            }
        }
    }
}
