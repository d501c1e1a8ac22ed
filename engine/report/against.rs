//! Gates that hold a run against a stored one.
//!
//! What the stored run has measured lies in the record of this run, so that its report needs no
//! other file. Timings of different machines decide nothing; sizes and quality do not depend on
//! the machine.

use super::evidence::Evidence;
use super::failures;
use super::gates::{gap, held_to, matches, sight, trouble};
use super::history::{counterpart, historical, machine_differences, paired, paired_loss};
use super::terms::{Condition, Gate};
use super::view::{GateSight, Outcome, Reading, Terms};
use crate::measure::estimate::exact;
use crate::measure::metric::Source;
use crate::measure::replicates::by_replicate;
use crate::measure::stop::working_level;
use crate::measure::verdict::Bound;
use crate::measure::{Better, Estimate, Metric};
use crate::record::{Cell, Quality, Record, Reference, ReferenceCell};

/// What the gate finds in each cell or data set it looks at.
pub fn sights(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    gate: &Gate,
    metric: &'static Metric,
) -> Vec<GateSight> {
    let source = gate.against.as_deref().unwrap_or_default();
    let Some(stored) = record.references.iter().find(|r| r.source == source) else {
        return vec![gap(None, format!("this run holds no numbers of {source}"))];
    };
    match metric.source {
        Source::Artifact => vec![on_artifact(record, gate, metric, stored)],
        Source::Quality => on_quality(record, terms, gate, metric, stored),
        Source::Timing | Source::Process => on_cells(record, evidence, terms, gate, metric, stored),
    }
}

fn on_artifact(
    record: &Record,
    gate: &Gate,
    metric: &'static Metric,
    stored: &Reference,
) -> GateSight {
    let now = record.variants.get(&gate.variant).and_then(|v| v.artifact.as_ref());
    let then = stored.bytes.get(&gate.variant).filter(|bytes| **bytes > 0);
    match (now, then) {
        (Some(now), Some(then)) => {
            let ratio = exact(now.bytes as f64 / *then as f64);
            held_to(gate, metric, None, Reading::Known(ratio))
        }
        (None, _) => gap(None, "no artifact was made".into()),
        (_, None) => gap(None, format!("run {} made no artifact", stored.run)),
    }
}

/// Every data set and part on which both runs judged the metric.
fn on_quality(
    record: &Record,
    terms: &Terms,
    gate: &Gate,
    metric: &'static Metric,
    stored: &Reference,
) -> Vec<GateSight> {
    let own = |(_, q): &(usize, &Quality)| q.variant == gate.variant && q.metric == metric.scores();
    let seen: Vec<GateSight> = record
        .quality
        .iter()
        .enumerate()
        .filter(own)
        .map(|(at, now)| {
            let Some(then) = counterpart(&record.quality, at, &stored.quality) else {
                return gap(None, format!("run {} did not judge on {}", stored.run, now.data));
            };
            if record.model.random_weights {
                return gap(None, "random weights".into());
            }
            let loss = paired_loss(&stored.quality[then], now, metric, terms.confidence);
            let found = match (loss, gate.condition) {
                (Reading::Known(loss), Condition::Ratio { .. }) => {
                    Reading::Known(loss.mapped(|loss| 1.0 + loss))
                }
                (reading, _) => reading,
            };
            match gate.condition {
                Condition::Loss { max } => sight(None, found, &Bound { min: None, max: Some(max) }),
                _ => held_to(gate, metric, None, found),
            }
        })
        .collect();
    if seen.is_empty() {
        return vec![gap(None, "this metric was not judged for this variant".into())];
    }
    seen
}

fn on_cells(
    record: &Record,
    evidence: &Evidence<'_>,
    terms: &Terms,
    gate: &Gate,
    metric: &'static Metric,
    stored: &Reference,
) -> Vec<GateSight> {
    let differ = machine_differences(&stored.machine, &record.machine);
    let elsewhere = (!differ.is_empty()).then(|| {
        let names: Vec<&str> = differ.iter().map(|d| d.what.as_str()).take(4).collect();
        format!("run {} was made on another machine ({})", stored.run, names.join(", "))
    });
    let wanted = |cell: &Cell| matches(gate, cell);
    let mut out = Vec::new();
    for (setting, first) in evidence.settings.iter().enumerate().filter(|(_, c)| wanted(c)) {
        let Some(cell) = evidence.cell(&gate.variant, setting) else {
            out.push(gap(Some(setting), trouble(record, &gate.variant)));
            continue;
        };
        let Some(then) = stored.cell(&gate.variant, first, metric.id) else {
            out.push(gap(Some(setting), format!("run {} has no such cell", stored.run)));
            continue;
        };
        if let Some(why) = &elsewhere {
            let outcome = Outcome::Undecided;
            let found = Reading::Unmeasured(why.clone());
            let setting = Some(setting);
            out.push(GateSight {
                setting,
                found,
                outcome,
                capped: false,
                hidden: false,
                unsteady: false,
            });
            continue;
        }
        let found = ratio(evidence, terms, gate, metric, stored, (setting, cell, then));
        let mut sight = held_to(gate, metric, Some(setting), found);
        // The blocks that a failing side survived may be the easy ones: they cannot pass a gate.
        if sight.outcome == Outcome::Passed
            && failures::failed_launches(cell) + then.failed as usize > 0
        {
            sight.outcome = Outcome::Undecided;
            sight.capped = true;
        }
        out.push(sight);
    }
    if evidence.settings.is_empty() {
        out.push(gap(None, "nothing was timed".into()));
    }
    out
}

/// Now divided by then, not oriented: of the value, or of its ratio to the baseline.
fn ratio(
    evidence: &Evidence<'_>,
    terms: &Terms,
    gate: &Gate,
    metric: &Metric,
    stored: &Reference,
    (setting, cell, then): (usize, &Cell, &ReferenceCell),
) -> Reading<Estimate> {
    let level = working_level(terms.confidence);
    let (now, then_own) = (cell.values(metric.id), then.values());
    let found = if gate.paired {
        if stored.baseline != terms.baseline {
            let why = format!("the baseline of run {} was {}", stored.run, stored.baseline);
            return Reading::Unmeasured(why);
        }
        let base = evidence.cell(&terms.baseline, setting).map(|c| c.values(metric.id));
        let then_base = stored.cell(&stored.baseline, cell, metric.id);
        let (Some(base), Some(then_base)) = (base, then_base) else {
            return Reading::Unmeasured("the baseline was not timed in both runs".into());
        };
        paired((&then_base.values(), &then_own), (&base, &now), metric.better, level)
    } else {
        historical(&then_own, &now, metric.better, level)
    };
    match found {
        None => {
            let blocks = |values| by_replicate(values).len();
            Reading::Unmeasured(format!("{} blocks then, {} now", blocks(&then_own), blocks(&now)))
        }
        Some(found) if metric.better == Better::Lower => {
            Reading::Known(found.estimate.mapped(f64::recip))
        }
        Some(found) => Reading::Known(found.estimate),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::base::Digest;
    use crate::record::DocumentScore;
    use crate::report::build;
    use crate::report::fixture::{digest, keep, record, tear};

    fn with(
        gate: &Value,
        change: &dyn Fn(&mut Record),
        then: &dyn Fn(&mut Record),
    ) -> (Outcome, String) {
        let mut old = record();
        then(&mut old);
        let mut now = record();
        now.spec["gates"] = json!([gate]);
        let metric = gate["metric"].as_str().unwrap().to_owned();
        let wanted = [("q8", metric.as_str()), ("q4", metric.as_str())];
        now.references = vec![Reference::of(&old, "results/old", Digest::of_bytes(b"r"), &wanted)];
        change(&mut now);
        let records = [now];
        let report = build(&records);
        let gate = report.gates().next().unwrap();
        (gate.outcome, gate.reason.clone())
    }

    fn gate(metric: &str, variant: &str, bound: (&str, Value), paired: bool) -> Value {
        let mut gate = json!({"name": "g", "on": {"variant": variant}, "metric": metric,
            "against": "results/old", "paired": paired});
        gate[bound.0] = bound.1;
        gate
    }

    #[test]
    fn a_stored_run_is_held_to_by_bounds() {
        let plain = |bound| with(&gate("decode_tps", "q8", bound, false), &|_| {}, &|_| {}).0;
        assert_eq!(plain(("ratio", json!({"min": 0.9}))), Outcome::Passed);
        assert_eq!(plain(("ratio", json!({"min": 1.2}))), Outcome::Failed);
        assert_eq!(plain(("ratio", json!({"min": 1.0}))), Outcome::Undecided);
        assert_eq!(plain(("loss", json!({"max": "10%"}))), Outcome::Passed);
        let paired = |min| {
            let gate = gate("decode_tps", "q8", ("ratio", json!({"min": min})), true);
            with(&gate, &|_| {}, &|_| {}).0
        };
        assert_eq!((paired(0.97), paired(1.1)), (Outcome::Passed, Outcome::Failed));
        let time = gate("ttft", "q8", ("loss", json!({"max": "10%"})), false);
        assert_eq!(with(&time, &|_| {}, &|_| {}).0, Outcome::Passed);
    }

    #[test]
    fn a_burst_of_the_stored_run_that_only_one_side_survived_moves_no_paired_gate() {
        let gate = gate("decode_tps", "q8", ("ratio", json!({"min": 0.9})), true);
        let torn = |slow: f64| {
            with(&gate, &keep, &|then| {
                keep(then);
                tear(then, slow);
            })
        };
        assert_eq!(torn(2.0), torn(1.0));
    }

    #[test]
    fn another_machine_leaves_timings_undecided_and_says_so() {
        let elsewhere = |record: &mut Record| {
            record.machine["digest"] = json!(digest("another").hex());
            record.machine["cpu"]["model"] = json!("AMD EPYC 9654");
        };
        let timed = gate("decode_tps", "q8", ("ratio", json!({"min": 0.5})), false);
        let (outcome, reason) = with(&timed, &elsewhere, &|_| {});
        assert_eq!(outcome, Outcome::Undecided);
        assert!(reason.contains("another machine (cpu / model)"), "{reason}");
        let size = gate("model_size", "q8", ("ratio", json!({"max": 1.0})), false);
        assert_eq!(with(&size, &elsewhere, &|_| {}).0, Outcome::Passed);
        let quality = gate("perplexity", "q8", ("loss", json!({"max": "1%"})), false);
        assert_eq!(with(&quality, &elsewhere, &|_| {}).0, Outcome::Passed);
    }

    #[test]
    fn a_part_is_held_to_the_same_part_and_a_percentile_to_the_scores_it_is_made_from() {
        let parts = |off: [f64; 2]| {
            move |record: &mut Record| {
                let scores = |(part, off): (&str, f64)| {
                    let sum = |i: u32| 1.0 - 1e-4 * f64::from(i % 7) - off;
                    let item = |i| DocumentScore { positions: 1, sum: sum(i), reference_sum: 1.0 };
                    Quality {
                        metric: "cosine".into(),
                        part: Some(part.to_owned()),
                        documents: (0..500).map(item).collect(),
                        ..record.quality.iter().find(|q| q.variant == "q8").unwrap().clone()
                    }
                };
                record.quality = ["image", "text"].into_iter().zip(off).map(scores).collect();
            }
        };
        for metric in ["cosine", "cosine_p01"] {
            let gate = gate(metric, "q8", ("loss", json!({"max": "1%"})), false);
            let held = |now, then| with(&gate, &parts(now), &parts(then));
            assert_eq!(held([0.0, 0.1], [0.0, 0.1]).0, Outcome::Passed, "{metric}");
            let (outcome, why) = held([0.0, 0.1], [0.0, 0.0]);
            assert_eq!(outcome, Outcome::Failed, "{metric}");
            assert!(why.contains("1 of 2"), "{why}");
        }
    }

    #[test]
    fn what_the_stored_run_lacks_never_passes() {
        let ask = || gate("decode_tps", "q8", ("ratio", json!({"min": 0.5})), false);
        let lost = |record: &mut Record| record.references.clear();
        assert_eq!(with(&ask(), &lost, &|_| {}).0, Outcome::NotMeasured);
        let bare = |record: &mut Record| record.cells.retain(|c| c.axes["prompt_tokens"] == 32);
        let (outcome, reason) = with(&ask(), &|_| {}, &bare);
        assert_eq!(outcome, Outcome::NotMeasured, "{reason}");
        let worse = |record: &mut Record| {
            for d in record.quality.iter_mut().flat_map(|q| &mut q.documents) {
                d.sum *= 0.9;
            }
        };
        let quality = gate("perplexity", "q8", ("loss", json!({"max": "1%"})), false);
        assert_eq!(with(&quality, &|_| {}, &worse).0, Outcome::Failed);
    }
}
