//! Stored runs against each other, through the command line: a real run, and its record with other
//! times, another machine, or no sense.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{House, read_json, run, tiny_bench};

const QUICK: &str = "{warmup: 0, min: 2, max: 2, min_time: 1ms}";

/// A house with one finished run, and the path of its result.
fn house() -> (House, PathBuf, PathBuf) {
    let house = House::new();
    let spec = house.folder.write("tiny.yaml", tiny_bench("tiny", 4, QUICK));
    house.run(&spec).expect(0);
    let result = house.result();
    (house, spec, result)
}

/// A copy of a record after `change`, as a result folder of its own.
fn changed(house: &House, result: &Path, name: &str, change: impl Fn(&mut Value)) -> PathBuf {
    let mut record = read_json(&result.join("record.json"));
    change(&mut record);
    record["run"]["id"] = json!(name);
    house.folder.write(&format!("other/{name}/record.json"), record.to_string());
    house.folder.join(format!("other/{name}"))
}

/// Every time of `variant` multiplied.
fn slow(record: &mut Value, variant: &str, factor: u64) {
    for cell in record["cells"].as_array_mut().unwrap() {
        if cell["variant"] != variant {
            continue;
        }
        for launch in cell["launches"].as_array_mut().unwrap() {
            for request in launch["outcome"]["measured"]["requests"].as_array_mut().unwrap() {
                let sent = request["sent"].as_u64().unwrap();
                for at in request["tokens"].as_array_mut().unwrap() {
                    *at = json!(sent + (at.as_u64().unwrap() - sent) * factor);
                }
            }
        }
    }
}

#[test]
fn two_runs_are_compared_refused_or_failed_as_they_differ() {
    let (house, _, result) = house();
    let compare = |before: &Path, after: &Path, more: &[&str]| {
        run(house.engine(&["compare"]).arg(before).arg(after).args(more))
    };
    let same = compare(&result, &result, &["--fail-on-regression"]).expect(0);
    assert!(same.stdout.contains("are the same"), "{}", same.stdout);

    let slower = changed(&house, &result, "slower", |record| {
        // Far beyond the noise of four launches of a few milliseconds beside other tests.
        slow(record, "q8", 10_000);
    });
    let told = compare(&result, &slower, &["--format", "markdown"]).expect(0).stdout;
    assert!(told.contains("**regressed**"), "{told}");
    let json = compare(&result, &slower, &["--format", "json", "--fail-on-regression"]).expect(4);
    let cells = json.json()["cells"].as_array().unwrap().clone();
    let of = |variant: &str| cells.iter().find(|cell| cell["variant"] == variant).unwrap();
    assert_eq!(of("q8")["finding"], json!({"judged": "regressed"}));
    assert_eq!((&of("q8")["basis"], &of("f32")["basis"]), (&json!("paired"), &json!("historical")));

    let elsewhere = changed(&house, &result, "elsewhere", |record| {
        record["machine"]["digest"] = json!("0".repeat(64));
        record["machine"]["cpu"]["model"] = json!("Another CPU");
    });
    let refused = compare(&result, &elsewhere, &[]).expect(2);
    assert!(refused.stderr.contains("Another CPU"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--across-machines"), "{}", refused.stderr);
    let across = compare(&result, &elsewhere, &["--across-machines", "--format", "json"]);
    for cell in across.expect(0).json()["cells"].as_array().unwrap() {
        assert!(cell["historical"]["unmeasured"].is_string(), "{cell}");
    }

    let broken = house.folder.write("broken/record.json", "{\n\"version\": 1,\n\"run\": 3}");
    let told = compare(&result, &broken, &[]).expect(2).stderr;
    assert!(told.contains("line 3"), "the place in the file: {told}");
    let by_id = result.file_name().unwrap().to_str().unwrap();
    let out = house.out().display().to_string();
    compare(Path::new(by_id), Path::new(&by_id[..10]), &["--results", &out]).expect(0);
    let none = compare(Path::new("20010101"), &result, &["--results", &out]).expect(2).stderr;
    assert!(none.contains("there is no run `20010101`"), "{none}");
}

#[test]
fn a_gate_holds_a_run_against_a_stored_one_and_keeps_what_it_needs() {
    let (house, spec, result) = house();
    let gate = |path: &str, bound: &str| {
        let text = fs::read_to_string(&spec).unwrap();
        let gate = format!(
            "gates: [{{name: g, on: {{variant: q8}}, metric: decode_tps, against: '{path}', {bound}}}]"
        );
        house.folder.write("gated.yaml", format!("{text}\n{gate}\n"))
    };
    let missing = run(house.engine(&["validate"]).arg(gate("no/such", "ratio: {min: 0.1}")));
    let told = missing.expect(2).stderr;
    assert!(told.contains("no/such") && told.contains("gated.yaml:"), "{told}");
    house.folder.write("broken/record.json", "{}");
    let broken = house.folder.join("broken").display().to_string();
    let told = run(house.engine(&["validate"]).arg(gate(&broken, "ratio: {min: 0.1}")));
    let told = told.expect(2).stderr;
    assert!(told.contains("plan/bad-record"), "{told}");

    let pattern = format!("{}/tiny/*", house.out().display());
    house.run(&gate(&pattern, "ratio: {min: 0.0001}")).expect(0);
    let record = house.record();
    let stored = &record["references"][0];
    assert_eq!(stored["run"], result.file_name().unwrap().to_str().unwrap());
    let id = house.result();
    let before = fs::read(id.join("report.md")).unwrap();
    fs::remove_dir_all(&result).unwrap();
    run(house.engine(&["report"]).arg(&id)).expect(0);
    assert_eq!(fs::read(id.join("report.md")).unwrap(), before, "needs no other file");
    assert!(String::from_utf8(before).unwrap().contains("ratio to"));

    let other = changed(&house, &id, "elsewhere", |record| {
        record["machine"]["digest"] = json!("0".repeat(64));
        record["machine"]["cpu"]["model"] = json!("Another CPU");
    });
    let told = house.run(&gate(&other.display().to_string(), "ratio: {min: 0.0001}")).expect(5);
    assert!(told.stdout.contains("another machine"), "{}", told.stdout);
}

#[test]
fn runs_of_a_folder_stand_in_a_row_with_their_changes() {
    let (house, _, result) = house();
    for day in 1..=14 {
        changed(&house, &result, &format!("day{day:02}"), |record| {
            record["run"]["started"] = json!(format!("2026-11-{day:02}T00:00:00Z"));
            slow(record, "q8", if day > 8 { 3 } else { 1 });
        });
    }
    house.folder.write("other/torn/record.json", "{");
    let folder = house.folder.join("other");
    let ended = run(house.engine(&["history", "--format", "json"]).arg(&folder)).expect(0);
    assert!(
        ended.stderr.contains("left out") && ended.stderr.contains("line 1"),
        "{}",
        ended.stderr
    );
    let groups = ended.json()["groups"].as_array().unwrap().clone();
    assert_eq!((groups.len(), &groups[0]["runs"]), (1, &json!(14)));
    let line = &groups[0]["lines"][0];
    assert_eq!(line["changes"][0]["run"], "day09", "{line}");
    let shown = run(house.engine(&["history"]).arg(&folder)).expect(0).stdout;
    assert!(shown.contains("slower from run day09"), "{shown}");
    let empty = run(house.engine(&["history"]).arg(house.folder.join("store"))).expect(2).stderr;
    assert!(empty.contains("record.json"), "{empty}");
}
