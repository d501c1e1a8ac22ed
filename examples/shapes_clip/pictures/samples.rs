//! Pictures with their captions: the shipped splits, and an endless stream for training.
//!
//! No two shipped pictures share a layout or a caption, and the training stream skips every
//! shipped layout: what is judged on was never drawn for training, not even in other pixels.

use std::collections::HashSet;

use serde_json::json;

use super::caption::{Telling, caption};
use super::chance::Chance;
use super::scene::{Kind, Layout, Scene};

/// The shipped splits and their sizes.
pub const SPLITS: [(&str, usize); 2] = [("calib", 128), ("heldout", 400)];

/// Training layouts that differ in the main shape alone.
const FAMILY: usize = 4;

/// Streams of layouts and words, apart from those of pictures.
const SHIPPED_WORDS: u64 = 1;
const TRAINING_WORDS: u64 = 2;
/// Streams of pictures begin here, at distances that no stream outgrows.
const PICTURES: u64 = 1 << 40;

/// A picture and what is said about it.
pub struct Sample {
    pub layout: Layout,
    pub caption: String,
    stream: u64,
}

impl Sample {
    /// The pixels, row by row, red, green and blue of each.
    pub fn picture(&self) -> Vec<u8> {
        let mut chance = Chance::new(self.stream);
        Scene::draw(&self.layout, &mut chance).paint(&mut chance)
    }

    /// As in `red circle`: the only shape, or the larger of two.
    pub fn class(&self) -> String {
        self.layout.main.label()
    }
}

/// The names of all classes, in the order of their indices.
pub fn classes() -> Vec<String> {
    Kind::all().map(Kind::label).collect()
}

/// All shipped splits. Classes take turns, so each is as frequent as the others up to one.
pub fn shipped() -> Vec<(&'static str, Vec<Sample>)> {
    let mut chance = Chance::new(SHIPPED_WORDS);
    let (mut layouts, mut captions) = (HashSet::new(), HashSet::new());
    let mut stream = PICTURES;
    let mut draw = |main: Kind| loop {
        let layout = Layout::draw(main, &mut chance);
        let caption = caption(&layout, Telling::Full, &mut chance);
        if !layouts.contains(&layout) && captions.insert(caption.clone()) {
            layouts.insert(layout);
            stream += 1;
            return Sample { layout, caption, stream };
        }
    };
    SPLITS
        .map(|(name, count)| (name, Kind::all().cycle().take(count).map(&mut draw).collect()))
        .into()
}

/// The line of a split's file for its picture number `at`, counted from 0.
pub fn line(split: &str, at: usize, sample: &Sample) -> String {
    let image = format!("{split}/{at:04}.png");
    json!({ "image": image, "caption": sample.caption, "class": sample.class() }).to_string()
}

/// The endless training stream, without the layouts of the shipped splits.
///
/// Layouts come in families that differ in the main shape alone: where everything else is the
/// same, a batch is told apart by shapes, which are harder to see than colours and places.
pub struct Training {
    chance: Chance,
    shipped: HashSet<Layout>,
    family: Vec<Layout>,
    stream: u64,
}

impl Default for Training {
    fn default() -> Self {
        let samples = shipped().into_iter().flat_map(|(_, samples)| samples);
        let shipped = samples.map(|sample| sample.layout).collect();
        let chance = Chance::new(TRAINING_WORDS);
        Self { chance, shipped, family: Vec::new(), stream: 2 * PICTURES }
    }
}

impl Iterator for Training {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        let layout = loop {
            match self.family.pop() {
                Some(layout) if self.shipped.contains(&layout) => (),
                Some(layout) => break layout,
                None => self.family = Layout::draw_family(FAMILY, &mut self.chance),
            }
        };
        self.stream += 1;
        let caption = caption(&layout, Telling::Free, &mut self.chance);
        Some(Sample { layout, caption, stream: self.stream })
    }
}
