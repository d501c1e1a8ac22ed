//! Renaming that never replaces: one system call where the kernel has it, a link elsewhere.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Renames a file or folder; fails when the target exists.
pub(super) fn without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match noreplace(from, to) {
        Err(e) if lacks_support(&e) => {}
        done => return done,
    }
    if fs::symlink_metadata(from)?.is_dir() {
        // rename(2) refuses to replace a folder that holds anything, and published ones do.
        return fs::rename(from, to);
    }
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(e) if lacks_support(&e) && !to.exists() => fs::rename(from, to),
        Err(e) => Err(e),
    }
}

#[cfg(target_os = "linux")]
fn noreplace(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c_path(from)?, c_path(to)?);
    // SAFETY: both pointers are NUL-terminated strings that outlive the call.
    let status = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn noreplace(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

/// The kernel or the file system does not know this way of renaming or linking.
fn lacks_support(e: &io::Error) -> bool {
    let code = e.raw_os_error();
    [libc::ENOSYS, libc::EINVAL, libc::EPERM, libc::EOPNOTSUPP].iter().any(|c| code == Some(*c))
}

/// Whether a rename failed because the target exists.
pub(super) fn is_taken(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty)
}
