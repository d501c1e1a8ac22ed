//! Single numbers as text: with unit and interval, or with the reason why there is none.

use serde::Serialize;

use crate::measure::compare::Comparison;
use crate::measure::quantile::Grade;
use crate::measure::{Estimate, Method, Metric, Unit, metric};
use crate::report::format;
use crate::report::view::{Finding, Margin, QuantileSheet, Reading, Tone};

/// A word with its tone; HTML adds a sign, so that colour is never alone.
#[derive(Serialize)]
pub struct Chip {
    pub tone: Tone,
    pub sign: &'static str,
    pub text: String,
}

/// A number with its interval, or the reason why there is none.
#[derive(Serialize, Default)]
pub struct Shown {
    pub text: String,
    pub bounds: String,
    /// What sorting goes by; empty for gaps, which sort last.
    pub key: String,
    pub gap: bool,
    /// Whether a margin of the spec is kept.
    pub mark: Option<Chip>,
    /// How the interval came about, where tables mix several ways.
    pub note: String,
}

/// Names of metrics as column heads.
pub fn metric_name(id: &str) -> String {
    match id {
        "decode_tps" => "decode".into(),
        "prefill_tps" => "prefill".into(),
        "ttft" => "time to first token".into(),
        "itl" => "inter-token latency".into(),
        "e2e" => "end to end".into(),
        "first_call" => "first call".into(),
        "peak_memory" => "peak memory".into(),
        "steady_memory" => "steady memory".into(),
        "energy_per_token" => "energy per token".into(),
        "model_size" => "model size".into(),
        "kl" => "KL divergence".into(),
        "top1_agreement" => "top-1 agreement".into(),
        "snr" => "signal to noise".into(),
        "max_abs_error" => "largest error".into(),
        "mean_abs_error" => "mean error".into(),
        "cosine_p01" => "cosine, 1st percentile".into(),
        "top1" => "top-1".into(),
        "top5" => "top-5".into(),
        other => match other.split_once('@') {
            Some(("recall_to_text", k)) => format!("recall@{k} to text"),
            Some(("recall_to_image", k)) => format!("recall@{k} to image"),
            _ => other.into(),
        },
    }
}

/// Names where many columns must fit; the definitions give both.
pub(super) fn short_name(id: &str) -> String {
    match id {
        "ttft" | "itl" | "e2e" => id.to_uppercase(),
        "model_size" => "size".into(),
        other => metric_name(other),
    }
}

pub fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✓",
        Tone::Bad => "✕",
        Tone::Unsure => "?",
        Tone::Plain => "•",
    }
}

pub fn chip(tone: Tone, text: impl Into<String>) -> Chip {
    Chip { tone, sign: sign(tone), text: text.into() }
}

pub fn verdict(finding: Finding) -> Chip {
    chip(finding.tone(), finding.label())
}

/// The sign of a margin beside the number that it is about; the text says what is allowed.
pub(super) fn mark(margin: Option<&Margin>) -> Option<Chip> {
    margin.map(|margin| chip(margin.tone, margin.text.clone()))
}

pub fn gap(why: &str) -> Shown {
    Shown { text: format!("unmeasured: {why}"), gap: true, ..Shown::default() }
}

/// What a column is sorted by; five digits tell more than the text beside them.
pub(super) fn sort_key(value: f64) -> String {
    let (plain, short) = (value.to_string(), format!("{value:.4e}"));
    if short.len() < plain.len() { short } else { plain }
}

pub fn shown(reading: &Reading<Estimate>, unit: Unit) -> Shown {
    match reading {
        Reading::Unmeasured(why) => gap(why),
        Reading::Known(e) => Shown {
            text: if e.low < e.high {
                format::point(e, unit)
            } else {
                format::exact(e.point, unit)
            },
            bounds: if e.low < e.high { format::bounds(e, unit) } else { String::new() },
            key: sort_key(e.point),
            ..Shown::default()
        },
    }
}

/// A quantile of seconds, or what it would take.
pub(super) fn quantile(sheet: &QuantileSheet) -> Shown {
    match &sheet.reading {
        Reading::Unmeasured(why) => {
            Shown { text: format!("n/a ({why})"), gap: true, ..Shown::default() }
        }
        known @ Reading::Known(e) => {
            Shown { note: how(e.method, sheet.grade), ..shown(known, Unit::Seconds) }
        }
    }
}

/// How the bounds of a quantile came about, and whether they are wide.
fn how(method: Method, grade: Option<Grade>) -> String {
    let way = match method {
        Method::Sectioning => "by launch",
        Method::ClusterBootstrap => "resampled",
        _ => "ranks",
    };
    match grade {
        Some(Grade::Coarse) => format!("{way}, coarse"),
        _ => way.to_owned(),
    }
}

pub fn times(e: &Estimate) -> Shown {
    Shown {
        text: if e.low < e.high { format::times(e) } else { format::ratio(e.point) },
        bounds: if e.low < e.high { format::times_bounds(e) } else { String::new() },
        key: sort_key(e.point),
        ..Shown::default()
    }
}

/// A factor, or the reason why there is none.
pub fn factor(reading: &Reading<Estimate>) -> Shown {
    match reading {
        Reading::Known(e) => times(e),
        Reading::Unmeasured(why) => gap(why),
    }
}

pub(super) fn speedup(reading: &Reading<Comparison>) -> Shown {
    match reading {
        Reading::Known(found) => times(&found.estimate),
        Reading::Unmeasured(why) => gap(why),
    }
}

/// The unit of a loss that is the metric itself; others are shares.
pub fn loss_unit(id: &str) -> Option<Unit> {
    match id {
        "kl" => Some(Unit::Nats),
        "max_abs_error" | "mean_abs_error" => Some(Unit::Plain),
        _ => None,
    }
}

/// Whether a loss is a difference of shares.
pub fn in_points(id: &str) -> bool {
    metric(id).is_some_and(Metric::counts_right_answers)
}

/// A loss in the unit in which people talk about it: its own, or per cent.
pub fn loss(id: &str, e: &Estimate) -> Shown {
    if let Some(unit) = loss_unit(id) {
        return shown(&Reading::Known(*e), unit);
    }
    let text = format::change(e);
    let text = match id {
        _ if in_points(id) => format::change_in_points(e),
        "top1_agreement" | "cosine" | "cosine_p01" | "snr" => {
            text.trim_start_matches('+').to_owned()
        }
        _ => text,
    };
    let bounds = match e.low < e.high {
        true if in_points(id) => format::points_bounds(e),
        true => format::change_bounds(e),
        false => String::new(),
    };
    Shown {
        text: if bounds.is_empty() && e.point == 0.0 { "0".into() } else { text },
        bounds,
        key: sort_key(e.point),
        ..Shown::default()
    }
}
