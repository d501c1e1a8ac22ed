//! Effect sizes, labels on samples, and failures, in words.

use serde::Serialize;

use super::shown::{Shown, short_name, sort_key};
use crate::measure::Estimate;
use crate::measure::effect::Effect;
use crate::measure::outliers::Outliers;
use crate::report::view::{CellSheet, EffectSheet, Terms};
use crate::report::{format, words};

#[derive(Serialize)]
pub struct EffectText {
    pub variant: String,
    /// Share of blocks in which the variant is better.
    pub better_in: Shown,
    pub d_z: String,
    /// p-values of three tests, the least demanding assumption last.
    pub tests: String,
    pub outliers: String,
    pub failures: String,
    pub notes: Vec<String>,
}

pub(super) fn text(cell: &CellSheet, terms: &Terms) -> EffectText {
    let sheet = &cell.effects;
    let compared = cell.metrics.iter().find(|sheet| sheet.metric == terms.primary);
    let t = compared.and_then(|sheet| sheet.speedup.as_ref()?.known()).map(|found| found.p_value);
    let effect = sheet.effect.as_ref();
    EffectText {
        variant: cell.variant.clone(),
        better_in: effect.map_or_else(Shown::default, |effect| share(&effect.dominance)),
        d_z: effect
            .and_then(|effect| effect.d_z)
            .map_or_else(String::new, |d| format::significant(d, 2)),
        tests: effect.map_or_else(String::new, |effect| tests(effect, t)),
        outliers: outliers(sheet.outliers),
        failures: failures(sheet),
        notes: notes(sheet, terms),
    }
}

fn share(e: &Estimate) -> Shown {
    Shown {
        text: format::percent_rough(e.point),
        bounds: format::change_bounds(e),
        key: sort_key(e.point),
        ..Shown::default()
    }
}

fn tests(effect: &Effect, t: Option<f64>) -> String {
    let told = [("t", t), ("ranks", effect.signed_rank_p), ("signs", effect.sign_flip_p)];
    let told = told.into_iter().filter_map(|(name, p)| Some(format!("{name}\u{a0}{}", small(p?))));
    told.collect::<Vec<_>>().join(", ")
}

/// A p-value; below a thousandth its digits mean nothing.
pub(super) fn small(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format::trimmed(p, 3) }
}

fn outliers(found: Outliers) -> String {
    let Outliers { mild, severe, double_mad, of } = found;
    let all = format::count(of as u64);
    if mild + severe + double_mad == 0 {
        return if of == 0 { "too few a launch".into() } else { format!("none of {all}") };
    }
    format!("{mild} mild, {severe} severe, {double_mad} by double MAD, of {all}")
}

fn failures(sheet: &EffectSheet) -> String {
    match &sheet.failures {
        None => String::new(),
        Some(rate) if rate.point == 0.0 => {
            format!("0 of {}: {} at most", rate.n, format::percent_rough(rate.high))
        }
        Some(rate) => {
            format!("{} {}", format::percent_rough(rate.point), format::change_bounds(rate))
        }
    }
}

fn notes(sheet: &EffectSheet, terms: &Terms) -> Vec<String> {
    let primary = crate::measure::metric(terms.primary);
    let mut out: Vec<String> = words::contamination(sheet).into_iter().collect();
    out.extend(primary.and_then(|metric| words::two_modes(sheet, metric)));
    if let Some(bca) = sheet.effect.as_ref().and_then(|effect| effect.bca) {
        out.push(format!(
            "skewed: by the bootstrap over blocks {} {}",
            format::times(&bca),
            format::times_bounds(&bca)
        ));
    }
    if !sheet.differs.is_empty() {
        let names: Vec<String> = sheet.differs.iter().map(|id| short_name(id)).collect();
        out.push(format!("differs in {} too", names.join(", ")));
    }
    out
}
