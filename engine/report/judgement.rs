//! What the fixture's known truth must lead to.

use serde_json::json;

use super::build;
use super::fixture::record;
use super::view::{Finding, Outcome, Reading};
use crate::measure::verdict::Verdict;
use crate::record::{Failure, Outcome as Ended, Record, Verdict as Death};

fn outcomes(record: Record) -> Vec<(Outcome, String)> {
    let records = [record];
    build(&records).gates().map(|gate| (gate.outcome, gate.reason.clone())).collect()
}

/// Makes the first launch of every cell of `variant` a failure.
fn with_a_failure(mut record: Record, variant: &str) -> Record {
    for cell in record.cells.iter_mut().filter(|cell| cell.variant == variant) {
        let detail = "exit 1".to_owned();
        let failure = Failure { verdict: Death::Error, detail, log_tail: String::new() };
        cell.launches[0].outcome = Ended::Failed(failure);
    }
    record
}

#[test]
fn gates_pass_fail_and_stay_open_as_their_intervals_say() {
    use Outcome::{Failed, NotMeasured, Passed, Undecided};
    let found: Vec<Outcome> = outcomes(record()).into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(found, [Passed, Passed, Failed, Undecided, NotMeasured, Passed]);
}

#[test]
fn a_failed_launch_keeps_a_gate_and_a_verdict_open() {
    let record = with_a_failure(record(), "q8");
    assert_eq!(outcomes(record.clone())[0].0, Outcome::Undecided);
    assert_eq!(outcomes(record.clone())[0].1, "launches failed in 2 of 2 cells");
    let records = [record];
    let report = build(&records);
    let q8 = report.studies[0].headline.iter().find(|row| row.variant == "q8").unwrap();
    assert_eq!(q8.finding, Finding::Judged(Verdict::Inconclusive));
    assert!(q8.remarks.contains(&"failed: error in 1 of 12 blocks".to_owned()), "{:?}", q8.remarks);
    assert!(q8.speedup.known().is_some_and(|found| found.blocks == 11), "the others still count");
}

#[test]
fn a_gate_that_cannot_be_read_or_finds_nothing_never_passes() {
    for gate in [
        json!({"name": "g", "on": {"variant": "q8"}, "metric": "decode_tps"}),
        json!({"name": "g", "on": {"variant": "q8"}, "metric": "decode_tps", "ratio": {}}),
        json!({"name": "g", "on": {"variant": "q8"}, "metric": "decode_tps", "loss": {"max": 3}}),
        json!({"name": "g", "on": {"variant": "q9"}, "metric": "decode_tps", "ratio": {"min": 1.0}}),
        json!({"name": "g", "on": {"variant": "q8", "batch": 9}, "metric": "decode_tps", "ratio": {"min": 1.0}}),
        json!({"name": "g", "on": {"variant": "q8"}, "metric": "speed", "ratio": {"min": 1.0}}),
        json!({"name": "g", "on": {"variant": "q9"}, "metric": "model_size", "value": {"max": 1e12}}),
        json!({"name": "g", "on": {"variant": "q9"}, "metric": "kl", "value": {"max": 1e12}}),
        json!("nonsense"),
    ] {
        let mut record = record();
        record.spec["gates"] = json!([gate]);
        assert_eq!(outcomes(record)[0].0, Outcome::NotMeasured, "{gate}");
    }
}

#[test]
fn loss_means_movement_in_the_bad_direction() {
    let with = |gate| {
        let mut record = record();
        record.spec["gates"] = json!([gate]);
        outcomes(record)[0].0
    };
    let loss = |variant: &str, metric: &str, max: &str| {
        with(
            json!({"name": "g", "on": {"variant": variant}, "metric": metric, "loss": {"max": max}}),
        )
    };
    assert_eq!(loss("q8", "ttft", "1%"), Outcome::Passed, "a faster first token is no loss");
    assert_eq!(loss("q8", "decode_tps", "1%"), Outcome::Passed, "nor are more tokens per second");
    assert_eq!(loss("q8", "top1_agreement", "5%"), Outcome::Passed);
    assert_eq!(loss("q8", "top1_agreement", "1%"), Outcome::Failed);
    assert_eq!(loss("q4", "perplexity", "5%"), Outcome::Passed);
    assert_eq!(loss("q8", "model_size", "0%"), Outcome::Passed);
}

#[test]
fn quality_of_another_artifact_decides_nothing() {
    let mut record = record();
    for quality in &mut record.quality {
        quality.artifact = Some(super::fixture::digest("other"));
    }
    assert_eq!(outcomes(record.clone())[1].0, Outcome::NotMeasured);
    let records = [record];
    let report = build(&records);
    assert!(report.studies[0].alarms.iter().any(|alarm| alarm.text.contains("another artifact")));
}

#[test]
fn random_weights_leave_quality_unmeasured() {
    let mut record = record();
    record.model.random_weights = true;
    let records = [record];
    let report = build(&records);
    for row in &report.studies[0].quality {
        assert!(matches!(&row.value, Reading::Unmeasured(why) if !why.is_empty()), "{row:?}");
    }
}

#[test]
fn swapping_baseline_and_variant_inverts_the_speedup() {
    let mut swapped = record();
    swapped.spec["compare"]["baseline"] = json!("q8");
    let records = [record(), swapped];
    let report = build(&records);
    let estimate = |study: usize, variant: &str| {
        let rows = &report.studies[study].headline;
        rows.iter().find(|row| row.variant == variant).unwrap().speedup.known().unwrap().estimate
    };
    let (forth, back) = (estimate(0, "q8"), estimate(1, "fp32"));
    assert!((forth.point * back.point - 1.0).abs() < 1e-12);
    assert_eq!(report.studies[1].headline[0].finding, Finding::Judged(Verdict::Regressed));
}
