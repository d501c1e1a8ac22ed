//! A run that was killed at any moment goes on: nothing finished is lost, nothing is done twice,
//! and nobody is left behind.

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;
use support::{Background, Ended, House, byte_llama, files, read_json, run, stories, wait_for};

const BLOCKS: u64 = 3;
const VARIANTS: u64 = 2;
/// As a run records the second launch of the baseline.
const AGAIN: &str = "the baseline again";

fn spec(house: &House, min_time: &str) -> PathBuf {
    let model = house.folder.join("model");
    byte_llama(&model);
    let data = house.folder.write("held.jsonl", stories(6));
    let (model, data) = (model.display(), data.display());
    let text = format!(
        "version: 1
name: crash
why: Is anything lost when the engine dies?
model: {{source: \"file://{model}\"}}
data:
  held: {{source: \"file://{data}\", take: 4, window: 24, stride: 12}}
variants:
  wide: {{stages: [{{cast: {{to: f32}}}}]}}
  small: {{stages: [{{quantize: {{method: gguf, format: q8_0}}}}]}}
quality: {{metrics: [{{perplexity: {{data: held}}}}]}}
bench:
  data: held
  matrix: {{prompt_tokens: [4], new_tokens: [2], threads: [1]}}
  design:
    blocks: {{min: {BLOCKS}, max: {BLOCKS}}}
    max_time: 1h
    requests: {{warmup: 0, min: 1, max: 1000, min_time: {min_time}}}
report: {{formats: [json, markdown]}}
"
    );
    house.folder.write("spec.yaml", text)
}

/// What must come out the same however often the run was killed.
fn pure(record: &Value) -> Value {
    let variants = record["variants"].as_object().unwrap().values();
    let artifacts: Vec<&Value> = variants.map(|variant| &variant["artifact"]).collect();
    let tokens = record["steps"].as_array().unwrap().iter().find(|s| s["id"] == "data/held");
    serde_json::json!({
        "artifacts": artifacts,
        "quality": record["quality"],
        "tokens": tokens.expect("a step")["key"],
    })
}

type Place = (String, u64);

/// Process numbers of launches by variant and block; panics on a launch that is there twice.
fn launches(found: impl Iterator<Item = (String, Value)>) -> BTreeMap<Place, u64> {
    let mut out = BTreeMap::new();
    for (variant, launch) in found {
        let place = (variant, launch["block"].as_u64().unwrap());
        let before = out.insert(place.clone(), launch["pid"].as_u64().unwrap());
        assert_eq!(before, None, "{place:?} was launched twice");
    }
    out
}

fn journaled(house: &House, run: &str) -> BTreeMap<Place, u64> {
    let entries = house.journal(run).into_iter().map(|entry| entry["launch"].clone());
    launches(
        entries
            .filter(|e| !e.is_null())
            .map(|entry| (entry["variant"].as_str().unwrap().to_owned(), entry["launch"].clone())),
    )
}

fn recorded(record: &Value) -> BTreeMap<Place, u64> {
    let listed = |name: &str| record[name].as_array().unwrap().clone().into_iter();
    let of = |variant: &str, found: &Value| -> Vec<(String, Value)> {
        let launches = found.as_array().cloned().unwrap_or_default().into_iter();
        launches.map(|launch| (variant.to_owned(), launch)).collect()
    };
    let cells =
        listed("cells").flat_map(|cell| of(cell["variant"].as_str().unwrap(), &cell["launches"]));
    let again = listed("conduct").flat_map(|conduct| of(AGAIN, &conduct["again"]));
    launches(cells.chain(again))
}

/// Kills the engine with SIGKILL some time after the journals of the store have `lines` lines.
/// False when it had ended before.
fn kill_at(house: &House, engine: Background, lines: usize, delay: Duration) -> bool {
    let mut engine = engine;
    let written =
        |house: &House| -> usize { house.runs().iter().map(|run| house.journal(run).len()).sum() };
    wait_for("its journal to grow", || {
        (written(house) >= lines || engine.has_ended()).then_some(())
    });
    std::thread::sleep(delay);
    let killed = !engine.has_ended();
    engine.signal(libc::SIGKILL);
    drop(engine);
    wait_for("its children to die with it", || house.processes().is_empty().then_some(()));
    killed
}

/// As many whole blocks as asked for. Launches of a block that an interruption tore apart are kept
/// beside them and never completed later, when the machine may be in another state.
fn assert_whole(record: &Value, interruptions: u64, told: &str) {
    let mut blocks: std::collections::BTreeMap<u64, u64> = std::collections::BTreeMap::new();
    for cell in record["cells"].as_array().unwrap() {
        for launch in cell["launches"].as_array().unwrap() {
            *blocks.entry(launch["block"].as_u64().unwrap()).or_default() += 1;
        }
    }
    let again = record["conduct"][0]["again"].as_array().map_or(0, Vec::len) as u64;
    assert!(again + interruptions >= BLOCKS, "{again} launches of the second arm: {told}");
    let whole = blocks.values().filter(|&&launches| launches == VARIANTS).count() as u64;
    let torn: u64 = blocks.values().filter(|&&launches| launches != VARIANTS).sum();
    assert_eq!(whole, BLOCKS, "{told}");
    assert!(torn <= interruptions * (VARIANTS - 1), "{torn} launches of torn blocks: {told}");
}

/// Does what a person would do until the run is complete.
fn complete(house: &House, spec: &std::path::Path) -> (Ended, Value) {
    let begun = house.runs().into_iter().find(|run| !house.journal(run).is_empty());
    let Some(run) = begun else {
        let ended = house.run(spec).expect(0);
        return (ended, house.record());
    };
    let ended = support::run(&mut house.engine(&["resume", &run]));
    // The run may have been over when the signal came, with everything written.
    let was_over = ended.code == Some(2) && ended.stderr.contains("is complete");
    let ended = if was_over { ended } else { ended.expect(0) };
    (ended, read_json(&house.out().join("crash").join(&run).join("record.json")))
}

#[test]
fn twenty_kills_lose_nothing_and_repeat_nothing() {
    let control_house = House::new();
    let control_spec = spec(&control_house, "1ms");
    control_house.run(&control_spec).expect(0);
    let control = pure(&control_house.record());
    let lines = control_house.journal(&control_house.runs()[0]).len();
    assert!(lines >= 14, "begin, six steps, six launches, stop, step and end: {lines}");

    let mut random = Pcg64::seed_from_u64(20);
    let (mut kills, mut kept) = (0, 0);
    for round in 0..20 {
        let house = House::new();
        let spec = spec(&house, "1ms");
        let mut at = random.random_range(0..=lines);
        let mut delay = || Duration::from_micros(random.random_range(0..40_000));
        let (first, second) = (delay(), delay());
        let engine = Background::start(&mut house.run_command(&spec));
        kills += u32::from(kill_at(&house, engine, at, first));
        // Every third time the run that goes on is killed as well.
        let begun = house.runs().into_iter().find(|run| !house.journal(run).is_empty());
        if let (0, Some(run)) = (round % 3, &begun) {
            at = (house.journal(run).len() + 2).min(lines);
            let engine = Background::start(&mut house.engine(&["resume", run]));
            kills += u32::from(kill_at(&house, engine, at, second));
        }
        let before = begun.as_deref().map(|run| journaled(&house, run)).unwrap_or_default();
        kept += before.len();

        let (ended, record) = complete(&house, &spec);
        let told = format!("round {round}, {at} lines: {}", ended.stderr);
        assert_eq!(pure(&record), control, "{told}");
        assert_eq!(record["run"]["interrupted"], false, "{told}");
        let after = recorded(&record);
        assert_whole(&record, 2, &told);
        for (place, pid) in before {
            assert_eq!(after[&place], pid, "{place:?} was done again: {told}");
        }
        run(&mut house.engine(&["store", "verify"])).expect(0);
        run(&mut house.engine(&["store", "gc", "--grace", "0s"])).expect(0);
        let left = files(&house.store().join("tmp"));
        assert_eq!(left, [] as [PathBuf; 0], "unfinished work is gone: {told}");
        assert_eq!(house.processes(), [] as [u32; 0], "{told}");
    }
    println!("{kills} kills came in time, {kept} launches were finished before them");
    assert!(kills > 0 && kept > 0, "{kills} kills, {kept} launches before them");
}

#[test]
fn the_results_of_a_complete_run_are_written_again_from_its_journal() {
    let house = House::new();
    let spec = spec(&house, "1ms");
    house.run(&spec).expect(0);
    let before = house.record();
    let run = house.runs().pop().expect("the run is known");
    std::fs::remove_dir_all(house.result()).unwrap();

    support::run(&mut house.engine(&["resume", &run])).expect(0);
    let after = house.record();
    assert_eq!(pure(&after), pure(&before));
    assert_eq!(after["cells"], before["cells"], "no launch is repeated");
    let why = |record: &Value| -> Vec<Value> {
        let steps = record["steps"].as_array().unwrap().iter();
        steps.map(|s| serde_json::json!([s["id"], s["state"], s["detail"], s["seconds"]])).collect()
    };
    // Bar the source, which is read anew.
    assert_eq!(why(&after)[1..], why(&before)[1..], "what ran and why is remembered");
    let again = support::run(&mut house.engine(&["resume", &run])).expect(2);
    assert!(again.stderr.contains("engine report "), "{}", again.stderr);
}

/// Starts a run of long launches and sends `signal` as soon as one of them is under way.
fn stopped_by(house: &House, signal: i32) -> Ended {
    let spec = spec(house, "1s");
    let engine = Background::start(&mut house.run_command(&spec));
    wait_for("the first launch", || {
        let run = house.runs().pop()?;
        house.journal(&run).iter().any(|entry| !entry["launch"].is_null()).then_some(())
    });
    engine.signal(signal);
    let ended = engine.end();
    assert_eq!(house.processes(), [] as [u32; 0], "a child survived signal {signal}");
    ended
}

#[test]
fn one_ctrl_c_stops_cleanly_and_the_run_goes_on_when_asked() {
    let house = House::new();
    let ended = stopped_by(&house, libc::SIGINT).expect(130);
    let run = house.runs().pop().expect("the run is known");
    let advice = format!("engine resume {run}");
    assert!(ended.stderr.contains(&advice), "{}", ended.stderr);
    let record = house.record();
    assert_eq!(record["run"]["interrupted"], true);
    let before = recorded(&record);
    assert!(!before.is_empty() && (before.len() as u64) < BLOCKS * VARIANTS, "{before:?}");

    support::run(&mut house.engine(&["resume", &run])).expect(0);
    let record = house.record();
    assert_eq!(
        (&record["run"]["interrupted"], &record["run"]["resumed"]),
        (&false.into(), &1.into())
    );
    let after = recorded(&record);
    assert_whole(&record, 1, "after one interruption");
    assert!(before.iter().all(|(place, pid)| after[place] == *pid), "{before:?} {after:?}");

    let again = support::run(&mut house.engine(&["resume", &run])).expect(2);
    assert!(again.stderr.contains("is complete"), "{}", again.stderr);
}

#[test]
fn other_requests_to_stop_have_their_own_codes() {
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGHUP, 129)] {
        let house = House::new();
        let ended = stopped_by(&house, signal).expect(code);
        assert!(ended.stderr.contains("engine resume"), "{}", ended.stderr);
        let run = house.runs().pop().expect("the run is known");
        assert!(!journaled(&house, &run).is_empty(), "what was finished is kept");
    }
}

#[test]
fn ctrl_c_at_any_moment_leaves_a_run_that_goes_on() {
    let control_house = House::new();
    control_house.run(&spec(&control_house, "1ms")).expect(0);
    let control = pure(&control_house.record());
    let mut random = Pcg64::seed_from_u64(8);
    let mut stopped = 0;
    for round in 0..10 {
        let house = House::new();
        let spec = spec(&house, "1ms");
        let engine = Background::start(&mut house.run_command(&spec));
        let delay = Duration::from_micros(random.random_range(0..300_000));
        // From the first line of the journal on, the engine listens.
        wait_for("the run to begin", || {
            (!house.journal(&house.runs().pop()?).is_empty()).then_some(())
        });
        std::thread::sleep(delay);
        engine.signal(libc::SIGINT);
        let ended = engine.end();
        assert!(matches!(ended.code, Some(0 | 130)), "round {round}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "round {round}: {}", ended.stderr);
        assert_eq!(house.processes(), [] as [u32; 0], "round {round}");
        stopped += u32::from(ended.code == Some(130));
        let (ended, record) = complete(&house, &spec);
        assert_eq!(pure(&record), control, "round {round}: {}", ended.stderr);
        assert_whole(&record, 1, &format!("round {round}"));
        run(&mut house.engine(&["store", "verify"])).expect(0);
    }
    println!("{stopped} of 10 runs were stopped in time");
}

#[test]
fn what_the_pilot_settled_is_kept_by_a_run_that_goes_on() {
    let house = House::new();
    let text = std::fs::read_to_string(spec(&house, "1ms")).unwrap();
    let text = text
        .replace(
            "blocks: {min: 3, max: 3}",
            "blocks: {min: 3, max: 6}\n    stop: {half_width: 0.001%}",
        )
        .replace("min: 1, max: 1000", "min: 2, max: 40");
    let spec = house.folder.write("spec.yaml", text);
    let settled = |run: &str| -> Vec<Value> {
        let entries = house.journal(run).into_iter().map(|entry| entry["settled"].clone());
        entries.filter(|entry| !entry.is_null()).collect()
    };
    let mut engine = Background::start(&mut house.run_command(&spec));
    wait_for("the pilot to end", || {
        let known = house.runs().pop().is_some_and(|run| !settled(&run).is_empty());
        (known || engine.has_ended()).then_some(())
    });
    engine.signal(libc::SIGKILL);
    drop(engine);
    let run = house.runs().pop().expect("the run is known");
    let before = settled(&run);
    assert_eq!(before.len(), 1, "settled once, after the pilot");

    let (_, record) = complete(&house, &spec);
    assert_eq!(settled(&run), before, "the choice is not made again");
    let kept = &record["conduct"][0]["repetition"];
    assert_eq!(*kept, before[0]["repetition"]);
    assert_eq!(kept["pilot"], 3);
    let wanted = kept["requests"].as_u64().unwrap() as usize;
    let cells = record["cells"].as_array().unwrap();
    let later = cells.iter().flat_map(|cell| cell["launches"].as_array().unwrap());
    for launch in later.filter(|launch| launch["block"].as_u64() >= Some(3)) {
        let requests = launch["outcome"]["measured"]["requests"].as_array().unwrap();
        let counted = requests.iter().filter(|request| request["warmup"] == false).count();
        assert!(counted >= wanted, "{counted} requests where {wanted} were settled: {launch}");
    }
    assert!(record["conduct"][0]["again"].as_array().unwrap().len() >= 5, "the arm goes on too");
}
