//! From records to a report: assembles what the other files of this room compute.

use std::collections::HashMap;

use super::conduct;
use super::evidence::Evidence;
use super::floors::Floors;
use super::judged::{self, Judged};
use super::parallel::each;
use super::view::{
    CellSheet, Definition, Finding, Headline, Margin, QualityChange, QualityRow, Reading, Report,
    RunFacts, Size, Study, Terms,
};
use super::{
    alarms, conditions, costs, courses, energy, facts, failures, gates, loads, margins, memory,
    profiles, quality, searches, settings, soaks, terms, words,
};
use crate::measure::stop::working_level;
use crate::measure::{METRICS, compare, metric};
use crate::record::{Outcome as Ended, Record, Variant};

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
    let floors = Floors::of(&evidence, &terms);
    let judged = Judged::of(record, &evidence, &terms, &floors);
    let cells = judged::sheets(record, &evidence, &terms, &judged);
    let settings = settings::all(&evidence, &terms, &cells);
    let mut quality = quality::rows(record, terms.confidence);
    margins::mark(&mut quality, &terms);
    let headline = headline(record, &evidence, &terms, &judged, &floors, (&cells, &quality));
    let gates = gates::rows(record, &evidence, &terms, &judged, &floors, &quality);
    let failures = failures::rows(record, &evidence);
    let mut study = Study {
        run: run_facts(record),
        model: facts::model(record),
        alarms: Vec::new(),
        glance: words::glance(&headline, &settings, &terms),
        courses: courses::sheets(&evidence, &cells),
        cells,
        profiles: profiles::sheets(record, &evidence),
        searches: searches::sheets(record, terms.confidence),
        conditions: conditions::sheet(record, &evidence),
        costs: costs::sheet(record, &evidence, &terms.baseline, terms.confidence),
        energy: energy::rows(record, &evidence, terms.confidence),
        memory: memory::rows(record, &evidence, terms.confidence),
        caches: memory::caches(record, &evidence, terms.confidence),
        loads: loads::sheets(&evidence, terms.confidence),
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
        floors: floors.rows(&evidence),
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

/// Variant by variant, setting by setting.
fn headline(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    judged: &Judged,
    floors: &Floors,
    (cells, quality): (&[CellSheet], &[QualityRow]),
) -> Vec<Headline> {
    let mut of_variant: HashMap<&str, Vec<&CellSheet>> = HashMap::new();
    for cell in cells {
        of_variant.entry(&cell.variant).or_default().push(cell);
    }
    let row = |variant: &str, sheet: &CellSheet, whole: &Whole| {
        let setting = sheet.setting;
        let cell = evidence.cell(variant, setting).expect("a sheet is of a cell");
        let (speedup, finding) = judged
            .get(variant, setting)
            .cloned()
            .unwrap_or_else(|| (Reading::Unmeasured("not compared".into()), Finding::Unmeasured));
        let unreached = failures::unreached(record, cell);
        let no_memory =
            || unreached.clone().unwrap_or_else(|| "no reading in a common block".into());
        let memory = evidence.pairs(variant, &terms.baseline, setting, "peak_memory");
        let failed = failures::failed_launches(cell);
        let base = evidence.cell(&terms.baseline, setting);
        let either_fails = failed + base.map_or(0, failures::failed_launches) > 0;
        let memory_margin = Some(&memory)
            .filter(|_| variant != terms.baseline)
            .and_then(|memory| margins::memory(memory, either_fails, terms));
        let mut remarks: Vec<String> =
            failures::remark(cell, terms.confidence).into_iter().collect();
        remarks.extend(unreached.clone());
        remarks.extend(sheet.steadiness.remark());
        if let Some(found) = speedup.known() {
            remarks.extend(conduct::low_replication(evidence, setting, found.blocks));
            let claims = judged::plain(&found.estimate, terms) != finding;
            let hides = claims && floors.hides(setting, found.estimate.point);
            match floors.at(setting).filter(|_| hides) {
                Some(floor) => remarks.push(words::hidden(floor)),
                None => remarks.extend(words::shortfall(finding, found, failed, terms)),
            }
        }
        let primary = metric(terms.primary).expect("terms name a known metric");
        remarks.extend(words::contamination(&sheet.effects));
        remarks.extend(words::two_modes(&sheet.effects, primary));
        remarks.extend(margins::told(memory_margin.as_ref()));
        let own = sheet.metrics.iter().find(|metric| metric.metric == terms.primary);
        Headline {
            variant: variant.to_owned(),
            setting: Some(setting),
            value: own.expect("the primary metric is one of those that are shown").value.clone(),
            speedup,
            quality: whole.quality.clone(),
            quality_margin: whole.margin.clone(),
            memory: compare::plain_ratio(&memory, working_level(terms.confidence))
                .map_or_else(|| Reading::Unmeasured(no_memory()), Reading::Known),
            memory_margin,
            costs: whole.costs.clone(),
            size: whole.size.clone(),
            finding,
            remarks,
        }
    };
    let rows = |variant: usize| -> Vec<Headline> {
        let (variant, facts) = record.variants.get_index(variant).expect("each of them");
        let (change, margin) = quality::headline(quality, variant);
        let whole = Whole {
            quality: change,
            margin,
            costs: margins::broken(quality, variant, terms),
            size: size(record, variant, terms),
        };
        match of_variant.get(variant.as_str()) {
            Some(sheets) => sheets.iter().map(|sheet| row(variant, sheet, &whole)).collect(),
            None => vec![never_launched(variant, facts, terms, whole)],
        }
    };
    each(record.variants.len(), rows).into_iter().flatten().collect()
}

/// What is the same under every setting.
struct Whole {
    quality: Reading<QualityChange>,
    margin: Option<Margin>,
    costs: Vec<String>,
    size: Reading<Size>,
}

fn never_launched(variant: &str, facts: &Variant, terms: &Terms, whole: Whole) -> Headline {
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
        quality: whole.quality,
        quality_margin: None,
        memory: Reading::Unmeasured(why.clone()),
        memory_margin: None,
        costs: whole.costs,
        size: whole.size,
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
