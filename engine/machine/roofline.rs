//! Peak rates of this machine, measured by loops that do nothing else.
//!
//! A share of a limit is only worth something against a limit that the machine has shown. Each
//! rate is that of a loop with more independent chains than the ports can keep busy, on the given
//! number of threads at once; the best of several short repetitions counts, because everything
//! that disturbs a loop makes it slower. The loops are in assembly, so that they are the same in
//! every build. A rate without a loop for this processor is missing with the reason.

mod compute;
mod memory;
mod together;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Cpu;
use together::{Best, Effort};

/// What this machine can do at most with `threads` threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeakRates {
    pub threads: u32,
    /// Multiplications and additions of 8-bit integers per second, each counted as one.
    pub int8_ops: Option<f64>,
    /// The same for bf16 with f32 sums.
    pub bf16_flops: Option<f64>,
    /// The same for f32.
    pub f32_flops: Option<f64>,
    /// Bytes per second read from memory by streams that no cache can hold.
    pub memory_bytes: Option<f64>,
    /// Least share of a best repetition for which its threads were on a processor. Well below 1
    /// the machine was busy with something else, and the rates are lower bounds.
    pub occupied: f64,
    /// The loops that gave the rates, such as `int8: avx512vnni`.
    pub loops: Vec<String>,
    pub unmeasured: Vec<Unmeasured>,
}

/// A rate that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unmeasured {
    pub rate: String,
    pub why: String,
}

/// Below this share of processor time rates are lower bounds.
const LEAST_OCCUPIED: f64 = 0.95;

/// A loop's name and what it reached, or why there is none.
type Rate = Result<(&'static str, Best), String>;

impl PeakRates {
    /// Measures every rate; takes two to three seconds. Nothing else should run meanwhile.
    pub fn measure(threads: u32) -> Self {
        let caches = Cpu::read().cache.unwrap_or(32 << 20);
        let effort = Effort { repetition: Duration::from_millis(5), repetitions: 100 };
        Self::with(threads, effort, memory::buffer(caches))
    }

    /// Whether something else ran on the machine's processors meanwhile.
    pub fn disturbed(&self) -> bool {
        self.occupied < LEAST_OCCUPIED
    }

    fn with(threads: u32, effort: Effort, buffer: usize) -> Self {
        let threads = threads.max(1);
        let mut out = Self {
            threads,
            int8_ops: None,
            bf16_flops: None,
            f32_flops: None,
            memory_bytes: None,
            occupied: 1.0,
            loops: Vec::new(),
            unmeasured: Vec::new(),
        };
        out.f32_flops = out.note("f32", compute::f32(threads, effort));
        out.bf16_flops = out.note("bf16", compute::bf16(threads, effort));
        out.int8_ops = out.note("int8", compute::int8(threads, effort));
        out.memory_bytes = out.note("memory", Ok(memory::read(threads, effort, buffer)));
        out
    }

    fn note(&mut self, rate: &str, found: Rate) -> Option<f64> {
        match found {
            Ok((name, best)) => {
                self.loops.push(format!("{rate}: {name}"));
                self.occupied = self.occupied.min(best.occupied);
                Some(best.rate)
            }
            Err(why) => {
                self.unmeasured.push(Unmeasured { rate: rate.to_owned(), why });
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short enough for every test run; the ordering holds for whatever else the machine does.
    #[test]
    fn rates_are_positive_or_missing_with_a_reason() {
        let effort = Effort { repetition: Duration::from_millis(4), repetitions: 5 };
        let peaks = PeakRates::with(1, effort, 8 << 20);
        let all = [peaks.int8_ops, peaks.bf16_flops, peaks.f32_flops, peaks.memory_bytes];
        for rate in all.into_iter().flatten() {
            assert!(rate.is_finite() && rate > 1e6, "{peaks:?}");
        }
        assert_eq!(all.iter().flatten().count(), peaks.loops.len());
        assert_eq!(all.iter().filter(|rate| rate.is_none()).count(), peaks.unmeasured.len());
        assert!(peaks.unmeasured.iter().all(|missing| !missing.why.is_empty()));
        assert!(peaks.f32_flops.is_some() && peaks.memory_bytes.is_some(), "{peaks:?}");
        // A dot product of bytes does four times the work of an f32 lane per instruction.
        if let (Some(int8), Some(f32)) = (peaks.int8_ops, peaks.f32_flops)
            && peaks.loops.iter().any(|name| name.ends_with("avx512vnni"))
        {
            assert!(int8 > f32, "{peaks:?}");
        }
    }

    #[test]
    #[ignore = "prints the rates of this machine for comparison with other loops; takes seconds"]
    fn rates_of_this_machine() {
        println!("{:#?}", PeakRates::measure(Cpu::read().physical));
    }
}
