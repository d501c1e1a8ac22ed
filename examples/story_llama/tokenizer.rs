//! The story tokenizer: byte-level BPE, learned from the training stream.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::json;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper};
use tokenizers::{PreTokenizerWrapper, Tokenizer, TokenizerBuilder, TokenizerImpl};

use crate::corpus;
use crate::model::Shape;

/// Starts every document; its id is 0 because special tokens come first in the vocabulary.
pub const BOS: &str = "<|begin_of_text|>";
/// Ends every document; its id is 1.
pub const EOS: &str = "<|end_of_text|>";

pub const BOS_ID: u32 = 0;
pub const EOS_ID: u32 = 1;

/// How many training stories the merges are learned from.
const STORIES: usize = 20_000;

/// Learns the merges and writes `tokenizer.json` and `tokenizer_config.json`.
pub fn write(folder: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(Shape::STORY.vocab)
        .min_frequency(2)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect::<HashSet<char>>())
        .special_tokens(vec![AddedToken::from(BOS, true), AddedToken::from(EOS, true)])
        .build();
    let mut tokenizer: TokenizerImpl<
        BPE,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    > = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(ByteLevel::new(false, true, true).into()))
        .with_post_processor(None)
        .with_decoder(Some(ByteLevel::new(false, true, true).into()))
        .build()?;
    tokenizer.train(&mut trainer, corpus::training().take(STORIES))?;
    fs::create_dir_all(folder)?;
    tokenizer.save(folder.join("tokenizer.json"), true)?;
    let config = json!({
        "add_bos_token": true,
        "add_eos_token": false,
        "bos_token": BOS,
        "clean_up_tokenization_spaces": false,
        "eos_token": EOS,
        "model_max_length": Shape::STORY.positions,
        "tokenizer_class": "PreTrainedTokenizerFast",
    });
    fs::write(folder.join("tokenizer_config.json"), format!("{config:#}\n"))?;
    Ok(())
}

/// Reads the tokenizer back and checks that the special tokens have the ids the model knows.
pub fn read(folder: &Path) -> Result<Tokenizer, Box<dyn Error + Send + Sync>> {
    let tokenizer = Tokenizer::from_file(folder.join("tokenizer.json"))?;
    for (token, id) in [(BOS, BOS_ID), (EOS, EOS_ID)] {
        if tokenizer.token_to_id(token) != Some(id) {
            return Err(format!("`{token}` must have id {id} in `tokenizer.json`").into());
        }
    }
    Ok(tokenizer)
}

/// The ids of one document: BOS, then the text; no EOS.
pub fn ids(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, Box<dyn Error + Send + Sync>> {
    let mut ids = vec![BOS_ID];
    ids.extend_from_slice(tokenizer.encode(text, false)?.get_ids());
    Ok(ids)
}
