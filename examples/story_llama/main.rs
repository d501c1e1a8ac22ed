//! Makes the model and the data that ship with this project, from nothing but a seed.
//!
//! ```text
//! cargo run --release --example story_llama -- corpus     # examples/data/stories + tokenizer
//! cargo run --release --example story_llama -- train      # weights
//! cargo run --release --example story_llama -- reference  # reference.json and the model card
//! cargo run --release --example story_llama -- all        # the three in order
//! ```
//!
//! `corpus` gives the same bytes on every machine. `train` gives a model of the same quality but
//! other last bits, because the order of floating-point sums depends on the machine.

mod card;
mod corpus;
mod errands;
mod feelings;
mod lexicon;
mod model;
mod naive;
mod ops;
#[path = "../common/optimizer.rs"]
mod optimizer;
mod outdoors;
mod reference;
mod telling;
mod tokenizer;
mod train;
#[path = "../common/training.rs"]
mod training;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Makes the story model and its data.
#[derive(Parser)]
#[command(name = "story_llama")]
struct Options {
    /// Where the model goes.
    #[arg(long, global = true, default_value = "examples/models/story_llama")]
    model: PathBuf,
    /// Where the texts go.
    #[arg(long, global = true, default_value = "examples/data/stories")]
    data: PathBuf,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Prints some training stories.
    Sample,
    /// Writes the shipped texts and the tokenizer.
    Corpus,
    /// Trains the weights.
    Train(train::Schedule),
    /// Writes the reference results and the model card.
    Reference,
    /// Corpus, train and reference, one after the other.
    All(train::Schedule),
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let options = Options::parse();
    match &options.part {
        Part::Sample => corpus::training().take(24).for_each(|story| println!("{story}\n")),
        Part::Corpus => write_corpus(&options)?,
        Part::Train(schedule) => train::train(&options.model, schedule)?,
        Part::Reference => write_reference(&options)?,
        Part::All(schedule) => {
            write_corpus(&options)?;
            train::train(&options.model, schedule)?;
            write_reference(&options)?;
        }
    }
    Ok(())
}

fn write_corpus(options: &Options) -> Outcome {
    let files = corpus::write(&options.data)?;
    for (file, texts, bytes) in &files {
        println!("{file}: {texts} texts, {bytes} bytes");
    }
    card::data(&options.data, &files)?;
    tokenizer::write(&options.model)
}

fn write_reference(options: &Options) -> Outcome {
    let reference = reference::write(&options.model, &options.data)?;
    println!("{:#}", reference["heldout_all"]);
    card::model(&options.model, &reference)
}
