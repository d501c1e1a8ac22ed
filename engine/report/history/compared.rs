//! One stored run held against another, cell by cell.

use serde::Serialize;

use super::change;
use super::differences::{self, Difference};
use super::machines;
use super::quality::{self, Moved, QualityShift};
use crate::measure::holm::holm_levels;
use crate::measure::metric::Source;
use crate::measure::stop::working_level;
use crate::measure::verdict::{Thresholds, Verdict, judge};
use crate::measure::welch::Historical;
use crate::measure::{Estimate, Metric, metric};
use crate::record::{Cell, Record};
use crate::report::evidence::{Evidence, block_values};
use crate::report::view::{Finding, Reading, Terms};
use crate::report::{failures, judged, settings, terms};

/// The metric that must not grow by much.
const MEMORY: &str = "peak_memory";

/// Two runs and what has changed between them.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    pub before: Side,
    pub after: Side,
    /// What differs between their machines; nothing on one machine. Absolute numbers are then
    /// shown and never judged.
    pub machines: Vec<Difference>,
    /// What else differs: engine, runtimes, model, artifacts, spec.
    pub differences: Vec<Difference>,
    /// Rules of the later run.
    pub confidence: f64,
    pub margin: f64,
    pub primary: &'static str,
    pub baseline: String,
    /// Every variant and setting on the metric that decides.
    pub cells: Vec<CellChange>,
    /// Peak memory, which regresses when its whole interval lies beyond 5 % more.
    pub memory: Vec<CellChange>,
    /// The other metrics, for which nothing is corrected.
    pub others: Vec<CellChange>,
    /// Cells that only one of them has.
    pub unmatched: Vec<String>,
    pub quality: Vec<QualityShift>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Side {
    pub id: String,
    pub title: String,
    pub started: String,
    pub engine: String,
    pub interrupted: bool,
}

/// Which of the two comparisons a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The ratio to the baseline of the same run.
    Paired,
    /// The variant's own value.
    Historical,
    /// Neither can be judged.
    Nothing,
}

/// One metric of one cell in both runs.
#[derive(Debug, Clone, Serialize)]
pub struct CellChange {
    pub variant: String,
    /// Axes that vary, in words.
    pub setting: String,
    pub metric: &'static str,
    /// Means over blocks.
    pub before: Reading<Estimate>,
    pub after: Reading<Estimate>,
    /// After divided by before, above 1 where it is better now.
    pub historical: Reading<Estimate>,
    /// The speed-up over the baseline after divided by before.
    pub paired: Reading<Estimate>,
    pub basis: Basis,
    pub finding: Finding,
    pub remarks: Vec<String>,
}

impl Compared {
    /// Something is worse, or no longer works, by a verdict on its interval.
    pub fn regressed(&self) -> bool {
        let bad = |cell: &CellChange| {
            matches!(cell.finding, Finding::Judged(Verdict::Regressed) | Finding::Failed)
        };
        self.cells.iter().chain(&self.memory).any(bad)
            || self.quality.iter().any(|q| q.moved == Moved::Regressed)
    }
}

/// Holds `after` against `before`. Pure: the same records give the same answer.
pub fn compare(before: &Record, after: &Record) -> Compared {
    let rules = terms::terms(after);
    let machines = machines::differences(&before.machine, &after.machine);
    let two = Two {
        before,
        after,
        old: Evidence::of(before),
        new: Evidence::of(after),
        old_baseline: before.baseline(),
        rules: &rules,
        one_machine: machines.is_empty(),
    };
    let primary = metric(rules.primary).expect("terms name a known metric");
    let cells = two.judged(primary);
    let others =
        rules.metrics.iter().filter(|id| **id != rules.primary).filter_map(|id| metric(id));
    let others = others.filter(|metric| metric.source != Source::Artifact && metric.id != MEMORY);
    let memory = metric(MEMORY)
        .filter(|memory| rules.metrics.contains(&memory.id) && rules.primary != memory.id);
    Compared {
        before: side(before),
        after: side(after),
        differences: differences::of(before, after),
        confidence: rules.confidence,
        margin: rules.equivalence,
        primary: rules.primary,
        baseline: rules.baseline.clone(),
        others: others.flat_map(|metric| two.explored(metric, rules.equivalence)).collect(),
        memory: memory
            .map_or_else(Vec::new, |memory| two.explored(memory, two.rules.memory_margin)),
        unmatched: two.unmatched(),
        quality: quality::shifts(before, after, &rules),
        machines,
        cells,
    }
}

fn side(record: &Record) -> Side {
    let run = &record.run;
    Side {
        id: run.id.clone(),
        title: run.title.clone().unwrap_or_else(|| run.name.clone()),
        started: run.started.clone(),
        engine: run.engine.clone(),
        interrupted: run.interrupted,
    }
}

struct Two<'a> {
    before: &'a Record,
    after: &'a Record,
    old: Evidence<'a>,
    new: Evidence<'a>,
    old_baseline: String,
    rules: &'a Terms,
    one_machine: bool,
}

/// A cell of the later run with its like of the earlier one.
struct Matched<'a> {
    variant: &'a str,
    setting: String,
    old: &'a Cell,
    new: &'a Cell,
    /// The cells of the baselines, where the runs share one and this is another variant.
    baselines: Result<(&'a Cell, &'a Cell), String>,
}

impl<'a> Two<'a> {
    /// The setting of the earlier run that is setting `new` of the later one.
    fn old_setting(&self, new: usize) -> Option<usize> {
        self.old.setting_of(self.new.settings[new])
    }

    fn matched(&'a self) -> Vec<Matched<'a>> {
        let names = settings::shorts(&self.new);
        let mut out = Vec::new();
        for (variant, index) in self.cells() {
            let Some(old_index) = self.old_setting(index) else { continue };
            let (Some(old), Some(new)) =
                (self.old.cell(variant, old_index), self.new.cell(variant, index))
            else {
                continue;
            };
            let baseline = &self.rules.baseline;
            let baselines = if variant == baseline {
                Err("it is the baseline".into())
            } else if *baseline != self.old_baseline {
                Err(format!("the baseline was {}, it is {baseline} now", self.old_baseline))
            } else {
                let both = self.old.cell(baseline, old_index).zip(self.new.cell(baseline, index));
                both.ok_or_else(|| "the baseline was not timed in both runs".to_owned())
            };
            let setting = names[index].clone();
            out.push(Matched { variant, setting, old, new, baselines });
        }
        out
    }

    /// Cells of the later run: variants in its order, each under every setting.
    fn cells(&self) -> Vec<(&'a str, usize)> {
        let settings = self.new.settings.len();
        let all = self.after.variants.keys().flat_map(|v| (0..settings).map(move |s| (v, s)));
        all.map(|(v, s)| (v.as_str(), s)).filter(|(v, s)| self.new.cell(v, *s).is_some()).collect()
    }

    /// The metric that decides, with Holm's correction over all its verdicts.
    fn judged(&'a self, metric: &'static Metric) -> Vec<CellChange> {
        let matched = self.matched();
        let level = working_level(self.rules.confidence);
        let p_value = |m: &Matched<'_>| {
            let paired = Self::paired(m, metric, level);
            let found = paired.or_else(|_| self.historical(m, metric, level));
            found.map_or(f64::NAN, |found| found.p_value)
        };
        let p_values: Vec<f64> = matched.iter().map(p_value).collect();
        let tested: Vec<usize> = (0..matched.len()).filter(|i| !p_values[*i].is_nan()).collect();
        let mut levels = vec![level; matched.len()];
        if self.rules.holm {
            let known: Vec<f64> = tested.iter().map(|i| p_values[*i]).collect();
            for (i, level) in tested.into_iter().zip(holm_levels(&known, level)) {
                levels[i] = level;
            }
        }
        let margin = self.rules.equivalence;
        let rows = matched.iter().zip(levels);
        rows.map(|(m, level)| self.row(m, metric, level, margin)).collect()
    }

    /// A metric that is looked at and not corrected.
    fn explored(&'a self, metric: &'static Metric, margin: f64) -> Vec<CellChange> {
        let level = working_level(self.rules.confidence);
        self.matched().iter().map(|m| self.row(m, metric, level, margin)).collect()
    }

    fn historical(
        &self,
        m: &Matched<'_>,
        metric: &Metric,
        level: f64,
    ) -> Result<Historical, String> {
        if !self.one_machine {
            return Err("other machine".into());
        }
        let (old, new) = (m.old.values(metric.id), m.new.values(metric.id));
        change::historical(&old, &new, metric.better, level).ok_or_else(|| few(m, metric))
    }

    fn paired(m: &Matched<'_>, metric: &Metric, level: f64) -> Result<Historical, String> {
        let (old_base, new_base) = m.baselines.clone()?;
        let values = |cell: &Cell| cell.values(metric.id);
        let (old, new) = (values(m.old), values(m.new));
        let (old_base, new_base) = (values(old_base), values(new_base));
        change::paired((&old_base, &old), (&new_base, &new), metric.better, level)
            .ok_or_else(|| few(m, metric))
    }

    fn row(&self, m: &Matched<'_>, metric: &'static Metric, level: f64, margin: f64) -> CellChange {
        let (historical, paired) =
            (self.historical(m, metric, level), Self::paired(m, metric, level));
        let (basis, estimate) = match (&paired, &historical) {
            (Ok(found), _) => (Basis::Paired, Some(found.estimate)),
            (Err(_), Ok(found)) => (Basis::Historical, Some(found.estimate)),
            (Err(_), Err(_)) => (Basis::Nothing, None),
        };
        let measured = |cell: &Cell| !block_values(cell, metric.id).is_empty();
        let lost = |cell: &Cell| failures::failed_launches(cell);
        let mut finding = estimate.map_or(Finding::Unmeasured, |e| finding_of(&e, margin));
        let broken = self.after.variants.get(m.variant).is_some_and(|v| v.failed.is_some());
        let fails = lost(m.new) > 0 || broken;
        if estimate.is_none() && measured(m.old) && !measured(m.new) && fails {
            finding = Finding::Failed;
        }
        let mut remarks = Vec::new();
        if lost(m.old) + lost(m.new) > 0 {
            remarks.push(format!(
                "failed {}: {} of {} before, {} of {} now",
                failures::tried_word(m.new),
                lost(m.old),
                failures::tried_launches(m.old),
                lost(m.new),
                failures::tried_launches(m.new)
            ));
            // The blocks that were survived may be the easy ones.
            if matches!(finding, Finding::Judged(verdict) if verdict != Verdict::Regressed) {
                finding = Finding::Judged(Verdict::Inconclusive);
            }
        }
        let confidence = self.rules.confidence;
        CellChange {
            variant: m.variant.to_owned(),
            setting: m.setting.clone(),
            metric: metric.id,
            before: judged::own_value(self.before, m.old, metric, confidence),
            after: judged::own_value(self.after, m.new, metric, confidence),
            historical: reading(historical),
            paired: reading(paired),
            basis,
            finding,
            remarks,
        }
    }

    fn unmatched(&self) -> Vec<String> {
        let told = |cell: &Cell, which: &str| {
            format!("{} at {}: only {which}", cell.variant, settings::place(cell, &cell.axes))
        };
        let has = |other: &Evidence<'_>, cell: &Cell| {
            other.setting_of(cell).is_some_and(|at| other.cell(&cell.variant, at).is_some())
        };
        let gone = self.before.cells.iter().filter(|cell| !has(&self.new, cell));
        let new = self.after.cells.iter().filter(|cell| !has(&self.old, cell));
        gone.map(|cell| told(cell, "before")).chain(new.map(|cell| told(cell, "now"))).collect()
    }
}

/// Between two versions every change beyond the margin counts, whatever factor a spec claims.
fn finding_of(estimate: &Estimate, margin: f64) -> Finding {
    let thresholds =
        Thresholds { improved_from: 1.0 + margin, equivalence: margin, regression: margin };
    Finding::Judged(judge(estimate, &thresholds))
}

fn reading(found: Result<Historical, String>) -> Reading<Estimate> {
    match found {
        Ok(found) => Reading::Known(found.estimate),
        Err(why) => Reading::Unmeasured(why),
    }
}

fn few(m: &Matched<'_>, metric: &Metric) -> String {
    let blocks = |cell: &Cell| block_values(cell, metric.id).len();
    format!("{} blocks before, {} now", blocks(m.old), blocks(m.new))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::Outcome;
    use crate::report::fixture::{digest, keep, record, tear};

    /// The fixture with every time of `variants` multiplied.
    fn slowed(variants: &[&str], factor: f64) -> Record {
        let mut record = record();
        let cells = record.cells.iter_mut().filter(|c| variants.contains(&c.variant.as_str()));
        for launch in cells.flat_map(|cell| &mut cell.launches) {
            let Outcome::Measured(seen) = &mut launch.outcome else { continue };
            for request in seen.requests.iter_mut().chain([&mut seen.first_call]) {
                let sent = request.sent;
                for at in &mut request.tokens {
                    *at = sent + ((*at - sent) as f64 * factor) as u64;
                }
            }
        }
        record
    }

    fn findings(found: &Compared) -> Vec<(&str, Finding)> {
        found.cells.iter().map(|cell| (cell.variant.as_str(), cell.finding)).collect()
    }

    #[test]
    fn a_run_against_itself_never_regresses() {
        let found = compare(&record(), &record());
        assert!(!found.regressed() && found.differences.is_empty() && found.machines.is_empty());
        assert_eq!(found.cells.len(), 6);
        for cell in &found.cells {
            let known = cell.historical.known().unwrap();
            assert!((known.point - 1.0).abs() < 1e-12 && known.low < 1.0, "{cell:?}");
            assert!(!matches!(cell.finding, Finding::Judged(Verdict::Improved)));
        }
    }

    #[test]
    fn a_slower_variant_regresses_and_a_slower_session_only_its_baseline() {
        let one = compare(&record(), &slowed(&["q8"], 1.25));
        let regressed = Finding::Judged(Verdict::Regressed);
        assert!(one.regressed());
        for (variant, finding) in findings(&one) {
            assert_eq!(finding == regressed, variant == "q8", "{variant} {finding:?}");
        }
        assert!(one.cells.iter().all(|c| c.basis != Basis::Nothing));
        let all = compare(&record(), &slowed(&["fp32", "q8", "q4"], 1.4));
        for cell in &all.cells {
            let expected = if cell.variant == "fp32" { Basis::Historical } else { Basis::Paired };
            assert_eq!(cell.basis, expected);
            assert_eq!(cell.finding == regressed, cell.variant == "fp32", "{cell:?}");
        }
    }

    #[test]
    fn memory_may_grow_a_little_and_not_much() {
        let grown = |percent: u64| {
            let mut after = record();
            for cell in after.cells.iter_mut().filter(|cell| cell.variant == "q8") {
                for launch in &mut cell.launches {
                    let Outcome::Measured(seen) = &mut launch.outcome else { continue };
                    seen.peak_memory = seen.peak_memory.map(|bytes| bytes * (100 + percent) / 100);
                }
            }
            compare(&record(), &after)
        };
        assert!(!grown(3).regressed());
        let found = grown(12);
        assert!(found.regressed());
        for row in &found.memory {
            let bad = row.finding == Finding::Judged(Verdict::Regressed);
            assert_eq!(bad, row.variant == "q8", "{row:?}");
        }
        assert!(found.others.iter().all(|row| row.metric != MEMORY));
    }

    #[test]
    fn absolute_numbers_of_other_machines_are_never_judged() {
        let mut other = slowed(&["fp32", "q8", "q4"], 1.4);
        other.machine["digest"] = json!(digest("another").hex());
        other.machine["cpu"]["model"] = json!("AMD EPYC 9654");
        let found = compare(&record(), &other);
        assert_eq!(found.machines.len(), 1);
        for cell in &found.cells {
            assert!(cell.historical.known().is_none(), "{cell:?}");
            let baseline = cell.variant == "fp32";
            assert_eq!(cell.basis == Basis::Nothing, baseline);
            assert_eq!(cell.finding == Finding::Unmeasured, baseline);
        }
        assert!(!found.regressed());
    }

    #[test]
    fn a_burst_that_only_one_side_survived_moves_no_paired_change() {
        let found = |slow: f64| {
            let (mut before, mut after) = (record(), record());
            keep(&mut before);
            keep(&mut after);
            tear(&mut after, slow);
            let found = compare(&before, &after);
            let q8 = found.cells.into_iter().find(|cell| cell.variant == "q8").unwrap();
            *q8.paired.known().unwrap()
        };
        assert_eq!(found(2.0), found(1.0));
    }

    #[test]
    fn what_worked_before_and_fails_now_is_a_regression() {
        let mut after = record();
        for launch in &mut after.cells[1].launches {
            launch.outcome = Outcome::Failed(crate::record::Failure {
                verdict: crate::record::Verdict::Error,
                detail: "no memory".into(),
                log_tail: String::new(),
            });
        }
        let found = compare(&record(), &after);
        assert_eq!(found.cells[2].finding, Finding::Failed, "{:?}", found.cells[2]);
        assert!(found.regressed());
    }

    #[test]
    fn cells_of_one_run_alone_are_named_and_not_compared() {
        let mut after = record();
        after.cells.retain(|cell| cell.axes["prompt_tokens"] == 32);
        after.variants.shift_remove("q4");
        after.cells.retain(|cell| cell.variant != "q4");
        let found = compare(&record(), &after);
        assert_eq!((found.cells.len(), found.unmatched.len()), (2, 4));
        assert!(found.unmatched.iter().all(|text| text.ends_with("only before")));
        let mut other = record();
        other.spec["compare"]["baseline"] = json!("q4");
        let found = compare(&record(), &other);
        let row = found.cells.iter().find(|c| c.variant == "q8").unwrap();
        assert!(matches!(&row.paired, Reading::Unmeasured(why) if why.contains("it is q4 now")));
    }
}
