//! What readings mean for a measurement. Pure: the same readings give the same findings.

use serde::{Deserialize, Serialize};

use super::canary::Canary;
use super::gpu::Tenant;
use super::processes::Hog;
use super::readings::{Readings, median};
use super::signal::Signal;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The reader should know.
    Warn,
    /// The arms of the block did not meet the same machine.
    Invalidate,
}

/// A signal beyond a threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    pub signal: Signal,
    pub level: Level,
    /// What was compared with the threshold, in the unit of the signal's gauge.
    pub value: f64,
    /// For people; names in it are inert.
    pub detail: String,
}

/// What earlier windows were like.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Usual {
    pub frequency: Option<f64>,
    /// Major faults per second.
    pub faults: Option<f64>,
    pub canary: Option<Canary>,
    /// Clock by index of the GPU.
    pub gpu_clocks: Vec<(u32, f64)>,
}

/// Fewer windows than this have no median to speak of.
const LEAST_USUAL: usize = 3;

impl Usual {
    /// Medians of earlier windows: `own` of the same variant, because its instructions and its
    /// memory are part of them; the canary's of `all`.
    pub fn of<'a>(
        own: impl Iterator<Item = &'a Readings> + Clone,
        all: impl Iterator<Item = &'a Readings> + Clone,
    ) -> Self {
        let middle =
            |values: Vec<f64>| median(values.clone()).filter(|_| values.len() >= LEAST_USUAL);
        let songs: Vec<Canary> = all.filter_map(|r| r.canary).collect();
        let canary = middle(songs.iter().map(|song| song.integer).collect())
            .zip(middle(songs.iter().map(|song| song.memory).collect()))
            .map(|(integer, memory)| Canary { integer, memory });
        let mut indices: Vec<u32> =
            own.clone().flat_map(|r| r.gpus.iter().map(|gpu| gpu.index)).collect();
        indices.sort_unstable();
        indices.dedup();
        let clock = |index: u32| {
            let gpus = own.clone().flat_map(|r| &r.gpus).filter(|gpu| gpu.index == index);
            Some((index, middle(gpus.filter_map(|gpu| gpu.clock).collect())?))
        };
        let gpu_clocks = indices.into_iter().filter_map(clock).collect();
        let rate = |r: &Readings| Some(r.faults? as f64 / r.seconds);
        Self {
            frequency: middle(own.clone().filter_map(|r| r.frequency).collect()),
            faults: middle(own.filter_map(rate).collect()),
            canary,
            gpu_clocks,
        }
    }
}

impl Usual {
    /// The same for a process that stays beside others: any number of faults is usual, because
    /// these may have pushed its pages out.
    #[must_use]
    pub fn beside_others(self) -> Self {
        Self { faults: Some(f64::INFINITY), ..self }
    }
}

/// What is wrong with one window.
pub fn judge(readings: &Readings, usual: &Usual) -> Vec<Finding> {
    let mut out = Vec::new();
    visit(readings, usual, &mut |signal, value, detail| out.extend(measure(signal, value, detail)));
    out
}

/// What is compared with the thresholds of each signal that was read, several of one signal where
/// there are several GPUs.
pub fn values(readings: &Readings, usual: &Usual) -> Vec<(Signal, f64)> {
    let mut out = Vec::new();
    visit(readings, usual, &mut |signal, value, _| out.push((signal, value)));
    out
}

/// Told of a signal, its value, and how to say that value.
type Visitor<'a> = dyn FnMut(Signal, f64, &dyn Fn(f64) -> String) + 'a;

fn visit(readings: &Readings, usual: &Usual, tell: &mut Visitor<'_>) {
    let mut look = |signal, value: Option<f64>, detail: &dyn Fn(f64) -> String| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            tell(signal, value, detail);
        }
    };
    let foreign = foreign_share(readings);
    look(Signal::Foreign, foreign, &|share| others(readings, share));
    look(Signal::Steal, steal_share(readings), &|share| {
        format!("the hypervisor took {} of the processors' time", percent(share))
    });
    // Others hardly ran: whoever waited waited for our own threads.
    let warns = Signal::Foreign.gauge().warn.unwrap_or(0.0);
    let pressure = readings.pressure.filter(|_| foreign.is_none_or(|share| share > warns));
    look(Signal::Pressure, pressure, &|share| {
        format!("tasks waited for a processor in {} of the time", percent(share))
    });
    look(Signal::Throttled, readings.throttled.map(|n| n as f64), &|n| {
        format!("the quota of the control group was used up in {n:.0} periods")
    });
    look(Signal::Faults, faults(readings, usual), &|rate| {
        format!("{rate:.1} pages a second came from a disk")
    });
    let below = |own: Option<f64>, usual: Option<f64>| Some(1.0 - own? / usual?);
    look(Signal::Frequency, below(readings.frequency, usual.frequency), &|share| {
        format!("the clock was {} below its median", percent(share))
    });
    look(Signal::Thermal, readings.thermal.map(|n| n as f64), &|n| {
        format!("processors were slowed down {n:.0} times because they were hot")
    });
    let off = readings.canary.zip(usual.canary).map(|(own, usual)| own.distance(&usual));
    look(Signal::Canary, off, &|share| {
        format!("a loop that always does the same took {} more or less than usual", percent(share))
    });
    for gpu in &readings.gpus {
        let index = gpu.index;
        look(Signal::GpuSlowdown, gpu.slowed, &|share| {
            let external = gpu.slowdowns.iter().filter(|reason| reason.is_external());
            let words: Vec<&str> = external.map(|reason| reason.words()).collect();
            let words = words.join(", ");
            format!("GPU {index} was slowed down in {} of samples: {words}", percent(share))
        });
        let usual = usual.gpu_clocks.iter().find(|(known, _)| *known == index);
        look(Signal::GpuClock, below(gpu.clock, usual.map(|(_, clock)| *clock)), &|share| {
            format!("the clock of GPU {index} was {} below its median", percent(share))
        });
        let tenants = gpu.foreign.as_ref().map(|tenants| tenants.len() as f64);
        look(Signal::GpuForeign, tenants, &|_| {
            let names: Vec<String> = gpu.foreign.iter().flatten().map(tenant).collect();
            format!("others on GPU {index}: {}", names.join(", "))
        });
    }
}

/// What is wrong with a block, by the place of the launch among `launches`: what is wrong with
/// each of its windows, and what only shows between them (at the place of the last).
pub fn judge_block(launches: &[(&Readings, Usual)]) -> Vec<(usize, Finding)> {
    let mut out: Vec<(usize, Finding)> = Vec::new();
    for (at, (readings, usual)) in launches.iter().enumerate() {
        out.extend(judge(readings, usual).into_iter().map(|finding| (at, finding)));
    }
    let starts = launches
        .iter()
        .flat_map(|(readings, _)| &readings.gpus)
        .filter_map(|gpu| gpu.start_temperature);
    let (low, high) =
        starts.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), t| (low.min(t), high.max(t)));
    let spread = measure(Signal::GpuTemperature, high - low, &|spread| {
        format!("launches began at GPU temperatures {spread:.0} °C apart")
    });
    out.extend(spread.map(|finding| (launches.len().saturating_sub(1), finding)));
    out
}

/// How many blocks may be left out so that they are at most `share` of all, when `counted` count.
pub fn most_left_out(share: f64, counted: u32) -> u32 {
    // A share of a half at most; `max` keeps records by other hands from dividing by 0.
    let share = share.clamp(0.0, 0.5);
    (share / (1.0 - share) * f64::from(counted) + 1e-9).floor() as u32
}

/// Compares a value with the thresholds of its signal.
fn measure(signal: Signal, value: f64, detail: &dyn Fn(f64) -> String) -> Option<Finding> {
    let gauge = signal.gauge();
    let beyond = |threshold: Option<f64>| threshold.is_some_and(|most| value > most);
    let level = match (beyond(gauge.invalidate), beyond(gauge.warn)) {
        (true, _) => Level::Invalidate,
        (false, true) => Level::Warn,
        _ => return None,
    };
    Some(Finding { signal, level, value, detail: detail(value) })
}

/// Seconds of one tick of the kernel's clock in its accounts.
const TICK: f64 = 0.01;

/// Share of our processors that others used for certain.
///
/// The kernel counts whoever is found running when its clock ticks, so that a busy share `p` over
/// `n` ticks is uncertain by `sqrt(n p (1 − p))` of them. Twice that, and one, are not held against
/// anybody. What processes have used themselves is counted exactly and holds without allowance.
fn foreign_share(readings: &Readings) -> Option<f64> {
    let cores = f64::from(readings.cores.max(1));
    let ticks = cores * readings.seconds / TICK;
    let share = (readings.busy? / cores).clamp(0.0, 1.0);
    let doubt = TICK * (1.0 + 2.0 * (ticks * share * (1.0 - share)).sqrt()) / readings.seconds;
    let certain = (readings.foreign? - doubt).max(0.0).max(readings.named());
    Some((certain / cores).min(1.0))
}

/// Share of stolen time, without the tick per processor that may be rounding.
fn steal_share(readings: &Readings) -> Option<f64> {
    Some((readings.steal? - TICK / readings.seconds).max(0.0))
}

/// Pages per second that came from a disk, beyond what is usual for the variant.
fn faults(readings: &Readings, usual: &Usual) -> Option<f64> {
    let swapped = readings.swapped_in.map(|pages| pages as f64 / readings.seconds);
    let faults = readings
        .faults
        .map(|faults| (faults as f64 / readings.seconds - usual.faults.unwrap_or(0.0)).max(0.0));
    match (swapped, faults) {
        (None, None) => None,
        (swapped, faults) => Some(swapped.unwrap_or(0.0) + faults.unwrap_or(0.0)),
    }
}

/// Who used the processors.
fn others(readings: &Readings, share: f64) -> String {
    let cores = readings.cores;
    let used = share * f64::from(cores);
    let mut names: Vec<String> = readings.hogs.iter().map(hog).collect();
    let unnamed = used - readings.named();
    if names.is_empty() {
        names.push("by nothing that can be seen from here".into());
    } else if unnamed > 0.1 * f64::from(cores) {
        names.push(format!("{unnamed:.2} by others"));
    }
    let names = names.join(", ");
    format!("others used {used:.2} of {cores} processors ({}): {names}", percent(share))
}

fn hog(hog: &Hog) -> String {
    format!("{} (pid {}) {:.2}", hog.name, hog.pid, hog.cores)
}

fn tenant(tenant: &Tenant) -> String {
    format!("{} (pid {})", tenant.name.as_deref().unwrap_or("unknown"), tenant.pid)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::watch::gpu::{GpuReadings, Slowdown};

    fn quiet() -> Readings {
        Readings {
            seconds: 10.0,
            cores: 2,
            busy: Some(1.0),
            foreign: Some(0.02),
            steal: Some(0.0),
            pressure: Some(0.02),
            throttled: Some(0),
            swapped_in: Some(0),
            faults: Some(0),
            frequency: Some(3e9),
            thermal: Some(0),
            canary: Some(Canary { integer: 1.0, memory: 2.0 }),
            ..Readings::default()
        }
    }

    fn usual() -> Usual {
        let seen = [quiet(), quiet(), quiet()];
        Usual::of(seen.iter(), seen.iter())
    }

    fn found(readings: &Readings) -> Vec<(Signal, Level)> {
        judge(readings, &usual()).into_iter().map(|f| (f.signal, f.level)).collect()
    }

    #[test]
    fn a_quiet_window_has_no_findings_and_neither_has_one_without_readings() {
        assert_eq!(found(&quiet()), []);
        assert_eq!(found(&Readings { seconds: 1.0, cores: 2, ..Readings::default() }), []);
    }

    #[test]
    fn every_threshold_warns_and_then_invalidates() {
        use Level::{Invalidate, Warn};
        use Signal::{
            Canary as Song, Faults, Foreign, Frequency, Pressure, Steal, Thermal, Throttled,
        };
        let with = |change: &dyn Fn(&mut Readings)| {
            let mut readings = quiet();
            change(&mut readings);
            found(&readings)
        };
        assert_eq!(with(&|r| r.foreign = Some(0.3)), [(Foreign, Warn)]);
        assert_eq!(with(&|r| r.foreign = Some(0.8)), [(Foreign, Invalidate)]);
        assert_eq!(with(&|r| r.steal = Some(0.02)), [(Steal, Warn)]);
        assert_eq!(with(&|r| r.steal = Some(0.07)), [(Steal, Invalidate)]);
        assert_eq!(with(&|r| r.pressure = Some(0.9)), [], "our own threads waited");
        let others = with(&|r| (r.pressure, r.foreign) = (Some(0.9), Some(0.3)));
        assert_eq!(others, [(Foreign, Warn), (Pressure, Invalidate)]);
        assert_eq!(with(&|r| r.throttled = Some(1)), [(Throttled, Invalidate)]);
        assert_eq!(with(&|r| r.faults = Some(3)), [(Faults, Warn)]);
        assert_eq!(with(&|r| r.swapped_in = Some(1500)), [(Faults, Invalidate)]);
        assert_eq!(with(&|r| r.frequency = Some(2.8e9)), [(Frequency, Warn)]);
        assert_eq!(with(&|r| r.frequency = Some(2.4e9)), [(Frequency, Invalidate)]);
        assert_eq!(with(&|r| r.frequency = Some(3.6e9)), [], "faster is no trouble");
        assert_eq!(with(&|r| r.thermal = Some(2)), [(Thermal, Invalidate)]);
        let song = |integer, memory| Some(Canary { integer, memory });
        assert_eq!(with(&|r| r.canary = song(1.0, 1.9)), [(Song, Warn)]);
        assert_eq!(with(&|r| r.canary = song(1.2, 2.0)), [(Song, Invalidate)]);
    }

    #[test]
    fn the_hog_is_named_and_so_is_what_cannot_be_seen() {
        let hog = Hog { name: "stress".into(), pid: 411, cores: 0.98 };
        let readings = Readings { foreign: Some(1.0), hogs: vec![hog], ..quiet() };
        let all = judge(&readings, &usual());
        assert!(all[0].detail.contains("stress (pid 411) 0.98"), "{}", all[0].detail);
        let unseen = Readings { foreign: Some(1.0), ..quiet() };
        assert!(judge(&unseen, &usual())[0].detail.contains("nothing that can be seen"));
    }

    #[test]
    fn what_ticks_cannot_tell_is_not_held_against_anybody() {
        let short = Readings { seconds: 0.2, foreign: Some(0.2), ..quiet() };
        assert_eq!(found(&short), [], "four ticks of forty");
        let long = Readings { seconds: 200.0, foreign: Some(0.2), ..quiet() };
        assert_eq!(found(&long), [(Signal::Foreign, Level::Warn)]);
    }

    #[test]
    fn a_variant_that_always_reads_from_the_disk_is_not_disturbed_by_it() {
        let reading = Readings { faults: Some(5000), ..quiet() };
        let seen = [reading.clone(), reading.clone(), reading.clone()];
        let usual = Usual::of(seen.iter(), seen.iter());
        assert_eq!(judge(&reading, &usual), []);
        assert_eq!(judge(&reading, &Usual::default())[0].level, Level::Invalidate);
    }

    #[test]
    fn too_few_windows_have_no_median() {
        let seen = [quiet(), quiet()];
        assert_eq!(Usual::of(seen.iter(), seen.iter()), Usual::default());
    }

    #[test]
    fn at_most_the_share_of_all_blocks_is_left_out() {
        let most = most_left_out;
        assert_eq!((most(0.2, 10), most(0.2, 4), most(0.2, 3)), (2, 1, 0));
        assert_eq!((most(0.5, 10), most(0.0, 1000)), (10, 0));
        for counted in 0..200 {
            let out = most(0.2, counted);
            assert!(f64::from(out) <= 0.2 * f64::from(out + counted) + 1e-9);
        }
    }

    #[test]
    fn gpus_are_judged_by_what_is_outside_of_the_work() {
        let gpu = GpuReadings {
            samples: 100,
            slowed: Some(0.0),
            slowdowns: vec![Slowdown::PowerCap],
            clock: Some(2e9),
            start_temperature: Some(40.0),
            foreign: Some(Vec::new()),
            ..GpuReadings::default()
        };
        let on = |gpu: GpuReadings| Readings { gpus: vec![gpu], ..quiet() };
        let seen = [on(gpu.clone()), on(gpu.clone()), on(gpu.clone())];
        let usual = Usual::of(seen.iter(), seen.iter());
        let found = |gpu: GpuReadings| -> Vec<(Signal, Level)> {
            judge(&on(gpu), &usual).into_iter().map(|f| (f.signal, f.level)).collect()
        };
        assert_eq!(found(gpu.clone()), [], "a power cap is normal at full load");
        let slowdowns = vec![Slowdown::HardwareThermal, Slowdown::PowerCap];
        let hot = GpuReadings { slowed: Some(0.05), slowdowns, ..gpu.clone() };
        assert_eq!(found(hot), [(Signal::GpuSlowdown, Level::Invalidate)]);
        let slow = GpuReadings { clock: Some(1.9e9), ..gpu.clone() };
        assert_eq!(found(slow), [(Signal::GpuClock, Level::Warn)]);
        let tenant = Tenant { pid: 7, name: Some("python3".into()), memory: None };
        let shared = GpuReadings { foreign: Some(vec![tenant]), ..gpu.clone() };
        let all = judge(&on(shared), &usual);
        assert_eq!(all[0].signal, Signal::GpuForeign);
        assert!(all[0].detail.contains("python3 (pid 7)"), "{}", all[0].detail);
        let warmer = GpuReadings { start_temperature: Some(45.0), ..gpu.clone() };
        let block = [(&on(gpu), usual.clone()), (&on(warmer), usual.clone())];
        let all = judge_block(&block);
        assert_eq!((all.len(), all[0].0), (1, 1));
        assert_eq!((all[0].1.signal, all[0].1.level), (Signal::GpuTemperature, Level::Warn));
        assert_eq!(judge_block(&[]), []);
    }
}
