//! What tests see of file operations: their order, and a fault at any chosen one.

use std::cell::RefCell;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Which operations of the watched thread fail.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    None,
    /// Operation number `at` (from 0) fails with an error code, all others work.
    Once {
        at: usize,
        code: i32,
    },
    /// Nothing happens any more from operation `at` on, clean-up included: as after a kill.
    From {
        at: usize,
    },
}

struct Seam {
    fault: Fault,
    trace: Vec<(&'static str, PathBuf)>,
}

thread_local! {
    static SEAM: RefCell<Option<Seam>> = const { RefCell::new(None) };
}

/// Runs `act` under a fault; returns its result and the operations this thread attempted.
pub(crate) fn watch<T>(fault: Fault, act: impl FnOnce() -> T) -> (T, Vec<(&'static str, PathBuf)>) {
    SEAM.set(Some(Seam { fault, trace: Vec::new() }));
    let result = act();
    let seam = SEAM.take().expect("set above, by this thread");
    (result, seam.trace)
}

pub(super) fn before(operation: &'static str, path: &Path) -> io::Result<()> {
    SEAM.with_borrow_mut(|seam| {
        let Some(seam) = seam else { return Ok(()) };
        let number = seam.trace.len();
        seam.trace.push((operation, path.to_owned()));
        match seam.fault {
            Fault::Once { at, code } if at == number => Err(io::Error::from_raw_os_error(code)),
            Fault::From { at } if at <= number => Err(io::Error::from_raw_os_error(libc::EIO)),
            _ => Ok(()),
        }
    })
}

/// A folder of one test, removed with all it holds.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        // In memory where possible: these tests sync thousands of times and never cut the power.
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = base.join(format!("engine-test-{}", super::unique_name()));
        super::create_folder(&path, 0o700).unwrap();
        Self(path)
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = super::remove_tree(&self.0);
    }
}
