//! Makes a small convolutional classifier of the pictures of `shapes_clip`, from nothing but a
//! seed.
//!
//! ```text
//! cargo run --release --example shapes_resnet -- train   # configuration and weights
//! cargo run --release --example shapes_resnet -- card    # reference.json and the model card
//! ```
//!
//! `train` gives a model of the same quality every time but other last bits, because the order of
//! floating-point sums depends on the machine.

mod card;
mod config;
#[path = "../shapes_clip/data.rs"]
#[allow(dead_code, reason = "the pictures are written by shapes_clip")]
mod data;
mod network;
mod ops;
#[path = "../common/optimizer.rs"]
mod optimizer;
#[path = "../shapes_clip/pictures/mod.rs"]
#[allow(dead_code, unused_imports, reason = "captions are for shapes_clip")]
mod pictures;
mod scores;
mod train;
#[path = "../common/training.rs"]
mod training;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Makes the classifier of shapes.
#[derive(Parser)]
#[command(name = "shapes_resnet")]
struct Options {
    /// Where the model goes.
    #[arg(long, global = true, default_value = "examples/models/shapes_resnet")]
    model: PathBuf,
    /// Where the held-out pictures are.
    #[arg(long, global = true, default_value = "examples/data/shapes")]
    data: PathBuf,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Trains the weights.
    Train(train::Schedule),
    /// Writes the reference results and the model card.
    Card,
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let options = Options::parse();
    match &options.part {
        Part::Train(schedule) => train::train(&options.model, schedule),
        Part::Card => {
            let reference = scores::write(&options.model, &options.data)?;
            println!("{:#}", reference["heldout"]);
            card::write(&options.model, &reference)
        }
    }
}
