//! A process that stays: stopped by a signal whenever another one is at work.

use std::time::{Duration, Instant};

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
            Cause::Ready => {}
            cause => return running.end(&cause).map(Err),
        }
        let mut resident = Resident { running, interrupt: self.interrupt.clone() };
        let begin = resident.running.begin;
        match resident.stop(begin) {
            Cause::Ready => Ok(Ok(resident)),
            cause => resident.running.end(&cause).map(Err),
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
        let cause = self.running.watch.until(&self.interrupt, begin, &|_| {});
        let wall = begin.elapsed();
        let cause = if matches!(cause, Cause::Ready) { self.stop(begin) } else { cause };
        match cause {
            Cause::Ready => {
                let answer = self.running.answer();
                let peak_memory = answer.as_ref().ok().and_then(|(_, peak)| *peak);
                let result = answer.map(|(done, _)| done);
                Ok(Ended { pid: self.pid(), wall, peak_memory, result })
            }
            cause => self.running.end(&cause).map(|ended| Ended { wall, ..ended }),
        }
    }

    /// Stops it and all it has started; [`Cause::Ready`] once it stands. The limit of time counts
    /// from `begin`.
    fn stop(&mut self, begin: Instant) -> Cause {
        signal(self.pid(), libc::SIGSTOP);
        let left = self.running.watch.limits.time.saturating_sub(begin.elapsed());
        stands(self.pid(), &self.interrupt, left)
    }
}

/// Time between two looks whether a process stands, which takes it microseconds.
const PERIOD: Duration = Duration::from_micros(200);

/// Waits until a process stands or has ended, for no longer than `left`: what waits in the kernel
/// for a disk stands only afterwards.
fn stands(pid: u32, interrupt: &Interrupt, left: Duration) -> Cause {
    let begin = Instant::now();
    while !is_still(pid) {
        if interrupt.requested() {
            return Cause::Interrupted;
        }
        if begin.elapsed() >= left {
            return Cause::Deadline;
        }
        std::thread::sleep(PERIOD);
    }
    Cause::Ready
}

/// Whether a child is stopped or has ended.
fn is_still(pid: u32) -> bool {
    // SAFETY: a plain system call on our own child, which is not collected by it; it fills in plain
    // data, which holds no process where there is nothing to tell.
    unsafe {
        let mut seen: libc::siginfo_t = std::mem::zeroed();
        let wanted = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
        libc::waitid(libc::P_PID, pid, &raw mut seen, wanted) == 0 && seen.si_pid() != 0
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

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_does_not_stand_is_waited_for_until_the_limit_and_no_longer() {
        let mut child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let (pid, never) = (child.id(), Interrupt::never());
        let waits = stands(pid, &never, Duration::from_millis(20));
        signal(pid, libc::SIGSTOP);
        let stopped = stands(pid, &never, Duration::from_secs(60));
        signal(pid, libc::SIGKILL);
        let ended = stands(pid, &never, Duration::from_secs(60));
        child.wait().unwrap();
        assert!(matches!(waits, Cause::Deadline));
        assert!(matches!((stopped, ended), (Cause::Ready, Cause::Ready)));
    }
}
