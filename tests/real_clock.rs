//! The instrument on a real clock, against work whose ratio is known and against another tool.
//!
//! Ignored, because they take minutes of a quiet machine and their figures are for people:
//! `cargo test --release --test real_clock -- --ignored --nocapture`. The figures of one run stand
//! in `docs/PERFORMANCE.md`, section "Real clocks".

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use engine::machine::watch::Sources;
use engine::measure::compare::{Comparison, speedup};
use engine::measure::design::{orders, padding};
use engine::measure::quantile::median;
use engine::measure::stop::{Decision, Rule, decide, working_level};
use engine::measure::welch::historical;
use engine::measure::{Better, Estimate};

/// Names the number of rounds in the environment of a child.
const ROUNDS: &str = "ENGINE_TEST_SPIN";

/// Work that nothing can shorten: each round needs the one before.
fn spin(rounds: u64) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..rounds {
        state = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(1);
    }
    black_box(state)
}

/// Rounds that take about as long as `time`.
fn rounds_of(time: Duration) -> u64 {
    let (trial, begin) = (20_000_000, Instant::now());
    spin(trial);
    (trial as f64 * time.as_secs_f64() / begin.elapsed().as_secs_f64()) as u64
}

/// What a child does: nine spins after one to warm up; prints the time of each.
#[test]
fn child_spins() {
    let Some(rounds) = env::var(ROUNDS).ok().and_then(|text| text.parse().ok()) else { return };
    spin(rounds);
    for _ in 0..9 {
        let begin = Instant::now();
        spin(rounds);
        println!("spun {}", begin.elapsed().as_nanos());
    }
}

/// One launch: the median time of a spin within it, and of the whole process, in seconds.
fn launch(rounds: u64, pad: usize) -> (f64, f64) {
    let this = env::current_exe().expect("a running program has a file");
    let begin = Instant::now();
    let output = Command::new(this)
        .args(["--exact", "child_spins", "--nocapture", "--test-threads=1"])
        .env(ROUNDS, rounds.to_string())
        .env("PADDING", "x".repeat(pad))
        .output()
        .expect("this program starts");
    let whole = begin.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let spins: Vec<f64> = text
        .lines()
        .filter_map(|line| line.split_once("spun ")?.1.trim().parse::<f64>().ok())
        .collect();
    assert_eq!(spins.len(), 9, "{text}");
    (median(&spins).expect("nine values") / 1e9, whole)
}

/// A session as the engine runs one: within the spins, and of whole processes.
fn session(baseline: u64, other: u64, seed: u64) -> (Comparison, Comparison, u32) {
    let rule = Rule { min_blocks: 10, max_blocks: 40, half_width: 0.01, max_time_ns: u64::MAX };
    let level = working_level(0.95);
    let (mut inner, mut whole) = (Vec::new(), Vec::new());
    for (block, order) in orders(2, rule.max_blocks as usize, seed).into_iter().enumerate() {
        let mut times = [(0.0, 0.0); 2];
        for (position, variant) in order.into_iter().enumerate() {
            let rounds = [baseline, other][variant];
            times[variant] = launch(rounds, padding(block, position, seed));
        }
        inner.push((times[0].0, times[1].0));
        whole.push((times[0].1, times[1].1));
        let found = speedup(&inner, Better::Lower, level);
        if let Decision::Stop(_) = decide(&rule, inner.len() as u32, 0, &[found]) {
            break;
        }
    }
    let of = |pairs| speedup(pairs, Better::Lower, level).expect("times are positive");
    (of(&inner), of(&whole), inner.len() as u32)
}

/// `slower` rounds take 1.05 times as long: the interval of the slow-down holds 1.05 and not 1.
#[test]
#[ignore = "minutes of a quiet machine"]
fn five_per_cent_more_work_is_five_per_cent_more_time() {
    let rounds = rounds_of(Duration::from_millis(10));
    let (mut holds, mut excludes, mut equal) = (0, 0, 0);
    let trials = trials();
    for trial in 0..trials {
        let (found, _, blocks) = session(rounds, rounds * 105 / 100, trial);
        let estimate = found.estimate;
        let (low, high) = (1.0 / estimate.high, 1.0 / estimate.low);
        let (same, _, _) = session(rounds, rounds, trial + 1000);
        println!(
            "trial {trial}: {:.4} [{low:.4}, {high:.4}] after {blocks} blocks; A/A {:.4} [{:.4}, {:.4}]",
            1.0 / estimate.point,
            same.estimate.point,
            same.estimate.low,
            same.estimate.high
        );
        holds += u64::from(low <= 1.05 && 1.05 <= high);
        excludes += u64::from(low > 1.0);
        equal += u64::from(same.estimate.low <= 1.0 && 1.0 <= same.estimate.high);
    }
    println!("1.05 inside in {holds}, 1 outside in {excludes}, A/A holds 1 in {equal} of {trials}");
    let most_misses = 1 + trials / 10;
    assert!(holds + most_misses >= trials && equal + most_misses >= trials);
    assert_eq!(excludes, trials);
}

/// The same two commands under hyperfine, right after: both intervals of the ratio overlap.
///
/// By itself hyperfine runs all of one command and then all of the other; on a shared machine that
/// changes its speed in between the ratio moves with it, so this figure is printed only. What must
/// agree is what hyperfine measures in the order of our blocks, called once for each launch.
/// Needs `hyperfine` on the path; says so where it is not.
#[test]
#[ignore = "minutes of a quiet machine"]
fn hyperfine_finds_the_same_ratio_of_whole_processes() {
    if Command::new("hyperfine").arg("--version").output().is_err() {
        eprintln!("skipped: hyperfine is not on the path");
        return;
    }
    let rounds = rounds_of(Duration::from_millis(10));
    let both = [rounds, rounds * 105 / 100];
    let (mut in_blocks, mut in_a_row, trials) = (0, 0, trials());
    for trial in 0..trials {
        let (_, ours, blocks) = session(both[0], both[1], trial);
        let ours = slow_down(&ours.estimate);
        let block_by_block = slow_down(&hyperfine_in_blocks(both, blocks, trial));
        let row_by_row = slow_down(&hyperfine_in_a_row(both, blocks));
        let text =
            |(point, low, high): (f64, f64, f64)| format!("{point:.4} [{low:.4}, {high:.4}]");
        println!(
            "trial {trial}, {blocks} blocks: ours {}, hyperfine in blocks {}, by itself {}",
            text(ours),
            text(block_by_block),
            text(row_by_row)
        );
        let overlaps = |theirs: (f64, f64, f64)| ours.1 <= theirs.2 && theirs.1 <= ours.2;
        in_blocks += u64::from(overlaps(block_by_block));
        in_a_row += u64::from(overlaps(row_by_row));
    }
    println!("intervals overlap: in blocks {in_blocks}, by itself {in_a_row} of {trials}");
    assert!(in_blocks * 20 >= trials * 19, "{in_blocks} of {trials}");
}

/// The same second of work with and without the guard's sampler beside it, turn by turn in one
/// process: the interval of the ratio lies within half a per cent. Prints what reading the clock
/// costs, too.
#[test]
#[ignore = "minutes of a quiet machine"]
fn watching_and_the_clock_cost_less_than_half_a_per_cent() {
    let begin = Instant::now();
    let reads: Vec<Instant> = (0..100_000).map(|_| Instant::now()).collect();
    let each = begin.elapsed().as_secs_f64() / reads.len() as f64;
    println!("reading the clock takes {:.0} ns", each * 1e9);
    let rounds = rounds_of(Duration::from_secs(1));
    let (most, narrow) = (300, 0.003);
    let mut pairs = Vec::new();
    for order in orders(2, most, 7) {
        let mut times = [0.0; 2];
        for watched in order {
            let (stop, stopped) = mpsc::channel::<()>();
            let sampler = (watched == 1).then(|| std::thread::spawn(move || watch(&stopped)));
            let begin = Instant::now();
            spin(rounds);
            times[watched] = begin.elapsed().as_secs_f64();
            drop(stop);
            if let Some(sampler) = sampler {
                assert!(sampler.join().expect("it only reads") >= 1, "nobody watched");
            }
        }
        pairs.push((times[0], times[1]));
        let found = speedup(&pairs, Better::Lower, working_level(0.95));
        if pairs.len() % 50 == 0 && found.is_some_and(|found| found.half_width() <= narrow) {
            break;
        }
    }
    let found = speedup(&pairs, Better::Lower, working_level(0.95)).expect("times are positive");
    let (point, low, high) = slow_down(&found.estimate);
    let turns = pairs.len();
    println!("watched takes {point:.4} [{low:.4}, {high:.4}] times as long, {turns} turns");
    assert!(0.995 <= low && high <= 1.005);
}

/// Looks at the clocks and at every other process twice a second until `stopped` hangs up, four
/// times as often as the guard does at most; how often it saw processes.
fn watch(stopped: &mpsc::Receiver<()>) -> u32 {
    // SAFETY: on Linux this is the priority of the calling thread alone, and lowering one's own
    // is always allowed.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
    let mut sources = Sources::open(None);
    let mut looks = 0;
    let period = Duration::from_millis(500);
    while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        looks += u32::from(sources.between(true).processes.is_some());
    }
    looks
}

fn trials() -> u64 {
    env::var("TRIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// How many times as long the second command takes, with its interval.
fn slow_down(estimate: &Estimate) -> (f64, f64, f64) {
    (1.0 / estimate.point, 1.0 / estimate.high, 1.0 / estimate.low)
}

/// One call for each launch, in our order of launches; paired by block.
fn hyperfine_in_blocks(both: [u64; 2], blocks: u32, seed: u64) -> Estimate {
    let mut pairs = Vec::new();
    for order in orders(2, blocks as usize, seed) {
        let mut times = [0.0; 2];
        for variant in order {
            times[variant] = hyperfine(&[both[variant]], 1, 0)[0][0];
        }
        pairs.push((times[0], times[1]));
    }
    speedup(&pairs, Better::Lower, working_level(0.95)).expect("times are positive").estimate
}

/// One call for all: one command after the other, so nothing is paired, and Welch's interval on
/// the logarithms of its times.
fn hyperfine_in_a_row(both: [u64; 2], runs: u32) -> Estimate {
    let times = hyperfine(&both, runs, 1);
    historical(&times[0], &times[1], Better::Lower, 0.95).expect("times are positive").estimate
}

/// The times in seconds that hyperfine measured, by command.
fn hyperfine(commands: &[u64], runs: u32, warmup: u32) -> Vec<Vec<f64>> {
    let this = env::current_exe().expect("a running program has a file");
    let out = env::temp_dir().join(format!("hyperfine-{}.json", std::process::id()));
    let command = |rounds: &u64| {
        let this = this.display();
        format!("env {ROUNDS}={rounds} {this} --exact child_spins --nocapture --test-threads=1")
    };
    let status = Command::new("hyperfine")
        .args(["-N", "--style", "none"])
        .args(["--warmup", &warmup.to_string(), "--runs", &runs.to_string()])
        .arg("--export-json")
        .arg(&out)
        .args(commands.iter().map(command))
        .status()
        .expect("it was there before");
    assert!(status.success());
    let text = std::fs::read_to_string(&out).expect("hyperfine wrote it");
    let _ = std::fs::remove_file(&out);
    let found: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let results = found["results"].as_array().expect("a list");
    let times = |result: &serde_json::Value| -> Vec<f64> {
        let times = result["times"].as_array().expect("a list");
        times.iter().map(|time| time.as_f64().expect("a number")).collect()
    };
    results.iter().map(times).collect()
}
