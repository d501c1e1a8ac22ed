//! The text that goes with the files.

use std::error::Error;
use std::fs;
use std::path::Path;

use engine::measure::proportion::wilson;
use serde_json::Value;

use crate::network::{STEM, WIDTHS, labels};
use crate::pictures::SIDE;
use crate::train::{Record, Schedule};
use crate::training::RECORD;

/// Writes the model card from what training and the reference pass have measured.
pub fn write(folder: &Path, reference: &Value) -> Result<(), Box<dyn Error + Send + Sync>> {
    let record: Record = serde_json::from_str(&fs::read_to_string(folder.join(RECORD))?)?;
    let Record { seed, steps, parameters, last_loss, last_hits, machine, .. } = &record;
    let Schedule { steps: planned, batch, rate, warm_up } = &record.schedule;
    let (minutes, seen) = (record.wall_seconds / 60.0, steps * batch);
    let count = |key: &str| {
        let found = reference["heldout"][key].as_u64();
        found.ok_or_else(|| format!("`{key}` is missing"))
    };
    let pictures = count("pictures")?;
    let share = |key: &str| -> Result<String, String> {
        let share = wilson(count(key)? as f64, pictures as usize, 0.95).ok_or("no pictures")?;
        let [value, low, high] = [share.point, share.low, share.high].map(|x| 100.0 * x);
        Ok(format!("{value:.2} % [{low:.1}, {high:.1}]"))
    };
    let (top1, top5) = (share("top1")?, share("top5")?);
    let mistakes = pictures - count("top1")?;
    let shapes = mistakes + count("top1_of_right_colour")? - pictures;
    let errors = if mistakes == 0 {
        "No first class is wrong: the pictures are easy for it. A variant loses top-1 only once its
errors are as large as the distances between scores, so look at the scores (cosine, signal to
noise) before calling it free of loss."
            .to_owned()
    } else {
        format!(
            "Of the {mistakes} pictures whose first class is wrong, {shapes} get the colour right
and the shape wrong."
        )
    };
    let card = format!(
        "# shapes_resnet

A very small convolutional network that names the coloured shape in a picture, one of {classes}
classes as `red circle`; where there are two shapes, the larger one. It is made from nothing but a
seed by `examples/shapes_resnet`, so that pipelines and benchmarks have a trained classifier to
work on without a download. This card is written by that program.

## Architecture

`ResNetForImageClassification`, f32, {parameters} parameters. Pictures of {SIDE} x {SIDE}; a
convolution of 7 x 7 to {STEM} channels and a maximum, both of stride 2; one block of two 3 x 3
convolutions in each of {stages} stages of {WIDTHS:?} channels; batch norms with running
statistics; the mean over all places, and a linear classifier. Classes are in the order of their
names.

## Training

| | |
|---|---|
| data | the training pictures of `shapes_clip`, drawn on the fly, none with the layout of a shipped one (see `examples/data/shapes`); four in a row differ in the main shape alone |
| loss | cross-entropy |
| seed | {seed} |
| steps | {steps} of {batch} pictures, {seen} in all, each seen once |
| optimizer | AdamW, highest rate {rate}, {warm_up} steps of warm-up, cosine to a hundredth |
| at the end | loss {last_loss:.3} nats; {hits:.1} % of pictures get their class before the network learns from them (means of the last 200 steps) |
| wall time | {minutes:.1} minutes on one thread |
| machine | {machine}, shared with other work |

```sh
export RAYON_NUM_THREADS=1
export MALLOC_TOP_PAD_=268435456 MALLOC_TRIM_THRESHOLD_=4000000000 MALLOC_MMAP_THRESHOLD_=4000000000
cargo run --release --example shapes_resnet -- train --steps {planned} --batch {batch} --rate {rate} --warm-up {warm_up}
cargo run --release --example shapes_resnet -- card
```

The exports of `MALLOC` only save time. The pictures come out the same everywhere. The weights do
not: the order of floating-point sums depends on the machine and its instruction set, so another
run gives a model of like quality with other last bits, and `reference.json` belongs to the
shipped weights.

## Quality

On the {pictures} held-out pictures, computed in f32 by the forward pass of the program; in
brackets 95 % score intervals (Wilson) over pictures.

| | |
|---|---|
| top-1 over all {classes} classes | **{top1}** |
| top-5 | {top5} |

{errors}

## Files

`model.safetensors`, `config.json`, `preprocessor_config.json`: the model. `reference.json`: scores
of eight held-out pictures, and the counts behind the table above. `training.json`: the record of
the run.

## Limits

It knows eight colours and six shapes as our own rasteriser draws them; photographs and other
shapes mean nothing to it. Held-out means unseen combinations of shape, colour, place and
background, not an unseen kind of picture. Its figures serve to compare its variants, and say
nothing about any other model.

## Licence

MIT OR Apache-2.0, as the project.
",
        classes = labels().len(),
        stages = WIDTHS.len(),
        hits = 100.0 * last_hits,
    );
    fs::write(folder.join("README.md"), card)?;
    Ok(())
}
