//! Matrices of floats, a piece at a time and several pieces at once.

use std::fs::File;
use std::ops::Range;
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

/// Elements that one worker holds at a time: 2 Mi elements are 8 MiB of f32.
const PIECE: usize = 2 << 20;

/// All rows of a checkpoint's tensor as f32.
pub fn read(source: &Source<'_>) -> Result<Vec<f32>, PassError> {
    let step = ((PIECE / 2) as u64 / source.cols.max(1)).max(1);
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

/// An initializer of a graph as a matrix of floats; the last dimension is the columns.
pub struct Matrix<'a> {
    name: &'a str,
    place: Place,
    dtype: ElementType,
    pub rows: usize,
    pub cols: usize,
}

enum Place {
    File { file: File, offset: u64 },
    Memory(Vec<u8>),
}

impl<'a> Matrix<'a> {
    /// The initializer `name` of the main graph. `None` when its elements are no floats of 32 or
    /// 16 bits.
    pub fn open(model: &OnnxModel, name: &'a str) -> Result<Option<Self>, PassError> {
        let Some(tensor) = model.graph().initializer(name) else { return Ok(None) };
        let dtype = tensor.data_type.and_then(element_type);
        let Some(dtype) = dtype.filter(|d| d.is_float() && *d != ElementType::F64) else {
            return Ok(None);
        };
        let cols = tensor.dims.last().map_or(1, |&dim| dim.max(0) as usize);
        let rows = (tensor.elements() as usize).checked_div(cols).unwrap_or(0);
        let place = match model.weights.get(name) {
            Some(stored) => {
                let file = File::open(&stored.file).map_err(file_error("open", &stored.file))?;
                Place::File { file, offset: stored.offset }
            }
            None => Place::Memory(model.bytes_of(name)?.unwrap_or_default()),
        };
        Ok(Some(Self { name, place, dtype, rows, cols }))
    }

    /// Elements `first..first + count`, all finite.
    fn elements(&self, first: usize, count: usize) -> Result<Vec<f32>, PassError> {
        let size = self.dtype.bytes();
        let mut bytes = vec![0; count * size];
        match &self.place {
            Place::File { file, offset } => {
                file.read_exact_at(&mut bytes, offset + (first * size) as u64).map_err(
                    |source| PassError::File {
                        action: "read the weights of",
                        path: self.name.to_owned(),
                        source,
                    },
                )?;
            }
            Place::Memory(all) => bytes.copy_from_slice(&all[first * size..][..count * size]),
        }
        let values = match self.dtype {
            ElementType::F32 => floats(&bytes, f32::from_le_bytes),
            ElementType::F16 => floats(&bytes, |b| f16::from_le_bytes(b).to_f32()),
            _ => floats(&bytes, |b| bf16::from_le_bytes(b).to_f32()),
        };
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(at) => Err(PassError::NotFinite {
                tensor: self.name.to_owned(),
                row: ((first + at) / self.cols.max(1)) as u64,
            }),
        }
    }

    /// Every element.
    pub fn all(&self) -> Result<Vec<f32>, PassError> {
        self.elements(0, self.rows * self.cols)
    }

    fn read_rows(&self, range: Range<usize>) -> Result<Vec<f32>, PassError> {
        self.elements(range.start * self.cols, range.len() * self.cols)
    }

    /// Columns `range` as rows: (columns, rows).
    fn read_columns(&self, range: Range<usize>) -> Result<Vec<f32>, PassError> {
        let (width, rows) = (range.len(), self.rows);
        let mut out = vec![0.0; width * rows];
        let mut tile = Vec::with_capacity(TILE * width);
        for top in (0..rows).step_by(TILE) {
            let bottom = (top + TILE).min(rows);
            tile.clear();
            for row in top..bottom {
                tile.extend(self.elements(row * self.cols + range.start, width)?);
            }
            for col in 0..width {
                for row in top..bottom {
                    out[col * rows + row] = tile[(row - top) * width + col];
                }
            }
        }
        Ok(out)
    }

    /// Runs `convert` over all rows in pieces (number of the first row, values), several at once,
    /// and hands the results to `consume` in order.
    pub fn stream_rows<R: Send>(
        &self,
        convert: impl Fn(usize, &[f32]) -> R + Sync,
        consume: impl FnMut(R) -> Result<(), PassError>,
    ) -> Result<(), PassError> {
        let step = (PIECE / self.cols.max(1)).max(1);
        stream(self.rows, step, &|range| Ok(convert(range.start, &self.read_rows(range)?)), consume)
    }

    /// The same over columns: each piece holds whole columns as rows of length `self.rows`.
    pub fn stream_columns<R: Send>(
        &self,
        convert: impl Fn(usize, &[f32]) -> R + Sync,
        consume: impl FnMut(R) -> Result<(), PassError>,
    ) -> Result<(), PassError> {
        let step = (PIECE / self.rows.max(1)).max(1);
        let convert = |range: Range<usize>| {
            let start = range.start;
            Ok(convert(start, &self.read_columns(range)?))
        };
        stream(self.cols, step, &convert, consume)
    }
}

fn stream<R: Send>(
    count: usize,
    step: usize,
    convert: &(dyn Fn(Range<usize>) -> Result<R, PassError> + Sync),
    mut consume: impl FnMut(R) -> Result<(), PassError>,
) -> Result<(), PassError> {
    let pieces: Vec<Range<usize>> =
        (0..count).step_by(step).map(|start| start..(start + step).min(count)).collect();
    for batch in pieces.chunks(rayon::current_num_threads().max(1)) {
        let converted: Result<Vec<R>, PassError> =
            batch.par_iter().map(|range| convert(range.clone())).collect();
        converted?.into_iter().try_for_each(&mut consume)?;
    }
    Ok(())
}

fn floats<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (whole, _) = bytes.as_chunks::<N>();
    whole.iter().map(|chunk| value(*chunk)).collect()
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

    #[test]
    fn rows_and_columns_come_whole_and_in_order() {
        let (rows, cols) = (70, 45);
        let values: Vec<f32> = (0..rows * cols).map(|v| v as f32).collect();
        let place = Place::Memory(bytemuck::cast_slice(&values).to_vec());
        let matrix = Matrix { name: "w", place, dtype: ElementType::F32, rows, cols };
        let mut seen = Vec::new();
        matrix
            .stream_rows(
                |_, part| part.to_vec(),
                |part| {
                    seen.extend(part);
                    Ok(())
                },
            )
            .unwrap();
        assert_eq!(seen, values);
        let mut turned = Vec::new();
        matrix
            .stream_columns(
                |_, part| part.to_vec(),
                |part| {
                    turned.extend(part);
                    Ok(())
                },
            )
            .unwrap();
        assert_eq!(turned, transpose(&values, rows, cols));
    }
}
