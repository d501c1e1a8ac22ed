//! The engine sleeps while a child measures.

mod support;

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::{Background, House, tiny_bench, wait_for};

/// Processor time of a process so far, in seconds: fields 14 and 15 of `/proc/<pid>/stat`.
fn processor_time(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: Vec<u64> =
        fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    // SAFETY: asks for a constant of the system.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Some(ticks.iter().sum::<u64>() as f64 / per_second as f64)
}

/// Two launches of 1.5 s each: two ticks of the kernel's clock are 0.1 % of the time.
const BLOCKS: u32 = 8;

#[test]
fn the_engine_sleeps_while_its_children_measure() {
    let house = House::new();
    let requests = "{warmup: 0, min: 1, max: 10000, min_time: 1500ms}";
    let spec = house.folder.write("t.yaml", tiny_bench("sleep", BLOCKS, requests));
    let mut engine = Background::start(&mut house.run_command(&spec));
    let launches = |house: &House| {
        let run = house.runs().pop()?;
        Some(house.journal(&run).iter().filter(|entry| !entry["launch"].is_null()).count())
    };
    // From the end of the first launch to that of the last: nothing but measuring.
    wait_for("the first launch", || launches(&house).filter(|&n| n >= 1));
    let (begin, before) = (Instant::now(), processor_time(engine.pid()).expect("it runs"));
    let mut after = before;
    wait_for("the last launch", || {
        // Reading the journal takes time, too, which the next launch should not share.
        sleep(Duration::from_millis(100));
        after = processor_time(engine.pid()).unwrap_or(after);
        (engine.has_ended() || launches(&house) >= Some(2 * BLOCKS as usize)).then_some(())
    });
    let wall = begin.elapsed().as_secs_f64();
    let share = (after - before) / wall;
    println!("processor time of the engine: {:.2} % of {wall:.1} s", share * 100.0);
    // 1 % of a core is the bar, of a release build; what is not optimized reads and writes results
    // slowly. Two ticks of the kernel's clock are for readings that round up.
    let bar = if cfg!(debug_assertions) { 0.05 } else { 0.01 };
    let most = bar * wall + 0.02;
    assert!(after - before < most, "{:.1} % of one core over {wall:.1} s", share * 100.0);
    engine.end().expect(0);
}
