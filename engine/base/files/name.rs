//! Names that nobody else uses, and whose they are.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

/// A name no other process or thread uses: `<place>-<pid>-<random>`.
pub fn unique_name() -> String {
    let random = RandomState::new().hash_one(SystemTime::now());
    format!("{}-{}-{random:016x}", place(), std::process::id())
}

/// Where process ids count: this machine, and the container on it if there is one.
pub fn place() -> String {
    let namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |m| m.ino());
    format!("{}.{namespace}", host())
}

/// The name of this machine, made fit for a file name.
pub fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.chars().take(64).map(plain).collect(),
    }
}
