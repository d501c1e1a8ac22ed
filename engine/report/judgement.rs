//! What the fixture's known truth must lead to.

use serde_json::json;

use super::fixture::{keep, record};
use super::fixture_conduct::again;
use super::history::compare;
use super::view::{Finding, Outcome, Reading};
use super::{Options, build, export, terminal};
use crate::measure::Method;
use crate::measure::verdict::Verdict;
use crate::record::{
    Disturbed, Failure, Outcome as Ended, Record, Residence, StopReason, Verdict as Death,
};

fn outcomes(record: Record) -> Vec<(Outcome, String)> {
    let records = [record];
    build(&records).gates().map(|gate| (gate.outcome, gate.reason.clone())).collect()
}

/// Makes the first launch of every cell of `variant` a failure.
fn with_a_failure(mut record: Record, variant: &str) -> Record {
    for cell in record.cells.iter_mut().filter(|cell| cell.variant == variant) {
        cell.launches[0].outcome = failure();
    }
    record
}

fn failure() -> Ended {
    let detail = "exit 1".to_owned();
    Ended::Failed(Failure { verdict: Death::Error, detail, log_tail: String::new() })
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
    assert!(q8.remarks[0].starts_with("failed: error in 1 of 12 blocks (8.3"), "{:?}", q8.remarks);
    assert!(q8.speedup.known().is_some_and(|found| found.blocks == 11), "the others still count");
}

#[test]
fn every_count_is_that_of_the_blocks_that_its_estimate_used() {
    let mut record = with_a_failure(record(), "q8");
    for cell in &mut record.cells {
        cell.disturbed = vec![Disturbed { block: 0, causes: Vec::new(), left_out: true }];
    }
    let conduct = record.conduct.iter_mut().flat_map(|conduct| &mut conduct.again);
    conduct.take(1).for_each(|launch| launch.outcome = failure());
    let calm = [record.clone()];
    let report = build(&calm);
    let study = &report.studies[0];
    for cell in study.cells.iter().filter(|cell| cell.variant != "q4") {
        assert_eq!((cell.launches, cell.measured), (11, 11), "{}", cell.variant);
        assert_eq!(cell.effects.failures.unwrap().n, 11);
    }
    assert_eq!((study.floors[0].launches, study.floors[0].failed), (11, 0));
    let text = export(&report, "markdown", &Options::default()).unwrap();
    assert!(text.contains("0 of 11: ") && !text.contains("0 of 12: "), "{text}");
    let q8 = study.headline.iter().find(|row| row.variant == "q8").unwrap();
    assert!(!q8.remarks.iter().any(|remark| remark.contains("failed")), "{:?}", q8.remarks);
    for cell in record.cells.iter_mut().filter(|cell| cell.variant == "q8") {
        cell.launches[1].outcome = failure();
    }
    let found = compare(&calm[0], &record);
    let q8 = found.cells.iter().find(|cell| cell.variant == "q8").unwrap();
    assert_eq!(q8.remarks, ["failed launches: 0 of 11 before, 1 of 11 now"]);
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
fn a_gate_on_the_primary_metric_is_decided_on_the_interval_of_the_verdict() {
    let intervals = |metric: &str| {
        let mut record = record();
        record.spec["bench"]["design"]["stop"]["metric"] = json!(metric);
        let on = json!({"variant": "q8", "prompt_tokens": 32});
        record.spec["gates"] =
            json!([{"name": "g", "on": on, "metric": metric, "ratio": {"min": 1.0}}]);
        let records = [record];
        let report = build(&records);
        let study = &report.studies[0];
        let row = study.headline.iter().find(|row| row.variant == "q8").unwrap();
        let shown = row.speedup.known().unwrap().estimate;
        assert!(shown.level > 0.97, "{metric}: widened by Holm's correction");
        (shown, *study.gates[0].seen[0].found.known().unwrap())
    };
    let (shown, gate) = intervals("decode_tps");
    assert_eq!(shown, gate);
    let (shown, gate) = intervals("ttft");
    assert_eq!((gate.low, gate.high), (shown.high.recip(), shown.low.recip()));
    assert!(gate.low < gate.point && gate.point < gate.high && gate.level == shown.level);
}

/// The baseline's second arm under the first setting takes `factor` times as long.
fn with_arms_apart(factor: f64) -> Record {
    let mut record = record();
    record.conduct[0].again = again(&record.cells[0].launches, 0.001);
    for launch in &mut record.conduct[0].again {
        let Ended::Measured(seen) = &mut launch.outcome else { continue };
        for request in &mut seen.requests {
            let first = request.tokens[0];
            let later = |at: u64| first + ((at - first) as f64 * factor) as u64;
            request.tokens.iter_mut().for_each(|at| *at = later(*at));
        }
    }
    record
}

#[test]
fn an_effect_within_the_noise_floor_is_never_claimed() {
    let judged = |factor: f64| {
        let mut record = with_arms_apart(factor);
        record.spec["gates"] = json!([
            {"name": "faster", "on": {"variant": "q8"}, "metric": "decode_tps", "ratio": {"min": 1.2}},
            {"name": "no loss", "on": {"variant": "q8"}, "metric": "decode_tps", "loss": {"max": "5%"}},
        ]);
        let records = [record];
        let report = build(&records);
        let study = &report.studies[0];
        let q8: Vec<_> = study.headline.iter().filter(|row| row.variant == "q8").collect();
        let told = q8.iter().filter(|row| {
            row.remarks.iter().any(|remark| remark.starts_with("within the noise floor"))
        });
        let gates: Vec<Outcome> = study.gates.iter().map(|gate| gate.outcome).collect();
        let reason = study.gates[0].reason.clone();
        (q8.iter().map(|row| row.finding).collect::<Vec<_>>(), told.count(), gates, reason)
    };
    let improved = Finding::Judged(Verdict::Improved);
    let (quiet, told, gates, _) = judged(1.0);
    assert_eq!((quiet, told), (vec![improved; 2], 0));
    assert_eq!(gates, [Outcome::Passed; 2]);
    // Arms of one program that differ by a factor of 2 hide a speed-up of 1.62, under the
    // setting that has none of its own too; that nothing is lost would hold for equal speed as well.
    let (noisy, told, gates, reason) = judged(2.0);
    assert_eq!((noisy, told), (vec![Finding::Judged(Verdict::Inconclusive); 2], 2));
    assert_eq!(gates, [Outcome::Undecided, Outcome::Passed]);
    assert!(reason.starts_with("the effect lies within the noise floor"), "{reason}");
}

#[test]
fn every_report_tells_its_noise_floor_or_why_there_is_none() {
    let told = |record: Record| {
        let records = [record];
        let report = build(&records);
        terminal(&report, false, 2000)
    };
    let seen = told(record());
    assert!(seen.contains("Noise floor at prompt 32: fp32 against itself "), "{seen}");
    assert!(seen.contains("taken for all settings"), "{seen}");
    let mut off = record();
    for conduct in &mut off.conduct {
        (conduct.again, conduct.not_again) = (Vec::new(), Some("nobody wanted it".into()));
    }
    assert!(told(off).contains("Noise floor unmeasured: nobody wanted it."));
    let mut old = record();
    old.conduct.clear();
    assert!(told(old).contains("Noise floor unmeasured: the engine that made this record"));
}

#[test]
fn arms_of_one_program_that_differ_for_certain_raise_an_alarm() {
    let alarmed = |factor: f64| {
        let records = [with_arms_apart(factor)];
        let report = build(&records);
        report.studies[0].alarms.iter().any(|a| a.text.contains("differs from itself"))
    };
    assert!(alarmed(1.05) && !alarmed(1.0));
}

#[test]
fn a_second_arm_that_fails_is_told() {
    let mut record = record();
    let detail = "exit 1".to_owned();
    let failure = Failure { verdict: Death::Error, detail, log_tail: String::new() };
    record.conduct[0].again[3].outcome = Ended::Failed(failure);
    let records = [record];
    let report = build(&records);
    let alarms = &report.studies[0].alarms;
    let told = "The baseline's second arm failed in 1 of 12 launches: exit 1.";
    assert!(alarms.iter().any(|alarm| alarm.text == told), "{alarms:?}");
    let floor = report.studies[0].floors[0].found.known().unwrap();
    assert_eq!(floor.blocks, 11, "the others still count");
}

#[test]
fn a_setting_tells_how_it_was_measured() {
    let records = [record()];
    let report = build(&records);
    let notes = |setting: usize| report.studies[0].settings[setting].notes.join("\n");
    assert!(notes(0).contains("4 requests a launch after the first 5 blocks: one request of"));
    assert!(notes(1).contains("more would pay, and `requests.max` forbids it"));
    assert!(notes(0).contains("own values are known to fp32 ±"), "{}", notes(0));
    assert!(!notes(0).contains("launches feel"), "{}", notes(0));
    let few = &report.studies[0].headline.iter().rfind(|row| row.variant == "q4").unwrap().remarks;
    assert!(
        few.iter().any(|remark| remark.starts_with("low replication: 9 blocks of ")),
        "{few:?}"
    );
}

#[test]
fn launches_that_feel_their_predecessor_are_remarked_upon() {
    let mut record = record();
    record.conduct.clear();
    let mut order: Vec<(usize, u32, u32)> = Vec::new();
    for (at, cell) in record.cells[..3].iter().enumerate() {
        order.extend(cell.launches.iter().map(|launch| (at, launch.block, launch.position)));
    }
    order.sort_by_key(|(_, block, position)| (*block, *position));
    for pair in order.windows(2) {
        let [(before, ..), (at, block, _)] = pair else { continue };
        let launch = &mut record.cells[*at].launches[*block as usize];
        let Ended::Measured(seen) = &mut launch.outcome else { continue };
        for request in seen.requests.iter_mut().filter(|_| *before == 2) {
            let first = request.tokens[0];
            request.tokens.iter_mut().for_each(|at| *at = first + (*at - first) * 2);
        }
    }
    let records = [record];
    let report = build(&records);
    let notes = report.studies[0].settings[0].notes.join("; ");
    assert!(notes.contains("launches feel which variant ran before them (F "), "{notes}");
}

#[test]
fn a_setting_that_was_ended_by_its_verdicts_shows_the_interval_that_allows_it() {
    let interval = |stop: StopReason| {
        let mut record = record();
        record.cells.iter_mut().for_each(|cell| cell.stop = Some(stop));
        let records = [record];
        let report = build(&records);
        let q8 = report.studies[0].headline.iter().find(|row| row.variant == "q8").unwrap();
        q8.speedup.known().unwrap().estimate
    };
    let (plain, wide) = (interval(StopReason::Target), interval(StopReason::Decision));
    assert_eq!(wide.method, Method::ConfidenceSequence);
    assert!(wide.low < plain.low && plain.high < wide.high && wide.point == plain.point);
}

#[test]
fn a_cell_that_was_never_reached_has_not_failed() {
    let with = |change: &dyn Fn(&mut Record)| {
        let mut record = record();
        for cell in &mut record.cells[3..] {
            cell.launches.clear();
            cell.stop = Some(StopReason::Interrupted);
        }
        change(&mut record);
        let records = [record];
        let report = build(&records);
        let row = report.studies[0].headline.iter().rfind(|row| row.variant == "q8").unwrap();
        let Reading::Unmeasured(why) = &row.speedup else { panic!("{row:?}") };
        assert!(matches!(&row.value, Reading::Unmeasured(same) if same == why));
        assert!(row.remarks.contains(why), "{:?}", row.remarks);
        (row.finding, why.clone())
    };
    let stopped = "the run was stopped before".to_owned();
    assert_eq!(with(&|_| {}), (Finding::Unmeasured, stopped));
    let broken = with(&|record| record.variants["q8"].failed = Some("no memory".into()));
    assert_eq!(broken, (Finding::Failed, "the variant failed before: no memory".into()));
    let skipped = with(&|record| record.variants["q8"].skipped = Some("not asked".into()));
    assert_eq!(skipped, (Finding::Unmeasured, "skipped: not asked".into()));
    let budget = with(&|record| record.cells[4].stop = Some(StopReason::Budget));
    assert_eq!(budget, (Finding::Unmeasured, "the time allowed ran out before".into()));
}

/// q4 with every other block slower, by `slower` per mille: the interval holds 1 for certain.
fn undecided(slower: u64) -> String {
    let mut record = record();
    record.cells.truncate(3);
    record.spec["compare"]["improved_from"] = json!(1.0);
    for launch in record.cells[2].launches.iter_mut().step_by(2) {
        let Ended::Measured(seen) = &mut launch.outcome else { continue };
        for request in &mut seen.requests {
            let first = request.tokens[0];
            request.tokens.iter_mut().for_each(|at| *at = first + (*at - first) * slower / 1000);
        }
    }
    let records = [record];
    let report = build(&records);
    let q4 = report.studies[0].headline.iter().find(|row| row.variant == "q4").unwrap();
    assert_eq!(q4.finding, Finding::Judged(Verdict::Inconclusive), "{q4:?}");
    q4.remarks.join("; ")
}

#[test]
fn an_undecided_comparison_tells_how_many_blocks_would_decide() {
    let near = undecided(1150);
    assert!(near.starts_with("about ") && near.contains(" blocks in all would decide"), "{near}");
    assert!(near.contains("if the difference stays as it is (12 measured)"), "{near}");
    let far = undecided(1250);
    assert!(far.starts_with("more than "), "{far}");
    assert!(far.contains("a quieter machine or longer requests would help"), "{far}");
}

/// The record with the requests of the first `changed` launches of `q8` replaced by thirty, the
/// decoding of request `i` taking `factor(i)` times as long as that of the record.
fn with_courses(changed: usize, factor: fn(usize) -> f64) -> Record {
    let mut record = record();
    record.cells.truncate(3);
    for (i, launch) in record.cells[1].launches.iter_mut().enumerate() {
        let Ended::Measured(seen) = &mut launch.outcome else { continue };
        let steady = seen.requests[1].clone();
        seen.requests = vec![steady; 30];
        for (number, request) in seen.requests.iter_mut().enumerate().filter(|_| i < changed) {
            let first = request.tokens[0];
            let longer = |at: u64| first + ((at - first) as f64 * factor(number)) as u64;
            request.tokens.iter_mut().for_each(|at| *at = longer(*at));
        }
    }
    record
}

#[test]
fn a_process_that_stays_is_looked_at_over_all_of_its_bursts() {
    let remarks = |factor: f64, stays: bool| {
        let mut record = record();
        record.cells.truncate(3);
        let first = record.cells[1].launches[0].seen().expect("it was measured");
        let steady = first.requests[1].clone();
        for launch in record.cells.iter_mut().flat_map(|cell| &mut cell.launches) {
            let part = launch.block % 5;
            launch.residence = stays.then(|| Residence { round: launch.block - part, part });
        }
        for launch in &mut record.cells[1].launches {
            let Ended::Measured(seen) = &mut launch.outcome else { continue };
            // Five requests are too few to tell anything of a burst.
            seen.requests = vec![steady.clone(); 5];
            seen.requests[0].warmup = true;
            for request in seen.requests.iter_mut().filter(|_| launch.block % 5 == 4) {
                let first = request.tokens[0];
                let longer = |at: u64| first + ((at - first) as f64 * factor) as u64;
                request.tokens.iter_mut().for_each(|at| *at = longer(*at));
            }
        }
        q8(record).1
    };
    let moving = remarks(1.1, true);
    assert!(moving.contains("no steady state in 2 of 3 processes, which move by"), "{moving}");
    for still in [remarks(1.0, true), remarks(1.1, false)] {
        assert!(!still.contains("no steady state"), "{still}");
    }
}

fn q8(record: Record) -> (Finding, String, usize) {
    let records = [record];
    let report = build(&records);
    let study = &report.studies[0];
    let row = study.headline.iter().find(|row| row.variant == "q8").unwrap();
    (row.finding, row.remarks.join("; "), study.cells[1].steadiness.cut_later)
}

#[test]
fn warm_up_that_was_noticed_late_is_left_out_and_counted_in_the_details() {
    let (steady, ..) = q8(with_courses(0, |_| 1.0));
    let (finding, remarks, cut) = q8(with_courses(12, |i| if i < 8 { 1.9 } else { 1.0 }));
    assert_eq!((finding, cut), (steady, 12), "{remarks}");
    assert_eq!(finding, Finding::Judged(Verdict::Improved), "not by eight slow requests of thirty");
}

#[test]
fn a_verdict_that_depends_on_when_one_looks_is_inconclusive() {
    let late = |i| if i < 24 { 1.0 } else { 1.9 };
    let (finding, remarks, _) = q8(with_courses(12, late));
    assert_eq!(finding, Finding::Judged(Verdict::Inconclusive));
    assert!(remarks.contains("no steady state in 12 of 12 launches, which move by 8"), "{remarks}");
    assert!(remarks.contains("a request over everything"), "{remarks}");
    // Two of twelve are few, and a tenth is too little to matter for a speed-up of 1.6.
    assert_eq!(q8(with_courses(2, late)).0, Finding::Judged(Verdict::Improved));
    let little = |i| if i < 24 { 1.0 } else { 1.1 };
    let (finding, remarks, _) = q8(with_courses(12, little));
    assert_eq!(finding, Finding::Judged(Verdict::Improved));
    assert!(remarks.contains("no steady state"), "{remarks}");
}

#[test]
fn slowing_down_is_said() {
    let hot = |i| if i < 12 { 1.0 } else { 1.3 };
    let (_, remarks, _) = q8(with_courses(12, hot));
    assert!(remarks.contains("slows down by") && remarks.contains("12 of 12"), "{remarks}");
    assert!(!q8(with_courses(5, hot)).1.contains("slows down"));
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

/// Point, bounds, verdict and remarks of every row of the verdict table, by setting.
fn told(record: Record) -> Vec<(Option<usize>, String, Finding)> {
    let records = [record];
    let report = build(&records);
    let rows = report.studies[0].headline.iter();
    let speedup =
        |row: &super::view::Headline| format!("{:?} {:?}", row.speedup, row.memory_margin);
    rows.map(|row| (row.setting, speedup(row), row.finding)).collect()
}

#[test]
fn neither_the_order_of_blocks_nor_the_names_of_variants_move_a_verdict() {
    let plain = told(record());
    let mut turned = record();
    for cell in &mut turned.cells {
        cell.launches.reverse();
    }
    assert_eq!(told(turned), plain);
    let names = [("fp32", "zero"), ("q8", "b"), ("q4", "a")];
    let text = serde_json::to_string(&record()).unwrap();
    let renamed = names
        .iter()
        .fold(text, |text, (from, to)| text.replace(&format!("\"{from}\""), &format!("\"{to}\"")));
    assert_eq!(told(serde_json::from_str(&renamed).unwrap()), plain);
}

#[test]
fn a_clock_of_half_the_speed_moves_no_verdict() {
    let mut slow = record();
    for launch in slow.cells.iter_mut().flat_map(|cell| &mut cell.launches) {
        let Ended::Measured(seen) = &mut launch.outcome else { continue };
        seen.load *= 2;
        for request in seen.requests.iter_mut().chain([&mut seen.first_call]) {
            request.sent *= 2;
            request.tokens.iter_mut().for_each(|at| *at *= 2);
        }
    }
    let bounds = |record: Record| -> Vec<f64> {
        let records = [record];
        let report = build(&records);
        let cells = report.studies[0].cells.iter().flat_map(|cell| &cell.metrics);
        let known = cells.filter_map(|sheet| sheet.speedup.as_ref()?.known().copied());
        known.flat_map(|c| [c.estimate.point, c.estimate.low, c.estimate.high]).collect()
    };
    let (plain, slow) = (bounds(record()), bounds(slow));
    assert_eq!(plain.len(), slow.len());
    for (a, b) in plain.into_iter().zip(slow) {
        assert!((a / b - 1.0).abs() < 1e-12, "{a} {b}");
    }
}

#[test]
fn margins_of_memory_and_quality_stand_beside_the_verdict() {
    use Outcome::{Failed, Passed, Undecided};
    let with = |change: &dyn Fn(&mut Record)| {
        let mut record = record();
        change(&mut record);
        let records = [record];
        let report = build(&records);
        let study = &report.studies[0];
        let row = study.headline.iter().find(|row| row.variant == "q8").unwrap().clone();
        let of = |margin: &Option<super::view::Margin>| margin.as_ref().map(|m| m.outcome);
        let told: Vec<String> = row.costs.iter().chain(&row.remarks).cloned().collect();
        (of(&row.memory_margin), of(&row.quality_margin), told.join("; "))
    };
    let (memory, quality, remarks) = with(&|_| {});
    assert_eq!((memory, quality), (Some(Passed), Some(Passed)));
    assert!(
        remarks.contains("top-1 agreement: a loss of 1.46")
            && remarks.contains("beyond the 1\u{a0}% allowed")
    );
    let strict = |record: &mut Record| {
        record.spec["compare"]["accuracy"] = json!("0.31%");
        record.spec["compare"]["memory"] = json!("0%");
        for cell in record.cells.iter_mut().filter(|cell| cell.variant == "q8") {
            for launch in &mut cell.launches {
                let Ended::Measured(seen) = &mut launch.outcome else { continue };
                seen.peak_memory = seen.peak_memory.map(|bytes| bytes * 2);
            }
        }
    };
    let (memory, quality, remarks) = with(&strict);
    assert_eq!((memory, quality), (Some(Failed), Some(Undecided)));
    assert!(remarks.contains("peak memory is at least 1.3"), "{remarks}");
    let part = |record: &mut Record| {
        record.quality.iter_mut().for_each(|q| q.part = Some("image".into()));
    };
    assert_eq!(with(&part).1, Some(Passed), "also of a part");
    let (memory, _, _) = with(&|record| *record = with_a_failure(record.clone(), "q8"));
    assert_eq!(memory, Some(Undecided), "the launches that failed may need more");
}

#[test]
fn slow_requests_that_make_a_speedup_and_launches_of_two_kinds_are_told() {
    let with = |change: &dyn Fn(usize, usize) -> u64| {
        let mut record = record();
        record.cells.truncate(3);
        for (i, launch) in record.cells[1].launches.iter_mut().enumerate() {
            let Ended::Measured(seen) = &mut launch.outcome else { continue };
            let steady = seen.requests[1].clone();
            seen.requests = vec![steady; 12];
            for (r, request) in seen.requests.iter_mut().enumerate() {
                let first = request.tokens[0];
                let slower = change(i, r);
                request.tokens.iter_mut().for_each(|at| *at = first + (*at - first) * slower / 100);
            }
        }
        let records = [record];
        let report = build(&records);
        let study = &report.studies[0];
        let row = study.headline.iter().find(|row| row.variant == "q8").unwrap();
        (row.remarks.join("; "), study.cells[1].effects.clone())
    };
    let (calm, effects) = with(&|_, _| 100);
    assert!(!calm.contains("contaminated") && !calm.contains("two kinds"), "{calm}");
    assert_eq!((effects.outliers.severe, effects.effect.unwrap().dominance.point), (0, 1.0));
    let (slowed, _) = with(&|_, r| if r % 2 == 0 { 130 } else { 100 });
    assert!(slowed.contains("contaminated: slow requests move the speed-up"), "{slowed}");
    let (split, _) = with(&|i, _| if i % 2 == 0 { 160 } else { 100 });
    assert!(split.contains("two kinds of launches: 50\u{a0}% at "), "{split}");
    let (_, effects) = with(&|_, r| if r == 3 { 300 } else { 100 + r as u64 % 3 });
    assert_eq!(effects.outliers.severe, 12, "one of each launch, labelled and kept");
}

#[test]
fn bursts_of_one_process_are_one_block_to_every_interval_and_the_setting_says_so() {
    let mut stays = record();
    keep(&mut stays);
    stays.conduct[1].not_kept = Some("side by side they hold 9.5 GiB".into());
    let seen = |record: Record| {
        let records = [record];
        let report = build(&records);
        let study = &report.studies[0];
        let row = study.headline.iter().find(|row| row.variant == "q8").expect("a row");
        let sheet = study.cells.iter().find(|cell| cell.variant == "q8").expect("a sheet");
        let found = *row.speedup.known().expect("a speed-up");
        let values = sheet.metrics.iter().map(|metric| metric.blocks.len()).max();
        let notes: Vec<_> = study.settings.iter().map(|setting| setting.notes.clone()).collect();
        (found, values, study.floors[0].found.known().is_some(), notes)
    };
    let (alone, launches, has_floor, notes) = seen(record());
    assert_eq!((alone.blocks, launches, has_floor), (12, Some(12), true));
    assert!(!notes.concat().iter().any(|note| note.contains("resident")), "{notes:?}");
    // Twelve blocks are two whole rounds and one of two blocks.
    let (together, processes, has_floor, notes) = seen(stays);
    assert_eq!((together.blocks, processes, has_floor), (3, Some(3), false));
    assert!(together.half_width() > alone.half_width());
    let kept = "kept resident, 3 processes of up to 5 bursts for each variant";
    assert!(notes.iter().all(|notes| notes[0].starts_with(kept)), "{notes:?}");
    assert!(notes[1][1].starts_with("residency: keep → fresh: side by side"), "{notes:?}");
}

#[test]
fn a_process_that_stays_fails_once_with_any_of_its_bursts() {
    let mut stays = record();
    keep(&mut stays);
    let records = [stays];
    let report = build(&records);
    let study = &report.studies[0];
    // Bursts 3, 7 and 8 of twelve failed: in two of three processes.
    let sheet = study.cells.iter().rfind(|cell| cell.variant == "q4").expect("a sheet");
    let failures = sheet.effects.failures.expect("a share");
    assert_eq!((failures.n, (failures.point * 3.0).round()), (3, 2.0));
    assert!(failures.low < 0.1 && failures.high > 0.99, "{failures:?}");
    let row = study.headline.iter().rfind(|row| row.variant == "q4").expect("a row");
    let told = row.remarks.join("; ");
    assert!(told.contains("in 3 of 12 bursts (67\u{a0}% of processes fail, "), "{told}");
    let found = compare(&records[0], &records[0]);
    let row = found.cells.iter().rfind(|cell| cell.variant == "q4").expect("a row");
    assert_eq!(row.remarks, ["failed processes: 2 of 3 before, 2 of 3 now"]);
}
