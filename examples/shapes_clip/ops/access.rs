//! The values of tensors on the CPU, for operations of our own.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The values of a contiguous tensor.
pub fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("a fused operation needs contiguous data"),
    }
}

/// Lends the contiguous values of a tensor.
pub fn read<R>(a: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let a = a.contiguous()?;
    let (storage, layout) = a.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        bail!("the fused operations run on the CPU only")
    };
    Ok(f(slice(storage, layout)?))
}

/// Lends the contiguous values of two tensors.
pub fn read2<R>(a: &Tensor, b: &Tensor, f: impl FnOnce(&[f32], &[f32]) -> R) -> Result<R> {
    read(a, |a| read(b, |b| f(a, b)))?
}
