//! Reading from memory as fast as it comes.

use super::together::{Best, Effort, best};
use crate::machine::total_memory;

/// Bytes read by one turn of a loop.
const TURN: usize = 1 << 16;

/// Bytes to stream over on a machine whose last-level cache holds `cache` bytes: eight times as
/// many, as far as an eighth of the memory allows.
pub fn buffer(cache: u64) -> usize {
    let wanted = cache.saturating_mul(8).clamp(256 << 20, 2 << 30);
    let most = total_memory().unwrap_or(4 << 30) / 8;
    usize::try_from(wanted.min(most)).unwrap_or(256 << 20)
}

/// Bytes per second that `threads` threads read, each its own part of `buffer` bytes.
pub fn read(threads: u32, effort: Effort, buffer: usize) -> (&'static str, Best) {
    let own = (buffer / threads as usize / TURN).max(1) * TURN;
    let reached = best(threads, effort, || {
        // Filled by the thread that reads it, so that it lies in that thread's memory node.
        let bytes = vec![1_u8; own];
        let mut at = 0;
        move |turns| {
            for _ in 0..turns {
                touch(&bytes[at..at + TURN]);
                at = (at + TURN) % own;
            }
        }
    });
    (NAME, reached.times(TURN as f64))
}

#[cfg(target_arch = "x86_64")]
const NAME: &str = "streams of 64-byte lines";

/// Reads every byte, 16 at a time. Wider loads are no faster from memory.
#[cfg(target_arch = "x86_64")]
fn touch(bytes: &[u8]) {
    let end = bytes.as_ptr_range().end;
    // SAFETY: reads the slice, whose length is a multiple of 64, and nothing else; changes two
    // general registers and vector registers that the C convention leaves to the callee.
    unsafe {
        std::arch::asm!(
            "2:",
            "movups xmm0, [rcx]",
            "movups xmm1, [rcx + 16]",
            "movups xmm2, [rcx + 32]",
            "movups xmm3, [rcx + 48]",
            "add rcx, 64",
            "cmp rcx, rsi",
            "jb 2b",
            inout("rcx") bytes.as_ptr() => _,
            in("rsi") end,
            clobber_abi("C"),
            options(nostack, readonly),
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
const NAME: &str = "portable sums";

#[cfg(not(target_arch = "x86_64"))]
fn touch(bytes: &[u8]) {
    let mut sums = [0_u8; 64];
    for line in bytes.chunks_exact(64) {
        for (sum, byte) in sums.iter_mut().zip(line) {
            *sum ^= byte;
        }
    }
    std::hint::black_box(sums);
}
