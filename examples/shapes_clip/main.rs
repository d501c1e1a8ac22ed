//! Makes a small CLIP and the pictures that go with it, from nothing but a seed.
//!
//! ```text
//! cargo run --release --example shapes_clip -- data    # examples/data/shapes
//! cargo run --release --example shapes_clip -- train   # tokenizer, configuration and weights
//! cargo run --release --example shapes_clip -- card    # reference.json and the model card
//! cargo run --release --example shapes_clip -- all     # the three in order
//! ```
//!
//! `data` gives the same pictures on every machine. `train` gives a model of the same quality but
//! other last bits, because the order of floating-point sums depends on the machine.

mod card;
mod data;
mod model;
mod ops;
#[path = "../common/optimizer.rs"]
mod optimizer;
mod pictures;
mod reference;
mod scores;
mod tokenizer;
mod towers;
mod train;
#[path = "../common/training.rs"]
mod training;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Makes the model of shapes and its data.
#[derive(Parser)]
#[command(name = "shapes_clip")]
struct Options {
    /// Where the model goes.
    #[arg(long, global = true, default_value = "examples/models/shapes_clip")]
    model: PathBuf,
    /// Where the pictures go.
    #[arg(long, global = true, default_value = "examples/data/shapes")]
    data: PathBuf,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Writes the shipped pictures and captions, and their card.
    Data,
    /// Trains the weights.
    Train(train::Schedule),
    /// Writes the reference results and the model card.
    Card,
    /// Data, train and card, one after the other.
    All(train::Schedule),
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let options = Options::parse();
    match &options.part {
        Part::Data => write_data(&options)?,
        Part::Train(schedule) => train::train(&options.model, schedule)?,
        Part::Card => write_card(&options)?,
        Part::All(schedule) => {
            write_data(&options)?;
            train::train(&options.model, schedule)?;
            write_card(&options)?;
        }
    }
    Ok(())
}

fn write_data(options: &Options) -> Outcome {
    let written = data::write(&options.data)?;
    for data::Written { split, pictures, bytes } in &written {
        println!("{split}: {pictures} pictures, {bytes} bytes");
    }
    card::data(&options.data, &written)
}

fn write_card(options: &Options) -> Outcome {
    let reference = scores::write(&options.model, &options.data)?;
    println!("{:#}", reference["heldout"]);
    card::model(&options.model, &reference)
}
