//! `residency: keep`: processes stay, take turns, and end with their round.

mod support;

use std::collections::BTreeSet;
use std::fs;

use engine::store::Journal;
use serde_json::{Value, json};
use support::{Background, House, tiny_bench, wait_for};

/// Two rounds of two variants.
fn spec(name: &str, time: &str) -> String {
    let requests = format!("{{warmup: 1, min: 3, max: 10000, min_time: {time}}}");
    let plain = tiny_bench(name, 2, &requests);
    let plain =
        plain.replace("design: {", "guard: {max_invalid: 0%}\n  design: {noise_floor: off, ");
    plain.replace("design: {", "design: {residency: keep, ")
}

/// The letter under which the kernel lists a process; none once it is gone.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The children of `engine` that are there, and those of them that are at work.
fn children(house: &House, engine: u32) -> (usize, BTreeSet<u32>) {
    let all: Vec<u32> = house.processes().into_iter().filter(|&pid| pid != engine).collect();
    let is_awake = |pid: &u32| state(*pid).is_some_and(|state| !"TtZX".contains(state));
    (all.len(), all.iter().copied().filter(is_awake).collect())
}

fn launches_so_far(house: &House) -> usize {
    let journal = house.runs().pop().map(|run| house.journal(&run)).unwrap_or_default();
    journal.iter().filter(|entry| !entry["launch"].is_null()).count()
}

/// Launches of every variant: block, round, part and number of the process.
fn launches(record: &Value) -> Vec<Vec<[u64; 4]>> {
    let number = |value: &Value| value.as_u64().expect("a number");
    let of = |launch: &Value| {
        let (residence, pid) = (&launch["residence"], &launch["pid"]);
        [&launch["block"], &residence["round"], &residence["part"], pid].map(number)
    };
    let cells = record["cells"].as_array().expect("cells").iter();
    cells
        .map(|cell| cell["launches"].as_array().expect("launches").iter().map(of).collect())
        .collect()
}

/// Processor seconds that were counted as ours while launches were watched, and those that they
/// say themselves to have used.
fn work(record: &Value) -> (f64, f64) {
    let cells = record["cells"].as_array().expect("cells").iter();
    let launches: Vec<_> = cells.flat_map(|cell| cell["launches"].as_array().unwrap()).collect();
    let settling = launches.iter().filter(|launch| launch["residence"]["part"] == 0);
    assert!(settling.clone().all(|launch| launch["settling"].is_object()), "loads are watched");
    let windows = launches.iter().map(|launch| &launch["conditions"]);
    let number = |value: &Value| value.as_f64().expect("it was read");
    let own = |window: &Value| {
        (number(&window["busy"]) - number(&window["foreign"])) * number(&window["seconds"])
    };
    let used = |launch: &&Value| number(&launch["outcome"]["measured"]["cpu_time"]) / 1e9;
    let windows = windows.chain(settling.map(|launch| &launch["settling"]));
    (windows.map(own).sum(), launches.iter().map(used).sum())
}

#[test]
fn a_process_stays_for_five_bursts_and_only_one_is_at_work() {
    let house = House::new();
    let spec = house.folder.write("t.yaml", spec("stay", "60ms"));
    let mut engine = Background::start(&mut house.run_command(&spec));
    wait_for("the first launch", || (launches_so_far(&house) > 0).then_some(()));
    let (mut one_of_several, mut looks) = (0, 0);
    wait_for("the last launch", || {
        // One that is at work in both looks was so between them.
        let (there, first) = children(&house, engine.pid());
        let (_, second) = children(&house, engine.pid());
        let both: Vec<&u32> = first.intersection(&second).collect();
        assert!(both.len() <= 1, "{both:?} are at work side by side");
        one_of_several += usize::from(there > 1 && both.len() == 1);
        looks += 1;
        (engine.has_ended() || launches_so_far(&house) >= 20).then_some(())
    });
    assert!(one_of_several > 0, "one works and the other waits, in {looks} looks");
    engine.end().expect(0);
    assert_eq!(house.processes(), [] as [u32; 0]);
    let found = launches(&house.record());
    assert_eq!(found.len(), 2);
    let mut pids = BTreeSet::new();
    for own in &found {
        let places: Vec<_> =
            own.iter().map(|[block, round, part, _]| (*block, *round, *part)).collect();
        let expected = |block: u64| (block, block / 5 * 5, block % 5);
        assert_eq!(places, (0..10).map(expected).collect::<Vec<_>>());
        for round in own.chunks(5) {
            assert!(round.iter().all(|[.., pid]| *pid == round[0][3]), "one process: {round:?}");
            pids.insert(round[0][3]);
        }
    }
    assert_eq!(pids.len(), 4, "other processes in every round");
    let (own, used) = work(&house.record());
    assert!(own > 0.5 * used, "{used} s of theirs, of which {own} s were not others'");
    let report = fs::read_to_string(house.result().join("report.md")).unwrap();
    assert!(report.contains("kept resident, 2 processes of 5 bursts for each variant"), "{report}");
    let text = fs::read_to_string(house.result().join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).expect("a report");
    let headline = report["studies"][0]["headline"].as_array().expect("rows").iter();
    let blocks = headline.filter_map(|row| row["speedup"]["known"]["blocks"].as_u64());
    assert_eq!(blocks.collect::<Vec<_>>(), [2], "a process is a block");
}

#[test]
fn what_is_interrupted_leaves_no_process_and_goes_on_with_others() {
    let house = House::new();
    let spec = house.folder.write("t.yaml", spec("torn", "150ms"));
    let engine = Background::start(&mut house.run_command(&spec));
    wait_for("some launches", || (launches_so_far(&house) >= 3).then_some(()));
    engine.signal(libc::SIGINT);
    engine.end().expect(130);
    assert_eq!(house.processes(), [] as [u32; 0], "also those that were stopped have ended");
    let run = house.runs().pop().expect("a run");
    support::run(&mut house.engine(&["resume", &run])).expect(0);
    let found = launches(&house.record());
    for own in &found {
        let rounds: BTreeSet<(u64, u64)> =
            own.iter().map(|[_, round, _, pid]| (*round, *pid)).collect();
        assert_eq!(rounds.len(), 2, "no process goes on with the round of another: {own:?}");
        assert!(own.iter().all(|[block, round, part, _]| round + part == *block), "{own:?}");
    }
}

#[test]
fn a_process_that_dies_is_one_failed_launch_and_ends_its_round() {
    let house = House::new();
    let spec = house.folder.write("t.yaml", spec("shot", "150ms"));
    let engine = Background::start(&mut house.run_command(&spec));
    wait_for("some launches", || (launches_so_far(&house) >= 3).then_some(()));
    let stopped = wait_for("a stopped process", || {
        house.processes().into_iter().find(|&pid| pid != engine.pid() && state(pid) == Some('T'))
    });
    // SAFETY: a plain system call on a process that was alive a moment ago and is our grandchild.
    unsafe { libc::kill(stopped as libc::pid_t, libc::SIGKILL) };
    engine.end().expect(3);
    let record = house.record();
    let cells = record["cells"].as_array().unwrap();
    let all: Vec<&Value> = cells.iter().flat_map(|c| c["launches"].as_array().unwrap()).collect();
    let failed: Vec<_> = all.iter().filter(|l| !l["outcome"]["failed"].is_null()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["pid"], stopped);
    let block = failed[0]["block"].as_u64().unwrap();
    let after = all.iter().filter(|launch| launch["block"].as_u64() == Some(block + 1));
    let rounds: Vec<u64> = after.map(|l| l["residence"]["round"].as_u64().unwrap()).collect();
    assert_eq!(rounds, [block + 1; 2], "the next block has processes of its own");
}

#[test]
fn where_processes_do_not_fit_every_block_has_fresh_ones_and_counts_as_one() {
    let house = House::new();
    let spec = house.folder.write("t.yaml", spec("crowd", "60ms"));
    let engine = Background::start(&mut house.run_command(&spec));
    wait_for("the first launch", || (launches_so_far(&house) > 0).then_some(()));
    engine.signal(libc::SIGINT);
    engine.end().expect(130);
    // As if they had been found too large before the first launch.
    let run = house.runs().pop().expect("a run");
    let path = house.store().join("runs").join(&run).join("journal.jsonl");
    let entries = house.journal(&run);
    let measured = entries.iter().find_map(|entry| entry.get("launch")).expect("a launch");
    let why = "side by side they hold 9.5 GiB";
    fs::remove_file(&path).expect("our own");
    let journal = Journal::open(&path);
    for entry in entries.iter().filter(|entry| entry["launch"].is_null()) {
        journal.append(entry).expect("writable");
    }
    let entry = json!({"not_kept": {"setting": measured["setting"], "why": why}});
    journal.append(&entry).expect("writable");
    support::run(&mut house.engine(&["resume", &run])).expect(0);
    let record = house.record();
    let mut pids = BTreeSet::new();
    for cell in record["cells"].as_array().expect("cells") {
        let own = cell["launches"].as_array().expect("launches");
        let blocks: Vec<_> = own.iter().map(|launch| launch["block"].as_u64()).collect();
        assert_eq!(blocks, [Some(0), Some(1)], "a block is enough for one to the rule");
        assert!(own.iter().all(|launch| launch["residence"].is_null()));
        pids.extend(own.iter().map(|launch| launch["pid"].as_u64()));
    }
    assert_eq!(pids.len(), 4, "every launch has a process of its own");
    let report = fs::read_to_string(house.result().join("report.md")).unwrap();
    assert!(report.contains(&format!("residency: keep → fresh: {why}")), "{report}");
}
