//! The metrics and what each of them means: one thing, in one unit, with one good direction.

use serde::{Deserialize, Serialize};

/// Which movement of a metric is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    Lower,
    Higher,
}

/// The unit of a metric's numbers as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Seconds,
    TokensPerSecond,
    /// Inputs of a batch count each.
    ItemsPerSecond,
    Bytes,
    Joules,
    Watts,
    /// A number without a unit, such as a perplexity.
    Plain,
    /// Natural logarithm units.
    Nats,
    /// Ten times the decimal logarithm of a ratio of powers.
    Decibels,
    /// A fraction between 0 and 1.
    Share,
}

/// What a metric is about, which decides where its numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Derived from the timelines of measured launches: differs between launches.
    Timing,
    /// Read from the operating system once per launch.
    Process,
    /// A property of the artifact: the same in every launch.
    Artifact,
    /// Judged on held-out data.
    Quality,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Metric {
    pub id: &'static str,
    pub unit: Unit,
    pub better: Better,
    pub source: Source,
    /// The tasks it says something about.
    pub tasks: &'static [&'static str],
    /// Shown in the report below the tables.
    pub definition: &'static str,
}

const TEXT: &[&str] = &["text_generation"];
const TENSOR: &[&str] =
    &["tensor", "embedding", "image_classification", "zero_shot_image_classification"];
const PICTURES: &[&str] = &["image_classification", "zero_shot_image_classification"];
const BOTH: &[&str] = &[
    "text_generation",
    "tensor",
    "embedding",
    "image_classification",
    "zero_shot_image_classification",
];
/// Tasks whose outputs are compared number by number.
const OUTPUTS: &[&str] =
    &["tensor", "embedding", "image_classification", "zero_shot_image_classification"];
const AGREEING: &[&str] = &["text_generation", "tensor", "image_classification"];
const NOISY: &[&str] = &["tensor", "image_classification"];
const LABELLED: &[&str] = &["image_classification", "zero_shot_image_classification"];
const PAIRED: &[&str] = &["embedding", "zero_shot_image_classification"];
const ZERO_SHOT: &[&str] = &["zero_shot_image_classification"];

/// All metrics in the order in which reports show them.
pub static METRICS: &[Metric] = &[
    Metric {
        id: "decode_tps",
        unit: Unit::TokensPerSecond,
        better: Better::Higher,
        source: Source::Timing,
        tasks: TEXT,
        definition: "Generated tokens after the first, divided by the time from the first to the last token of a request; batch sequences count each.",
    },
    Metric {
        id: "prefill_tps",
        unit: Unit::TokensPerSecond,
        better: Better::Higher,
        source: Source::Timing,
        tasks: TEXT,
        definition: "Prompt tokens divided by the time to the first token, with an empty cache; batch sequences count each.",
    },
    Metric {
        id: "ttft",
        unit: Unit::Seconds,
        better: Better::Lower,
        source: Source::Timing,
        tasks: TEXT,
        definition: "Time to first token: from handing over the request to the first generated token; under load from the instant at which it was to be sent.",
    },
    Metric {
        id: "itl",
        unit: Unit::Seconds,
        better: Better::Lower,
        source: Source::Timing,
        tasks: TEXT,
        definition: "Inter-token latency: time between consecutive generated tokens of a request.",
    },
    Metric {
        id: "e2e",
        unit: Unit::Seconds,
        better: Better::Lower,
        source: Source::Timing,
        tasks: TEXT,
        definition: "From handing over the request to its last token; under load from the instant at which it was to be sent, and of all requests at once until the last is answered.",
    },
    Metric {
        id: "latency",
        unit: Unit::Seconds,
        better: Better::Lower,
        source: Source::Timing,
        tasks: TENSOR,
        definition: "One run of the graph with its inputs in the backend's own tensors, until all outputs are computed, one request outstanding; making inputs and copying in and out are not counted. Under load from the instant at which it was to be sent until its outputs are taken, copying in and out included; of a query until its last sample, of all requests at once until the last is answered.",
    },
    Metric {
        id: "throughput",
        unit: Unit::ItemsPerSecond,
        better: Better::Higher,
        source: Source::Timing,
        tasks: TENSOR,
        definition: "Items of a request, which are its batch, divided by its latency; under load items answered in the window of a launch, divided by its length.",
    },
    Metric {
        id: "tpot",
        unit: Unit::Seconds,
        better: Better::Lower,
        source: Source::Timing,
        tasks: TEXT,
        definition: "Time per output token of a request: from its first to its last token, divided by the tokens after the first.",
    },
    Metric {
        id: "output_tps",
        unit: Unit::TokensPerSecond,
        better: Better::Higher,
        source: Source::Timing,
        tasks: TEXT,
        definition: "Under load: tokens that arrived in the window of a launch, of all requests together, divided by its length; batch sequences count each.",
    },
    Metric {
        id: "decode",
        unit: Unit::Seconds,
        better: Better::Lower,
        source: Source::Timing,
        tasks: PICTURES,
        definition: "Reading the pictures of a request from their files and decoding them, one after the other on one thread; before `latency` and not part of it.",
    },
    Metric {
        id: "preprocess",
        unit: Unit::Seconds,
        better: Better::Lower,
        source: Source::Timing,
        tasks: PICTURES,
        definition: "Resizing, cropping and normalizing the decoded pictures of a request, one after the other on one thread; before `latency` and not part of it.",
    },
    Metric {
        id: "load",
        unit: Unit::Seconds,
        better: Better::Lower,
        source: Source::Timing,
        tasks: BOTH,
        definition: "From opening the artifact to being able to serve; files come from the page cache unless the run says otherwise.",
    },
    Metric {
        id: "first_call",
        unit: Unit::Seconds,
        better: Better::Lower,
        source: Source::Timing,
        tasks: BOTH,
        definition: "End-to-end time of the first request of a fresh process.",
    },
    Metric {
        id: "peak_memory",
        unit: Unit::Bytes,
        better: Better::Lower,
        source: Source::Process,
        tasks: BOTH,
        definition: "Highest resident set size of the measured process, load included.",
    },
    Metric {
        id: "steady_memory",
        unit: Unit::Bytes,
        better: Better::Lower,
        source: Source::Process,
        tasks: BOTH,
        definition: "Highest resident set size of the measured process after its model is loaded.",
    },
    Metric {
        id: "energy",
        unit: Unit::Joules,
        better: Better::Lower,
        source: Source::Process,
        tasks: BOTH,
        definition: "Joules that the processors' packages and their memory took while the requests that count were made and answered, divided by these; the whole machine counts, whichever process works, idle power included.",
    },
    Metric {
        id: "energy_per_token",
        unit: Unit::Joules,
        better: Better::Lower,
        source: Source::Process,
        tasks: TEXT,
        definition: "The same energy divided by the generated tokens of these requests.",
    },
    Metric {
        id: "model_size",
        unit: Unit::Bytes,
        better: Better::Lower,
        source: Source::Artifact,
        tasks: BOTH,
        definition: "Bytes of the artifact on disk: weights, configuration and tokenizer.",
    },
    Metric {
        id: "perplexity",
        unit: Unit::Plain,
        better: Better::Lower,
        source: Source::Quality,
        tasks: TEXT,
        definition: "exp of the mean negative log-likelihood per token over held-out documents, windowed with a stride; each token is scored once.",
    },
    Metric {
        id: "kl",
        unit: Unit::Nats,
        better: Better::Lower,
        source: Source::Quality,
        tasks: TEXT,
        definition: "Mean Kullback-Leibler divergence KL(reference || variant) of the next-token distributions over the same positions.",
    },
    Metric {
        id: "top1_agreement",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: AGREEING,
        definition: "Share of positions at which variant and reference give the highest probability to the same token; of a graph, share of rows of its first output whose largest number stands at the same place, or of equal elements where they are whole numbers.",
    },
    Metric {
        id: "cosine",
        unit: Unit::Plain,
        better: Better::Higher,
        source: Source::Quality,
        tasks: OUTPUTS,
        definition: "Cosine of the angle between the floating outputs of variant and reference, all of an item as one vector; mean over items.",
    },
    Metric {
        id: "cosine_p01",
        unit: Unit::Plain,
        better: Better::Higher,
        source: Source::Quality,
        tasks: OUTPUTS,
        definition: "First percentile over items of the cosine: about one item in a hundred lies further off. Bounds are order statistics, which need 368 items at 95 %.",
    },
    Metric {
        id: "snr",
        unit: Unit::Decibels,
        better: Better::Higher,
        source: Source::Quality,
        tasks: NOISY,
        definition: "Signal to noise: 10 log10 of the sum of squares of the reference's floating outputs over that of the differences from it, within an item; from -150 to 150 dB, which equal outputs have; mean over items. Its loss is noise power over signal power.",
    },
    Metric {
        id: "max_abs_error",
        unit: Unit::Plain,
        better: Better::Lower,
        source: Source::Quality,
        tasks: OUTPUTS,
        definition: "Largest absolute difference between the floating outputs of variant and reference within an item; mean over items.",
    },
    Metric {
        id: "mean_abs_error",
        unit: Unit::Plain,
        better: Better::Lower,
        source: Source::Quality,
        tasks: OUTPUTS,
        definition: "Mean absolute difference between the floating outputs of variant and reference within an item; mean over items.",
    },
    Metric {
        id: "top1",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: LABELLED,
        definition: "Share of items whose best class is a right one; the lowest class wins a tie. Its loss is in percentage points of the reference's share.",
    },
    Metric {
        id: "top5",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: LABELLED,
        definition: "Share of items with a right class among the best five; the lowest class wins a tie. Its loss is in percentage points of the reference's share.",
    },
    Metric {
        id: "recall@1",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: PAIRED,
        definition: "Share of searches in both directions, from an item to its texts and back, whose right answer is the nearest by cosine. Equal texts answer for each other, and a wrong answer as near as the right one stands before it. Its loss is in percentage points of the reference's share.",
    },
    Metric {
        id: "recall@5",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: PAIRED,
        definition: "Share of searches in both directions, from an item to its texts and back, whose right answer is among the nearest five by cosine. Equal texts answer for each other, and a wrong answer as near as the right one stands before it. Its loss is in percentage points of the reference's share.",
    },
    Metric {
        id: "recall@10",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: PAIRED,
        definition: "Share of searches in both directions, from an item to its texts and back, whose right answer is among the nearest ten by cosine. Equal texts answer for each other, and a wrong answer as near as the right one stands before it. Its loss is in percentage points of the reference's share.",
    },
    Metric {
        id: "recall_to_text@1",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: ZERO_SHOT,
        definition: "As recall@1, of searches from a picture for its texts alone.",
    },
    Metric {
        id: "recall_to_text@5",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: ZERO_SHOT,
        definition: "As recall@5, of searches from a picture for its texts alone.",
    },
    Metric {
        id: "recall_to_text@10",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: ZERO_SHOT,
        definition: "As recall@10, of searches from a picture for its texts alone.",
    },
    Metric {
        id: "recall_to_image@1",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: ZERO_SHOT,
        definition: "As recall@1, of searches from a text for its picture alone.",
    },
    Metric {
        id: "recall_to_image@5",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: ZERO_SHOT,
        definition: "As recall@5, of searches from a text for its picture alone.",
    },
    Metric {
        id: "recall_to_image@10",
        unit: Unit::Share,
        better: Better::Higher,
        source: Source::Quality,
        tasks: ZERO_SHOT,
        definition: "As recall@10, of searches from a text for its picture alone.",
    },
];

/// Signal to noise of equal outputs, which no logarithm gives; rounding to f32 alone leaves 144 dB.
pub const MOST_DECIBELS: f64 = 150.0;

impl Metric {
    /// A number of launches, which differs from one to the next.
    pub fn is_timed(&self) -> bool {
        matches!(self.source, Source::Timing | Source::Process)
    }

    /// A share of items that were answered rightly, by the variant and by the reference: what is
    /// lost is counted in points.
    pub fn counts_right_answers(&self) -> bool {
        matches!(self.id, "top1" | "top5") || self.id.starts_with("recall")
    }

    /// The metric under whose id its scores are recorded: itself, except for a percentile of
    /// another.
    pub fn scores(&self) -> &'static str {
        if self.id == "cosine_p01" { "cosine" } else { self.id }
    }
}

/// The metric named `id`; `accuracy` is another name of `top1`.
pub fn metric(id: &str) -> Option<&'static Metric> {
    let id = if id == "accuracy" { "top1" } else { id };
    METRICS.iter().find(|m| m.id == id)
}
