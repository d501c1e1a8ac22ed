//! Whether a tensor's elements are where its type says, and as many as its shape says.

use super::element::bits;
use super::proto::TensorProto;
use super::{EXTERNAL, type_name};

/// A field of a tensor and what is wrong with it.
pub(super) type Wrong = (&'static str, String);

/// Number of elements.
pub(super) fn elements(tensor: &TensorProto) -> Result<u64, Wrong> {
    if let Some((i, dim)) = tensor.dims.iter().enumerate().find(|(_, dim)| **dim < 0) {
        return Err(("dims", format!("dimension {i} is {dim}")));
    }
    if tensor.dims.contains(&0) {
        return Ok(0);
    }
    let count = tensor.dims.iter().try_fold(1_i64, |count, dim| count.checked_mul(*dim));
    count.map(|count| count as u64).ok_or_else(|| {
        ("dims", format!("the number of elements of {:?} overflows", Few(&tensor.dims)))
    })
}

/// Bytes of its elements, when they stand in a row; the last byte may be shared by narrow ones.
pub(super) fn bytes(tensor: &TensorProto) -> Result<u64, Wrong> {
    let (code, count) = (known_type(tensor)?, elements(tensor)?);
    let Some(bits) = bits(code) else {
        return Err(("data_type", "strings have no fixed number of bytes".to_owned()));
    };
    let total = count.checked_mul(bits).ok_or_else(|| {
        ("dims", format!("the number of bytes of {:?} overflows", Few(&tensor.dims)))
    })?;
    Ok(total.div_ceil(8))
}

/// The field that elements of this type are stored in one by one, and how many entries `count`
/// elements take there (`onnx.proto`, comments of `TensorProto`).
fn typed(code: i32, count: u64) -> (&'static str, u64) {
    match code {
        1 => ("float_data", count),
        14 => ("float_data", count.saturating_mul(2)),
        11 => ("double_data", count),
        15 => ("double_data", count.saturating_mul(2)),
        7 => ("int64_data", count),
        12 | 13 => ("uint64_data", count),
        8 => ("string_data", count),
        21..=23 => ("int32_data", count.div_ceil(2)),
        25 | 26 => ("int32_data", count.div_ceil(4)),
        _ => ("int32_data", count),
    }
}

/// Checks a tensor whose elements are inside the message.
pub(super) fn check_inline(tensor: &TensorProto) -> Result<(), Wrong> {
    let (code, count) = (known_type(tensor)?, elements(tensor)?);
    if let Some(location) = tensor.data_location.filter(|location| *location != 0) {
        let what = if location == EXTERNAL {
            "only initializers of the main graph may lie in data files".to_owned()
        } else {
            format!("{location} is neither 0 (inside) nor {EXTERNAL} (in a data file)")
        };
        return Err(("data_location", what));
    }
    let rows = rows(tensor);
    let mut filled = rows.iter().filter(|(_, entries)| *entries > 0).map(|(field, _)| *field);
    let raw = tensor.raw_data.as_ref();
    if let Some(first) = filled.next()
        && let Some(second) = filled.next().or(raw.map(|_| "raw_data"))
    {
        return Err((second, format!("has elements, and so has `{first}`")));
    }
    if let Some(raw) = raw {
        let expected = bytes(tensor)?;
        return match raw.len() as u64 == expected {
            true => Ok(()),
            false => Err(("raw_data", mismatch(tensor, expected, raw.len() as u64, "bytes"))),
        };
    }
    let (field, expected) = typed(code, count);
    match rows.iter().find(|(_, entries)| *entries > 0) {
        None if expected == 0 => Ok(()),
        Some((found, _)) if *found != field => {
            let name = type_name(code).unwrap_or_default();
            Err((found, format!("elements of type {name} belong into `{field}`")))
        }
        found => match found.map_or(0, |(_, entries)| *entries) {
            entries if entries == expected => Ok(()),
            entries => Err((field, mismatch(tensor, expected, entries, "entries"))),
        },
    }
}

/// Checks a tensor whose elements were left in the file: `found` bytes of the field `field`.
pub(super) fn check_cut(
    tensor: &TensorProto,
    field: &'static str,
    found: u64,
) -> Result<(), Wrong> {
    let code = known_type(tensor)?;
    let (owner, _) = typed(code, 0);
    if field != "raw_data" && field != owner {
        let name = type_name(code).unwrap_or_default();
        return Err((field, format!("elements of type {name} belong into `{owner}`")));
    }
    let rows = rows(tensor);
    let inside = rows.iter().find(|(_, entries)| *entries > 0).map(|(field, _)| *field);
    if let Some(other) = inside.or(tensor.raw_data.as_ref().map(|_| "raw_data")) {
        return Err((field, format!("has elements, and so has `{other}`")));
    }
    if tensor.data_location.unwrap_or(0) != 0 {
        return Err(("data_location", format!("is not 0, and `{field}` has elements")));
    }
    let expected = bytes(tensor)?;
    if found == expected {
        Ok(())
    } else {
        Err((field, mismatch(tensor, expected, found, "bytes")))
    }
}

/// The fields that hold elements one by one, with their numbers of entries.
pub(super) fn rows(tensor: &TensorProto) -> [(&'static str, u64); 6] {
    [
        ("float_data", tensor.float_data.len() as u64),
        ("int32_data", tensor.int32_data.len() as u64),
        ("string_data", tensor.string_data.len() as u64),
        ("int64_data", tensor.int64_data.len() as u64),
        ("double_data", tensor.double_data.len() as u64),
        ("uint64_data", tensor.uint64_data.len() as u64),
    ]
}

fn known_type(tensor: &TensorProto) -> Result<i32, Wrong> {
    let code = tensor.data_type.unwrap_or(0);
    match type_name(code) {
        Some(_) => Ok(code),
        None => Err(("data_type", format!("{code} is not the number of an element type"))),
    }
}

pub(super) fn mismatch(tensor: &TensorProto, expected: u64, found: u64, of: &str) -> String {
    let name = tensor.data_type.and_then(type_name).unwrap_or_default();
    format!("{:?} of type {name} takes {expected} {of}, found {found}", Few(&tensor.dims))
}

/// A shape, shortened.
pub(super) struct Few<'a>(pub &'a [i64]);

impl std::fmt::Debug for Few<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 8;
        let listed: Vec<String> = self.0.iter().take(SHOWN).map(i64::to_string).collect();
        let more = if self.0.len() > SHOWN { ", …" } else { "" };
        write!(f, "[{}{more}]", listed.join(", "))
    }
}
