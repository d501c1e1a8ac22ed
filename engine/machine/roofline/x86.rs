//! The loops of x86 processors, in assembly.

/// Two vectors that are multiplied with each other, over and over.
#[repr(align(64))]
pub struct Operands(pub [u8; 128]);

/// A function that sets the registers `$all` to zero and applies `$step` to them `turns` times;
/// `\r` stands for the register's number. The first sources are loaded by `$load`.
macro_rules! chain {
    ($name:ident, $feature:literal, $all:literal, $zero:literal, [$($load:literal),*], [$($step:literal),*]) => {
        #[target_feature(enable = $feature)]
        pub unsafe fn $name(turns: u64, operands: &Operands) {
            // SAFETY: reads the 128 aligned bytes of `operands`, writes vector registers only, all
            // of which the C convention leaves to the callee, and ends after `turns` rounds.
            unsafe {
                std::arch::asm!(
                    $($load,)*
                    concat!(".irp r,", $all),
                    $zero,
                    ".endr",
                    "2:",
                    concat!(".irp r,", $all),
                    $($step,)*
                    ".endr",
                    "dec rcx",
                    "jnz 2b",
                    in("rsi") operands.0.as_ptr(),
                    inout("rcx") turns => _,
                    clobber_abi("C"),
                    options(nostack, readonly),
                );
            }
        }
    };
}

chain!(
    vnni_512,
    "avx512f,avx512vnni",
    "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
    "vpxord zmm\\r, zmm\\r, zmm\\r",
    ["vmovups zmm30, [rsi]", "vmovups zmm31, [rsi + 64]"],
    ["vpdpbusd zmm\\r, zmm30, zmm31"]
);
chain!(
    bf16_512,
    "avx512f,avx512bf16",
    "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
    "vpxord zmm\\r, zmm\\r, zmm\\r",
    ["vmovups zmm30, [rsi]", "vmovups zmm31, [rsi + 64]"],
    ["vdpbf16ps zmm\\r, zmm30, zmm31"]
);
chain!(
    fma_512,
    "avx512f",
    "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
    "vpxord zmm\\r, zmm\\r, zmm\\r",
    ["vmovups zmm30, [rsi]", "vmovups zmm31, [rsi + 64]"],
    ["vfmadd231ps zmm\\r, zmm30, zmm31"]
);
chain!(
    vnni_256,
    "avx2,avxvnni",
    "0,1,2,3,4,5,6,7,8,9,10,11",
    "vpxor ymm\\r, ymm\\r, ymm\\r",
    ["vmovups ymm14, [rsi]", "vmovups ymm15, [rsi + 64]"],
    ["{{vex}} vpdpbusd ymm\\r, ymm14, ymm15"]
);
chain!(
    fma_256,
    "avx2,fma",
    "0,1,2,3,4,5,6,7,8,9,10,11",
    "vpxor ymm\\r, ymm\\r, ymm\\r",
    ["vmovups ymm14, [rsi]", "vmovups ymm15, [rsi + 64]"],
    ["vfmadd231ps ymm\\r, ymm14, ymm15"]
);
chain!(
    maddubs,
    "avx2",
    "0,1,2,3,4,5,6,7",
    "vpxor ymm\\r, ymm\\r, ymm\\r",
    ["vmovups ymm14, [rsi]", "vmovups ymm15, [rsi + 64]"],
    [
        "vpmaddubsw ymm12, ymm14, ymm15",
        "vpmaddwd ymm12, ymm12, ymm14",
        "vpaddd ymm\\r, ymm\\r, ymm12"
    ]
);
chain!(
    mul_add_128,
    "sse",
    "0,1,2,3,4,5",
    "xorps xmm\\r, xmm\\r",
    ["movups xmm14, [rsi]", "movups xmm15, [rsi + 64]"],
    ["movaps xmm13, xmm14", "mulps xmm13, xmm15", "addps xmm\\r, xmm13"]
);
