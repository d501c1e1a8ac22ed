//! How a decoder's tensors are named and laid out in GGUF, against the Hugging Face layout.
//!
//! Beside the names, one thing differs: for a Llama (and a Mistral, which GGUF calls one)
//! llama.cpp rotates neighbouring pairs of a head's dimensions, Hugging Face rotates the first
//! half against the second. The rows of the query and key projections, and their biases, are
//! permuted so that both compute the same (`LlamaModel.permute` in llama.cpp's
//! `convert_hf_to_gguf.py`). A Qwen2 is rotated as Hugging Face does, and stays as it is.

use super::{LlamaConfig, RopeScaling};

/// GGUF name of the divisors of the rotary frequencies; it has no Hugging Face name.
pub const ROPE_FACTORS: &str = "rope_freqs.weight";

/// How Llama 3 and its kin split text, as their tokenizer.json has it; `llama-bpe` in GGUF.
pub const LLAMA3_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How Qwen2 splits text: as Llama 3, but every digit alone; `qwen2` in GGUF.
pub const QWEN2_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const MODEL: &[(&str, &str)] = &[
    ("model.embed_tokens.weight", "token_embd.weight"),
    ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
];

const LAYER: &[(&str, &str)] = &[
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// The GGUF name of a Hugging Face tensor.
pub fn to_gguf(name: &str) -> Option<String> {
    if let Some((_, gguf)) = MODEL.iter().find(|(hf, _)| *hf == name) {
        return Some((*gguf).to_owned());
    }
    let (index, part, end) = layer_part(name, "model.layers.")?;
    let (_, gguf) = LAYER.iter().find(|(hf, _)| *hf == part)?;
    Some(format!("blk.{index}.{gguf}.{end}"))
}

/// The Hugging Face name of a GGUF tensor.
pub fn to_hf(name: &str) -> Option<String> {
    if let Some((hf, _)) = MODEL.iter().find(|(_, gguf)| *gguf == name) {
        return Some((*hf).to_owned());
    }
    let (index, part, end) = layer_part(name, "blk.")?;
    let (hf, _) = LAYER.iter().find(|(_, gguf)| *gguf == part)?;
    Some(format!("model.layers.{index}.{hf}.{end}"))
}

/// Number of the layer, what lies between it and the last word, and that word: `weight` or
/// `bias`.
fn layer_part<'a>(name: &'a str, prefix: &str) -> Option<(u32, &'a str, &'a str)> {
    let (digits, part) = name.strip_prefix(prefix)?.split_once('.')?;
    let (part, end) = part.rsplit_once('.').filter(|(_, end)| matches!(*end, "weight" | "bias"))?;
    let index: u32 = digits.parse().ok()?;
    // `01` and `+1` would name the same layer a second time.
    (index.to_string() == digits).then_some((index, part, end))
}

/// How many heads share the rows of a tensor whose rows (or, of a bias, elements) are permuted in
/// GGUF; `None` for all other tensors. `name` is the Hugging Face name.
pub fn permuted_heads(name: &str, config: &LlamaConfig) -> Option<u64> {
    let (_, part, _) = layer_part(name, "model.layers.")?;
    match part {
        _ if !config.architecture.interleaves_in_gguf() => None,
        "self_attn.q_proj" => Some(config.num_attention_heads as u64),
        "self_attn.k_proj" => Some(config.num_key_value_heads as u64),
        _ => None,
    }
}

/// The Hugging Face row that stands at row `index` in GGUF.
///
/// `rows` are the rows of the whole matrix; `rows / heads` must be even and not 0.
pub fn permuted_row(index: u64, heads: u64, rows: u64) -> u64 {
    let head_dim = rows / heads;
    let (head, row) = (index / head_dim, index % head_dim);
    head * head_dim + (row % 2) * (head_dim / 2) + row / 2
}

/// The GGUF row that stands at row `index` in the Hugging Face layout: inverse of
/// [`permuted_row`].
pub fn unpermuted_row(index: u64, heads: u64, rows: u64) -> u64 {
    let head_dim = rows / heads;
    let (head, row) = (index / head_dim, index % head_dim);
    head * head_dim + (row % (head_dim / 2)) * 2 + row / (head_dim / 2)
}

/// Values of [`ROPE_FACTORS`], `head_dim / 2` of them, for a configuration that needs the tensor.
pub fn rope_factors(config: &LlamaConfig) -> Option<Vec<f32>> {
    match config.rope_scaling {
        RopeScaling::Llama3 { .. } => {
            Some(config.rope_scaling.divisors(config.head_dim, config.rope_theta))
        }
        // Linear scaling is a metadata key in GGUF.
        RopeScaling::None | RopeScaling::Linear { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::RandomModel;

    #[test]
    fn every_tensor_of_a_llama_has_a_gguf_name_and_back() {
        for model in ["tinyllama-1.1b", "qwen2-0.5b", "mistral-7b"] {
            let model = RandomModel::parse(&format!("random://{model}")).unwrap();
            for (name, _) in model.config().tensors() {
                assert_eq!(to_hf(&to_gguf(&name).unwrap()).as_ref(), Some(&name));
            }
        }
        assert_eq!(to_hf("blk.7.attn_q.bias").unwrap(), "model.layers.7.self_attn.q_proj.bias");
        assert_eq!(to_gguf("model.layers.3.mlp.up_proj.weight").unwrap(), "blk.3.ffn_up.weight");
        for odd in ["", "blk.", "blk.1.weight", "blk.01.ffn_up.weight", "blk.-1.ffn_up.weight", "x"]
        {
            assert_eq!(to_hf(odd), None, "{odd}");
        }
    }

    /// Reference: `numpy.arange(8).reshape(2, 2, 2).swapaxes(1, 2).reshape(8)`.
    #[test]
    fn two_heads_of_four_rows_are_permuted_as_the_converter_does() {
        let order: Vec<u64> = (0..8).map(|row| permuted_row(row, 2, 8)).collect();
        assert_eq!(order, [0, 2, 1, 3, 4, 6, 5, 7]);
    }

    proptest! {
        #[test]
        fn permuting_and_back_is_the_identity(heads in 1_u64..40, half in 1_u64..100, at in 0_u64..8000) {
            let rows = heads * half * 2;
            let row = at % rows;
            prop_assert_eq!(unpermuted_row(permuted_row(row, heads, rows), heads, rows), row);
            prop_assert_eq!(permuted_row(unpermuted_row(row, heads, rows), heads, rows), row);
            prop_assert!(permuted_row(row, heads, rows) < rows);
        }
    }
}
