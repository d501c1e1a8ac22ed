//! A loop that does the same work every time: what changes its time is the machine.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Times of the canary's two loops.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Nanoseconds of one turn of arithmetic, each waiting for the one before.
    pub integer: f64,
    /// Nanoseconds of reading one line of a buffer larger than most private caches.
    pub memory: f64,
}

impl Canary {
    /// The larger of the two relative distances from `usual`.
    pub fn distance(&self, usual: &Self) -> f64 {
        let off = |own: f64, usual: f64| (own / usual - 1.0).abs();
        off(self.integer, usual.integer).max(off(self.memory, usual.memory))
    }
}

/// The loops with their buffer. A measurement takes 10 to 20 ms of one processor, so it runs
/// between blocks only, when nothing is measured.
pub struct CanaryLoop {
    buffer: Vec<u64>,
    turns: u64,
}

const BYTES: usize = 8 << 20;
const WORDS_PER_LINE: usize = 8;
const REPETITIONS: u32 = 8;
const REPETITION: Duration = Duration::from_micros(1200);

impl CanaryLoop {
    pub fn new() -> Self {
        // Written, so that every page is memory of its own.
        let buffer: Vec<u64> = (0..BYTES as u64 / 8).collect();
        let mut turns = 4096;
        loop {
            // The best of several: whoever interrupts one would make the loop too short for good.
            let times = (0..REPETITIONS).map(|_| {
                let begin = Instant::now();
                black_box(arithmetic(turns));
                begin.elapsed()
            });
            let took = times.min().unwrap_or_default();
            if took * 4 >= REPETITION {
                let scale = REPETITION.as_secs_f64() / took.as_secs_f64();
                turns = ((turns as f64 * scale) as u64).max(1);
                return Self { buffer, turns };
            }
            turns *= 2;
        }
    }

    /// The best of several repetitions: being interrupted is not what it looks for, because the
    /// kernel's counters tell that, but a slower clock and crowded caches and memory.
    pub fn sing(&self) -> Canary {
        let lines = self.buffer.len() / WORDS_PER_LINE;
        let best = |work: &dyn Fn() -> u64, units: f64| {
            let times = (0..REPETITIONS).map(|_| {
                let begin = Instant::now();
                black_box(work());
                begin.elapsed().as_nanos() as f64 / units
            });
            times.fold(f64::INFINITY, f64::min)
        };
        Canary {
            integer: best(&|| arithmetic(self.turns), self.turns as f64),
            memory: best(&|| read(&self.buffer), lines as f64),
        }
    }
}

impl Default for CanaryLoop {
    fn default() -> Self {
        Self::new()
    }
}

/// A linear congruential generator (Knuth's MMIX constants): each turn needs the last one.
fn arithmetic(turns: u64) -> u64 {
    let mut state = black_box(1_u64);
    for _ in 0..turns {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    state
}

/// One word of every line.
fn read(buffer: &[u64]) -> u64 {
    buffer.iter().step_by(WORDS_PER_LINE).fold(0, |sum, word| sum.wrapping_add(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canary_has_two_finite_times() {
        let canary = CanaryLoop::new();
        let found = canary.sing();
        assert!(found.integer.is_finite() && found.integer > 0.0, "{found:?}");
        assert!(found.memory.is_finite() && found.memory > 0.0, "{found:?}");
        let repetition = found.integer * canary.turns as f64;
        assert!(repetition * 4.0 > REPETITION.as_nanos() as f64, "{repetition} ns are too short");
    }

    #[test]
    fn the_larger_distance_counts() {
        let usual = Canary { integer: 1.0, memory: 4.0 };
        let now = Canary { integer: 1.02, memory: 3.6 };
        assert!((now.distance(&usual) - 0.1).abs() < 1e-12);
        assert_eq!(usual.distance(&usual), 0.0);
    }
}
