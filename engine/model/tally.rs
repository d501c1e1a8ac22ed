//! Bookkeeping of writers that take tensors in a fixed order, piece by piece.

use std::io::{Error, ErrorKind, Result};

/// Tensors still to come, with how many bytes of each.
pub(crate) struct Tally {
    pending: std::vec::IntoIter<(String, u64)>,
    current: Option<(String, u64)>,
}

impl Tally {
    pub fn new(tensors: Vec<(String, u64)>) -> Self {
        let mut pending = tensors.into_iter();
        let current = pending.next();
        Self { pending, current }
    }

    /// Counts a piece of the current tensor; true when it was the last piece.
    pub fn take(&mut self, bytes: usize) -> Result<bool> {
        let Some((name, left)) = &mut self.current else {
            return Err(misuse(format!("{bytes} bytes after the last tensor")));
        };
        *left = left.checked_sub(bytes as u64).ok_or_else(|| {
            misuse(format!("tensor `{name}` misses {left} bytes, got a piece of {bytes}"))
        })?;
        if *left > 0 {
            return Ok(false);
        }
        self.current = self.pending.next();
        Ok(true)
    }

    pub fn finish(&self) -> Result<()> {
        match &self.current {
            Some((name, left)) => Err(misuse(format!("tensor `{name}` misses {left} bytes"))),
            None => Ok(()),
        }
    }
}

pub(crate) fn misuse(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, what.into())
}
