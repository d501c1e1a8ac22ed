//! One job in one fresh process, and the name of whatever happened to it.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::sweep::{self, MARK};
use super::{Interrupt, Limits};
use crate::base::text::inert_lines;
use crate::machine;
use crate::record::{Failure, Verdict};
use crate::stage::{Done, Job};

/// How children are started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// This program's executable.
    pub program: PathBuf,
    pub interrupt: Interrupt,
}

/// One process to be.
pub struct Launch<'a> {
    pub job: &'a Job,
    /// An empty folder for the job's description and its result.
    pub scratch: &'a Path,
    pub limits: Limits,
    /// Threads its kernels may use; as many as the machine has when absent.
    pub threads: Option<u32>,
    /// Bytes added to its environment, because the size of the environment moves the stack and
    /// with it the speed of some code.
    pub padding: usize,
}

/// What a process left.
#[derive(Debug)]
pub struct Ended {
    pub pid: u32,
    pub wall: Duration,
    /// Highest resident memory in bytes, where the process lived to read it. The kernel's account
    /// to the parent is of no use: it starts from what the parent itself held at the fork.
    pub peak_memory: Option<u64>,
    pub result: Result<Done, Failure>,
}

/// What a child writes into its result file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    Done {
        done: Box<Done>,
        /// Highest resident memory in bytes, as the child saw it.
        peak_memory: Option<u64>,
    },
    Failed {
        what: String,
        hint: Option<String>,
    },
}

impl Reply {
    /// That of a job that is done, from within the process that did it.
    pub fn done(done: Done) -> Self {
        Self::Done { done: Box::new(done), peak_memory: machine::peak_memory() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("the run was asked to stop")]
    Interrupted,
    #[error("cannot {action} a child process")]
    Start { action: &'static str, source: io::Error },
}

/// Variables a child may see. Credentials go to the one job that talks to the hub.
const ENVIRONMENT: &[&str] = &["PATH", "HOME", "TMPDIR", "LANG", "RUST_BACKTRACE"];
const HUB_ENVIRONMENT: &[&str] = &[
    "HF_HOME",
    "HF_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "https_proxy",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Variables for the job that fetches through Python's package client, besides all `PIP_…`: where
/// its configuration, its cache and its certificates are, and how it reaches the network.
const CLIENT_ENVIRONMENT: &[&str] = &[
    "VIRTUAL_ENV",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_CACHE_HOME",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "ALL_PROXY",
    "all_proxy",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "https_proxy",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Bytes kept of the end of what a child writes.
const TAIL: usize = 4096;

/// Exit code of a child that failed cleanly and wrote so.
pub const CLEAN_FAILURE: i32 = 3;

pub const JOB_FILE: &str = "job.json";
pub const RESULT_FILE: &str = "result.json";

/// What a process that stays writes on a line of its own when it is ready for the next burst.
pub const READY: &str = "cell: ready";

impl Launcher {
    /// Runs the job to its end, whatever that is. `progress` is told what the child reports.
    pub fn launch(
        &self,
        launch: &Launch<'_>,
        progress: &dyn Fn(f64),
    ) -> Result<Ended, LaunchError> {
        let mut running = Running::start(self, launch)?;
        let cause = running.watch.until(&self.interrupt, running.begin, progress);
        running.end(&cause)
    }

    /// `told` is what it reads its orders from, if it gets any.
    fn start(
        &self,
        launch: &Launch<'_>,
        token: &str,
        told: Option<UnixStream>,
    ) -> Result<Child, LaunchError> {
        let describe = |source| LaunchError::Start { action: "describe the job of", source };
        let job = launch.scratch.join(JOB_FILE);
        let text = serde_json::to_vec(launch.job).map_err(|e| describe(e.into()))?;
        std::fs::write(&job, text).map_err(describe)?;
        let mut command = Command::new(&self.program);
        command.arg("cell").arg(launch.scratch).env_clear();
        let more: &[&str] = match launch.job {
            Job::Fetch { .. } => HUB_ENVIRONMENT,
            Job::FetchRuntime { .. } => CLIENT_ENVIRONMENT,
            _ => &[],
        };
        let is_client = matches!(launch.job, Job::FetchRuntime { .. });
        for (name, value) in std::env::vars_os() {
            let known = name.to_str().is_some_and(|name| {
                ENVIRONMENT.contains(&name)
                    || more.contains(&name)
                    || (is_client && name.starts_with("PIP_"))
            });
            if known {
                command.env(name, value);
            }
        }
        if let Some(threads) = launch.threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        // GPUs are counted as their driver counts them, which is how plans and records name them.
        command.env("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
        command.env(MARK, token).env("ENGINE_PADDING", "x".repeat(launch.padding));
        command.stdin(told.map_or_else(Stdio::null, |told| OwnedFd::from(told).into()));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        launch.limits.apply(&mut command);
        command.spawn().map_err(|source| LaunchError::Start { action: "start", source })
    }
}

/// A process that has been started. It is ended when nobody wants it any more, also while it is
/// stopped.
pub(super) struct Running {
    child: Child,
    token: String,
    /// What the kernel had killed when it began.
    kills: u64,
    pub watch: Watch,
    pub begin: Instant,
    /// The other end of the standard input of a process that stays.
    orders: Option<UnixStream>,
    result: PathBuf,
    is_over: bool,
}

impl Running {
    pub fn start(launcher: &Launcher, launch: &Launch<'_>) -> Result<Self, LaunchError> {
        let token = crate::base::files::unique_name();
        let kills = machine::kernel_kills();
        let begin = Instant::now();
        let (orders, told) = match launch.job {
            Job::Reside(_) => {
                let describe = |source| LaunchError::Start { action: "talk to", source };
                let (orders, told) = UnixStream::pair().map_err(describe)?;
                (Some(orders), Some(told))
            }
            _ => (None, None),
        };
        let mut child = launcher.start(launch, &token, told)?;
        let pid = child.id();
        tracing::debug!(pid, folder = %launch.scratch.display(), "child started");
        let watch = Watch::new(&mut child, launch.limits, orders.is_some())?;
        let result = launch.scratch.join(RESULT_FILE);
        Ok(Self { child, token, kills, watch, begin, orders, result, is_over: false })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells a process that stays what to do. One that is gone does not hear it, and must not take
    /// this process with it: a pipe would raise a signal.
    pub fn tell(&self, order: &str) {
        let Some(orders) = &self.orders else { return };
        // SAFETY: the buffer outlives the call and its length is passed along.
        unsafe {
            let bytes = order.as_ptr().cast();
            libc::send(orders.as_raw_fd(), bytes, order.len(), libc::MSG_NOSIGNAL);
        }
    }

    /// What a process that is ready has answered. The answer is gone afterwards: it would pass for
    /// that of a later burst.
    pub fn answer(&mut self) -> Result<(Done, Option<u64>), Failure> {
        let answer = read_reply(&self.result);
        let _ = std::fs::remove_file(&self.result);
        answer.map_err(|(verdict, detail)| self.failure(verdict, detail))
    }

    fn failure(&self, verdict: Verdict, detail: String) -> Failure {
        let log_tail = inert_lines(&String::from_utf8_lossy(&self.watch.tail));
        Failure { verdict, detail, log_tail }
    }

    /// Ends the process and whatever it has left, and says how it came to that.
    pub fn end(&mut self, cause: &Cause) -> Result<Ended, LaunchError> {
        self.is_over = true;
        let (pid, wall) = (self.pid(), self.begin.elapsed());
        // All before it is collected, while its number is still its own. After a natural end the
        // mark is looked for first: whatever the group's end would take must be counted.
        let left_behind = if matches!(cause, Cause::Ended) {
            let found = sweep::end_marked(&self.token, pid);
            end_group(pid);
            found
        } else {
            end_group(pid);
            sweep::end_marked(&self.token, pid)
        };
        let status = collect(&mut self.child)?;
        self.watch.drain();
        let limits = self.watch.limits;
        let mut peak_memory = None;
        let result = match cause {
            Cause::Interrupted => return Err(LaunchError::Interrupted),
            Cause::Deadline => {
                let detail = format!("still running after {} s", limits.time.as_secs_f64());
                Err((Verdict::Timeout, detail))
            }
            Cause::Output => {
                Err((Verdict::OutputCap, format!("wrote more than {} bytes", limits.output)))
            }
            Cause::Ended => {
                let killed = machine::kernel_kills() > self.kills;
                let tail = self.failure(Verdict::Error, String::new()).log_tail;
                match judge(status, &self.result, &tail, limits, killed) {
                    Ok(_) if left_behind > 0 => {
                        let detail = format!("{left_behind} processes outlived it and were ended");
                        Err((Verdict::Leak, detail))
                    }
                    Ok((done, peak)) => {
                        peak_memory = peak;
                        Ok(done)
                    }
                    Err(failed) => Err(failed),
                }
            }
            // It was ready, and nobody wanted more of it.
            Cause::Ready => Ok(Done::Nothing),
        };
        let result = result.map_err(|(verdict, detail)| self.failure(verdict, detail));
        match &result {
            Ok(_) => tracing::debug!(pid, ?wall, peak_memory, "child ended well"),
            Err(failure) => tracing::warn!(
                pid,
                ?wall,
                verdict = failure.verdict.label(),
                detail = failure.detail,
                "child failed"
            ),
        }
        Ok(Ended { pid, wall, peak_memory, result })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.end(&Cause::Ready);
        }
    }
}

/// Why watching ended.
pub(super) enum Cause {
    Ended,
    /// It is ready for the next burst.
    Ready,
    Deadline,
    Output,
    Interrupted,
}

/// Sleeps until something happens to a child: output, its end, the deadline, an interruption.
pub(super) struct Watch {
    process: OwnedFd,
    stdout: Option<std::process::ChildStdout>,
    stderr: Option<std::process::ChildStderr>,
    pub limits: Limits,
    written: u64,
    /// The unfinished last line of standard output.
    line: Vec<u8>,
    /// A process that may stay has said that it is ready.
    is_ready: bool,
    stays: bool,
    tail: Vec<u8>,
}

impl Watch {
    fn new(child: &mut Child, limits: Limits, stays: bool) -> Result<Self, LaunchError> {
        // SAFETY: a plain system call on our own child; the result is checked before it is owned.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
        if fd < 0 {
            let source = io::Error::last_os_error();
            end_group(child.id());
            let _ = child.wait();
            return Err(LaunchError::Start { action: "watch", source });
        }
        // SAFETY: the descriptor was just made for us and nobody else has it.
        let process = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        for fd in stdout.iter().map(AsRawFd::as_raw_fd).chain(stderr.iter().map(AsRawFd::as_raw_fd))
        {
            // SAFETY: sets a flag on a descriptor we own.
            unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
        }
        let (line, tail) = (Vec::new(), Vec::new());
        let (written, is_ready) = (0, false);
        Ok(Self { process, stdout, stderr, limits, written, line, is_ready, stays, tail })
    }

    /// The limit of time counts from `begin`.
    pub fn until(
        &mut self,
        interrupt: &Interrupt,
        begin: Instant,
        progress: &dyn Fn(f64),
    ) -> Cause {
        loop {
            if interrupt.requested() {
                return Cause::Interrupted;
            }
            let left = self.limits.time.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Cause::Deadline;
            }
            let raw = |fd: Option<RawFd>| libc::pollfd {
                fd: fd.unwrap_or(-1),
                events: libc::POLLIN,
                revents: 0,
            };
            let mut fds = [
                raw(Some(self.process.as_raw_fd())),
                raw(self.stdout.as_ref().map(AsRawFd::as_raw_fd)),
                raw(self.stderr.as_ref().map(AsRawFd::as_raw_fd)),
                raw(Some(interrupt.fd())),
            ];
            let millis = left.as_millis().min(60_000) as i32 + 1;
            // SAFETY: the array outlives the call and its length is passed along.
            unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) };
            if fds[1].revents != 0 {
                self.read_stdout(progress);
            }
            if fds[2].revents != 0 {
                self.read_stderr();
            }
            if self.written > self.limits.output {
                return Cause::Output;
            }
            if std::mem::take(&mut self.is_ready) {
                return Cause::Ready;
            }
            if fds[0].revents != 0 {
                return Cause::Ended;
            }
        }
    }

    fn read_stdout(&mut self, progress: &dyn Fn(f64)) {
        let mut buffer = [0; 8192];
        match self.stdout.as_mut().map(|pipe| pipe.read(&mut buffer)) {
            Some(Ok(n)) if n > 0 => {
                self.written += n as u64;
                for &byte in &buffer[..n] {
                    if byte == b'\n' {
                        let text = std::str::from_utf8(&self.line).unwrap_or_default();
                        if let Ok(share) = text.parse::<f64>() {
                            progress(share.clamp(0.0, 1.0));
                        }
                        self.is_ready |= self.stays && text == READY;
                        self.line.clear();
                    } else if self.line.len() < 64 {
                        self.line.push(byte);
                    }
                }
            }
            Some(Err(error)) if is_temporary(&error) => {}
            _ => self.stdout = None,
        }
    }

    /// Returns whether something was read.
    fn read_stderr(&mut self) -> bool {
        let mut buffer = [0; 8192];
        match self.stderr.as_mut().map(|pipe| pipe.read(&mut buffer)) {
            Some(Ok(n)) if n > 0 => {
                self.written += n as u64;
                self.tail.extend_from_slice(&buffer[..n]);
                let excess = self.tail.len().saturating_sub(TAIL);
                self.tail.drain(..excess);
                true
            }
            Some(Err(error)) if is_temporary(&error) => false,
            _ => {
                self.stderr = None;
                false
            }
        }
    }

    /// Reads what is left in the pipe after the end, without waiting for anything.
    fn drain(&mut self) {
        for _ in 0..1024 {
            if !self.read_stderr() {
                break;
            }
        }
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Kills the session of a child; it leads a process group of its own.
fn end_group(pid: u32) {
    // SAFETY: plain system calls; the child has not been collected, so its number is still its own.
    unsafe {
        libc::kill(-(pid as libc::pid_t), libc::SIGKILL);
        libc::kill(pid as libc::pid_t, libc::SIGKILL);
    }
}

/// Waits for the end of a child whose pipes nobody reads any more.
fn collect(child: &mut Child) -> Result<ExitStatus, LaunchError> {
    child.wait().map_err(|source| LaunchError::Start { action: "collect", source })
}

/// The result of a process that ended by itself, or the name of its death.
fn judge(
    status: ExitStatus,
    result: &Path,
    tail: &str,
    limits: Limits,
    kernel_killed: bool,
) -> Result<(Done, Option<u64>), (Verdict, String)> {
    match (status.code(), status.signal()) {
        (Some(0 | CLEAN_FAILURE), _) => read_reply(result),
        (Some(101), _) => Err((Verdict::Panic, panic_message(tail))),
        (Some(code), _) => Err((Verdict::NoResult, format!("exit code {code} without a result"))),
        (None, Some(libc::SIGABRT)) if tail.contains("memory allocation of") => {
            let limit = crate::base::Bytes(limits.memory);
            Err((Verdict::OutOfMemory, format!("went beyond the memory limit of {limit}")))
        }
        (None, Some(libc::SIGABRT)) => Err((Verdict::Abort, "aborted itself (SIGABRT)".into())),
        (None, Some(libc::SIGKILL)) if kernel_killed => {
            Err((Verdict::OutOfMemory, "killed by the kernel for want of memory".into()))
        }
        (None, Some(libc::SIGKILL)) => {
            Err((Verdict::Signal, "signal 9 (SIGKILL), sent from outside".into()))
        }
        (None, signal) => Err((Verdict::Signal, signal_name(signal.unwrap_or(0)))),
    }
}

fn read_reply(path: &Path) -> Result<(Done, Option<u64>), (Verdict, String)> {
    let Ok(bytes) = std::fs::read(path) else {
        return Err((Verdict::NoResult, "ended without a result".into()));
    };
    match serde_json::from_slice(&bytes) {
        Ok(Reply::Done { done, peak_memory }) => Ok((*done, peak_memory)),
        Ok(Reply::Failed { what, hint: None }) => Err((Verdict::Error, what)),
        Ok(Reply::Failed { what, hint: Some(hint) }) => {
            Err((Verdict::Error, format!("{what} ({hint})")))
        }
        Err(error) => Err((Verdict::NoResult, format!("its result cannot be read: {error}"))),
    }
}

fn panic_message(tail: &str) -> String {
    let mut lines = tail.lines().skip_while(|line| !line.contains("panicked at"));
    match (lines.next(), lines.next()) {
        (Some(place), Some(message)) => {
            let place = place.split("panicked at ").nth(1).unwrap_or(place);
            format!("{message} (at {})", place.trim_end_matches(':'))
        }
        _ => "panicked".into(),
    }
}

fn signal_name(number: i32) -> String {
    let name = match number {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGFPE => "SIGFPE",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        _ => return format!("signal {number}"),
    };
    format!("signal {number} ({name})")
}
