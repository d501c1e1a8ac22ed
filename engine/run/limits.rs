//! What a child process may use, enforced by the kernel from its first instruction on.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use crate::machine;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall time.
    pub time: Duration,
    /// Private memory in bytes (`RLIMIT_DATA`: heap and anonymous mappings, not mapped files).
    pub memory: u64,
    /// Bytes it may write to standard output and standard error together.
    pub output: u64,
}

impl Limits {
    /// Nine tenths of the machine's memory, 4 MiB of output.
    pub fn within(time: Duration, memory: Option<u64>) -> Self {
        let machine = machine::total_memory().unwrap_or(u64::MAX / 2);
        Self { time, memory: memory.unwrap_or(machine / 10 * 9), output: 4 << 20 }
    }

    /// Arranges that `command` starts in a session of its own, within the memory limit, first in
    /// line when the kernel runs out of memory, and that it dies with the thread that started it.
    pub fn apply(&self, command: &mut Command) {
        let memory = self.memory;
        let parent = std::process::id() as libc::pid_t;
        // SAFETY: the closure runs between fork and exec and makes system calls only; it
        // allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || {
                check(libc::setsid())?;
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
                // The parent may have died before the line above.
                if libc::getppid() != parent {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                // The inherited limit may be lower, and only root may raise it.
                let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                check(libc::getrlimit(libc::RLIMIT_DATA, &raw mut limit))?;
                limit.rlim_cur = memory.min(limit.rlim_max);
                limit.rlim_max = limit.rlim_cur;
                check(libc::setrlimit(libc::RLIMIT_DATA, &raw const limit))?;
                let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                check(libc::setrlimit(libc::RLIMIT_CORE, &raw const none))?;
                first_to_go();
                Ok(())
            });
        }
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Raises the kernel's out-of-memory score of the calling process to its maximum; best effort.
fn first_to_go() {
    // SAFETY: plain system calls on a constant path and buffer; safe between fork and exec.
    unsafe {
        let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
        if fd >= 0 {
            libc::write(fd, c"1000".as_ptr().cast(), 4);
            libc::close(fd);
        }
    }
}
