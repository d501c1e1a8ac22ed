//! A process that stays: stopped by a signal whenever another one is at work.

use std::time::Instant;

use super::Interrupt;
use super::child::{Cause, Ended, Launch, LaunchError, Launcher, Running};

/// A process that has loaded and is ready for a burst. It is stopped, and ended when it goes out of
/// scope.
pub struct Resident {
    running: Running,
    interrupt: Interrupt,
}

impl Launcher {
    /// Starts a process that stays, and waits until it is ready for its first burst. One that did
    /// not come so far has ended.
    pub fn settle(&self, launch: &Launch<'_>) -> Result<Result<Resident, Ended>, LaunchError> {
        let mut running = Running::start(self, launch)?;
        match running.watch.until(&self.interrupt, running.begin, &|_| {}) {
            Cause::Ready => {
                stop(running.pid());
                Ok(Ok(Resident { running, interrupt: self.interrupt.clone() }))
            }
            cause => running.end(&cause).map(Err),
        }
    }
}

impl Resident {
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// One burst on inputs from `seed`, and how it ended; `wall` is its own time, and the limit of
    /// time counts from its beginning. The process is stopped again, or over where it failed.
    pub fn burst(&mut self, seed: u64) -> Result<Ended, LaunchError> {
        let begin = Instant::now();
        self.running.tell(&format!("{seed}\n"));
        go_on(self.pid());
        match self.running.watch.until(&self.interrupt, begin, &|_| {}) {
            Cause::Ready => {
                let wall = begin.elapsed();
                stop(self.pid());
                let answer = self.running.answer();
                let peak_memory = answer.as_ref().ok().and_then(|(_, peak)| *peak);
                let result = answer.map(|(done, _)| done);
                Ok(Ended { pid: self.pid(), wall, peak_memory, result })
            }
            cause => {
                let wall = begin.elapsed();
                self.running.end(&cause).map(|ended| Ended { wall, ..ended })
            }
        }
    }
}

/// Stops a process and all it has started, and waits until it stands.
fn stop(pid: u32) {
    signal(pid, libc::SIGSTOP);
    // SAFETY: plain system calls on our own child, which is not collected by them; the buffer is
    // plain data that nobody reads.
    unsafe {
        let mut seen: libc::siginfo_t = std::mem::zeroed();
        let wanted = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT;
        while libc::waitid(libc::P_PID, pid, &raw mut seen, wanted) < 0
            && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
        {}
    }
}

fn go_on(pid: u32) {
    signal(pid, libc::SIGCONT);
}

/// Every child leads a process group of its own.
fn signal(pid: u32, number: libc::c_int) {
    // SAFETY: a plain system call; the child has not been collected, so its number is its own.
    unsafe { libc::kill(-(pid as libc::pid_t), number) };
}
