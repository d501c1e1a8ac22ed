//! Finding and ending what a child has left behind, even in another session.
//!
//! Every child carries a mark in its environment that its own children inherit, whatever session
//! or process group they move to.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::machine::watch::{process, running};

/// Name of the variable that carries the mark.
pub const MARK: &str = "ENGINE_CELL";

/// Processes that carry the mark `token`, apart from `first`, which was given it. They began no
/// earlier, so that nobody else's environment is read.
pub fn marked(token: &str, first: u32) -> Vec<u32> {
    let began = process(first).map_or(0, |process| process.started);
    let later = running().into_iter().filter(|p| p.pid != first && p.started >= began);
    later.map(|process| process.pid).filter(|&pid| carries(pid, token)).collect()
}

/// Kills every marked process until none is left; gives up after a few rounds.
/// Returns how many there were.
pub fn end_marked(token: &str, first: u32) -> usize {
    let mut ended = BTreeSet::new();
    for _ in 0..10 {
        let found = marked(token, first);
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

/// Of a process that has ended and only waits to be collected there is nothing to read.
fn carries(pid: u32, token: &str) -> bool {
    let wanted = format!("{MARK}={token}");
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment.split(|&b| b == 0).any(|entry| entry == wanted.as_bytes())
    })
}
