//! Encoders of the BERT class, as they come out of sentence-transformers: BERT, RoBERTa, XLM-R and
//! DistilBERT, with pooling and normalisation in the network.
//!
//! Source: Devlin et al., 2019; layouts and defaults as in transformers. Inputs are `input_ids`
//! and `attention_mask`, both i64 (batch, sequence), 1 where a token counts. Texts are single: the
//! token type is 0 everywhere. RoBERTa numbers positions from `pad_token_id + 1`; here padded
//! positions are numbered on instead of repeated, which changes nothing because nothing looks at
//! them.

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::describe::{ConfigFile, Description, Family};
use super::sentence::{Pooling, Sentence};
use crate::model::ModelError;
use crate::model::fields::{CONTEXT_LIMIT, Fields, LAYER_LIMIT, SIZE_LIMIT, VOCAB_LIMIT};
use crate::model::network::{Activation, Linear, Network, Op, Value as Made, Weight};

pub struct Bert;

/// Names of things that differ between the layouts.
struct Layout {
    prefix: &'static str,
    layers: &'static str,
    query: &'static str,
    key: &'static str,
    value: &'static str,
    output: &'static str,
    attention_norm: &'static str,
    inner: &'static str,
    outer: &'static str,
    outer_norm: &'static str,
    /// Keys of `config.json`: hidden, inner, layers, heads, activation.
    keys: [&'static str; 5],
    types: bool,
}

const BERT: Layout = Layout {
    prefix: "bert.",
    layers: "encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    inner: "intermediate.dense",
    outer: "output.dense",
    outer_norm: "output.LayerNorm",
    keys: [
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "hidden_act",
    ],
    types: true,
};

const ROBERTA: Layout = Layout { prefix: "roberta.", ..BERT };

const DISTILBERT: Layout = Layout {
    prefix: "distilbert.",
    layers: "transformer.layer",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    inner: "ffn.lin1",
    outer: "ffn.lin2",
    outer_norm: "output_layer_norm",
    keys: ["dim", "hidden_dim", "n_layers", "n_heads", "activation"],
    types: false,
};

/// Heads of other tasks, and what is no weight.
const UNUSED: &[&str] = &[
    "pooler.dense.weight",
    "pooler.dense.bias",
    "position_ids",
    "cls.",
    "lm_head.",
    "vocab_",
    "classifier.",
    "pre_classifier.",
    "qa_outputs.",
];

impl Family for Bert {
    fn id(&self) -> &'static str {
        "bert"
    }

    fn about(&self) -> &'static str {
        "text encoders: BERT, MiniLM, RoBERTa, XLM-R, DistilBERT, with sentence-transformers' pooling"
    }

    fn model_types(&self) -> &'static [&'static str] {
        &["bert", "roberta", "xlm-roberta", "distilbert"]
    }

    fn read(&self, config: &ConfigFile<'_>) -> Result<Description, ModelError> {
        let fields = &config.fields;
        let kind = fields.text("model_type")?.unwrap_or("bert");
        let layout = match kind {
            "distilbert" => &DISTILBERT,
            "roberta" | "xlm-roberta" => &ROBERTA,
            _ => &BERT,
        };
        refuse_others(fields)?;
        let hidden = fields.needed(layout.keys[0], SIZE_LIMIT)?;
        let inner = fields.needed(layout.keys[1], SIZE_LIMIT)?;
        let layers = fields.needed(layout.keys[2], LAYER_LIMIT)?;
        let heads = fields.heads(layout.keys[3], hidden, None)?;
        let activation = fields.activation(layout.keys[4], Activation::Gelu)?;
        let vocab = fields.needed("vocab_size", VOCAB_LIMIT)?;
        let rows = fields.needed("max_position_embeddings", CONTEXT_LIMIT)?;
        let epsilon = fields.epsilon("layer_norm_eps", 1e-12)?;
        let first = first_position(fields, kind, rows)?;
        let sentence = Sentence::read(config)?;

        let at = config.prefix(layout.prefix, "embeddings.word_embeddings.weight");
        // Checkpoints that once came from TensorFlow name the weights of norms after its variables.
        let older = (config.tensors)(&format!("{at}embeddings.LayerNorm.gamma"));
        let [scale, shift] = if older { ["gamma", "beta"] } else { ["weight", "bias"] };
        let norm = |name: &str| {
            let weight = |part: &str| Weight::new(format!("{at}{name}.{part}"), &[hidden]);
            Op::LayerNorm { weight: weight(scale), bias: weight(shift), epsilon }
        };
        let mut n = Network::default();
        let ids = n.tokens("input_ids");
        let mask = n.tokens("attention_mask");
        let table = |name: &str, rows: usize| {
            Weight::new(format!("{at}embeddings.{name}.weight"), &[rows, hidden])
        };
        let words = n.node(
            "embeddings.words",
            Op::Embedding { table: table("word_embeddings", vocab) },
            &[ids],
        );
        let mut x = words;
        if layout.types {
            let types = fields.size("type_vocab_size", SIZE_LIMIT)?.unwrap_or(2);
            let row = Op::Row { table: table("token_type_embeddings", types), row: 0 };
            let row = n.node("embeddings.type", row, &[]);
            x = n.add("embeddings.typed", x, row);
        }
        let positions = Op::Positions { table: table("position_embeddings", rows), first };
        let positions = n.node("embeddings.positions", positions, &[ids]);
        x = n.add("embeddings.sum", x, positions);
        x = n.node("embeddings.norm", norm("embeddings.LayerNorm"), &[x]);
        for layer in 0..layers {
            let own = format!("{}.{layer}", layout.layers);
            let part = |name: &str, inputs, outputs| {
                Linear::new(&format!("{at}{own}.{name}"), inputs, outputs)
            };
            let here = format!("layers.{layer}");
            let attention = Op::Attention {
                heads,
                query: part(layout.query, hidden, hidden),
                key: part(layout.key, hidden, hidden),
                value: part(layout.value, hidden, hidden),
                causal: false,
            };
            let attended = n.node(format!("{here}.attention"), attention, &[x, mask]);
            let y =
                n.linear(&format!("{here}.output"), part(layout.output, hidden, hidden), attended);
            let sum = n.add(&format!("{here}.attention_sum"), y, x);
            let of = norm(&format!("{own}.{}", layout.attention_norm));
            x = n.node(format!("{here}.attention_norm"), of, &[sum]);
            let y = n.linear(&format!("{here}.inner"), part(layout.inner, hidden, inner), x);
            let y = n.activate(&format!("{here}.activation"), activation, y);
            let y = n.linear(&format!("{here}.outer"), part(layout.outer, inner, hidden), y);
            let sum = n.add(&format!("{here}.sum"), y, x);
            let of = norm(&format!("{own}.{}", layout.outer_norm));
            x = n.node(format!("{here}.norm"), of, &[sum]);
        }
        let mut pooled: Made = match sentence.pooling {
            Pooling::First => n.node("pooling", Op::FirstPosition, &[x]),
            Pooling::Mean => n.node("pooling", Op::MeanPositions, &[x, mask]),
        };
        if sentence.normalized {
            pooled = n.node("normalize", Op::Normalize, &[pooled]);
        }
        n.output("embeddings", hidden, pooled);
        let context = rows - first;
        Ok(Description {
            family: self.id(),
            task: "embedding",
            parts: IndexMap::from([("", n)]),
            context: Some(sentence.most.map_or(context, |most| most.min(context))),
            vocab: Some(vocab),
            labels: Vec::new(),
            unused: UNUSED.to_vec(),
            assumed: sentence.assumed,
        })
    }

    fn catalog(&self) -> Vec<(&'static str, Value)> {
        let bert = |hidden: usize, inner: usize, layers: usize, heads: usize| {
            json!({
                "architectures": ["BertModel"], "model_type": "bert", "hidden_size": hidden,
                "intermediate_size": inner, "num_hidden_layers": layers,
                "num_attention_heads": heads, "hidden_act": "gelu", "vocab_size": 30522,
                "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
                "torch_dtype": "float32",
            })
        };
        let mut tiny = bert(32, 64, 2, 4);
        tiny["vocab_size"] = json!(128);
        tiny["max_position_embeddings"] = json!(64);
        vec![
            ("minilm-l6", bert(384, 1536, 6, 12)),
            ("bert-base", bert(768, 3072, 12, 12)),
            ("bert-tiny", tiny),
        ]
    }
}

/// Refuses variants that would compute something else.
fn refuse_others(fields: &Fields<'_>) -> Result<(), ModelError> {
    if let Some(other) = fields.text("position_embedding_type")?.filter(|p| *p != "absolute") {
        let what = format!("is `{}`, supported is `absolute`", crate::model::shown(other));
        return Err(fields.fault("position_embedding_type", what));
    }
    if fields.flag("is_decoder")? {
        return Err(fields.fault("is_decoder", "is true, supported are encoders"));
    }
    Ok(())
}

/// The row of the table of positions that the first token takes.
fn first_position(fields: &Fields<'_>, kind: &str, rows: usize) -> Result<usize, ModelError> {
    let first = match kind {
        "roberta" | "xlm-roberta" => match fields.tokens("pad_token_id")?.first() {
            Some(&pad) => pad as usize + 1,
            None => 2,
        },
        _ => 0,
    };
    if first >= rows {
        let what = format!("must exceed the {first} rows that padding takes, found {rows}");
        return Err(fields.fault("max_position_embeddings", what));
    }
    Ok(first)
}
