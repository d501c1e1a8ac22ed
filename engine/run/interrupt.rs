//! Ctrl-C once to stop cleanly, twice to stop now.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether the run was asked to stop, and a file descriptor that becomes readable when it is.
#[derive(Debug, Clone)]
pub struct Interrupt {
    signal: Arc<AtomicI32>,
    wake: Option<Arc<UnixStream>>,
}

impl Interrupt {
    /// Never interrupted: for tests and for commands that finish at once.
    pub fn never() -> Self {
        Self { signal: Arc::new(AtomicI32::new(0)), wake: None }
    }

    /// Listens to SIGINT, SIGTERM and SIGHUP. The second one ends this process at once; its
    /// children die with it.
    pub fn listen() -> io::Result<Self> {
        let signal = Arc::new(AtomicI32::new(0));
        let again = Arc::new(AtomicBool::new(false));
        let (wake, notify) = UnixStream::pair()?;
        for (number, code) in [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129)] {
            // In this order: a first signal finds `again` unset, sets it and wakes the run.
            signal_hook::flag::register_conditional_shutdown(number, code, Arc::clone(&again))?;
            signal_hook::flag::register(number, Arc::clone(&again))?;
            let seen = Arc::clone(&signal);
            // SAFETY: the handler stores to an atomic and nothing else.
            unsafe {
                signal_hook::low_level::register(number, move || {
                    seen.store(number, Ordering::SeqCst);
                })?;
            }
            signal_hook::low_level::pipe::register(number, notify.try_clone()?)?;
        }
        Ok(Self { signal, wake: Some(Arc::new(wake)) })
    }

    pub fn requested(&self) -> bool {
        self.signal.load(Ordering::SeqCst) != 0
    }

    /// 130 after Ctrl-C, 143 after a request to terminate, 129 after the terminal went away.
    pub fn exit_code(&self) -> u8 {
        128 + self.signal.load(Ordering::SeqCst) as u8
    }

    /// Becomes readable, and stays so, when the run is asked to stop; -1 when that cannot happen.
    pub(super) fn fd(&self) -> RawFd {
        self.wake.as_deref().map_or(-1, AsRawFd::as_raw_fd)
    }
}
