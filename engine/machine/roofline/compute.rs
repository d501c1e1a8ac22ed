//! Loops of multiplications and additions, as wide as the processor has them.

use super::Rate;
use super::together::Effort;
#[cfg(target_arch = "x86_64")]
use super::together::best;
#[cfg(target_arch = "x86_64")]
use super::x86::{Operands, bf16_512, fma_256, fma_512, maddubs, mul_add_128, vnni_256, vnni_512};

pub fn int8(threads: u32, effort: Effort) -> Rate {
    first(threads, effort, "int8")
}

pub fn bf16(threads: u32, effort: Effort) -> Rate {
    first(threads, effort, "bf16")
}

pub fn f32(threads: u32, effort: Effort) -> Rate {
    first(threads, effort, "f32")
}

/// One loop: what it computes, its name, whether this processor has it, operations per turn.
#[cfg(target_arch = "x86_64")]
struct Loop {
    rate: &'static str,
    name: &'static str,
    able: fn() -> bool,
    operations: f64,
    body: unsafe fn(u64, &Operands),
}

#[cfg(target_arch = "x86_64")]
fn first(threads: u32, effort: Effort, rate: &str) -> Rate {
    let found = LOOPS.iter().find(|candidate| candidate.rate == rate && (candidate.able)());
    let Some(found) = found else {
        return Err(format!("this processor has no wide instruction for {rate}"));
    };
    let operands = operands(rate);
    let reached = best(threads, effort, || {
        |turns| {
            // SAFETY: `able` has found the instructions that the loop uses.
            unsafe { (found.body)(turns.max(1), &operands) }
        }
    });
    Ok((found.name, reached.times(found.operations)))
}

/// Small ordinary numbers: denormals and infinities are slow on some processors.
#[cfg(target_arch = "x86_64")]
fn operands(rate: &str) -> Operands {
    let mut bytes = [3_u8; 128];
    let pattern: Option<Vec<u8>> = match rate {
        "f32" => Some([1.0_f32.to_le_bytes(), 1e-3_f32.to_le_bytes()].concat()),
        "bf16" => Some(vec![0x80, 0x3f, 0x83, 0x3a, 0x80, 0x3f, 0x83, 0x3a]),
        _ => None,
    };
    for (byte, value) in bytes.iter_mut().zip(pattern.iter().flatten().cycle()) {
        *byte = *value;
    }
    Operands(bytes)
}

/// The loops from widest to narrowest. Sources of the operation counts: Intel's instruction set
/// reference; a dot product of `n` pairs per lane counts as `2n` operations.
#[cfg(target_arch = "x86_64")]
static LOOPS: &[Loop] = &[
    Loop {
        rate: "int8",
        name: "avx512vnni",
        able: || is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"),
        operations: 24.0 * 128.0,
        body: vnni_512,
    },
    Loop {
        rate: "int8",
        name: "avxvnni",
        able: || is_x86_feature_detected!("avxvnni"),
        operations: 12.0 * 64.0,
        body: vnni_256,
    },
    Loop {
        rate: "int8",
        name: "avx2 maddubs",
        able: || is_x86_feature_detected!("avx2"),
        operations: 8.0 * 64.0,
        body: maddubs,
    },
    Loop {
        rate: "bf16",
        name: "avx512bf16",
        able: || is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16"),
        operations: 24.0 * 64.0,
        body: bf16_512,
    },
    Loop {
        rate: "f32",
        name: "avx512f",
        able: || is_x86_feature_detected!("avx512f"),
        operations: 24.0 * 32.0,
        body: fma_512,
    },
    Loop {
        rate: "f32",
        name: "avx2 fma",
        able: || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        operations: 12.0 * 16.0,
        body: fma_256,
    },
    Loop { rate: "f32", name: "sse", able: || true, operations: 6.0 * 8.0, body: mul_add_128 },
];

/// Other processors: plain Rust in f32, as wide as the compiler makes it.
#[cfg(not(target_arch = "x86_64"))]
fn first(threads: u32, effort: Effort, rate: &str) -> Rate {
    const LANES: usize = 8;
    const CHAINS: usize = 12;
    if rate != "f32" {
        return Err(format!("there is no {rate} loop for this processor"));
    }
    let reached = super::together::best(threads, effort, || {
        |turns: u64| {
            let (a, b) = std::hint::black_box(([1.0_f32; LANES], [1e-3_f32; LANES]));
            let mut sums = [[0.0_f32; LANES]; CHAINS];
            for _ in 0..turns {
                for sum in &mut sums {
                    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
                        *sum = a.mul_add(b, *sum);
                    }
                }
            }
            std::hint::black_box(sums);
        }
    });
    Ok(("portable", reached.times((2 * LANES * CHAINS) as f64)))
}
