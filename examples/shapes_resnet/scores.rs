//! What the shipped weights find about the held-out pictures, written to `reference.json`.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::data;
use crate::network::{ResNet, labels};

/// Every this many held-out pictures, the scores of one go into the file.
const EVERY: usize = 50;

/// Writes `reference.json` and returns its value.
pub fn write(model: &Path, data: &Path) -> Result<Value, Box<dyn Error + Send + Sync>> {
    let network = ResNet::open(model)?;
    let items = data::read(data, "heldout")?;
    let labels = labels();
    let colour = |label: &str| label.split(' ').next().map(str::to_owned);
    let (mut top1, mut top5, mut colours, mut shown) = (0, 0, 0, Vec::new());
    for (at, (line, pixels)) in items.iter().enumerate() {
        let scores = network.scores(std::slice::from_ref(pixels), None)?.to_vec2::<f32>()?;
        let scores = &scores[0];
        let own = labels.iter().position(|label| *label == line.class);
        let own = own.ok_or_else(|| format!("`{}` has an unknown class", line.image))?;
        let above = scores.iter().filter(|score| **score > scores[own]).count();
        let best = scores.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        let best = best.map(|(best, _)| &labels[best]).ok_or("there are no classes")?;
        top1 += usize::from(above == 0);
        top5 += usize::from(above < 5);
        colours += usize::from(colour(best) == colour(&line.class));
        if at % EVERY == 0 {
            shown.push(json!({ "image": line.image, "class": line.class, "logits": scores }));
        }
    }
    let value = json!({
        "heldout": {
            "pictures": items.len(),
            "top1": top1,
            "top1_of_right_colour": colours,
            "top5": top5,
        },
        "images": shown,
    });
    fs::write(model.join("reference.json"), format!("{value}\n"))?;
    Ok(value)
}
