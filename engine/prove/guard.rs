//! The guard on replays: injected causes are found, quiet machines are left alone.

use serde::Deserialize;

use super::draws::Draws;
use super::repeat::{Rate, repeat};
use super::{Effort, Holds, Proof, Row, Table};
use crate::machine::watch::{
    Canary, Finding, GpuReadings, GpuSample, Level, Process, Readings, Signal, Slowdown, Snapshot,
    Tenant, Usual, judge,
};

pub const REPLAYS: Proof = Proof {
    id: "guard_replays",
    claim: "The guard flags at least 95 % of injected causes and has no finding in at least 98 % of quiet replays.",
    method: "Counters of machines with 1 to 32 processors are made up as a kernel would show them, in ticks and with noise; each replay is one launch after five quiet ones. The row without a cause is the negative control.",
    run: synthetic,
};

pub const RECORDED: Proof = Proof {
    id: "guard_recorded",
    claim: "The guard flags a busy neighbour in counters that were recorded on a real machine, and names it.",
    method: "Recorded windows of two seconds on a machine with two processors.",
    run: recorded,
};

/// Injected causes that may be missed.
const MOST_MISSED: f64 = 0.05;
/// Quiet replays that may have a finding.
const MOST_FALSE: f64 = 0.02;

/// What is done to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Quiet,
    Neighbour,
    Steal,
    Quota,
    MemoryHog,
    Slower,
    Hot,
    Canary,
    GpuHot,
    GpuSlower,
    GpuShared,
}

const CAUSES: &[(Cause, &str, Signal)] = &[
    (Cause::Neighbour, "a neighbour takes 30 to 100 % of the processors", Signal::Foreign),
    (Cause::Steal, "the hypervisor takes 7 to 40 %", Signal::Steal),
    (Cause::Quota, "the quota is used up in 1 to 30 periods", Signal::Throttled),
    (Cause::MemoryHog, "150 to 5,000 pages a second come from swap", Signal::Faults),
    (Cause::Slower, "the clock falls by 20 to 50 %", Signal::Frequency),
    (Cause::Hot, "processors are throttled by heat 1 to 9 times", Signal::Thermal),
    (Cause::Canary, "the canary takes 15 to 60 % longer", Signal::Canary),
    (Cause::GpuHot, "the GPU is slowed by heat in 10 to 90 % of samples", Signal::GpuSlowdown),
    (Cause::GpuSlower, "the GPU's clock falls by 14 to 40 %", Signal::GpuClock),
    (Cause::GpuShared, "another process uses the GPU", Signal::GpuForeign),
];

const HOG: &str = "neighbour";
const TICK: f64 = 0.01;

/// A machine as it is while launches of one variant run.
struct Machine {
    draws: Draws,
    cores: f64,
    /// Processors that the measured process keeps busy.
    own: f64,
    seconds: f64,
    clock: f64,
    canary: Canary,
}

impl Machine {
    fn draw(mut draws: Draws) -> Self {
        let cores = (1 + draws.below(32)) as f64;
        let own = draws.between(0.3, 1.0) * cores;
        let seconds = 0.7 * 30_f64.powf(draws.uniform());
        let canary = Canary { integer: 1.3, memory: 2.0 };
        Self { draws, cores, own, seconds, clock: 3.1e9, canary }
    }

    /// Counters of one launch, as the kernel would show them: in ticks, and counted by whom each
    /// tick finds running.
    fn launch(&mut self, cause: Cause) -> Readings {
        let of = |own: Cause| cause == own;
        let neighbour =
            if of(Cause::Neighbour) { self.draws.between(0.30, 1.0) * self.cores } else { 0.0 };
        let background = self.draws.between(0.0, 0.012) * self.cores;
        // Who runs shares the processors.
        let wanted = self.own + neighbour + background;
        let squeeze = (self.cores / wanted).min(1.0);
        let ticks = self.cores * self.seconds / TICK;
        let share = wanted * squeeze / self.cores;
        let noise = (ticks * share * (1.0 - share)).sqrt() * self.draws.normal();
        let busy = ((ticks * share + noise).clamp(0.0, ticks)).floor() * TICK;
        let steal = match cause {
            Cause::Steal => self.draws.between(0.07, 0.4),
            _ => self.draws.between(0.0, 0.003),
        };
        let waiting = if squeeze < 1.0 { 0.6 } else { self.draws.between(0.0, 0.3) };
        let clock = self.clock * (1.0 + 0.008 * self.draws.normal());
        let clock =
            if of(Cause::Slower) { clock * (1.0 - self.draws.between(0.2, 0.5)) } else { clock };
        let swapped = match cause {
            Cause::MemoryHog => self.draws.between(150.0, 5000.0) * self.seconds,
            _ => 0.0,
        };
        let throttled = if of(Cause::Quota) { 1 + self.draws.below(30) as u64 } else { 0 };
        let thermal = if of(Cause::Hot) { 1 + self.draws.below(9) as u64 } else { 0 };
        let process = |name: &str, pid: u32, seconds: f64| Process {
            pid,
            started: u64::from(pid),
            parent: 1,
            name: name.into(),
            seconds: (seconds / TICK).floor() * TICK,
            ended: 0.0,
        };
        let small = background * squeeze * self.seconds;
        let large = neighbour * squeeze * self.seconds;
        let processes = |part: f64| {
            Some(vec![
                process("daemon", 50, 100.0 + part * small),
                process(HOG, 411, 100.0 + part * large),
            ])
        };
        let first = Snapshot {
            at: 0,
            busy: Some(500.0),
            steal: Some(3.0),
            own: Some(40.0),
            pressure: Some(10.0),
            throttled: Some(2),
            swapped_in: Some(9),
            faults: Some(700),
            switches: Some(4),
            thermal: Some(1),
            processes: processes(0.0),
            ..Snapshot::default()
        };
        let middle = Snapshot { frequency: Some(clock), ..Snapshot::default() };
        let last = Snapshot {
            at: (self.seconds * 1e9) as u64,
            busy: Some(500.0 + busy),
            steal: Some(3.0 + (steal * ticks).floor() * TICK),
            own: Some(40.0 + self.own * squeeze * self.seconds),
            pressure: Some(10.0 + waiting * self.seconds),
            throttled: Some(2 + throttled),
            swapped_in: Some(9 + swapped as u64),
            faults: Some(700),
            switches: Some(90),
            thermal: Some(1 + thermal),
            processes: processes(1.0),
            ..Snapshot::default()
        };
        let mut out = Readings::of(&[first, middle, last], self.cores as u32);
        let longer = if of(Cause::Canary) { 1.0 + self.draws.between(0.15, 0.6) } else { 1.0 };
        let song = |machine: &mut Self, usual: f64| {
            usual * longer * (1.0 + 0.006 * machine.draws.normal())
        };
        let Canary { integer, memory } = self.canary;
        out.canary = Some(Canary { integer: song(self, integer), memory: song(self, memory) });
        out.gpus = self.gpu(cause);
        out
    }

    fn gpu(&mut self, cause: Cause) -> Vec<GpuReadings> {
        let looks = ((self.seconds / 0.5) as usize).max(2);
        let hot = if cause == Cause::GpuHot { self.draws.between(0.1, 0.9) } else { 0.0 };
        let slower = if cause == Cause::GpuSlower { self.draws.between(0.14, 0.4) } else { 0.0 };
        let tenant = Tenant { pid: 77, name: Some("python3".into()), memory: None };
        let samples: Vec<Vec<GpuSample>> = (0..looks)
            .map(|look| {
                let heat = (look as f64) < (hot * looks as f64).ceil();
                vec![GpuSample {
                    utilization: Some(0.95),
                    clock: Some(1.9e9 * (1.0 - slower) * (1.0 + 0.004 * self.draws.normal())),
                    slowdowns: Some(match heat {
                        true => vec![Slowdown::SoftwareThermal, Slowdown::PowerCap],
                        false => vec![Slowdown::PowerCap],
                    }),
                    foreign: Some(match cause {
                        Cause::GpuShared => vec![tenant.clone()],
                        _ => Vec::new(),
                    }),
                    ..GpuSample::default()
                }]
            })
            .collect();
        let looks: Vec<&[GpuSample]> = samples.iter().map(Vec::as_slice).collect();
        GpuReadings::of(&looks)
    }
}

/// Findings about one launch after five quiet ones, and whether they name the neighbour.
fn replay(draws: Draws, cause: Cause) -> (Vec<(Signal, Level)>, bool) {
    let mut machine = Machine::draw(draws);
    let before: Vec<Readings> = (0..5).map(|_| machine.launch(Cause::Quiet)).collect();
    let usual = Usual::of(before.iter(), before.iter());
    let found = judge(&machine.launch(cause), &usual);
    let is_named = found.iter().any(|finding| finding.detail.contains(HOG));
    (found.into_iter().map(|finding| (finding.signal, finding.level)).collect(), is_named)
}

/// Synthetic launches of machines with 1 to 32 processors.
fn synthetic(effort: Effort) -> Table {
    let replays: u64 = match effort {
        Effort::Quick => 300,
        Effort::Full => 20_000,
    };
    let columns = vec!["replays", "injected", "flagged to be left out", "hog named", ""];
    let mut table = Table { columns, ..Table::default() };
    let quiet = repeat(replays, |seed| replay(Draws::new(9_000, seed), Cause::Quiet).0);
    let noticed = Rate::of(quiet.iter().map(|found| !found.is_empty()));
    let is_out = |found: &Vec<(Signal, Level)>| found.iter().any(|f| f.1 == Level::Invalidate);
    table.rows.push(Row {
        cells: vec![
            replays.to_string(),
            "nothing".into(),
            Rate::of(quiet.iter().map(is_out)).text(),
            String::new(),
            format!("any finding in {}", noticed.text()),
        ],
        verdict: Holds::of(noticed.share() <= MOST_FALSE),
    });
    for (study, (cause, words, signal)) in (9_001..).zip(CAUSES) {
        let found = repeat(replays, |seed| {
            let (found, is_named) = replay(Draws::new(study, seed), *cause);
            (found.contains(&(*signal, Level::Invalidate)), is_named)
        });
        let flagged = Rate::of(found.iter().map(|found| found.0));
        let named = Some(Rate::of(found.iter().map(|found| found.1)));
        let named = named.filter(|_| *cause == Cause::Neighbour);
        let enough = |rate: Rate| rate.share() >= 1.0 - MOST_MISSED;
        table.rows.push(Row {
            cells: vec![
                replays.to_string(),
                (*words).into(),
                flagged.text(),
                named.map_or_else(String::new, Rate::text),
                String::new(),
            ],
            verdict: Holds::of(enough(flagged) && named.is_none_or(enough)),
        });
    }
    table.remarks.push(
        "Noise of quiet machines is assumed, not measured: counts by ticks, up to 1.2 % of background work, 0.8 % (sd) of the clock, 0.6 % of the canary. All GPU samples are synthetic; no GPU was available.".into(),
    );
    table
}

/// A recording of a real machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    what: String,
    cores: u32,
    /// The signal that must be flagged, if any.
    cause: Option<Signal>,
    /// The process that must be named.
    hog: Option<String>,
    windows: Vec<Vec<Snapshot>>,
}

const RECORDINGS: &str = include_str!("guard_recorded.json");

/// Counters that were recorded on a real machine, with and without a busy neighbour.
fn recorded(_: Effort) -> Table {
    let all: Vec<Recording> =
        serde_json::from_str(RECORDINGS).expect("the recordings are part of this program");
    let columns =
        vec!["recording", "windows", "flagged to be left out", "any finding", "hog named"];
    let rows = all.iter().map(|recording| {
        let (mut flagged, mut noticed, mut named) = (0, 0, 0);
        for snapshots in &recording.windows {
            let readings = Readings::of(snapshots, recording.cores);
            let found = judge(&readings, &Usual::default());
            let is_out = |f: &Finding| {
                f.level == Level::Invalidate && recording.cause.is_none_or(|c| c == f.signal)
            };
            flagged += usize::from(found.iter().any(is_out));
            noticed += usize::from(!found.is_empty());
            let name = recording.hog.as_deref().unwrap_or("\0");
            named += usize::from(found.iter().any(|f| f.detail.contains(name)));
        }
        let n = recording.windows.len();
        let most = |share: f64| (share * n as f64).floor() as usize;
        let holds = match recording.cause {
            None => noticed <= most(MOST_FALSE),
            Some(_) => {
                n - flagged <= most(MOST_MISSED)
                    && (recording.hog.is_none() || n - named <= most(MOST_MISSED))
            }
        };
        let count = |k: usize| format!("{k} of {n}");
        let hog = if recording.hog.is_some() { count(named) } else { String::new() };
        let cells =
            vec![recording.what.clone(), n.to_string(), count(flagged), count(noticed), hog];
        Row { cells, verdict: Holds::of(holds) }
    });
    Table {
        columns,
        rows: rows.collect(),
        remarks: vec![
            "Recorded once on a virtual machine with two processors that others used too; names other than the neighbour's were taken out.".into(),
        ],
    }
}
