//! Which files this process has hashed already, and whether they changed since.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::object::{Depth, metadata};
use super::{Store, locked};
use crate::base::Digest;
use crate::base::files::FileError;

/// Digests of files this process has hashed, by device and inode.
pub(super) type Memory = HashMap<(u64, u64), (Stamp, Digest)>;

/// Changes whenever the content of an inode does: size, and time of the last change in seconds
/// and nanoseconds. Unlike the time of modification, nobody can set the time of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(u64, i64, i64);

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self(metadata.size(), metadata.ctime(), metadata.ctime_nsec())
    }

    /// Whether a later change is certain to give another stamp. File systems count time in ticks
    /// (some in seconds), so a change within the same tick would go unnoticed.
    fn is_settled(self) -> bool {
        let tick = Duration::from_millis(if self.2 == 0 { 2500 } else { 50 });
        let since_1970 = Duration::new(self.1.max(0).cast_unsigned(), self.2.max(0) as u32);
        let changed = UNIX_EPOCH.checked_add(since_1970);
        let age = changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
        age.is_some_and(|age| age > tick)
    }
}

impl Store {
    /// The digest of a file's content, from memory where depth and stamp allow it.
    pub(super) fn digest_of(&self, path: &Path, depth: Depth) -> Result<Digest, FileError> {
        let before = metadata(path)?;
        let inode = (before.dev(), before.ino());
        let stamp = Stamp::of(&before);
        if depth == Depth::Remembered
            && let Some((known, digest)) = locked(&self.memory).get(&inode)
            && *known == stamp
        {
            return Ok(*digest);
        }
        let digest = Digest::of_file(path).map_err(|e| FileError::new("read", path, e))?;
        let after = metadata(path)?;
        if inode == (after.dev(), after.ino()) && stamp == Stamp::of(&after) && stamp.is_settled() {
            locked(&self.memory).insert(inode, (stamp, digest));
        }
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::files;
    use crate::base::files::seam::Scratch;

    #[test]
    fn a_digest_is_remembered_for_exactly_one_stamp_and_never_for_a_full_look() {
        let dir = Scratch::new();
        let store = Store::open(&dir).unwrap();
        let path = dir.join("file");
        files::replace_file(&path, b"abc").unwrap();
        let (right, planted) = (Digest::of_bytes(b"abc"), Digest::of_bytes(b"planted"));
        let found = metadata(&path).unwrap();
        let inode = (found.dev(), found.ino());
        let stamp = Stamp::of(&found);
        locked(&store.memory).insert(inode, (stamp, planted));
        assert_eq!(store.digest_of(&path, Depth::Remembered).unwrap(), planted);
        assert_eq!(store.digest_of(&path, Depth::Full).unwrap(), right);
        let others = [
            Stamp(stamp.0 + 1, stamp.1, stamp.2),
            Stamp(stamp.0, stamp.1 + 1, stamp.2),
            Stamp(stamp.0, stamp.1, stamp.2 ^ 1),
        ];
        for other in others {
            locked(&store.memory).insert(inode, (other, planted));
            assert_eq!(store.digest_of(&path, Depth::Remembered).unwrap(), right);
        }
    }

    #[test]
    fn a_stamp_is_trusted_only_when_its_tick_is_over() {
        assert!(Stamp(0, 1_000_000_000, 5).is_settled());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        assert!(!Stamp(0, now + 1000, 5).is_settled(), "the future");
        assert!(!Stamp(0, i64::MAX, i64::MAX).is_settled());
    }
}
