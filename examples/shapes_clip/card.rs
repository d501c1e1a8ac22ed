//! The texts that go with the files: a card for the model and one for the data.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::data::Written;
use crate::model::{PATCH, POSITIONS, PROJECTION, TEXT, VISION};
use crate::pictures::{SEED, SIDE, classes};
use crate::train::{Record, Schedule};
use crate::training::RECORD;

/// Writes the model card from what training and the reference pass have measured.
pub fn model(folder: &Path, reference: &Value) -> Result<(), Box<dyn Error + Send + Sync>> {
    let record: Record = serde_json::from_str(&fs::read_to_string(folder.join(RECORD))?)?;
    let Record { seed, steps, parameters, last_loss, last_hits, machine, .. } = &record;
    let Schedule { steps: planned, batch, rate, warm_up } = &record.schedule;
    let (minutes, seen) = (record.wall_seconds / 60.0, steps * batch);
    let (architecture, quality) = (architecture(*parameters), quality(reference)?);
    let card = format!(
        "# shapes_clip

A very small CLIP that knows coloured shapes: {classes} kinds of them, where they lie, how large
they are and on what background. It is made from nothing but a seed by `examples/shapes_clip`, so
that pipelines and benchmarks have a trained model of two towers to work on without a download.
This card is written by that program.

## Architecture

{architecture}

## Training

| | |
|---|---|
| data | pictures and captions drawn on the fly, none with the layout of a shipped one (see `examples/data/shapes`); four in a row differ in the main shape alone |
| loss | contrastive, both directions, with a learned scale; no caption twice within a batch |
| seed | {seed} |
| steps | {steps} of {batch} pictures and captions, {seen} in all, each seen once |
| optimizer | AdamW, highest rate {rate}, {warm_up} steps of warm-up, cosine to a hundredth |
| at the end | loss {last_loss:.3} nats; {hits:.1} % of pictures find their caption in their batch (means of the last 200 steps) |
| wall time | {minutes:.1} minutes on one thread |
| machine | {machine}, shared with other work |

```sh
export RAYON_NUM_THREADS=1
export MALLOC_TOP_PAD_=268435456 MALLOC_TRIM_THRESHOLD_=4000000000 MALLOC_MMAP_THRESHOLD_=4000000000
cargo run --release --example shapes_clip -- data
cargo run --release --example shapes_clip -- train --steps {planned} --batch {batch} --rate {rate} --warm-up {warm_up}
cargo run --release --example shapes_clip -- card
```

The exports of `MALLOC` only save time (with glibc, memory is kept instead of being returned at
every step). Pictures, captions and the tokenizer come out the same everywhere. The weights do
not: the order of floating-point sums depends on the machine and its instruction set, so another
run gives a model of like quality with other last bits, and `reference.json` belongs to the
shipped weights.

## Quality

{quality}

## Files

`model.safetensors`, `config.json`, `preprocessor_config.json`, `tokenizer.json`,
`tokenizer_config.json`: the model. `reference.json`: embeddings of eight held-out pictures and
their captions before and after normalization, their scores, and the counts behind the table
above. `training.json`: the record of the run.

## Limits

It knows eight colours, six shapes and the words of its captions; every other word is one unknown
token that was never trained. Photographs, other shapes and other wordings mean nothing to it.
How hard the pictures are, the batch and the learning rate were chosen with these figures in sight,
over a handful of runs, so that they flatter the model a little. They serve to compare its variants,
and say nothing about any other model.

## Licence

MIT OR Apache-2.0, as the project.
",
        classes = classes().len(),
        hits = 100.0 * last_hits,
    );
    fs::write(folder.join("README.md"), card)?;
    Ok(())
}

fn architecture(parameters: usize) -> String {
    format!(
        "`CLIPModel`, f32, {parameters} parameters. Vision: pictures of {SIDE} x {SIDE} in patches of
{PATCH} x {PATCH}, {vl} layers, hidden size {vh}, {va} heads, intermediate size {vi}. Text: one token
per lower-case word, at most {POSITIONS} with start and end, causal, {tl} layers, hidden size {th},
{ta} heads, intermediate size {ti}; a text is its hidden state at `<|endoftext|>`. Both end in
{PROJECTION} dimensions; `quick_gelu` throughout.",
        vl = VISION.layers,
        vh = VISION.hidden,
        va = VISION.heads,
        vi = VISION.intermediate,
        tl = TEXT.layers,
        th = TEXT.hidden,
        ta = TEXT.heads,
        ti = TEXT.intermediate,
    )
}

/// The table of held-out figures from the counts of the reference pass.
fn quality(reference: &Value) -> Result<String, Box<dyn Error + Send + Sync>> {
    let heldout = &reference["heldout"];
    let count = |key: &str| heldout[key].as_u64().ok_or_else(|| format!("`{key}` is missing"));
    let pictures = count("pictures")?;
    let share = |key: &str| Ok::<_, String>(proportion(count(key)? as f64, pictures as f64));
    let mistakes = pictures - count("zero_shot_top1")?;
    let shapes = mistakes + count("zero_shot_top1_of_right_colour")? - pictures;
    let (top1, top5) = (share("zero_shot_top1")?, share("zero_shot_top5")?);
    let (to_text1, to_text5) = (share("image_to_text_recall1")?, share("image_to_text_recall5")?);
    let (to_image1, to_image5) = (share("text_to_image_recall1")?, share("text_to_image_recall5")?);
    Ok(format!(
        "On the {pictures} held-out pictures, computed in f64 by `examples/shapes_clip/reference`;
in brackets 95 % score intervals (Wilson) over pictures.

| | |
|---|---|
| zero-shot top-1 over all {classes} prompts `a picture of a {{label}}` | **{top1}** |
| zero-shot top-5 | {top5} |
| recall@1, picture to caption, among {pictures} | {to_text1} |
| recall@5, picture to caption | {to_text5} |
| recall@1, caption to picture, among {pictures} | {to_image1} |
| recall@5, caption to picture | {to_image5} |

Of the {mistakes} pictures whose first class is wrong, {shapes} get the colour right and the shape wrong.

A caption need not fit its own picture alone: what it leaves out, another picture may have too.
Recall@1 is therefore bounded below 100 % even for a perfect model.",
        classes = classes().len(),
    ))
}

/// A share in percent with its 95 % score interval (Wilson, 1927).
fn proportion(hits: f64, of: f64) -> String {
    let z = 1.96_f64;
    let p = hits / of;
    let middle = p + z * z / (2.0 * of);
    let half = z * (p * (1.0 - p) / of + z * z / (4.0 * of * of)).sqrt();
    let [low, high] = [middle - half, middle + half].map(|end| 100.0 * end / (1.0 + z * z / of));
    format!("{:.2} % [{low:.1}, {high:.1}]", 100.0 * p)
}

/// Writes the data card from what [`crate::data::write`] returned.
pub fn data(folder: &Path, written: &[Written]) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut rows = String::new();
    for Written { split, pictures, bytes } in written {
        rows += &format!("| `{split}.jsonl`, `{split}/` | {pictures} | {bytes} |\n");
    }
    let card = format!(
        "# shapes

Pictures of one or two coloured shapes with captions, one JSON object
`{{\"image\", \"caption\", \"class\"}}` per line; paths are relative to this folder. PNG, {SIDE} x {SIDE},
eight bits of red, green and blue.

| files | pictures | bytes |
|---|---|---|
{rows}
They are drawn by a rasteriser of our own: circles, squares, triangles, stars, rings and crosses in
eight colours whose tints vary, of three sizes, turned by up to 10 degrees, on dark, grey or light
backgrounds with a tint and a slope, under noise that differs from picture to picture. Three in ten
show a second, smaller shape of another colour. `class` is the only shape or the larger of two, one
of {classes}; classes are as frequent as each other, up to one picture. `caption` tells nearly all of
the layout in words.

The layout of a picture is all that a full caption can say: shapes, colours, size or relation,
place and background. No two pictures of the two splits share a layout or a caption, and the
training stream of `examples/models/shapes_clip` skips every layout that occurs here; its pictures
come from other streams of the generator. But all share one grammar and one rasteriser, and shorter
captions of training pictures (as `a picture of a red circle`) are true of pictures here, so
held-out means unseen combinations, not an unseen kind of picture.

Made by `cargo run --release --example shapes_clip -- data`, seed {SEED}: the same pixels and
captions every time. The bytes of a PNG file may differ with the version of the encoder.

Licence: MIT OR Apache-2.0, as the project.
",
        classes = classes().len(),
    );
    fs::write(folder.join("README.md"), card)?;
    Ok(())
}
