//! The tensors that a decoder's configuration demands, and what is wrong with those that exist.

use indexmap::IndexMap;

use super::{LlamaConfig, shown};

/// Name and shape of every tensor, embedding first and layers in order.
pub(crate) fn expected(config: &LlamaConfig) -> Vec<(String, Vec<u64>)> {
    let hidden = config.hidden_size as u64;
    let inner = config.intermediate_size as u64;
    let vocab = config.vocab_size as u64;
    let queries = (config.num_attention_heads * config.head_dim) as u64;
    let keys = (config.num_key_value_heads * config.head_dim) as u64;
    let (qkv_bias, output_bias) = (config.qkv_bias, config.output_bias);
    let layer = [
        ("input_layernorm", vec![hidden], false),
        ("self_attn.q_proj", vec![queries, hidden], qkv_bias),
        ("self_attn.k_proj", vec![keys, hidden], qkv_bias),
        ("self_attn.v_proj", vec![keys, hidden], qkv_bias),
        ("self_attn.o_proj", vec![hidden, queries], output_bias),
        ("post_attention_layernorm", vec![hidden], false),
        ("mlp.gate_proj", vec![inner, hidden], false),
        ("mlp.up_proj", vec![inner, hidden], false),
        ("mlp.down_proj", vec![hidden, inner], false),
    ];
    let mut out = vec![("model.embed_tokens.weight".to_owned(), vec![vocab, hidden])];
    for index in 0..config.num_hidden_layers {
        for (name, shape, has_bias) in &layer {
            out.push((format!("model.layers.{index}.{name}.weight"), shape.clone()));
            if *has_bias {
                out.push((format!("model.layers.{index}.{name}.bias"), vec![shape[0]]));
            }
        }
    }
    out.push(("model.norm.weight".to_owned(), vec![hidden]));
    if !config.tie_word_embeddings {
        out.push(("lm_head.weight".to_owned(), vec![vocab, hidden]));
    }
    out
}

/// Compares `found` with what `config` demands: missing, misshapen and foreign tensors.
///
/// A foreign tensor is an error because a bias or an adapter that is silently left out gives
/// plausible wrong numbers. Two leftovers of old exports are harmless: tables of rotary
/// frequencies, and an output projection beside a tied embedding.
pub(crate) fn compare(config: &LlamaConfig, found: &IndexMap<String, Vec<u64>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut used = 0;
    for (name, shape) in expected(config) {
        match found.get(&name) {
            None => wrong.push(format!("`{name}` is missing")),
            Some(other) => {
                used += 1;
                if *other != shape {
                    wrong.push(format!("`{name}` has shape {other:?}, expected {shape:?}"));
                }
            }
        }
    }
    if used < found.len() {
        let expected: IndexMap<_, _> = expected(config).into_iter().collect();
        let foreign = |name: &&String| !expected.contains_key(*name) && !is_leftover(config, name);
        for name in found.keys().filter(foreign) {
            let kind = config.architecture.name();
            wrong.push(format!("`{}` is not part of a {kind}", shown(name)));
        }
    }
    wrong
}

fn is_leftover(config: &LlamaConfig, name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq")
        || (name == "lm_head.weight" && config.tie_word_embeddings)
}
