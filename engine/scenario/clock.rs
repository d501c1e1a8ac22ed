//! Clocks: the machine's, and one that only moves when somebody waits or works.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

/// Nanoseconds since some fixed instant; never runs backwards.
pub trait Clock {
    fn now(&self) -> u64;

    /// Returns at `instant` or soon after it; at once where that has passed.
    fn sleep_until(&self, instant: u64) {
        thread::sleep(Duration::from_nanos(instant.saturating_sub(self.now())));
    }
}

/// The operating system's monotonic clock, counted from its making.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic {
    begin: Instant,
    /// Cores enough that one of them may wait without sleeping.
    spins: bool,
}

/// A sleeping thread wakes up late; the last stretch is spent awake where cores are to spare.
const AWAKE: u64 = 200_000;

/// With fewer cores a waiting thread takes time from what is measured.
const CORES_TO_SPIN: usize = 4;

impl Monotonic {
    pub fn start() -> Self {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { begin: Instant::now(), spins: cores >= CORES_TO_SPIN }
    }
}

impl Clock for Monotonic {
    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, instant: u64) {
        let awake = if self.spins { AWAKE } else { 0 };
        let asleep = instant.saturating_sub(awake).saturating_sub(self.now());
        if asleep > 0 {
            thread::sleep(Duration::from_nanos(asleep));
        }
        while self.now() < instant {
            std::hint::spin_loop();
        }
    }
}

/// A clock that stands still but for who waits for it or works by it: a session of hours runs in
/// the time that its bookkeeping takes, and gives the same instants on every machine.
#[derive(Debug, Default)]
pub struct Virtual(Cell<u64>);

impl Virtual {
    /// Lets `nanos` pass.
    pub fn spend(&self, nanos: u64) {
        self.0.set(self.0.get().saturating_add(nanos));
    }
}

impl Clock for Virtual {
    fn now(&self) -> u64 {
        self.0.get()
    }

    fn sleep_until(&self, instant: u64) {
        self.0.set(self.0.get().max(instant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_jumps_forward_and_never_back() {
        let clock = Virtual::default();
        clock.sleep_until(3_600_000_000_000);
        clock.spend(5);
        clock.sleep_until(7);
        assert_eq!(clock.now(), 3_600_000_000_005);
    }

    #[test]
    fn the_machines_clock_wakes_nobody_early() {
        let clock = Monotonic::start();
        let instant = clock.now() + 2_000_000;
        clock.sleep_until(instant);
        assert!(clock.now() >= instant);
        clock.sleep_until(0);
    }
}
