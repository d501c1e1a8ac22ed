//! The texts that go with the files: a card for the model and one for the data.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::model::Shape;
use crate::train::{Record, Schedule};
use crate::training::RECORD;

/// Writes the model card from what training and the reference pass have measured.
pub fn model(folder: &Path, reference: &Value) -> Result<(), Box<dyn Error + Send + Sync>> {
    let record: Record = serde_json::from_str(&fs::read_to_string(folder.join(RECORD))?)?;
    let Record { seed, schedule, steps, long_steps, tokens_seen, .. } = &record;
    let Record { wall_seconds, last_loss, machine, .. } = &record;
    let Schedule { tokens: tokens_per_step, rate, warm_up, .. } = schedule;
    let (planned, planned_long) = (schedule.steps, schedule.long_steps);
    let (stop, stopped) = if *steps < planned {
        (format!(" --stop-after {steps}"), format!("; the schedule had {planned}"))
    } else {
        (String::new(), String::new())
    };
    let shape = Shape::STORY;
    let Shape { vocab, hidden, layers, heads, kv_heads, head_dim, intermediate, positions, .. } =
        shape;
    let parameters = shape.parameters();
    let (short, long) = (steps - long_steps, positions);
    let minutes = wall_seconds / 60.0;
    let speed = *tokens_seen as f64 / wall_seconds;
    let all = &reference["heldout_all"];
    let few = &reference["heldout"];
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let (perplexity, nll) = (number(&all["perplexity"]), number(&all["nll_per_token"]));
    let (documents, tokens) = (&all["documents"], &all["tokens"]);
    let (few_documents, few_perplexity) = (&few["documents"], number(&few["perplexity"]));
    let prompt = reference["prompt"].as_str().unwrap_or_default();
    let continuation = reference["continuation"].as_str().unwrap_or_default();
    let card = format!(
        "# story_llama

A very small language model that tells stories about children, pets, lost toys and sums. It is
made from nothing but a seed by `examples/story_llama`, so that pipelines and benchmarks have a
trained model to work on without a download. This card is written by that program.

## Architecture

`LlamaForCausalLM`, bf16, {parameters} parameters: {layers} layers, hidden size {hidden},
{heads} query heads and {kv_heads} key/value heads of {head_dim}, intermediate size
{intermediate}, vocabulary {vocab} (byte-level BPE of its own), {positions} positions, rotary
theta 10000, tied embeddings.

## Training

| | |
|---|---|
| data | stories of our own grammar, generated on the fly; none of them is in the shipped splits |
| seed | {seed} |
| steps | {steps} of {tokens_per_step} tokens: {short} with windows of 256 tokens, then {long_steps} of {long}{stopped} |
| tokens seen | {tokens_seen} |
| optimizer | AdamW, highest rate {rate}, {warm_up} steps of warm-up, cosine to a twentieth |
| loss at the end | {last_loss:.4} nats per token, mean of the last 200 steps |
| wall time | {minutes:.1} minutes ({speed:.0} tokens per second) |
| machine | {machine}, shared with other work |

```sh
export RAYON_NUM_THREADS=1   # two workers share a batch; more threads only get in their way
export MALLOC_TOP_PAD_=268435456 MALLOC_TRIM_THRESHOLD_=4000000000 MALLOC_MMAP_THRESHOLD_=4000000000
cargo run --release --example story_llama -- corpus
cargo run --release --example story_llama -- train --steps {planned} --long-steps {planned_long} \\
  --tokens {tokens_per_step} --rate {rate} --warm-up {warm_up}{stop}
cargo run --release --example story_llama -- reference
```

The exports only save time (with glibc, memory is kept instead of being returned at every step).
The corpus and the tokenizer come out byte for byte the same everywhere. The weights do not: the
order of floating-point sums depends on the machine and its instruction set, so another run gives
a model of like quality with other last bits, and `reference.json` belongs to the shipped weights.

## Quality

Held-out perplexity **{perplexity:.4}** ({nll:.5} nats per token over {tokens} tokens of
{documents} stories; {few_perplexity:.4} on the first {few_documents}), computed in f64 over the bf16
weights by `reference.rs`: each document alone, BOS first, no EOS, cut at 512 tokens. There is no
interval on this number; it describes these stories and no others.

A greedy continuation of a held-out beginning:

> **{prompt}**{continuation}

## Files

`model.safetensors`, `config.json`, `generation_config.json`, `tokenizer.json`,
`tokenizer_config.json`: the model. `reference.json`: logits, greedy tokens and held-out scores
of the naive pass. `training.json`: the record of the run.

## Limits

It knows a dozen plots and a few hundred words. The sentences are fluent, but it loses track of who
is who, as the sample shows, and nobody has counted how often its sums are right. It has no knowledge of the world, follows no
instructions, and should be used for nothing but trying out tools. Its low perplexity reflects
the narrow language and is not comparable with that of any other model.

## Licence

MIT OR Apache-2.0, as the project.
"
    );
    fs::write(folder.join("README.md"), card)?;
    Ok(())
}

/// Writes the data card from what [`crate::corpus::write`] returned.
pub fn data(folder: &Path, files: &[(String, usize, usize)]) -> std::io::Result<()> {
    let mut rows = String::new();
    for (file, texts, bytes) in files {
        rows += &format!("| `{file}` | {texts} | {bytes} |\n");
    }
    let card = format!(
        "# stories

Short texts for calibration, quality and prompts, one JSON object `{{\"id\", \"text\"}}` per line.

| file | texts | bytes |
|---|---|---|
{rows}
They are written by a grammar of our own: a cast, a dozen plots, and sentences that keep the facts
of a story straight. No text comes from anywhere else. `calib` and `heldout` hold single stories,
`prompts` holds stories of four episodes (300 words and more), to be cut to the wanted length.
No text occurs twice, in no two files, and none in the training stream of
`examples/models/story_llama`; but all of them share one grammar, so held-out means unseen
stories, not an unseen kind of story.

Made by `cargo run --release --example story_llama -- corpus`, seed {seed}, the same bytes every
time.

Licence: MIT OR Apache-2.0, as the project.
",
        seed = crate::corpus::SEED,
    );
    fs::write(folder.join("README.md"), card)
}
