//! A report as text: every number formatted, every gap worded, ready for a template to place.
//!
//! Markdown and HTML share these values, so they cannot disagree. Nothing here is escaped yet.

mod around;
mod cells;
mod conditions;
mod effects;
mod floors;
mod loads;
mod methods;
mod profiles;
mod searches;
mod shown;
mod soaks;
mod tables;
mod verdicts;

use serde::Serialize;

use super::format;
use super::parallel::each;
use super::render::Lazy;
use super::view::{Fact, QualityRow, Report, RunFacts, Study};
use super::words;
use around::{CheckText, FailureText, StepText, VariantText};
use cells::SettingText;
use conditions::ConditionsText;
use loads::{LoadText, PrefillText, RatesText};
use methods::Method;
use profiles::ProfileText;
use searches::SearchesText;
use soaks::SoakText;
use tables::TableText;
use verdicts::QualityText;

pub use shown::{
    Chip, Shown, chip, factor, in_points, loss, loss_unit, metric_name, shown, sign, verdict,
};
pub(super) use soaks::per_day;
pub use verdicts::{GateText, HeadlineText};

#[derive(Serialize)]
pub struct Page {
    pub title: String,
    pub not_comparable: Option<String>,
    pub several: bool,
    pub studies: Vec<Sheet>,
    pub definitions: Vec<DefinitionText>,
}

#[derive(Serialize)]
pub struct Sheet {
    /// Prefix of anchors, so that several runs fit in one document.
    pub at: String,
    pub title: String,
    pub why: String,
    pub id: String,
    pub machine_digest: String,
    pub about: Vec<Fact>,
    pub alarms: Vec<Chip>,
    pub glance: Vec<GlanceText>,
    /// Whether settings must be told apart.
    pub several_settings: bool,
    pub primary: String,
    pub quality_title: String,
    /// The same where columns are scarce.
    pub quality_short: &'static str,
    pub baseline: String,
    /// What the numbers of the verdict table are, brackets included.
    pub legend: String,
    /// What noise alone looks like.
    pub floors: Vec<String>,
    pub headline: Lazy<HeadlineText>,
    pub gates: Vec<GateText>,
    pub quality: Vec<QualityText>,
    /// What the units of quality are called in the head of its table.
    pub judged_units: &'static str,
    pub settings: Lazy<SettingText>,
    pub profiles: Vec<ProfileText>,
    /// `None` where no batch was searched for.
    pub searches: Option<SearchesText>,
    /// `None` where nobody watched.
    pub conditions: Option<ConditionsText>,
    /// Prices and memory.
    pub tables: Vec<TableText>,
    pub soaks: Vec<SoakText>,
    /// `None` where nothing was under load.
    pub loads: Option<LoadText>,
    /// `None` where no rate was searched for.
    pub rates: Option<RatesText>,
    pub prefills: Vec<PrefillText>,
    pub variants: Vec<VariantText>,
    pub failures: Vec<FailureText>,
    pub checks: Vec<CheckText>,
    pub steps: Vec<StepText>,
    pub model: Vec<Fact>,
    pub machine: Vec<Fact>,
    pub methods: Vec<Method>,
    pub notes: Vec<String>,
    pub not_controlled: Vec<String>,
    pub spec: String,
}

#[derive(Serialize)]
pub struct GlanceText {
    pub variant: String,
    pub chip: Chip,
    pub sentence: String,
}

#[derive(Serialize)]
pub struct DefinitionText {
    pub id: &'static str,
    pub name: String,
    pub direction: &'static str,
    pub text: &'static str,
}

pub fn page(report: &Report<'_>) -> Page {
    let several = report.studies.len() > 1;
    Page {
        title: report.title.clone(),
        not_comparable: report.not_comparable.clone(),
        several,
        studies: report
            .studies
            .iter()
            .enumerate()
            .map(|(i, study)| {
                sheet(study, if several { format!("run{}-", i + 1) } else { String::new() })
            })
            .collect(),
        definitions: report
            .definitions
            .iter()
            .map(|d| DefinitionText {
                id: d.id,
                name: metric_name(d.id),
                direction: words::direction(d.better),
                text: d.text,
            })
            .collect(),
    }
}

fn sheet(study: &Study, at: String) -> Sheet {
    let terms = &study.terms;
    let short = |i: Option<usize>| {
        i.and_then(|i| study.settings.get(i)).map_or_else(|| "any".into(), |s| s.short.clone())
    };
    Sheet {
        title: study.run.title.clone(),
        why: study.run.why.clone(),
        id: study.run.id.clone(),
        machine_digest: study.machine_digest.as_deref().map_or_else(|| "unknown".into(), shortened),
        about: about(&study.run),
        alarms: study
            .alarms
            .iter()
            .map(|alarm| shown::chip(alarm.tone, alarm.text.clone()))
            .collect(),
        glance: study
            .glance
            .iter()
            .map(|g| GlanceText {
                variant: g.variant.clone(),
                chip: shown::verdict(g.finding),
                sentence: g.sentence.clone(),
            })
            .collect(),
        several_settings: study.settings.len() > 1,
        primary: metric_name(terms.primary),
        quality_title: quality_title(study),
        quality_short: quality_short(study),
        baseline: terms.baseline.clone(),
        legend: methods::legend(study),
        floors: floors::floors(study),
        headline: each(study.headline.len(), |i| verdicts::headline(study, i)).into(),
        gates: study.gates.iter().map(|gate| verdicts::gate_text(gate, &short)).collect(),
        quality: study.quality.iter().map(verdicts::quality_text).collect(),
        judged_units: judged_units(study),
        settings: cells::settings(study).into(),
        profiles: profiles::profiles(study),
        searches: searches::searches(study),
        conditions: conditions::conditions(study),
        tables: tables::tables(study),
        soaks: soaks::soaks(study),
        loads: loads::loads(study),
        rates: loads::rates(study),
        prefills: loads::prefills(study),
        variants: around::variants(study),
        failures: study
            .failures
            .iter()
            .map(|row| around::failure(row, short(row.setting)))
            .collect(),
        checks: around::checks(study),
        steps: around::steps(study),
        model: study.model.clone(),
        machine: study.machine.clone(),
        methods: methods::methods(study),
        notes: study.notes.clone(),
        not_controlled: study.not_controlled.clone(),
        spec: serde_json::to_string_pretty(&study.spec).expect("a JSON value is JSON"),
        at,
    }
}

fn shortened(digest: &str) -> String {
    digest.chars().take(12).collect()
}

fn about(run: &RunFacts) -> Vec<Fact> {
    let fact = |name: &str, value: String| Fact { name: name.into(), value };
    vec![
        fact("run", run.id.clone()),
        fact("spec", run.spec_file.clone()),
        fact("started", run.started.clone()),
        fact("took", format::span(run.seconds)),
        fact("launches", format!("{} of {} measured", run.measured, run.attempted)),
        fact("seed", run.seed.to_string()),
        fact("engine", run.engine.clone()),
    ]
}

/// The quality metric of the verdict table.
fn quality_metric(study: &Study) -> Option<&'static str> {
    study.headline.iter().find_map(|row| row.quality.known()).map(|change| change.metric)
}

fn quality_short(study: &Study) -> &'static str {
    match quality_metric(study) {
        Some("perplexity") => "Δ ppl",
        Some("top1_agreement" | "top1") => "Δ top-1",
        Some("kl") => "KL",
        Some("cosine") => "1 − cos",
        Some("snr") => "noise",
        Some("max_abs_error") => "max error",
        Some("mean_abs_error") => "mean error",
        Some("top5") => "Δ top-5",
        Some(id) if in_points(id) => "Δ recall",
        _ => "quality",
    }
}

/// Texts have documents, everything else has items.
fn judged_units(study: &Study) -> &'static str {
    let of_texts = |row: &QualityRow| matches!(row.metric.as_str(), "perplexity" | "kl");
    let longer =
        |row: &QualityRow| row.metric == "top1_agreement" && row.positions > row.documents as u64;
    if study.quality.iter().any(|row| of_texts(row) || longer(row)) { "Documents" } else { "Items" }
}

fn quality_title(study: &Study) -> String {
    match quality_metric(study) {
        Some("perplexity") => "perplexity change".into(),
        Some("top1_agreement") => "top-1 disagreement".into(),
        Some("cosine") => "1 − cosine".into(),
        Some("snr") => "noise over signal".into(),
        Some(id) if in_points(id) => format!("loss of {}", metric_name(id)),
        Some(id) => metric_name(id),
        None => "quality".into(),
    }
}
