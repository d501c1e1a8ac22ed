//! What is profiled after timing.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is profiled after timing, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpProfile {
    /// Time, work and bytes of operators, grouped by type and by layer.
    pub ops: bool,
    /// Peak rates of the machine (int8, bf16, f32, memory), measured once and kept, to compare the operators with.
    pub roofline: bool,
    /// The cells that are profiled. All variants under the first setting of the matrix when left out.
    #[schemars(length(max = 100))]
    pub cells: Vec<OpProfileCell>,
}

impl Default for OpProfile {
    fn default() -> Self {
        Self { ops: true, roofline: true, cells: Vec::new() }
    }
}

/// Cells to profile, chosen by variant and values of the matrix.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpProfileCell {
    /// Only this variant. All when left out.
    pub variant: Option<String>,
    /// Only settings of this part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Only settings with this batch.
    pub batch: Option<u32>,
    /// Only settings with this prompt length.
    pub prompt_tokens: Option<u32>,
    /// Only settings that generate this many tokens.
    pub new_tokens: Option<u32>,
    /// Only settings with these sizes of free dimensions.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub dims: IndexMap<String, u32>,
}
