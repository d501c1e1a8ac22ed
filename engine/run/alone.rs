//! One measurement at a time on this machine, as far as a lock can say.

use std::fs::{File, OpenOptions, TryLockError};

use super::execute::{Conditions, RunError};

/// Held while something is measured. Correctness does not rest on it: where locks lie, two runs
/// disturb each other's timings and nothing else.
pub struct Alone(
    #[expect(dead_code, reason = "closing the file gives the lock back")] Option<File>,
);

impl Alone {
    /// Waits until no other run of this store is measuring.
    pub fn wait(conditions: &Conditions<'_>) -> Result<Self, RunError> {
        let path = conditions.store.root().join("measuring.lock");
        let Ok(file) = OpenOptions::new().create(true).append(true).open(&path) else {
            return Ok(Self(None));
        };
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(Some(file))),
                Err(TryLockError::WouldBlock) if conditions.launcher.interrupt.requested() => {
                    return Err(RunError::Interrupted);
                }
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        conditions.progress.line("  waiting: another run is measuring");
                        told = true;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(200));
                }
                Err(TryLockError::Error(_)) => return Ok(Self(None)),
            }
        }
    }
}
