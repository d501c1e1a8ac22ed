//! Finding and ending what a child has left behind, even in another session.
//!
//! Every child carries a mark in its environment that its own children inherit, whatever session
//! or process group they move to.

use std::fs;

/// Name of the variable that carries the mark.
pub const MARK: &str = "ENGINE_CELL";

/// Processes that carry the mark `token`, apart from the one numbered `except`.
pub fn marked(token: &str, except: u32) -> Vec<u32> {
    let wanted = format!("{MARK}={token}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| pid != except && is_running(pid))
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment.split(|&b| b == 0).any(|entry| entry == wanted.as_bytes())
            })
        })
        .collect()
}

/// Kills every marked process until none is left; gives up after a few rounds.
/// Returns how many there were.
pub fn end_marked(token: &str, except: u32) -> usize {
    let mut ended = 0;
    for _ in 0..10 {
        let found = marked(token, except);
        if found.is_empty() {
            break;
        }
        ended += found.len();
        for pid in found {
            // SAFETY: a plain system call. The number was read a moment ago from a process that
            // carried our mark, so it can only be that process or one that just ended.
            unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    ended
}

/// False for processes that have ended and only wait to be collected.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
