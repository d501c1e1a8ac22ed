//! Ways for a process to go wrong on purpose.
//!
//! `engine doctor --isolation` and the tests start each of them beside healthy work and demand
//! the right verdict. They are real: the hog really allocates, the orphan really outlives its
//! parent.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sabotage {
    Panic,
    Abort,
    Segfault,
    /// Computes for ever.
    BusyLoop,
    /// Allocates and touches memory for ever.
    MemoryHog,
    /// Writes to standard error for ever.
    OutputFlood,
    /// Ends with exit code 0 and no result.
    NoResult,
    /// Ends well but leaves a process in a session of its own behind.
    Orphan,
}

impl Sabotage {
    pub const ALL: [Self; 8] = [
        Self::Panic,
        Self::Abort,
        Self::Segfault,
        Self::BusyLoop,
        Self::MemoryHog,
        Self::OutputFlood,
        Self::NoResult,
        Self::Orphan,
    ];

    /// Returns only for [`Sabotage::Orphan`].
    pub(super) fn perform(self) {
        match self {
            Self::Panic => panic!("sabotage: panic"),
            Self::Abort => std::process::abort(),
            Self::Segfault => segfault(),
            Self::BusyLoop => loop {
                std::hint::spin_loop();
            },
            Self::MemoryHog => {
                let mut held: Vec<Vec<u8>> = Vec::new();
                loop {
                    held.push(vec![1; 16 << 20]);
                    std::hint::black_box(&held);
                }
            }
            Self::OutputFlood => {
                let line = [b'x'; 4096];
                while std::io::stderr().write_all(&line).is_ok() {}
            }
            Self::NoResult => std::process::exit(0),
            Self::Orphan => {
                let child = Command::new("setsid")
                    .args(["sleep", "600"])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn();
                if child.is_err() {
                    std::process::exit(1);
                }
                // Long enough for the orphan to have a session of its own.
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn segfault() {
    // SAFETY: sends this process the signal that a wild pointer would raise.
    unsafe {
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        libc::raise(libc::SIGSEGV);
    }
}
