//! Finding and ending what a child has left behind, even in another session.
//!
//! Every child carries a mark in its environment that its own children inherit, whatever session
//! or process group they move to.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Name of the variable that carries the mark.
pub const MARK: &str = "ENGINE_CELL";

/// Processes that carry the mark `token`, apart from the one numbered `except`.
pub fn marked(token: &str, except: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| pid != except && is_running(pid) && carries(pid, token))
        .collect()
}

/// Kills every marked process until none is left; gives up after a few rounds.
/// Returns how many there were.
pub fn end_marked(token: &str, except: u32) -> usize {
    let mut ended = BTreeSet::new();
    for _ in 0..10 {
        let found = marked(token, except);
        if found.is_empty() {
            break;
        }
        for pid in found {
            end_if_marked(pid, token);
            ended.insert(pid);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    ended.len()
}

/// Kills process `pid` if it still carries the mark. The handle is taken before the mark is read
/// again, so a number that was given to another process meanwhile cannot be hit.
fn end_if_marked(pid: u32, token: &str) {
    // SAFETY: plain system calls; the descriptor is ours and closed by its owner.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 {
            return;
        }
        let handle = OwnedFd::from_raw_fd(fd as RawFd);
        if carries(pid, token) {
            let none = std::ptr::null::<libc::siginfo_t>();
            let fd = handle.as_raw_fd();
            libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, none, 0);
        }
    }
}

fn carries(pid: u32, token: &str) -> bool {
    let wanted = format!("{MARK}={token}");
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment.split(|&b| b == 0).any(|entry| entry == wanted.as_bytes())
    })
}

/// False for processes that have ended and only wait to be collected.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
