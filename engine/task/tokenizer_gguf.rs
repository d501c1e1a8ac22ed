//! A tokenizer.json from what a GGUF file says of its tokenizer.

use serde_json::{Map, Value, json};

use crate::model::gguf_names::{LLAMA3_SPLIT, QWEN2_SPLIT};
use crate::model::{Gguf, GgufArray, GgufValue};

/// A tokenizer.json from the keys every GGUF program writes.
pub fn rebuilt(gguf: &Gguf) -> Result<Value, String> {
    let text = |key: &str| gguf.metadata.get(key).and_then(GgufValue::as_str);
    let strings = |key: &str| gguf.metadata.get(key).and_then(GgufValue::as_strings);
    let tokens = strings("tokenizer.ggml.tokens").ok_or("it has no `tokenizer.ggml.tokens`")?;
    let mut vocab = Map::new();
    for (id, token) in tokens.iter().enumerate() {
        vocab.entry(token.to_owned()).or_insert(json!(id));
    }
    match text("tokenizer.ggml.model") {
        Some("gpt2") => {
            let merges = strings("tokenizer.ggml.merges").ok_or("it has no merges")?;
            let merges: Vec<&str> = merges.iter().collect();
            let name = text("tokenizer.ggml.pre").unwrap_or("default");
            let pre = pre_tokenizer(name)?;
            // Qwen2 composes characters first; GGUF has no key for it.
            let normalizer = if name == "qwen2" { json!({"type": "NFC"}) } else { Value::Null };
            Ok(json!({
                "version": "1.0",
                "added_tokens": special(gguf, &vocab),
                "normalizer": normalizer,
                "pre_tokenizer": pre,
                "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
                "model": {"type": "BPE", "vocab": vocab, "merges": merges},
            }))
        }
        Some("llama") => {
            let merges = merges_from_scores(gguf, &vocab)?;
            Ok(json!({
                "version": "1.0",
                "added_tokens": special(gguf, &vocab),
                "normalizer": {"type": "Sequence", "normalizers": [
                    {"type": "Prepend", "prepend": "▁"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                ]},
                "decoder": {"type": "Sequence", "decoders": [
                    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                    {"type": "ByteFallback"},
                    {"type": "Fuse"},
                    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
                ]},
                "model": {"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": true, "fuse_unk": true, "unk_token": "<unk>"},
            }))
        }
        Some(other) => {
            Err(format!("tokenizer type `{other}` is not known; known are gpt2 and llama"))
        }
        None => Err("it has no `tokenizer.ggml.model`".into()),
    }
}

fn pre_tokenizer(name: &str) -> Result<Value, String> {
    let byte_level = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let split = |regex: &str| {
        json!({
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false},
                byte_level(false),
            ],
        })
    };
    match name {
        "default" | "gpt-2" => Ok(byte_level(true)),
        "llama-bpe" | "llama3" | "llama-v3" => Ok(split(LLAMA3_SPLIT)),
        "qwen2" => Ok(split(QWEN2_SPLIT)),
        other => Err(format!("pre-tokenizer `{other}` is not known")),
    }
}

/// Control tokens, which must never come out of ordinary text.
fn special(gguf: &Gguf, vocab: &Map<String, Value>) -> Value {
    const CONTROL: i32 = 3;
    let types = match gguf.metadata.get("tokenizer.ggml.token_type") {
        Some(GgufValue::Array(GgufArray::I32(types))) => types.as_slice(),
        _ => &[],
    };
    let tokens = vocab.iter().filter(|(_, id)| {
        let id = id.as_u64().unwrap_or(u64::MAX) as usize;
        types.get(id) == Some(&CONTROL)
    });
    let added = tokens.map(|(token, id)| {
        json!({
            "id": id, "content": token, "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        })
    });
    added.collect()
}

/// Merges of a SentencePiece BPE vocabulary: every way to split a token into two others, better
/// scores first, as SentencePiece itself would merge.
fn merges_from_scores(gguf: &Gguf, vocab: &Map<String, Value>) -> Result<Value, String> {
    let Some(GgufValue::Array(GgufArray::F32(scores))) = gguf.metadata.get("tokenizer.ggml.scores")
    else {
        return Err("it has no `tokenizer.ggml.scores`".into());
    };
    let mut merges = Vec::new();
    for (token, id) in vocab {
        let score = scores.get(id.as_u64().unwrap_or(u64::MAX) as usize).copied().unwrap_or(0.0);
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if vocab.contains_key(left) && vocab.contains_key(right) {
                merges.push((score, left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(merges.into_iter().map(|(_, left, right)| json!([left, right])).collect())
}

#[cfg(test)]
mod tests {
    use tokenizers::Tokenizer;

    use super::*;

    #[test]
    fn qwen2_splits_every_digit_and_llama_3_up_to_three() {
        let splits = |name: &str| {
            let vocab: Map<String, Value> =
                (b'0'..=b'9').map(|b| (char::from(b).to_string(), json!(b - b'0'))).collect();
            let json = json!({
                "version": "1.0", "added_tokens": [], "pre_tokenizer": pre_tokenizer(name).unwrap(),
                "model": {
                    "type": "BPE", "vocab": merged(vocab), "merges": [["1", "2"], ["12", "3"]],
                },
            });
            let tokenizer: Tokenizer = json.to_string().parse().unwrap();
            tokenizer.encode("1234", false).unwrap().get_tokens().to_vec()
        };
        assert_eq!(splits("qwen2"), ["1", "2", "3", "4"]);
        assert_eq!(splits("llama-bpe"), ["123", "4"]);
        assert!(pre_tokenizer("chatglm-bpe").is_err());
    }

    fn merged(mut vocab: Map<String, Value>) -> Map<String, Value> {
        vocab.insert("12".into(), json!(10));
        vocab.insert("123".into(), json!(11));
        vocab
    }
}
