//! Seeded draws that do not depend on how a version of the `rand` crate maps bits to ranges.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// The seed of everything random in this program.
pub const SEED: u64 = 48_064;

/// A generator of its own for every number of a stream.
pub struct Chance(Pcg64);

impl Chance {
    /// Streams are spread by the golden ratio, so that neighbours share no prefix.
    pub fn new(stream: u64) -> Self {
        Self(Pcg64::seed_from_u64(SEED ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// From 0 to below 1, in steps that a 32-bit float holds exactly.
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1_u64 << 24) as f32
    }

    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A whole number from 0 to `bound - 1`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.0.next_u64()) * bound as u128) >> 64) as usize
    }

    pub fn likely(&mut self, share: f32) -> bool {
        self.unit() < share
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Mean 0, deviation 1, never beyond 3.5: four uniform numbers of 16 bits, summed.
    pub fn bell(&mut self) -> f32 {
        let bits = self.0.next_u64();
        let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xFFFF).sum();
        (sum as f32 / 65_536.0 - 2.0) * 1.732_050_8
    }
}
