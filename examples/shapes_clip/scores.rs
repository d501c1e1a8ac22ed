//! What the naive forward pass finds about the shipped weights, written to `reference.json`.

use std::error::Error;
use std::fs;
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use crate::reference::{Network, dot, unit};
use crate::{data, pictures, tokenizer};

/// Every this many held-out items, one goes into the file in full.
const EVERY: usize = 50;

/// Writes `reference.json` and returns its value.
pub fn write(model: &Path, data: &Path) -> Result<Value, Box<dyn Error + Send + Sync>> {
    let network = Network::read(model)?;
    let tokenizer = Tokenizer::from_file(model.join("tokenizer.json"))?;
    let items = data::read(data, "heldout")?;
    let ids = |text: &str| tokenizer::ids(&tokenizer, text);
    let captions: Vec<_> =
        items.iter().map(|(line, _)| ids(&line.caption)).collect::<Result<_, _>>()?;
    let classes = pictures::classes();
    let prompts: Vec<_> =
        classes.iter().map(|class| ids(&pictures::prompt(class))).collect::<Result<_, _>>()?;
    let images: Vec<_> = items.par_iter().map(|(_, pixels)| network.image(pixels)).collect();
    let texts: Vec<_> = captions.par_iter().map(|ids| network.text(ids)).collect();
    let prompts: Vec<_> = prompts.par_iter().map(|ids| unit(&network.text(ids))).collect();
    let (near_images, near_texts) = (units(&images), units(&texts));
    let class_of = |line: &data::Line| {
        let at = classes.iter().position(|class| *class == line.class);
        at.ok_or(format!("`{}` has the unknown class `{}`", line.image, line.class))
    };
    let own_class: Vec<usize> =
        items.iter().map(|(line, _)| class_of(line)).collect::<Result<_, _>>()?;
    let shown: Vec<usize> = (0..items.len()).step_by(EVERY).collect();
    let image = |at: &usize| {
        let file = &items[*at].0.image;
        json!({ "image": file, "embedding": brief(&images[*at]), "normalized": brief(&near_images[*at]) })
    };
    let text = |at: &usize| {
        json!({
            "text": items[*at].0.caption,
            "ids": captions[*at],
            "embedding": brief(&texts[*at]),
            "normalized": brief(&near_texts[*at]),
        })
    };
    let logits = |at: &usize| {
        let each =
            shown.iter().map(|text| network.scale * dot(&near_images[*at], &near_texts[*text]));
        brief(&each.collect::<Vec<f64>>())
    };
    let own = |at| at;
    let colour = |class: usize| classes[class].split(' ').next();
    let colours = near_images.iter().zip(&own_class).filter(|(image, own)| {
        let best = nearest(image, &prompts);
        colour(best) == colour(**own)
    });
    let colours = colours.count();
    let reference = json!({
        "made_with": "examples/shapes_clip/reference: f64 arithmetic over the f32 weights, plain loops",
        "images": shown.iter().map(image).collect::<Vec<_>>(),
        "texts": shown.iter().map(text).collect::<Vec<_>>(),
        "logit_scale_exp": network.scale,
        "logits_per_image": shown.iter().map(logits).collect::<Vec<_>>(),
        "heldout": {
            "pictures": items.len(),
            "classes": classes.len(),
            "prompt": pictures::prompt("{label}"),
            "zero_shot_top1": hits(&near_images, &prompts, |at| own_class[at], 1),
            "zero_shot_top1_of_right_colour": colours,
            "zero_shot_top5": hits(&near_images, &prompts, |at| own_class[at], 5),
            "image_to_text_recall1": hits(&near_images, &near_texts, own, 1),
            "image_to_text_recall5": hits(&near_images, &near_texts, own, 5),
            "text_to_image_recall1": hits(&near_texts, &near_images, own, 1),
            "text_to_image_recall5": hits(&near_texts, &near_images, own, 5),
        },
    });
    fs::write(model.join("reference.json"), reference.to_string() + "\n")?;
    Ok(reference)
}

fn units(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    rows.iter().map(|row| unit(row)).collect()
}

fn nearest(query: &[f64], answers: &[Vec<f64>]) -> usize {
    let scores: Vec<f64> = answers.iter().map(|answer| dot(query, answer)).collect();
    (0..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best })
}

/// How many queries have their answer among the `k` nearest.
fn hits(
    queries: &[Vec<f64>],
    answers: &[Vec<f64>],
    right: impl Fn(usize) -> usize,
    k: usize,
) -> usize {
    let found = queries.iter().enumerate().filter(|(at, query)| {
        let scores: Vec<f64> = answers.iter().map(|answer| dot(query, answer)).collect();
        let own = scores[right(*at)];
        scores.iter().filter(|score| **score > own).count() < k
    });
    found.count()
}

/// Nine decimals, which is more than a 32-bit float of this size holds.
fn brief(values: &[f64]) -> Vec<f64> {
    values.iter().map(|x| (x * 1e9).round() / 1e9).collect()
}
