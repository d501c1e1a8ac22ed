//! Storage types of ggml: plain floats and blocks of quantized weights.

use serde::Serialize;

/// A storage type. Block types store a fixed number of neighbouring elements of a row together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[allow(non_camel_case_types)] // spelled as everywhere else in the field
pub enum GgmlType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q8_1,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    Q8_K,
}

/// Type, number in files, name, elements of a block, bytes of a block. The sizes are those of
/// the structs in llama.cpp's `ggml-common.h`.
const TYPES: &[(GgmlType, u32, &str, u64, u64)] = &[
    (GgmlType::F32, 0, "f32", 1, 4),
    (GgmlType::F16, 1, "f16", 1, 2),
    (GgmlType::Q4_0, 2, "q4_0", 32, 18),
    (GgmlType::Q4_1, 3, "q4_1", 32, 20),
    (GgmlType::Q5_0, 6, "q5_0", 32, 22),
    (GgmlType::Q5_1, 7, "q5_1", 32, 24),
    (GgmlType::Q8_0, 8, "q8_0", 32, 34),
    (GgmlType::Q8_1, 9, "q8_1", 32, 36),
    (GgmlType::Q2_K, 10, "q2_k", 256, 84),
    (GgmlType::Q3_K, 11, "q3_k", 256, 110),
    (GgmlType::Q4_K, 12, "q4_k", 256, 144),
    (GgmlType::Q5_K, 13, "q5_k", 256, 176),
    (GgmlType::Q6_K, 14, "q6_k", 256, 210),
    (GgmlType::Q8_K, 15, "q8_k", 256, 292),
    (GgmlType::BF16, 30, "bf16", 1, 2),
];

impl GgmlType {
    fn row(self) -> &'static (Self, u32, &'static str, u64, u64) {
        TYPES.iter().find(|row| row.0 == self).expect("every type has a row in TYPES")
    }

    pub fn from_id(id: u32) -> Option<Self> {
        TYPES.iter().find(|row| row.1 == id).map(|row| row.0)
    }

    /// The type with this name, such as `q8_0`.
    pub fn from_name(name: &str) -> Option<Self> {
        TYPES.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    pub fn id(self) -> u32 {
        self.row().1
    }

    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Elements stored together; 1 for plain floats.
    pub fn block_elements(self) -> u64 {
        self.row().3
    }

    pub fn block_bytes(self) -> u64 {
        self.row().4
    }

    pub fn bits_per_element(self) -> f64 {
        8.0 * self.block_bytes() as f64 / self.block_elements() as f64
    }

    /// Bytes of a tensor with these dimensions, innermost first, or what is wrong with them.
    pub fn bytes(self, dims: &[u64]) -> Result<u64, String> {
        if dims.is_empty() || dims.len() > 4 {
            return Err(format!("{} dimensions, allowed are 1 to 4", dims.len()));
        }
        if dims.contains(&0) {
            return Err(format!("dimensions {dims:?} contain 0"));
        }
        let (row, block) = (dims[0], self.block_elements());
        if row % block != 0 {
            let name = self.name();
            return Err(format!(
                "rows of {row} elements do not divide into {name} blocks of {block}"
            ));
        }
        dims.iter()
            .try_fold(1_u64, |product, dim| product.checked_mul(*dim))
            .filter(|elements| i64::try_from(*elements).is_ok())
            .and_then(|elements| (elements / block).checked_mul(self.block_bytes()))
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .ok_or_else(|| format!("dimensions {dims:?} overflow"))
    }
}
