//! The story corpus: one seeded stream per split, no text in two splits.
//!
//! Training text is never written to disk. It flows from its own stream of the generator and
//! skips every text that a shipped split holds, so the shipped splits stay unseen.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use rand_pcg::Pcg64;
use serde_json::json;

use crate::telling::Telling;
use crate::{errands, feelings, outdoors};

/// The seed of everything random in this program.
pub const SEED: u64 = 20_261;

/// The shipped splits: name, number of texts, episodes per text, fewest words per text.
const SHIPPED: &[(&str, usize, usize, usize)] =
    &[("calib", 256, 1, 60), ("heldout", 200, 1, 60), ("prompts", 64, 4, 300)];

/// One story in this many is told in several episodes in the training stream.
const LONG_STORY_EVERY: usize = 8;

type Plot = fn(&mut Telling);

/// Every plot. A plot that introduces the friend stands last: only first episodes draw it.
#[rustfmt::skip]
const PLOTS: &[Plot] = &[
    errands::lost, errands::sums, errands::cooking, errands::swap, feelings::fear,
    feelings::broken, feelings::warning, outdoors::weather, outdoors::rescue, outdoors::seed,
    outdoors::race, feelings::stranger,
];

/// A text of a shipped split.
pub struct Document {
    pub id: String,
    pub text: String,
}

/// All shipped splits, in the order of [`SHIPPED`].
///
/// Later splits skip the texts of earlier ones.
pub fn shipped() -> Vec<(&'static str, Vec<Document>)> {
    let mut seen = HashSet::new();
    let draw = |(stream, &(name, count, episodes, words))| {
        let mut rng = Pcg64::new(u128::from(SEED), stream as u128 + 1);
        let mut documents = Vec::with_capacity(count);
        while documents.len() < count {
            let text = story(&mut rng, episodes);
            if text.split_whitespace().count() >= words && seen.insert(text.clone()) {
                documents.push(Document { id: format!("{name}_{:03}", documents.len()), text });
            }
        }
        (name, documents)
    };
    SHIPPED.iter().enumerate().map(draw).collect()
}

/// The endless training stream, without the texts of the shipped splits.
pub fn training() -> impl Iterator<Item = String> {
    let held: HashSet<String> =
        shipped().into_iter().flat_map(|(_, documents)| documents).map(|d| d.text).collect();
    let mut rng = Pcg64::new(u128::from(SEED), 0);
    let mut told = 0_usize;
    std::iter::from_fn(move || {
        told += 1;
        let episodes =
            if told.is_multiple_of(LONG_STORY_EVERY) { 2 + told / LONG_STORY_EVERY % 3 } else { 1 };
        Some(story(&mut rng, episodes))
    })
    .filter(move |text| !held.contains(text))
}

/// Writes the shipped splits as JSON lines and returns `(file name, texts, bytes)` for each.
pub fn write(folder: &Path) -> std::io::Result<Vec<(String, usize, usize)>> {
    fs::create_dir_all(folder)?;
    let mut written = Vec::new();
    for (name, documents) in shipped() {
        let mut lines = String::new();
        for document in &documents {
            lines += &json!({ "id": document.id, "text": document.text }).to_string();
            lines.push('\n');
        }
        let file = format!("{name}.jsonl");
        fs::write(folder.join(&file), &lines)?;
        written.push((file, documents.len(), lines.len()));
    }
    Ok(written)
}

/// Tells one story of a fixed cast in the given number of episodes.
fn story(rng: &mut Pcg64, episodes: usize) -> String {
    let mut telling = Telling::new(rng);
    let mut used: Vec<usize> = Vec::new();
    for episode in 0..episodes {
        let choices = if episode == 0 { PLOTS.len() } else { PLOTS.len() - 1 };
        let plot = loop {
            let plot = telling.below(choices);
            if !used.contains(&plot) {
                break plot;
            }
        };
        used.push(plot);
        if episode > 0 {
            telling.say(&[
                "The next day, there was more to come.",
                "A week later, something else happened.",
                "But that is not the end of the story.",
                "Some time went by, and a new month came.",
            ]);
        }
        PLOTS[plot](&mut telling);
    }
    telling.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_training_text_is_in_a_shipped_split() {
        let held: HashSet<String> =
            shipped().into_iter().flat_map(|(_, documents)| documents).map(|d| d.text).collect();
        assert_eq!(held.len(), 256 + 200 + 64);
        assert!(training().take(20_000).all(|text| !held.contains(&text)));
    }

    #[test]
    fn every_slot_of_every_pattern_is_filled() {
        assert!(training().take(20_000).all(|text| !text.contains(['{', '}'])));
    }
}
