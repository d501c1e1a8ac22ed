//! A model family of one's own: the vector of a text is the mean of its tokens' vectors after one
//! hidden layer. `cargo run --example custom_model -- plan examples/custom_model.yaml`

use std::process::ExitCode;

use engine::Extensions;
use engine::model::ModelError;
use engine::model::family::{ConfigFile, Description, Family};
use engine::model::network::{Activation, Linear, Network, Op, Weight};
use serde_json::{Value, json};

struct Bag;

impl Family for Bag {
    fn id(&self) -> &'static str {
        "bag"
    }

    fn about(&self) -> &'static str {
        "text encoders that do not care about the order of words"
    }

    fn model_types(&self) -> &'static [&'static str] {
        &["bag"]
    }

    fn read(&self, config: &ConfigFile<'_>) -> Result<Description, ModelError> {
        let vocab = config.fields.needed("vocab_size", 1 << 24)?;
        let size = config.fields.needed("hidden_size", 1 << 16)?;
        let mut n = Network::default();
        let (ids, mask) = (n.tokens("input_ids"), n.tokens("attention_mask"));
        let table = Weight::new("words.weight", &[vocab, size]);
        let x = n.node("words", Op::Embedding { table }, &[ids]);
        let x = n.linear("hidden", Linear::new("hidden", size, size), x);
        let x = n.activate("activation", Activation::Tanh, x);
        let x = n.node("pooling", Op::MeanPositions, &[x, mask]);
        n.output("embeddings", size, x);
        let (family, task, context) = (self.id(), "embedding", Some(512));
        let (labels, unused, vocab) = (Vec::new(), Vec::new(), Some(vocab));
        let (parts, assumed) = ([("", n)].into(), Vec::new());
        Ok(Description { family, task, parts, context, vocab, labels, unused, assumed })
    }

    fn catalog(&self) -> Vec<(&'static str, Value)> {
        vec![("bag-tiny", json!({"model_type": "bag", "vocab_size": 128, "hidden_size": 32}))]
    }
}

fn main() -> ExitCode {
    engine::run_with(Extensions { families: &[&Bag], ..Extensions::default() })
}
