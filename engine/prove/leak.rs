//! Leaks and throttling: traces of memory and of throughput whose truth is known.

use super::draws::Draws;
use super::repeat::{Rate, repeat};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::leak::{self, MEMORY, leak};
use crate::measure::sustained::{self, sustained};

pub(super) const LEAKS: Proof = Proof {
    id: "leaks",
    claim: "Memory that keeps growing is a leak and never called clean; memory that comes and goes, or fills up once, is none.",
    method: "Readings once a second over ten minutes, an hour and longer, with a jitter of 32 KiB; above a baseline of 200 MiB, so that 10 MiB a day matter. Bar: at most 2 % wrong, where wrong is a leak called clean or the other way round; inconclusive is not wrong. What grows by 30 MiB an hour or more, by steps or under a saw-tooth too, must also be found in 95 % of ten minutes; what leaks slowly or fills up be decided rightly in 95 % of hours, what is flat or comes and goes in 95 % of two hours, and memory that wanders by more than matters in 95 % of half days.",
    run: leaks,
};

pub(super) const THROTTLING: Proof = Proof {
    id: "throttling",
    claim: "Throughput that falls by a tenth or more during a run is called throttled, throughput that holds is not.",
    method: "Rates once a second over ten minutes, with noise of 3 % that depends on the second before (AR(1), 0.5). Bar: at most 2 % wrong, where wrong is a falling rate called sustained or the other way round; inconclusive is not wrong, but at most 5 % may be.",
    run: throttling,
};

const MIB: f64 = 1024.0 * 1024.0;
const HOUR: f64 = 3600.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    Flat,
    SawTooth,
    Plateau,
    Wandering,
    Slow,
    Steps,
    Steep,
    SteepSawTooth,
}

/// What memory does, whether that is a leak, and the readings from which on the verdict must be
/// there, in seconds.
const MEMORIES: [(Memory, &str, bool, u32); 8] = [
    (Memory::Flat, "flat", false, 7200),
    (Memory::SawTooth, "saw-tooth of 14 to 76 MiB", false, 7200),
    (Memory::Plateau, "fills up by 10 to 100 MiB", false, 3600),
    (Memory::Wandering, "wanders by 2 MiB, correlated over 20 s", false, 43_200),
    (Memory::Slow, "leaks 0.5 MB an hour", true, 3600),
    (Memory::Steps, "leaks in steps of 1 to 8 MiB", true, 600),
    (Memory::Steep, "leaks 30 to 300 MiB an hour", true, 600),
    (Memory::SteepSawTooth, "leaks 60 to 300 MiB an hour under a saw-tooth", true, 600),
];

fn memory(shape: Memory, seconds: u32, noise: &mut Draws) -> Vec<(f64, f64)> {
    let length = f64::from(seconds);
    let period = noise.between(2.0, 12.0);
    let (fill, fade) = (noise.between(10.0, 100.0), noise.between(0.02, 0.06) * length);
    let (step, every) = (noise.between(1.0, 8.0), noise.between(0.03, 0.08) * length);
    let slope = noise.between(if shape == Memory::SteepSawTooth { 60.0 } else { 30.0 }, 300.0);
    let wave = noise.wandering(seconds as usize, 0.95);
    // No two teeth are alike; a strict period would beat with the readings.
    let mut teeth = Vec::new();
    while teeth.len() < seconds as usize {
        let (length, height) = (period * noise.between(0.8, 1.2), noise.between(14.0, 76.0));
        teeth.extend((0..length.ceil() as u32).map(|t| height * f64::from(t) / length));
    }
    let mut at = |second: u32| {
        let t = f64::from(second);
        let saw = teeth[second as usize];
        let mib = match shape {
            Memory::Flat => 0.0,
            Memory::SawTooth => saw,
            Memory::Plateau => fill * (1.0 - (-t / fade).exp()),
            Memory::Wandering => 2.0 * wave[second as usize],
            Memory::Slow => 0.5e6 / MIB * t / HOUR,
            Memory::Steps => step * (t / every).floor(),
            Memory::Steep => slope * t / HOUR,
            Memory::SteepSawTooth => saw + slope * t / HOUR,
        };
        // Readings are whole pages.
        let bytes = (200.0 + mib) * MIB + 32.0 * 1024.0 * noise.normal();
        (t, (bytes / 4096.0).round() * 4096.0)
    };
    (0..seconds).map(&mut at).collect()
}

fn leaks(effort: Effort) -> Table {
    let traces = match effort {
        Effort::Quick => 25,
        Effort::Full => 1000,
    };
    let columns =
        vec!["memory", "minutes", "traces", "leak", "clean", "inconclusive", "wrong", "bar"];
    let mut table = Table { columns, ..Table::default() };
    for (shape, name, leaks, decided_from) in MEMORIES {
        for seconds in [600, 3600, 7200, 43_200] {
            // Hours of readings take a while: fewer, where they are asked for at all.
            let traces = match (effort, seconds) {
                (_, 7200 | 43_200) if decided_from != seconds => continue,
                (Effort::Quick, 43_200) => continue,
                (Effort::Full, 43_200) => traces / 5,
                (Effort::Quick, 3600 | 7200) => 10,
                _ => traces,
            };
            let found = repeat(traces, |seed| {
                let mut noise = Draws::new(9_700 + u64::from(seconds), seed);
                leak(&memory(shape, seconds, &mut noise), MEMORY).map(|found| found.verdict)
            });
            let of = |verdict| Rate::of(found.iter().map(|found| *found == Some(verdict)));
            let (leak_found, clean) = (of(leak::Verdict::Leak), of(leak::Verdict::Clean));
            let open = of(leak::Verdict::Inconclusive);
            let (right, wrong) = if leaks { (leak_found, clean) } else { (clean, leak_found) };
            let must = seconds >= decided_from;
            let kept = wrong.share() <= 0.02 && (!must || right.share() >= 0.95);
            table.rows.push(Row {
                cells: vec![
                    name.into(),
                    (seconds / 60).to_string(),
                    traces.to_string(),
                    leak_found.text(),
                    clean.text(),
                    open.text(),
                    wrong.text(),
                    if must { "≤ 2 % wrong, ≥ 95 % right" } else { "≤ 2 % wrong" }.into(),
                ],
                verdict: Holds::of(kept),
            });
        }
    }
    table.remarks.push("Ten minutes are never clean here: one step of the allocator, 128 KiB, may be missing from the readings, and a day has room for more of them than 5 % of this baseline. Where memory wanders, an hour's slope is uncertain by more than what matters.".into());
    table
}

#[derive(Debug, Clone, Copy)]
enum Course {
    Steady,
    WarmUp,
    Cycles,
    Step,
    Ramp,
}

const COURSES: [(Course, &str, bool); 5] = [
    (Course::Steady, "steady", false),
    (Course::WarmUp, "slower in the first twentieth", false),
    (Course::Cycles, "cycles of 10 to 40 s by a tenth", false),
    (Course::Step, "falls by 10 to 40 % at 0.35 to 0.65", true),
    (Course::Ramp, "falls by 15 to 40 %, evenly", true),
];

fn rates(shape: Course, noise: &mut Draws) -> Vec<f64> {
    let fall = noise.between(0.1, 0.4);
    let (at, period) = (noise.between(0.35, 0.65), noise.between(10.0, 40.0));
    let waves = noise.wandering(600, 0.5);
    let rate = |(i, e): (usize, &f64)| {
        let t = i as f64 / 600.0;
        let level = match shape {
            Course::Steady => 1.0,
            Course::WarmUp => {
                if t < 0.05 {
                    0.5
                } else {
                    1.0
                }
            }
            Course::Cycles => {
                if (i as f64 / period).fract() < 0.5 {
                    1.0
                } else {
                    0.9
                }
            }
            Course::Step => {
                if t < at {
                    1.0
                } else {
                    1.0 - fall
                }
            }
            Course::Ramp => 1.0 - fall.max(0.15) * t,
        };
        20.0 * level * (0.03 * e).exp()
    };
    waves.iter().enumerate().map(rate).collect()
}

fn throttling(effort: Effort) -> Table {
    let traces = match effort {
        Effort::Quick => 10,
        Effort::Full => 2000,
    };
    let columns = vec!["throughput", "traces", "throttled", "sustained", "inconclusive", "wrong"];
    let mut table = Table { columns, ..Table::default() };
    for (shape, name, falls) in COURSES {
        let found = repeat(traces, |seed| {
            let found = sustained(&rates(shape, &mut Draws::new(9_800, seed)), 0.95);
            found.map(|found| found.verdict)
        });
        let of = |verdict| Rate::of(found.iter().map(|found| *found == Some(verdict)));
        let throttled = of(sustained::Verdict::Throttled);
        let held = of(sustained::Verdict::Sustained);
        let open = of(sustained::Verdict::Inconclusive);
        let wrong = if falls { held } else { throttled };
        table.rows.push(Row {
            cells: vec![
                name.into(),
                traces.to_string(),
                throttled.text(),
                held.text(),
                open.text(),
                wrong.text(),
            ],
            verdict: Holds::of(wrong.share() <= 0.02 && open.share() <= 0.05),
        });
    }
    table
}
