//! Where the store lives and whom its folder may belong to.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::base::files::{self, FileError};

/// Version of the layout; newer ones are refused.
const LAYOUT: u32 = 1;

const ROOMS: [&str; 6] = ["objects", "actions", "history", "runs", "tmp", "quarantine"];

/// The store of this user: `ENGINE_STORE`, else `engine` in `XDG_CACHE_HOME` or `~/.cache`.
pub fn default_root() -> Result<PathBuf, StoreError> {
    root_from(|name| std::env::var_os(name)).ok_or(StoreError::NoHome)
}

fn root_from(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG base directory specification asks to ignore relative paths.
    let absolute = |name| path(name).filter(|path| path.is_absolute());
    path("ENGINE_STORE")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|cache| cache.join("engine")))
        .or_else(|| absolute("HOME").map(|home| home.join(".cache").join("engine")))
}

/// Creates what is missing and refuses what cannot be trusted.
pub(super) fn prepare(root: &Path) -> Result<(), StoreError> {
    files::create_folder(root, 0o700)?;
    let metadata = fs::metadata(root).map_err(|e| FileError::new("read", root, e))?;
    // SAFETY: the call has no arguments and cannot fail.
    let user = unsafe { libc::geteuid() };
    judge(root, metadata.uid(), metadata.mode(), user)?;

    let path = root.join("layout");
    let is_new = match files::read_bounded(&path, 100) {
        Ok(bytes) => {
            let found = String::from_utf8_lossy(&bytes).trim().to_owned();
            if found != LAYOUT.to_string() {
                return Err(StoreError::Newer { path: root.to_owned(), found, known: LAYOUT });
            }
            false
        }
        Err(e) if e.is_not_found() => true,
        Err(e) => return Err(e.into()),
    };
    for room in ROOMS {
        files::create_folder(&root.join(room), 0o700)?;
    }
    if is_new {
        files::replace_file_via(&root.join("tmp"), &path, format!("{LAYOUT}\n").as_bytes())?;
    }
    Ok(())
}

fn judge(root: &Path, owner: u32, mode: u32, user: u32) -> Result<(), StoreError> {
    let path = root.to_owned();
    if owner != user {
        return Err(StoreError::NotOwned { path, owner, user });
    }
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(StoreError::Writable { path, mode: mode & 0o7777 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::base::files::seam::Scratch;
    use crate::store::Store;

    #[test]
    fn the_default_root_follows_the_environment() {
        let all = [("ENGINE_STORE", "/s"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        let root = |from: usize| {
            root_from(|name| all[from..].iter().find(|v| v.0 == name).map(|v| v.1.into()))
        };
        assert_eq!(root(0), Some("/s".into()));
        assert_eq!(root(1), Some("/x/engine".into()));
        assert_eq!(root(2), Some("/h/.cache/engine".into()));
        assert_eq!(root(3), None);
        assert_eq!(root_from(|_| Some("relative".into())), Some("relative".into()));
        let relative_cache = |name: &str| (name != "ENGINE_STORE").then(|| "relative".into());
        assert_eq!(root_from(relative_cache), None);
    }

    #[test]
    fn a_new_root_is_private_and_foreign_or_open_ones_are_refused() {
        let dir = Scratch::new();
        let root = dir.join("new/store");
        Store::open(&root).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
        for mode in [0o770, 0o707] {
            fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(Store::open(&root), Err(StoreError::Writable { .. })));
        }
        assert!(judge(&root, 7, 0o1777, 7).is_ok(), "sticky");
        assert!(matches!(judge(&root, 8, 0o700, 7), Err(StoreError::NotOwned { .. })));
        assert!(matches!(judge(&root, 8, 0o700, 0), Err(StoreError::NotOwned { .. })));
    }

    #[test]
    fn a_newer_layout_is_refused_politely() {
        let dir = Scratch::new();
        Store::open(&dir).unwrap();
        files::replace_file(&dir.join("layout"), b"2\n").unwrap();
        let words = Store::open(&dir).unwrap_err().to_string();
        assert!(
            words.ends_with("layout 2, this engine knows up to 1: update the engine"),
            "{words}"
        );
    }
}
