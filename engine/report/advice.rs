//! Findings of a profile in words, and what to try next. Every sentence follows from numbers of
//! the same sheet.

use super::format;
use super::view::{Advice, Bound, LoadRow, PhaseSheet, Reading};
use crate::machine::PeakRates;
use crate::measure::Unit;

/// Residuals up to this share of a call are not mentioned.
const SMALL_RESIDUAL: f64 = 0.05;

/// Slow-down by the profiler from which it is mentioned.
const MUCH_WATCHING: f64 = 0.2;

/// Gains below this share of a call are not worth a sentence.
const SMALL_GAIN: f64 = 0.01;

const MOST_ADVICE: usize = 5;

/// What dominates, what limits it, and what stayed unquantized.
pub fn findings(sheet: &PhaseSheet) -> Vec<String> {
    let mut out = Vec::new();
    let call = format!("a {} call", sheet.name);
    if let Some(first) = sheet.operators.first() {
        let mut told = 0.0;
        let top = sheet.operators.iter().take(3).take_while(|row| {
            let wanted = told < 0.5;
            told += row.share;
            wanted
        });
        let parts: Vec<String> = top.map(|row| format!("{} {}", title(row), share(row))).collect();
        let most = if told >= 0.5 { "Most of" } else { "The largest part of" };
        out.push(format!("{most} {call} is {}.", parts.join(", ")));
        if let Reading::Known(limit) = &first.limit {
            out.push(limits(first, limit.bound, limit.reached));
        }
    }
    let left: Vec<&LoadRow> = sheet.operators.iter().filter(|row| in_f32(row)).collect();
    let quantized = sheet.operators.iter().any(|row| {
        row.weights.is_some() && row.arithmetic.as_deref().is_some_and(|name| name == "int8")
    });
    if quantized && !left.is_empty() {
        let total: f64 = left.iter().map(|row| row.share).sum();
        let nodes: Vec<&str> =
            left.iter().flat_map(|row| &row.nodes).take(4).map(String::as_str).collect();
        out.push(format!(
            "{} of {call} still multiplies stored weights in f32: {}.",
            format::percent_rough(total),
            nodes.join(", ")
        ));
    }
    if sheet.residual.abs() > SMALL_RESIDUAL {
        out.push(residual(sheet, &call));
    }
    let events: f64 = sheet.operators.iter().map(|row| row.events).sum();
    let cost = sheet.watched - sheet.latency;
    if cost > MUCH_WATCHING * sheet.latency && events > 0.0 {
        out.push(format!(
            "Being watched slows {call} down {}, by about {} for each operator: short ones look longer than they are.",
            format::ratio_rough(sheet.watched / sheet.latency),
            format::exact(cost / events, Unit::Seconds)
        ));
    }
    out
}

fn residual(sheet: &PhaseSheet, call: &str) -> String {
    let seconds = sheet.watched - sheet.in_operators;
    if seconds < 0.0 {
        return format!(
            "Operators take {} more than {call} by our clock: they ran side by side.",
            format::exact(-seconds, Unit::Seconds)
        );
    }
    format!(
        "{} of {call}, {}, lies outside every operator: handing over inputs and results, scheduling, the profiler's own work, and what its clock rounds off.",
        format::percent_rough(sheet.residual),
        format::exact(seconds, Unit::Seconds)
    )
}

fn limits(row: &LoadRow, bound: Bound, reached: f64) -> String {
    let share = format::percent_rough(reached);
    match bound {
        Bound::Overhead => format!(
            "{} is overhead-bound: at {share} of the nearest limit, neither arithmetic nor memory explains its time.",
            title(row)
        ),
        Bound::Memory if reached > 1.0 => format!(
            "{} is memory-bound at {share} of the memory rate: caches serve part of it.",
            title(row)
        ),
        Bound::Memory => {
            format!("{} is memory-bound at {share} of the memory rate.", title(row))
        }
        Bound::Compute => {
            format!("{} is compute-bound at {share} of the arithmetic rate.", title(row))
        }
    }
}

/// What to try, best first. The gain is the part's share of a call times one minus the
/// reciprocal of its attainable speed-up: for narrower weights the ratio of the limits before and
/// after, for other kernels the distance to the limit.
pub fn advice(sheet: &PhaseSheet, peaks: Option<&PeakRates>) -> Vec<Advice> {
    let Some(peaks) = peaks else { return Vec::new() };
    let mut out: Vec<Advice> = sheet.operators.iter().flat_map(|row| for_row(row, peaks)).collect();
    // Held against an unwatched call: the profiler's own work lies between operators too.
    let outside = 1.0 - sheet.in_operators / sheet.latency;
    if sheet.residual > SMALL_RESIDUAL && outside > SMALL_RESIDUAL {
        out.push(Advice {
            text:
                "Spend less between operators: fewer and larger ones, results left where they are."
                    .into(),
            gain: outside.min(sheet.residual),
        });
    }
    out.retain(|advice| advice.gain >= SMALL_GAIN);
    out.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    out.truncate(MOST_ADVICE);
    out
}

fn for_row(row: &LoadRow, peaks: &PeakRates) -> Vec<Advice> {
    let Some(limit) = row.limit.known() else { return Vec::new() };
    let mut out = Vec::new();
    // What is saved when the part takes `share` of its time.
    let mut advise = |text: String, share: f64| {
        out.push(Advice { text, gain: row.share * (1.0 - share.clamp(0.0, 1.0)) });
    };
    let name = title(row);
    let reached = format::percent_rough(limit.reached);
    if in_f32(row)
        && let Some(attainable) = as_int8(row, peaks)
        && limit.attainable > 0.0
    {
        let ratio = attainable / limit.attainable;
        let now = format::exact(row.seconds, Unit::Seconds);
        let then = format::exact(row.seconds * ratio, Unit::Seconds);
        let text = format!(
            "Quantize the weights of {name} to 8 bits: {now} could become {then} at the same share of the machine's limit."
        );
        advise(text, ratio);
    }
    match (row.weights, row.bytes, limit.bound) {
        (Some(weights), Some(bytes), Bound::Memory) if !in_f32(row) && bytes > 0.9 * weights => {
            let text = format!(
                "Store the weights of {name} in 4 bits: it waits for memory, and half the bytes take half the time."
            );
            advise(text, 1.0 - 0.5 * weights / bytes);
        }
        (Some(_), _, Bound::Overhead) => {
            let text = format!(
                "Look for a faster kernel for {name}, another number of threads or another layout: it reaches {reached} of the limit."
            );
            advise(text, limit.reached);
        }
        (None, _, Bound::Overhead) => {
            let text = format!(
                "Fuse or avoid {name}: {} runs of {} each, at {reached} of the limit.",
                format::rough(row.events),
                format::exact(row.seconds / row.events.max(1e-9), Unit::Seconds),
            );
            advise(text, limit.reached);
        }
        _ => {}
    }
    out
}

/// Seconds per call if the weights had 8 bits and the arithmetic were int8.
fn as_int8(row: &LoadRow, peaks: &PeakRates) -> Option<f64> {
    let (operations, bytes, weights) = (row.operations?, row.bytes?, row.weights?);
    let moved = (bytes - 3.0 * weights).max(weights);
    Some(f64::max(operations / peaks.int8_ops?, moved / peaks.memory_bytes?))
}

fn in_f32(row: &LoadRow) -> bool {
    row.weights.is_some() && row.arithmetic.as_deref() == Some("f32")
}

fn share(row: &LoadRow) -> String {
    format!("({})", format::percent_rough(row.share))
}

/// The operator, with its arithmetic where weights are multiplied.
fn title(row: &LoadRow) -> String {
    match &row.arithmetic {
        Some(arithmetic) if row.weights.is_some() => format!("{} in {arithmetic}", row.name),
        _ => row.name.clone(),
    }
}
