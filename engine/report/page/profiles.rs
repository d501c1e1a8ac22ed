//! Profiles as text.

use serde::Serialize;

use super::shown::sort_key;
use crate::measure::Unit;
use crate::report::format;
use crate::report::view::{Fact, LoadRow, PhaseSheet, ProfileSheet, Reading, Study};

#[derive(Serialize)]
pub struct ProfileText {
    pub variant: String,
    pub setting: String,
    pub backend: String,
    /// Why there is no profile; empty where there is one.
    pub gap: String,
    pub facts: Vec<Fact>,
    pub phases: Vec<PhaseText>,
}

#[derive(Serialize)]
pub struct PhaseText {
    pub name: String,
    pub summary: String,
    pub operators: Vec<LoadText>,
    pub layers: Vec<LoadText>,
    pub findings: Vec<String>,
    pub advice: Vec<AdviceText>,
}

#[derive(Serialize)]
pub struct AdviceText {
    pub text: String,
    pub gain: String,
}

#[derive(Serialize)]
pub struct LoadText {
    pub name: String,
    pub arithmetic: String,
    pub events: String,
    pub time: String,
    /// What sorting goes by.
    pub time_key: String,
    pub share: String,
    pub intensity: String,
    pub reached: String,
    pub bound: String,
}

pub(super) fn profiles(study: &Study) -> Vec<ProfileText> {
    study.profiles.iter().map(|sheet| profile(study, sheet)).collect()
}

fn profile(study: &Study, sheet: &ProfileSheet) -> ProfileText {
    let setting = sheet.setting.and_then(|index| study.settings.get(index));
    ProfileText {
        variant: sheet.variant.clone(),
        setting: setting.map_or_else(|| "a setting that was not timed".into(), |s| s.long.clone()),
        backend: sheet.backend.clone(),
        gap: sheet.unprofiled.clone().unwrap_or_default(),
        facts: facts(sheet),
        phases: sheet.phases.iter().map(phase).collect(),
    }
}

fn facts(sheet: &ProfileSheet) -> Vec<Fact> {
    let fact = |name: &str, value: String| Fact { name: name.into(), value };
    let mut out = Vec::new();
    match &sheet.peaks {
        Reading::Known(peaks) => {
            let rates = [
                ("int8", peaks.int8_ops, "OP/s"),
                ("bf16", peaks.bf16_flops, "FLOP/s"),
                ("f32", peaks.f32_flops, "FLOP/s"),
                ("memory", peaks.memory_bytes, "B/s"),
            ];
            let told: Vec<String> = rates
                .into_iter()
                .map(|(name, rate, unit)| match rate {
                    Some(rate) => format!("{name} {}", giga(rate, unit)),
                    None => format!("{name} unmeasured"),
                })
                .collect();
            let bounds = if peaks.disturbed() {
                "; lower bounds, because the machine was busy while they were measured"
            } else {
                ""
            };
            out.push(fact("peak rates", format!("{}{bounds}", told.join(", "))));
            out.extend(
                peaks.unmeasured.iter().map(|missing| {
                    fact("unmeasured", format!("{}: {}", missing.rate, missing.why))
                }),
            );
        }
        Reading::Unmeasured(why) => out.push(fact("peak rates", format!("unmeasured: {why}"))),
    }
    if let Some(bytes) = sheet.peak_memory {
        let value = format!("{}, without the profiler", format::exact(bytes as f64, Unit::Bytes));
        out.push(fact("peak memory", value));
    }
    if let Some(trace) = &sheet.trace {
        out.push(fact("Chrome trace", trace.clone()));
    }
    if sheet.other_artifact {
        out.push(fact("artifact", "another one than the timed".into()));
    }
    out
}

/// Large rates in the power of a thousand that reads best.
fn giga(rate: f64, unit: &str) -> String {
    let (factor, prefix) = match rate {
        rate if rate >= 1e12 => (1e12, "T"),
        rate if rate >= 1e9 => (1e9, "G"),
        _ => (1e6, "M"),
    };
    format!("{}\u{a0}{prefix}{unit}", format::rough(rate / factor))
}

fn phase(sheet: &PhaseSheet) -> PhaseText {
    let s = if sheet.calls == 1 { "" } else { "s" };
    let utilisation = match sheet.utilisation {
        Some(share) => format!("its threads were busy {} of it", format::percent_rough(share)),
        None => "how busy its threads were is not known".into(),
    };
    PhaseText {
        name: sheet.name.clone(),
        summary: format!(
            "Mean of {} watched call{s}: {} by our clock, {} of it in operators, {} outside. Unwatched a call takes {}; {utilisation}.",
            format::count(sheet.calls as u64),
            format::exact(sheet.watched, Unit::Seconds),
            format::exact(sheet.in_operators, Unit::Seconds),
            format::percent_rough(sheet.residual),
            format::exact(sheet.latency, Unit::Seconds),
        ),
        operators: sheet.operators.iter().map(load).collect(),
        layers: sheet.layers.iter().map(load).collect(),
        findings: sheet.findings.clone(),
        advice: sheet
            .advice
            .iter()
            .map(|advice| AdviceText {
                text: advice.text.clone(),
                gain: format!("up to {} less time", format::percent_rough(advice.gain)),
            })
            .collect(),
    }
}

fn load(row: &LoadRow) -> LoadText {
    let (reached, bound) = match &row.limit {
        Reading::Known(limit) => {
            (format::percent_rough(limit.reached), limit.bound.label().to_owned())
        }
        Reading::Unmeasured(why) => (String::new(), format!("unmeasured: {why}")),
    };
    LoadText {
        name: row.name.clone(),
        arithmetic: row.arithmetic.clone().unwrap_or_default(),
        events: format::rough(row.events),
        time: format::exact(row.seconds, Unit::Seconds),
        time_key: sort_key(row.seconds),
        share: format::percent_rough(row.share),
        intensity: row.intensity.map_or_else(String::new, format::rough),
        reached,
        bound,
    }
}
