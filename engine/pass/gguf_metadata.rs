//! The metadata of a GGUF file made from a checkpoint: hyperparameters and tokenizer.
//!
//! Keys and values as llama.cpp's converter writes them, so that other GGUF programs can run the
//! file; the whole tokenizer.json goes along under its own key.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::{PassError, file_error};
use crate::model::gguf_names::{LLAMA3_SPLIT, QWEN2_SPLIT};
use crate::model::{Checkpoint, GgmlType, GgufArray, GgufValue, RopeScaling, Strings};

type Entries = Vec<(String, GgufValue)>;

/// Token types of GGUF.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// All metadata of a file whose matrices are stored as `format`. `name` is what other programs
/// show.
pub fn metadata(
    checkpoint: &Checkpoint,
    name: &str,
    format: GgmlType,
    notes: &mut Vec<String>,
) -> Result<Entries, PassError> {
    let config = checkpoint.decoder("GGUF")?;
    let prefix = config.architecture.gguf();
    let u32_of = |n: usize| GgufValue::U32(n as u32);
    let mut out: Entries = vec![
        ("general.architecture".into(), GgufValue::String(prefix.into())),
        ("general.type".into(), GgufValue::String("model".into())),
        ("general.name".into(), GgufValue::String(name.to_owned())),
        ("general.quantization_version".into(), GgufValue::U32(2)),
    ];
    if let Some(number) = file_type(format) {
        out.push(("general.file_type".into(), GgufValue::U32(number)));
    }
    let mut own = |key: &str, value| out.push((format!("{prefix}.{key}"), value));
    for (key, value) in [
        ("block_count", u32_of(config.num_hidden_layers)),
        ("context_length", u32_of(config.max_position_embeddings)),
        ("embedding_length", u32_of(config.hidden_size)),
        ("feed_forward_length", u32_of(config.intermediate_size)),
        ("attention.head_count", u32_of(config.num_attention_heads)),
        ("attention.head_count_kv", u32_of(config.num_key_value_heads)),
        ("attention.key_length", u32_of(config.head_dim)),
        ("attention.value_length", u32_of(config.head_dim)),
        ("attention.layer_norm_rms_epsilon", GgufValue::F32(config.rms_norm_eps as f32)),
        ("rope.dimension_count", u32_of(config.head_dim)),
        ("rope.freq_base", GgufValue::F32(config.rope_theta as f32)),
        ("vocab_size", u32_of(config.vocab_size)),
    ] {
        own(key, value);
    }
    if let RopeScaling::Linear { factor } = config.rope_scaling {
        own("rope.scaling.type", GgufValue::String("linear".into()));
        own("rope.scaling.factor", GgufValue::F32(factor as f32));
    }
    if let Some(window) = config.sliding_window {
        own("attention.sliding_window", u32_of(window));
    }
    if checkpoint.random_weights {
        out.push((crate::model::random::GGUF_MARK.into(), GgufValue::Bool(true)));
    }
    match &checkpoint.tokenizer {
        Some(file) => tokenizer(file, checkpoint, &mut out, notes)?,
        None => notes.push("the checkpoint has no tokenizer, so the file has none".into()),
    }
    Ok(out)
}

/// `general.file_type` of llama.cpp's `llama_ftype`, for formats that have one.
fn file_type(format: GgmlType) -> Option<u32> {
    Some(match format.name() {
        "f32" => 0,
        "f16" => 1,
        "q4_0" => 2,
        "q4_1" => 3,
        "q8_0" => 7,
        "q5_0" => 8,
        "q5_1" => 9,
        "q2_k" => 10,
        "q3_k" => 12,
        "q4_k" => 15,
        "q5_k" => 17,
        "q6_k" => 18,
        "bf16" => 32,
        _ => return None,
    })
}

fn tokenizer(
    file: &Path,
    checkpoint: &Checkpoint,
    out: &mut Entries,
    notes: &mut Vec<String>,
) -> Result<(), PassError> {
    let text = std::fs::read_to_string(file).map_err(file_error("read", file))?;
    let json: Value = serde_json::from_str(&text)
        .map_err(|error| PassError::Tokenizer(format!("it is not JSON: {error}")))?;
    let model = &json["model"];
    if model["type"].as_str().is_some_and(|kind| kind != "BPE") {
        notes
            .push(format!("tokenizer of type {} is carried as tokenizer.json only", model["type"]));
    } else {
        bpe(&json, checkpoint, out, notes)?;
    }
    let config = checkpoint.decoder("GGUF")?;
    if let Some(bos) = config.bos_token_id {
        out.push(("tokenizer.ggml.bos_token_id".into(), GgufValue::U32(bos)));
        if let Some(wanted) = add_bos(checkpoint, &json, bos) {
            out.push(("tokenizer.ggml.add_bos_token".into(), GgufValue::Bool(wanted)));
        }
    }
    if let Some(&eos) = config.eos_token_ids.first() {
        out.push(("tokenizer.ggml.eos_token_id".into(), GgufValue::U32(eos)));
    }
    out.push(("tokenizer.huggingface.json".into(), GgufValue::String(text)));
    Ok(())
}

/// Whether texts begin with `bos`: as tokenizer_config.json says, or as the template of the
/// tokenizer's post-processor does; `None` where neither says anything.
fn add_bos(checkpoint: &Checkpoint, json: &Value, bos: u32) -> Option<bool> {
    let path = checkpoint.dir.join("tokenizer_config.json");
    let config: Option<Value> =
        std::fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok());
    let asked = config.and_then(|config| config.get("add_bos_token")?.as_bool());
    let template = || {
        let special = json["post_processor"]["special_tokens"].as_object()?;
        Some(special.values().any(|token| token["ids"][0].as_u64() == Some(bos.into())))
    };
    asked.or_else(template)
}

/// Tokens, types and merges (byte-level) or scores (SentencePiece) of a BPE tokenizer.
fn bpe(
    json: &Value,
    checkpoint: &Checkpoint,
    out: &mut Entries,
    notes: &mut Vec<String>,
) -> Result<(), PassError> {
    let model = &json["model"];
    let size = checkpoint.decoder("GGUF")?.vocab_size;
    let vocab = model["vocab"]
        .as_object()
        .ok_or_else(|| PassError::Tokenizer("its model has no vocabulary".into()))?;
    let is_byte_level = |part: &Value| part.to_string().contains("\"type\":\"ByteLevel\"");
    let byte_level = is_byte_level(&json["pre_tokenizer"]) || is_byte_level(&json["decoder"]);
    let mut tokens: Vec<String> = (0..size).map(|id| format!("[PAD{id}]")).collect();
    let mut types = vec![UNUSED; size];
    let mut put = |id: Option<u64>, token: &str, kind: i32| {
        let id = id.and_then(|id| usize::try_from(id).ok()).filter(|&id| id < size);
        let id = id.ok_or_else(|| {
            PassError::Tokenizer(format!("token `{token}` is outside the vocabulary of {size}"))
        })?;
        token.clone_into(&mut tokens[id]);
        types[id] = kind;
        Ok::<_, PassError>(())
    };
    let is_byte =
        |token: &str| token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
    for (token, id) in vocab {
        let kind = if !byte_level && is_byte(token) { BYTE } else { NORMAL };
        put(id.as_u64(), token, kind)?;
    }
    for added in json["added_tokens"].as_array().into_iter().flatten() {
        let special = added["special"].as_bool().unwrap_or(false);
        let kind = if special { CONTROL } else { USER_DEFINED };
        put(added["id"].as_u64(), added["content"].as_str().unwrap_or_default(), kind)?;
    }
    if let Some(unknown) = model["unk_token"].as_str().and_then(|t| vocab.get(t)?.as_u64()) {
        types[unknown as usize] = UNKNOWN;
        out.push(("tokenizer.ggml.unknown_token_id".into(), GgufValue::U32(unknown as u32)));
    }
    let kind = if byte_level { "gpt2" } else { "llama" };
    out.push(("tokenizer.ggml.model".into(), GgufValue::String(kind.into())));
    if byte_level {
        out.push(("tokenizer.ggml.pre".into(), GgufValue::String(pre(json, notes).into())));
        let merges = merges(model)?.into_iter().map(|(a, b)| format!("{a} {b}")).collect();
        out.push(("tokenizer.ggml.merges".into(), strings(merges)));
    } else {
        let ranks: HashMap<String, usize> = merges(model)?
            .into_iter()
            .enumerate()
            .rev()
            .map(|(rank, (a, b))| (format!("{a}{b}"), rank))
            .collect();
        // SentencePiece merges the best score first; the rank of a merge is all that is left of it.
        // A longer token that no merge gives must never be preferred.
        let unreachable = |token: &str| if token.chars().count() > 1 { -1e9 } else { 0.0 };
        let score = |token: &String| {
            ranks.get(token).map_or_else(|| unreachable(token), |&rank| -(rank as f32) - 1.0)
        };
        let scores = tokens.iter().map(score).collect();
        out.push(("tokenizer.ggml.scores".into(), GgufValue::Array(GgufArray::F32(scores))));
    }
    out.push(("tokenizer.ggml.tokens".into(), strings(tokens)));
    out.push(("tokenizer.ggml.token_type".into(), GgufValue::Array(GgufArray::I32(types))));
    Ok(())
}

fn strings(items: Vec<String>) -> GgufValue {
    GgufValue::Array(GgufArray::Strings(items.into_iter().collect::<Strings>()))
}

/// Merges in both spellings of tokenizer.json: `"a b"` and `["a", "b"]`.
fn merges(model: &Value) -> Result<Vec<(&str, &str)>, PassError> {
    let fault = || PassError::Tokenizer("a merge is not a pair of tokens".into());
    let merges = model["merges"].as_array().map_or(&[][..], Vec::as_slice);
    merges
        .iter()
        .map(|merge| match merge {
            Value::String(text) => text.split_once(' ').ok_or_else(fault),
            Value::Array(pair) => match &pair[..] {
                [Value::String(a), Value::String(b)] => Ok((a.as_str(), b.as_str())),
                _ => Err(fault()),
            },
            _ => Err(fault()),
        })
        .collect()
}

/// llama.cpp's name of the pre-tokenizer, told by how it splits.
fn pre(json: &Value, notes: &mut Vec<String>) -> &'static str {
    let pre = &json["pre_tokenizer"];
    let steps = pre["pretokenizers"].as_array().map_or(std::slice::from_ref(pre), Vec::as_slice);
    let kind = |step: &Value| step["type"].as_str().unwrap_or_default().to_owned();
    let regex = |step: &Value| step["use_regex"].as_bool().unwrap_or(true);
    let split = |step: &Value| match step["pattern"]["Regex"].as_str() {
        Some(LLAMA3_SPLIT) => Some("llama-bpe"),
        Some(QWEN2_SPLIT) => Some("qwen2"),
        _ => None,
    };
    let name = match steps {
        [only] if kind(only) == "ByteLevel" && regex(only) => Some("gpt-2"),
        [first, second] if kind(second) == "ByteLevel" && !regex(second) => split(first),
        _ => None,
    };
    name.unwrap_or_else(|| {
        let note = "the pre-tokenizer has no name in GGUF; other programs may split text otherwise";
        notes.push(note.into());
        "default"
    })
}
