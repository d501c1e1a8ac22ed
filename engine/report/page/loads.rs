//! Load, rates and prefill as text.

use serde::Serialize;

use super::shown::{Chip, Shown, chip, gap, quantile, shown, sort_key};
use crate::measure::search::Answer;
use crate::measure::slo::Slo;
use crate::measure::{Estimate, Unit};
use crate::report::format;
use crate::report::loads::{answer_word, rate_text};
use crate::report::view::{
    LoadSheet, PrefillSheet, QuantileSheet, RateRow, RateSheet, Reading, Study, Tone,
};

/// Tables about load; each empty where there is nothing to say.
#[derive(Serialize)]
pub struct LoadText {
    pub legend: &'static str,
    /// Whether some rows are about tokens, and whether some are held to bounds.
    pub has_tokens: bool,
    pub has_bounds: bool,
    pub rows: Vec<LoadRowText>,
}

#[derive(Serialize)]
pub struct LoadRowText {
    pub variant: String,
    pub setting: String,
    pub launches: String,
    pub p50: Shown,
    pub p99: Shown,
    pub wait: Shown,
    pub service: Shown,
    pub dispatch: String,
    pub throughput: Shown,
    pub output: Shown,
    pub itl: Shown,
    /// What requests are held to, such as `p99 latency ≤ 50 ms`.
    pub bounds: String,
    pub goodput: Shown,
    pub chip: Option<Chip>,
    pub remarks: Vec<String>,
}

#[derive(Serialize)]
pub struct RatesText {
    /// Such as `Largest rate with p99 latency ≤ 50 ms`.
    pub title: String,
    pub legend: &'static str,
    pub several_places: bool,
    pub rows: Vec<RateText>,
}

#[derive(Serialize)]
pub struct RateText {
    pub variant: String,
    pub place: String,
    /// The two ends.
    pub pass: Shown,
    pub fail: Shown,
    pub effort: String,
    pub chip: Chip,
    pub remarks: Vec<String>,
    pub probes: Vec<RateProbeText>,
}

#[derive(Serialize)]
pub struct RateProbeText {
    pub rate: String,
    pub launches: String,
    pub requests: String,
    pub over: String,
    pub chip: Chip,
    pub detail: String,
}

#[derive(Serialize)]
pub struct PrefillText {
    pub variant: String,
    pub place: String,
    pub lengths: String,
    pub rate: Shown,
}

const LEGEND: &str = "Latency, and with it the quantiles, counts from the instant at which a request was to be sent: waiting in the queue is part of it. One session answers one request at a time. Wait and service are medians of a launch; they and rates are shown as everywhere, by their median over launches with order statistics (under six launches the mean with Student t), and quantiles with the launch as the unit. Dispatch is the p99 of how late the generator itself was, the largest over launches. A request that failed is over every bound. A launch that breaks the rules of its scenario gives no number.";

const RATE_LEGEND: &str = "Found by doubling, halving and the middle of the bracket on the log scale. The lower end kept the bounds, four times with different arrivals where the answer is settled; the upper end is the lowest rate that was shown to break them, by the exact binomial rule with as many requests as the dependent ones are worth. The answer is the pair. Rates of different variants are not paired.";

pub(super) fn loads(study: &Study) -> Option<LoadText> {
    if study.loads.is_empty() {
        return None;
    }
    Some(LoadText {
        legend: LEGEND,
        has_tokens: study.loads.iter().any(|sheet| sheet.output.is_some()),
        has_bounds: study.loads.iter().any(|sheet| sheet.objective.is_some()),
        rows: study.loads.iter().map(|sheet| row(study, sheet)).collect(),
    })
}

fn row(study: &Study, sheet: &LoadSheet) -> LoadRowText {
    let seconds = |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| format::exact(value, Unit::Seconds))
    };
    let optional = |reading: &Option<Reading<Estimate>>, unit| match reading {
        Some(reading) => shown(reading, unit),
        None => dash(),
    };
    let bounds = sheet.objective.as_ref();
    LoadRowText {
        variant: sheet.variant.clone(),
        setting: study.settings.get(sheet.setting).map_or_else(String::new, |s| s.short.clone()),
        launches: match sheet.measured == sheet.launches {
            true => format::count(sheet.launches as u64),
            false => format!("{} of {}", sheet.measured, sheet.launches),
        },
        p50: at(&sheet.latency, 0.5),
        p99: at(&sheet.latency, 0.99),
        wait: shown(&sheet.wait, Unit::Seconds),
        service: shown(&sheet.service, Unit::Seconds),
        dispatch: seconds(sheet.dispatch),
        throughput: shown(&sheet.throughput, Unit::ItemsPerSecond),
        output: optional(&sheet.output, Unit::TokensPerSecond),
        itl: optional(&sheet.itl, Unit::Seconds),
        bounds: bounds.map_or_else(|| "–".to_owned(), |objective| words(&objective.slo)),
        goodput: bounds
            .map_or_else(dash, |objective| shown(&objective.goodput, Unit::ItemsPerSecond)),
        chip: bounds.map(|objective| {
            let share = format::percent(objective.over);
            let word = answer_word(objective.answer);
            chip(tone(objective.answer), format!("{word}, {share} over"))
        }),
        remarks: sheet.remarks.clone(),
    }
}

pub(super) fn dash() -> Shown {
    Shown { text: "–".into(), ..Shown::default() }
}

pub(super) fn at(quantiles: &[QuantileSheet], q: f64) -> Shown {
    let found = quantiles.iter().find(|sheet| sheet.q == q);
    found.map_or_else(|| gap("no launch gave a number"), quantile)
}

fn tone(answer: Answer) -> Tone {
    match answer {
        Answer::Keeps => Tone::Good,
        Answer::Breaks | Answer::Failed => Tone::Bad,
        Answer::Undecided => Tone::Unsure,
    }
}

/// Such as `p99 latency ≤ 50 ms, TTFT ≤ 10 ms`.
fn words(slo: &Slo) -> String {
    let bounds = [("latency", slo.latency), ("TTFT", slo.ttft), ("TPOT", slo.tpot)];
    let told = bounds.into_iter().filter_map(|(name, bound)| {
        Some(format!("{name} ≤ {}", format::exact(bound?, Unit::Seconds)))
    });
    let told: Vec<String> = told.collect();
    format!("p{} {}", format::trimmed(slo.share * 100.0, 2), told.join(", "))
}

/// All searches of a study; they share their bounds, because the spec has one search.
pub(super) fn rates(study: &Study) -> Option<RatesText> {
    let first = study.rates.first()?;
    Some(RatesText {
        title: format!("Largest rate with {}", words(&first.slo)),
        legend: RATE_LEGEND,
        several_places: study.rates.iter().any(|sheet| sheet.place != first.place),
        rows: study.rates.iter().map(rate).collect(),
    })
}

fn rate(sheet: &RateSheet) -> RateText {
    let end = |rate: Option<f64>, without: &str| match (&sheet.unsearched, rate) {
        (Some(why), _) => gap(why),
        (None, Some(rate)) => {
            Shown { text: rate_text(rate), key: sort_key(rate), ..Shown::default() }
        }
        (None, None) => Shown { text: without.into(), ..Shown::default() },
    };
    let (probes, s) = (sheet.probes.len(), if sheet.probes.len() == 1 { "" } else { "s" });
    RateText {
        variant: sheet.variant.clone(),
        place: sheet.place.clone(),
        pass: end(sheet.pass, "none"),
        fail: end(sheet.fail, "none found"),
        effort: format!("{probes} probe{s} of {} requests a launch", sheet.requests),
        chip: match (&sheet.unsearched, sheet.pass, sheet.settled) {
            (Some(_), ..) => chip(Tone::Unsure, "unmeasured"),
            (None, Some(_), true) => chip(Tone::Good, "settled"),
            (None, Some(_), false) => chip(Tone::Unsure, "not settled"),
            (None, None, _) if sheet.fail.is_some() => chip(Tone::Bad, "none"),
            (None, None, _) => chip(Tone::Unsure, "undecided"),
        },
        remarks: sheet.remarks.clone(),
        probes: sheet.probes.iter().map(probe).collect(),
    }
}

fn probe(row: &RateRow) -> RateProbeText {
    let word = match row.answer {
        Answer::Keeps => "keeps them",
        Answer::Breaks => "breaks them",
        Answer::Undecided => "undecided",
        Answer::Failed => "failed",
    };
    RateProbeText {
        rate: rate_text(row.rate),
        launches: format::count(row.launches as u64),
        requests: format::count(row.requests as u64),
        over: row.over.map_or_else(|| "–".to_owned(), format::percent),
        chip: chip(tone(row.answer), word),
        detail: row.detail.clone(),
    }
}

pub(super) fn prefills(study: &Study) -> Vec<PrefillText> {
    study.prefills.iter().map(prefill).collect()
}

fn prefill(sheet: &PrefillSheet) -> PrefillText {
    let lengths: Vec<String> = sheet.lengths.iter().map(u64::to_string).collect();
    PrefillText {
        variant: sheet.variant.clone(),
        place: sheet.place.clone(),
        lengths: lengths.join(", "),
        rate: shown(&sheet.rate, Unit::TokensPerSecond),
    }
}
