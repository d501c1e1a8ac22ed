//! Load read: how long answers take from their scheduled instant, how many come per second, and
//! whether bounds are kept.

use indexmap::IndexMap;
use serde_json::Value;

use super::evidence::{Evidence, block_values, observed};
use super::judged::middle;
use super::parallel::each;
use super::searches::and_disturbances;
use super::view::{LoadSheet, ObjectiveSheet, PrefillSheet, RateRow, RateSheet, Reading};
use super::{format, latencies, settings};
use crate::measure::load::{self, dispatch_delays, goodput};
use crate::measure::quantile::{median, quantile};
use crate::measure::search::Answer;
use crate::measure::slo::{Slo, Tally};
use crate::measure::tokens::{self, mean_itl, prefill_slope};
use crate::measure::{Admission, Estimate, Observed, Timeline, Unit};
use crate::record::{Cell, Outcome, RateProbe, RateSearch, Record, SearchEnd, probed};

/// One sheet per variant and setting under load.
pub fn sheets(evidence: &Evidence<'_>, confidence: f64) -> Vec<LoadSheet> {
    let loaded = evidence.by_setting().filter(|(_, cell)| cell.is_under_load());
    loaded.map(|(setting, cell)| sheet(cell, setting, confidence)).collect()
}

fn sheet(cell: &Cell, setting: usize, confidence: f64) -> LoadSheet {
    let seen: Vec<&Observed> = observed(cell).map(|(_, seen)| seen).collect();
    let over_blocks = |of: &OfLaunch<'_>| {
        let values = cell.values_by(of).into_values();
        middle(values, confidence, |count| format!("{count} launches with a number, need two"))
    };
    let all: Vec<&Timeline> = seen.iter().flat_map(|seen| counted(seen)).collect();
    let is_text = all.iter().any(|t| t.prompt_tokens.is_some());
    let p99 = |seen: &Observed| quantile(&dispatch_delays(seen), 0.99, confidence).map(|q| q.point);
    let scheduled = |seen: &&&Observed| {
        seen.sending.is_some_and(|sending| sending.admission == Admission::Scheduled)
    };
    let late = seen.iter().filter(scheduled).filter_map(|seen| p99(seen));
    LoadSheet {
        variant: cell.variant.clone(),
        setting,
        scenario: cell.scenario.clone(),
        measured: seen.len(),
        launches: cell.counted().count(),
        requests: all.len(),
        latency: latencies::of(cell, "e2e", confidence).0,
        wait: over_blocks(&|seen| median(&load::queue_waits(seen))),
        service: over_blocks(&|seen| median(&load::service_times(seen))),
        dispatch: late.reduce(f64::max),
        throughput: over_blocks(&load::throughput),
        output: is_text.then(|| over_blocks(&load::output_tps)),
        itl: is_text.then(|| {
            let launches = seen.iter().map(|seen| counted(seen));
            reading(mean_itl(launches, confidence), "need two launches with several tokens")
        }),
        objective: cell.slo.map(|slo| objective(slo, &seen, confidence, &over_blocks)),
        remarks: remarks(cell).into_iter().chain(chunks(&all)).collect(),
    }
}

/// Requests that are not warm-up, those that failed included.
fn counted(seen: &Observed) -> impl Iterator<Item = &Timeline> {
    seen.requests.iter().filter(|t| !t.warmup)
}

fn reading(found: Option<Estimate>, why: &str) -> Reading<Estimate> {
    found.map_or_else(|| Reading::Unmeasured(why.to_owned()), Reading::Known)
}

/// One number of a launch, where it has one.
type OfLaunch<'a> = dyn Fn(&Observed) -> Option<f64> + 'a;

/// A request that failed has no answer, and counts as over every bound.
fn objective(
    slo: Slo,
    seen: &[&Observed],
    confidence: f64,
    over_blocks: &dyn Fn(&OfLaunch<'_>) -> Reading<Estimate>,
) -> ObjectiveSheet {
    let tally =
        seen.iter().map(|seen| Tally::of_launch(&slo, seen)).fold(Tally::default(), Tally::and);
    let flags: Vec<bool> = seen.iter().flat_map(|seen| slo.over(seen)).collect();
    let count = flags.iter().filter(|over| **over).count();
    ObjectiveSheet {
        slo,
        answer: tally.answer(slo.share, confidence),
        over: count as f64 / flags.len().max(1) as f64,
        goodput: over_blocks(&|seen| goodput(seen, &slo)),
    }
}

/// What other tools tell of chunks, where they carry several tokens.
fn chunks(requests: &[&Timeline]) -> Option<String> {
    let several = |t: &&Timeline| t.counts.iter().flatten().any(|tokens| *tokens > 1);
    if !requests.iter().any(several) {
        return None;
    }
    let gaps: Vec<f64> = requests.iter().flat_map(|t| tokens::icl(t)).collect();
    let per_token: Vec<f64> = requests.iter().filter_map(|t| tokens::tpot_compat(t)).collect();
    let (gap, per_token) = (median(&gaps)?, median(&per_token)?);
    let [gap, per_token] = [gap, per_token].map(|seconds| format::exact(seconds, Unit::Seconds));
    Some(format!(
        "chunks carry several tokens: {gap} between chunks, {per_token} a token as tools count that take the first chunk for one (medians)"
    ))
}

/// Each reason once, with how many launches it cost.
fn remarks(cell: &Cell) -> Vec<String> {
    let mut reasons: IndexMap<String, usize> = IndexMap::new();
    for launch in cell.counted() {
        if let Outcome::Failed(failure) = &launch.outcome {
            let why = format!("{}: {}", failure.verdict.label(), failure.detail);
            *reasons.entry(why).or_default() += 1;
        }
    }
    let told =
        |(why, n): (String, usize)| if n == 1 { why } else { format!("{why} ({n} launches)") };
    reasons.into_iter().map(told).collect()
}

/// One sheet per variant and search for a rate.
pub fn rates(record: &Record) -> Vec<RateSheet> {
    record.rates.iter().map(rate_sheet).collect()
}

fn rate_sheet(search: &RateSearch) -> RateSheet {
    let found = search.found();
    let rows = search.probes.iter().filter_map(|probe| rate_row(search, probe)).collect();
    let mut remarks = Vec::new();
    if let (Some(pass), Some(open)) = (found.pass, found.open)
        && found.fail.is_none_or(|fail| fail > open)
    {
        remarks.push(format!(
            "rates from {} on were not shown to keep the bounds, nor to break them: more requests would tell",
            rate_text(open.max(pass))
        ));
    }
    if let Some((low, high)) = found.cliff {
        remarks.push(format!(
            "the share over the bounds does not rise with the rate between {} and {}: there may be a cliff",
            rate_text(low),
            rate_text(high)
        ));
    }
    match (search.end, &search.unsearched) {
        (_, Some(_)) => {}
        (Some(SearchEnd::Budget), _) => remarks.push("the time allowed ran out".to_owned()),
        (Some(SearchEnd::Interrupted) | None, _) => remarks.push("interrupted".to_owned()),
        (Some(SearchEnd::Complete), _)
            if probed(search.probes.iter(), &search.slo, search.confidence).1.is_none() =>
        {
            let why = search.probes.iter().find_map(RateProbe::failure);
            remarks.push(why.unwrap_or_else(|| "one stream could not be measured".to_owned()));
        }
        (Some(SearchEnd::Complete), _) if !found.settled => {
            remarks.push("the ends are not within 5 %, or the lower was not confirmed".to_owned());
        }
        (Some(SearchEnd::Complete), _) => {}
    }
    RateSheet {
        variant: search.variant.clone(),
        place: settings::told(&search.axes),
        slo: search.slo,
        requests: search.requests,
        pass: found.pass,
        fail: found.fail,
        settled: found.settled && search.end == Some(SearchEnd::Complete),
        remarks,
        unsearched: search.unsearched.clone(),
        probes: rows,
    }
}

/// With as many digits as matter at a distance of 5 %.
pub fn rate_text(rate: f64) -> String {
    format!("{}/s", format::significant(rate, 3))
}

fn rate_row(search: &RateSearch, probe: &RateProbe) -> Option<RateRow> {
    let seen = probe.probed(&search.slo, search.confidence)?;
    let requests: usize = probe.valid().map(|seen| counted(seen).count()).sum();
    Some(RateRow {
        rate: seen.rate,
        launches: probe.counted().count(),
        requests,
        over: (requests > 0).then_some(seen.over),
        answer: seen.answer,
        detail: and_disturbances(
            &probe.disturbed,
            match (probe.saturated(), probe.failure(), &probe.cut_short) {
                (Some(waiting), _, _) => format!("saturated: {waiting} waited"),
                (None, Some(why), _) => why,
                (None, None, Some(why)) => why.clone(),
                (None, None, None) => String::new(),
            },
        ),
    })
}

/// For every variant with three prompt lengths or more under otherwise equal settings of one stream.
pub fn prefills(record: &Record, confidence: f64) -> Vec<PrefillSheet> {
    let mut groups: IndexMap<(String, String), Vec<&Cell>> = IndexMap::new();
    for cell in record.cells.iter().filter(|cell| !cell.is_under_load()) {
        let mut rest = cell.axes.clone();
        if rest.shift_remove("prompt_tokens").is_some() {
            let key = (cell.variant.clone(), settings::told(&rest));
            groups.entry(key).or_default().push(cell);
        }
    }
    let sheet = |((variant, place), cells): (&(String, String), &Vec<&Cell>)| {
        let mut points = Vec::new();
        for cell in cells {
            let length = cell.axes.get("prompt_tokens").and_then(Value::as_u64)?;
            let values = block_values(cell, "ttft").into_values();
            points.extend(values.map(|ttft| (length as u32, ttft)));
        }
        let mut lengths: Vec<u64> = points.iter().map(|(n, _)| u64::from(*n)).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let rate = reading(
            prefill_slope(&points, confidence),
            "longer prompts do not take longer beyond the noise",
        );
        let (variant, place) = (variant.clone(), place.clone());
        (lengths.len() >= 3).then_some(PrefillSheet { variant, place, lengths, rate })
    };
    let found = each(groups.len(), |i| groups.get_index(i).and_then(sheet));
    found.into_iter().flatten().collect()
}

/// Whether a sheet says that bounds are kept, in the words of tables.
pub fn answer_word(answer: Answer) -> &'static str {
    match answer {
        Answer::Keeps => "kept",
        Answer::Breaks => "broken",
        Answer::Undecided => "undecided",
        Answer::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_chunks_are_told_where_they_are_not_those_of_tokens() {
        let stream = |counts: &[u32]| Timeline {
            tokens: vec![100_000_000, 140_000_000, 200_000_000],
            counts: Some(counts.to_vec()),
            prompt_tokens: Some(4),
            batch: 1,
            ..Timeline::default()
        };
        assert_eq!(chunks(&[&stream(&[1, 1, 1])]), None);
        // Six tokens: 100 ms by five, where the formula divides by four.
        let told = chunks(&[&stream(&[2, 1, 3])]).unwrap();
        assert!(told.contains("50\u{a0}ms between chunks, 20\u{a0}ms a token"), "{told}");
    }
}
