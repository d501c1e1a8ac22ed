//! From records to a report: assembles what the other files of this room compute.

use super::conduct;
use super::evidence::Evidence;
use super::floors::Floors;
use super::judged::{self, Judged};
use super::view::{
    Definition, Finding, Headline, QualityChange, QualityRow, Reading, Report, RunFacts, Size,
    Study, Terms,
};
use super::{
    alarms, conditions, costs, courses, effects, energy, facts, failures, gates, loads, margins,
    memory, profiles, quality, searches, settings, soaks, steadiness, terms, words,
};
use crate::measure::stop::working_level;
use crate::measure::{METRICS, compare, metric};
use crate::record::{Outcome as Ended, Record};

/// Judges `records` and gathers everything a reader may ask about them. Pure: the same records
/// give the same report, always.
pub fn build(records: &[Record]) -> Report<'_> {
    let studies: Vec<Study> = records.iter().map(study).collect();
    let title = match studies.as_slice() {
        [only] => only.run.title.clone(),
        many => format!("{} runs compared", many.len()),
    };
    let shown = |id: &str| {
        studies.iter().any(|study| {
            study.terms.metrics.contains(&id) || study.quality.iter().any(|row| row.metric == id)
        })
    };
    Report {
        title,
        not_comparable: facts::not_comparable(&studies),
        definitions: METRICS
            .iter()
            .filter(|metric| shown(metric.id))
            .map(|m| Definition { id: m.id, unit: m.unit, better: m.better, text: m.definition })
            .collect(),
        studies,
        records,
    }
}

fn study(record: &Record) -> Study {
    let terms = terms::terms(record);
    let evidence = Evidence::of(record);
    let floors = Floors::of(record, &evidence, &terms);
    let judged = Judged::of(record, &evidence, &terms, &floors);
    let settings = settings::all(record, &evidence, &terms);
    let mut quality = quality::rows(record, terms.confidence);
    margins::mark(&mut quality, &terms);
    let headline = headline(record, &evidence, &terms, &judged, &floors, &quality);
    let gates = gates::rows(record, &evidence, &terms, &judged, &floors, &quality);
    let failures = failures::rows(record, &evidence);
    let mut study = Study {
        run: run_facts(record),
        model: facts::model(record),
        alarms: Vec::new(),
        glance: words::glance(&headline, &settings, &terms),
        courses: courses::sheets(record, &evidence),
        cells: judged::sheets(record, &evidence, &terms, &judged),
        profiles: profiles::sheets(record, &evidence),
        searches: searches::sheets(record, terms.confidence),
        conditions: conditions::sheet(record, &evidence),
        costs: costs::sheet(record, &evidence, terms.confidence),
        energy: energy::rows(record, &evidence, terms.confidence),
        memory: memory::rows(record, &evidence, terms.confidence),
        caches: memory::caches(record, &evidence, terms.confidence),
        loads: loads::sheets(record, &evidence, terms.confidence),
        rates: loads::rates(record),
        prefills: loads::prefills(record, terms.confidence),
        soaks: soaks::sheets(record, terms.confidence),
        variants: facts::variants(record),
        steps: facts::steps(record),
        machine: facts::machine(&record.machine),
        machine_digest: record.machine.get("digest").and_then(|d| d.as_str()).map(str::to_owned),
        notes: record.notes.clone(),
        not_controlled: facts::not_controlled(record),
        spec: record.spec.clone(),
        settings,
        headline,
        floors: floors.rows(record, &evidence),
        gates,
        quality,
        failures,
        terms,
    };
    study.alarms = alarms::of(&study);
    study
}

fn run_facts(record: &Record) -> RunFacts {
    let run = &record.run;
    let launches = || record.cells.iter().flat_map(|cell| &cell.launches);
    RunFacts {
        id: run.id.clone(),
        name: run.name.clone(),
        title: run.title.clone().unwrap_or_else(|| run.name.clone()),
        why: run.why.clone(),
        spec_file: run.spec_file.clone(),
        started: run.started.clone(),
        finished: run.finished.clone(),
        seconds: run.seconds,
        engine: run.engine.clone(),
        seed: run.seed,
        interrupted: run.interrupted,
        resumed: run.resumed,
        measured: launches().filter(|l| matches!(l.outcome, Ended::Measured(_))).count(),
        attempted: launches().count(),
    }
}

fn headline(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    judged: &Judged,
    floors: &Floors,
    quality: &[QualityRow],
) -> Vec<Headline> {
    let mut out = Vec::new();
    for variant in record.variants.keys() {
        let change = quality::headline(quality, variant);
        let size = size(record, variant, terms);
        let mut found = false;
        for setting in 0..evidence.settings.len() {
            let Some(cell) = evidence.cell(variant, setting) else { continue };
            let (speedup, finding) = judged.get(variant, setting).cloned().unwrap_or_else(|| {
                (Reading::Unmeasured("not compared".into()), Finding::Unmeasured)
            });
            let unreached = failures::unreached(record, cell);
            let no_memory =
                || unreached.clone().unwrap_or_else(|| "no reading in a common block".into());
            let mut remarks: Vec<String> =
                failures::remark(cell, terms.confidence).into_iter().collect();
            remarks.extend(unreached.clone());
            remarks.extend(steadiness::of(cell).remark());
            remarks.extend(speedup.known().and_then(|found| {
                conduct::low_replication(record, evidence, setting, found.blocks)
            }));
            let hidden = speedup.known().and_then(|found| {
                let floor = floors.at(setting)?;
                let claims = judged::plain(&found.estimate, terms) != finding;
                (claims && floors.hides(setting, found.estimate.point)).then_some(floor)
            });
            remarks.extend(hidden.map(words::hidden));
            remarks.extend(speedup.known().filter(|_| hidden.is_none()).and_then(|found| {
                words::shortfall(finding, found, failures::failed_launches(cell), terms)
            }));
            let primary = metric(terms.primary).expect("terms name a known metric");
            let effects = effects::of(evidence, terms, judged, cell, setting);
            remarks.extend(words::contamination(&effects));
            remarks.extend(words::two_modes(&effects, primary));
            let memory = evidence.pairs(variant, &terms.baseline, setting, "peak_memory");
            let fails = |name: &str| {
                evidence.cell(name, setting).is_some_and(|c| failures::failed_launches(c) > 0)
            };
            let memory_margin = Some(&memory)
                .filter(|_| *variant != terms.baseline)
                .and_then(|m| margins::memory(m, fails(variant) || fails(&terms.baseline), terms));
            remarks.extend(margins::told(memory_margin.as_ref()));
            found = true;
            out.push(Headline {
                variant: variant.clone(),
                setting: Some(setting),
                value: judged::own_value(record, cell, primary, terms.confidence),
                speedup,
                quality_margin: change
                    .known()
                    .and_then(|change| margins::of_headline(quality, variant, change, terms)),
                quality: change.clone(),
                memory_margin,
                costs: margins::broken(quality, variant, terms),
                memory: compare::plain_ratio(&memory, working_level(terms.confidence))
                    .map_or_else(|| Reading::Unmeasured(no_memory()), Reading::Known),
                size: size.clone(),
                finding,
                remarks,
            });
        }
        if !found {
            out.push(never_launched(record, variant, terms, quality, (change, size)));
        }
    }
    out
}

fn never_launched(
    record: &Record,
    variant: &str,
    terms: &Terms,
    quality_rows: &[QualityRow],
    (quality, size): (Reading<QualityChange>, Reading<Size>),
) -> Headline {
    let facts = &record.variants[variant];
    let why = match (&facts.failed, &facts.skipped) {
        (Some(why), _) => format!("failed: {why}"),
        (_, Some(why)) => format!("skipped: {why}"),
        _ => "not timed".into(),
    };
    let gap = || Reading::Unmeasured(why.clone());
    let finding = if facts.failed.is_some() {
        Finding::Failed
    } else if variant == terms.baseline {
        Finding::Baseline
    } else {
        Finding::Unmeasured
    };
    Headline {
        variant: variant.to_owned(),
        setting: None,
        value: gap(),
        speedup: Reading::Unmeasured(why.clone()),
        quality,
        quality_margin: None,
        memory: Reading::Unmeasured(why.clone()),
        memory_margin: None,
        costs: margins::broken(quality_rows, variant, terms),
        size,
        finding,
        remarks: if facts.failed.is_some() || facts.skipped.is_some() {
            vec![why]
        } else {
            Vec::new()
        },
    }
}

fn size(record: &Record, variant: &str, terms: &Terms) -> Reading<Size> {
    let bytes = |name: &str| Some(record.variants.get(name)?.artifact.as_ref()?.bytes);
    match bytes(variant) {
        Some(own) => Reading::Known(Size {
            bytes: own,
            ratio: bytes(&terms.baseline)
                .filter(|base| *base > 0 && variant != terms.baseline)
                .map(|base| own as f64 / base as f64),
        }),
        None => Reading::Unmeasured("no artifact was made".into()),
    }
}
