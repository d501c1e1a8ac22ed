//! Reading with both bounds known: what the file really holds and what we are willing to hold.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Fault, ModelError};

/// A reader that knows how many bytes its file has and refuses to pass `limit`.
///
/// No length from a file reaches an allocation before it was compared with both.
pub(crate) struct Bounded<R> {
    inner: R,
    at: u64,
    len: u64,
    limit: u64,
}

impl<R: Read> Bounded<R> {
    /// `len` is the length of the whole file, `limit` the most bytes that may be read from it.
    pub fn new(inner: R, len: u64, limit: u64) -> Self {
        Self { inner, at: 0, len, limit }
    }

    /// Offset of the next byte.
    pub fn at(&self) -> u64 {
        self.at
    }

    pub fn remaining(&self) -> u64 {
        self.len - self.at
    }

    /// Refuses `count` items of at least `each` bytes when fewer bytes remain.
    pub fn demand(&self, field: &str, count: u64, each: u64) -> Result<u64, Fault> {
        let fault = |what| Err(Fault::new(field, what).at(self.at));
        let remaining = self.remaining();
        let bytes = match count.checked_mul(each) {
            Some(bytes) if bytes <= remaining => bytes,
            _ => {
                return fault(format!(
                    "{count} items of at least {each} bytes announced, {remaining} bytes remain"
                ));
            }
        };
        if bytes > self.limit.saturating_sub(self.at) {
            return fault(format!("the header is larger than the limit of {} bytes", self.limit));
        }
        Ok(bytes)
    }

    /// Appends exactly `n` bytes to `out`.
    pub fn append(&mut self, field: &str, n: u64, out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = out.len();
        let n = self.demand(field, n, 1)? as usize;
        out.resize(start + n, 0);
        self.inner
            .read_exact(&mut out[start..])
            .map_err(|e| Fault::new(field, format!("cannot be read: {e}")).at(self.at))?;
        self.at += n as u64;
        Ok(())
    }

    pub fn bytes(&mut self, field: &str, n: u64) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        self.append(field, n, &mut out)?;
        Ok(out)
    }

    pub fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], Fault> {
        self.demand(field, N as u64, 1)?;
        let mut out = [0; N];
        self.inner
            .read_exact(&mut out)
            .map_err(|e| Fault::new(field, format!("cannot be read: {e}")).at(self.at))?;
        self.at += N as u64;
        Ok(out)
    }

    pub fn u32(&mut self, field: &str) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub fn u64(&mut self, field: &str) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }
}

/// Opens a regular file and gives its length. Pipes and devices are refused before they are
/// opened, because opening a pipe waits for a writer.
pub(crate) fn open(path: &Path) -> Result<(File, u64), ModelError> {
    let irregular = || ModelError::Layout {
        path: path.to_owned(),
        what: "is not a regular file".to_owned(),
        advice: None,
    };
    if !std::fs::metadata(path).map_err(ModelError::read(path))?.is_file() {
        return Err(irregular());
    }
    let file = File::open(path).map_err(ModelError::read(path))?;
    let facts = file.metadata().map_err(ModelError::read(path))?;
    if facts.is_file() { Ok((file, facts.len())) } else { Err(irregular()) }
}

/// The whole of a small text file.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, ModelError> {
    let (file, len) = open(path)?;
    let too_large = || ModelError::Layout {
        path: path.to_owned(),
        what: format!("is larger than the limit of {limit} bytes"),
        advice: None,
    };
    if len > limit {
        return Err(too_large());
    }
    let mut text = String::with_capacity(len as usize);
    // The file may grow meanwhile, hence the second bound.
    file.take(limit + 1).read_to_string(&mut text).map_err(ModelError::read(path))?;
    if text.len() as u64 > limit { Err(too_large()) } else { Ok(text) }
}
