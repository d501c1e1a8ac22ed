//! A row of runs over time: how the ratio to a pinned reference has moved, and where it changed.
//!
//! Raw times of different days never stand in one series: each point is the speed-up over the
//! reference variant, paired within its own run. Runs of different machines are groups of their
//! own.

use indexmap::IndexMap;
use serde::Serialize;

use super::machines;
use crate::measure::history::{LEAST_RUNS, changes as changes_of};
use crate::measure::stop::working_level;
use crate::measure::{Estimate, Metric, compare, metric};
use crate::record::{Cell, Record};
use crate::report::evidence::{Evidence, key};
use crate::report::settings;
use crate::report::terms;
use crate::report::view::Reading;

/// All runs of a folder.
#[derive(Debug, Clone, Serialize)]
pub struct Past {
    /// The metric of the ratios.
    pub metric: &'static str,
    /// The variant that the ratios are over.
    pub reference: String,
    /// By machine, in the order of their first runs.
    pub groups: Vec<Group>,
}

/// Runs of one machine.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// The processor, and the digest of the first run's fingerprint.
    pub machine: String,
    pub runs: usize,
    pub lines: Vec<Line>,
}

/// One cell over time.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub variant: String,
    pub setting: String,
    /// Oldest first.
    pub points: Vec<Point>,
    pub changes: Vec<Change>,
    /// Why no change was looked for, if so.
    pub unsearched: Option<String>,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    pub run: String,
    pub started: String,
    pub engine: String,
    /// Digest of the artifact in short; a change of it may explain one of the ratio.
    pub artifact: Option<String>,
    /// The speed-up over the reference.
    pub ratio: Reading<Estimate>,
}

/// Where the ratio became another one.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// Index of the first point after it.
    pub at: usize,
    pub run: String,
    pub p_value: f64,
    /// Geometric means of the segments on either side.
    pub before: f64,
    pub after: f64,
}

/// What cannot be asked of these runs.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PastError {
    #[error("`{0}` is no metric of timings")]
    Metric(String),
    #[error("no run has a variant `{0}`")]
    Reference(String),
}

/// The ratios of every cell of `records`, in whatever order these are. The newest run says which
/// metric and reference count where the caller does not. Nothing for no records.
pub fn past(
    records: &[Record],
    wanted: Option<&str>,
    reference: Option<&str>,
) -> Result<Option<Past>, PastError> {
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_by(|a, b| (&a.run.started, &a.run.id).cmp(&(&b.run.started, &b.run.id)));
    let Some(newest) = sorted.last() else { return Ok(None) };
    let rules = terms::terms(newest);
    let id = wanted.unwrap_or(rules.primary);
    let metric = metric(id).filter(|metric| metric.is_timed());
    let metric = metric.ok_or_else(|| PastError::Metric(id.to_owned()))?;
    let reference = reference.unwrap_or(&rules.baseline).to_owned();
    if !sorted.iter().any(|record| record.variants.contains_key(&reference)) {
        return Err(PastError::Reference(reference));
    }
    let mut groups: Vec<Vec<&Record>> = Vec::new();
    for record in sorted {
        let same = |group: &&mut Vec<&Record>| {
            machines::differences(&group[0].machine, &record.machine).is_empty()
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(record),
            None => groups.push(vec![record]),
        }
    }
    let level = working_level(rules.confidence);
    let group = |records: &Vec<&Record>| Group {
        machine: told(records[0]),
        runs: records.len(),
        lines: lines(records, metric, &reference, level),
    };
    Ok(Some(Past { metric: metric.id, groups: groups.iter().map(group).collect(), reference }))
}

fn told(record: &Record) -> String {
    let text = |pointer: &str| record.machine.pointer(pointer).and_then(|v| v.as_str());
    let model = text("/cpu/model").unwrap_or("unknown processor");
    let digest: String = text("/digest").unwrap_or("unknown").chars().take(12).collect();
    format!("{model}, fingerprint {digest}")
}

/// Every cell that a run of the group has, those of the newest run first.
fn lines(records: &[&Record], metric: &'static Metric, reference: &str, level: f64) -> Vec<Line> {
    let evidence: Vec<Evidence<'_>> = records.iter().map(|record| Evidence::of(record)).collect();
    let mut cells: IndexMap<(&str, String), &Cell> = IndexMap::new();
    for record in records.iter().rev() {
        for cell in record.cells.iter().filter(|cell| cell.variant != reference) {
            cells.entry((&cell.variant, key(&cell.scenario, &cell.axes))).or_insert(cell);
        }
    }
    let mut out = Vec::new();
    for ((variant, _), like) in cells {
        let mut points = Vec::new();
        for (record, evidence) in records.iter().zip(&evidence) {
            let at = evidence.setting_of(like);
            let Some(at) = at.filter(|at| evidence.cell(variant, *at).is_some()) else { continue };
            let pairs = evidence.pairs(variant, reference, at, metric.id);
            let found = compare::speedup(&pairs, metric.better, level);
            let artifact = record.variants.get(variant).and_then(|v| v.artifact.as_ref());
            points.push(Point {
                run: record.run.id.clone(),
                started: record.run.started.clone(),
                engine: record.run.engine.clone(),
                artifact: artifact.map(|artifact| artifact.digest.short()),
                ratio: found.map_or_else(
                    || Reading::Unmeasured(format!("{} paired blocks", pairs.len())),
                    |found| Reading::Known(found.estimate),
                ),
            });
        }
        let (changes, unsearched) = match changes(&points) {
            Ok(changes) => (changes, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let setting = settings::place(like, &like.axes);
        out.push(Line { variant: variant.to_owned(), setting, points, changes, unsearched });
    }
    out
}

/// Changes of the known points, on the log scale.
fn changes(points: &[Point]) -> Result<Vec<Change>, String> {
    let known: Vec<(usize, f64)> = points
        .iter()
        .enumerate()
        .filter_map(|(i, point)| Some((i, point.ratio.known()?.point.ln())))
        .collect();
    let logs: Vec<f64> = known.iter().map(|(_, log)| *log).collect();
    let s = if logs.len() == 1 { "" } else { "s" };
    let few = || format!("{} run{s}, {LEAST_RUNS} are needed to look for changes", logs.len());
    let found = changes_of(&logs).ok_or_else(few)?;
    let ends: Vec<usize> = found.iter().map(|change| change.at).chain([logs.len()]).collect();
    let mean = |from: usize, to: usize| {
        (logs[from..to].iter().sum::<f64>() / (to - from).max(1) as f64).exp()
    };
    let mut from = 0;
    let mut out = Vec::new();
    for (i, change) in found.iter().enumerate() {
        let at = known[change.at].0;
        out.push(Change {
            at,
            run: points[at].run.clone(),
            p_value: change.p_value,
            before: mean(from, change.at),
            after: mean(change.at, ends[i + 1]),
        });
        from = change.at;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::Outcome;
    use crate::report::fixture::{digest, record};

    /// Runs of consecutive days; from run `from` on `q8` takes `factor` as long.
    fn runs(count: usize, from: usize, factor: f64) -> Vec<Record> {
        let mut out = Vec::new();
        for day in 0..count {
            let mut record = record();
            record.run.id = format!("202611{:02}T000000Z-aaaaaa", day + 1);
            record.run.started = format!("2026-11-{:02}T00:00:00Z", day + 1);
            // The whole session is faster or slower, and every ratio a little off.
            let weather = 1.0 + 0.1 * ((day * 7 % 5) as f64 - 2.0);
            let wobble = 1.0 + 0.004 * ((day * 11 % 7) as f64 - 3.0);
            for cell in &mut record.cells {
                let own = if cell.variant == "fp32" { 1.0 } else { wobble };
                let slow = if cell.variant == "q8" && day >= from { factor } else { 1.0 };
                for launch in &mut cell.launches {
                    let Outcome::Measured(seen) = &mut launch.outcome else { continue };
                    for request in &mut seen.requests {
                        let sent = request.sent;
                        for at in &mut request.tokens {
                            *at = sent + ((*at - sent) as f64 * weather * own * slow) as u64;
                        }
                    }
                }
            }
            out.push(record);
        }
        out
    }

    #[test]
    fn a_step_of_one_variant_is_found_on_its_day_and_the_weather_is_not() {
        let mut records = runs(20, 12, 1.1);
        records.reverse();
        let past = past(&records, None, None).unwrap().unwrap();
        assert_eq!((past.metric, past.reference.as_str()), ("decode_tps", "fp32"));
        assert_eq!(past.groups.len(), 1);
        let lines = &past.groups[0].lines;
        assert_eq!(lines.len(), 4, "two variants under two settings");
        for line in lines {
            assert_eq!(line.points.len(), 20);
            assert!(line.points.is_sorted_by_key(|point| &point.started), "oldest first");
            let at: Vec<usize> = line.changes.iter().map(|change| change.at).collect();
            if line.variant == "q8" {
                assert_eq!(at, [12], "{}", line.setting);
                let change = &line.changes[0];
                assert!((change.before / change.after - 1.1).abs() < 0.01, "{change:?}");
            } else {
                assert!(at.is_empty(), "{}: {at:?}", line.setting);
            }
        }
    }

    #[test]
    fn cells_of_two_scenarios_have_two_names() {
        let mut records = runs(1, 9, 1.0);
        for cell in &mut records[0].cells[3..] {
            cell.scenario = "multi_stream".into();
        }
        let past = past(&records, None, None).unwrap().unwrap();
        let names: Vec<_> = past.groups[0].lines.iter().map(|line| &line.setting).collect();
        assert_eq!(names[0], "batch 1, prompt 32, new 32, threads 2");
        assert_eq!(names[2], "multi stream, batch 1, prompt 128, new 32, threads 2");
    }

    #[test]
    fn few_runs_are_shown_and_not_searched_and_machines_are_kept_apart() {
        let mut records = runs(12, 6, 1.5);
        for record in &mut records[6..] {
            record.machine["digest"] = json!(digest("another").hex());
            record.machine["cpu"]["model"] = json!("AMD EPYC 9654");
        }
        let past = past(&records, None, None).unwrap().unwrap();
        assert_eq!(past.groups.iter().map(|group| group.runs).collect::<Vec<_>>(), [6, 6]);
        for line in past.groups.iter().flat_map(|group| &group.lines) {
            assert!(line.changes.is_empty());
            let why = line.unsearched.as_deref().unwrap();
            assert_eq!(why, "6 runs, 10 are needed to look for changes");
        }
    }

    #[test]
    fn what_no_run_has_cannot_be_asked() {
        assert!(past(&[], None, None).unwrap().is_none());
        let records = runs(2, 9, 1.0);
        let metric = past(&records, Some("perplexity"), None).unwrap_err();
        assert_eq!(metric, PastError::Metric("perplexity".into()));
        let reference = past(&records, None, Some("q9")).unwrap_err();
        assert_eq!(reference, PastError::Reference("q9".into()));
        let other = past(&records, Some("ttft"), Some("q8")).unwrap().unwrap();
        assert!(other.groups[0].lines.iter().all(|line| line.variant != "q8"));
    }
}
