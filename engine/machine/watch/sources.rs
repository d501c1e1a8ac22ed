//! The files of the kernel that counters are read from.

use std::collections::BTreeSet;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::counters::{counter, groups, pressure_total, processor_ticks};
use super::gpu::GpuSource;
use super::processes;
use super::signal::Signal;
use super::snapshot::Snapshot;
use crate::machine::cpu::affinity;
use crate::machine::usage::{disk_faults, process_time, processor_time, ticks_per_second, used};

/// A signal that cannot be read on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unseen {
    pub signal: Signal,
    pub why: String,
}

/// What is read, and what cannot be.
pub struct Sources {
    /// Where `at` counts from.
    begin: Instant,
    allowed: BTreeSet<usize>,
    /// Files with `nr_throttled`.
    throttling: Vec<String>,
    frequency: Vec<String>,
    thermal: Vec<String>,
    gpus: Option<Box<dyn GpuSource>>,
    unmeasured: Vec<Unseen>,
    /// Children that have not been waited for, and count as ours.
    pub residents: Vec<u32>,
}

impl Sources {
    /// Finds out what can be read here. `gpus` gives samples of the GPUs that are used, or in
    /// words why it cannot; `None` where none is used.
    pub fn open(gpus: Option<Result<Box<dyn GpuSource>, String>>) -> Self {
        let allowed: BTreeSet<usize> = affinity().into_iter().collect();
        let of_each = |path: &str| -> Vec<String> {
            let files =
                allowed.iter().map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/{path}"));
            files.filter(|file| read_number(file).is_some()).collect()
        };
        let groups = groups(&read("/proc/self/cgroup").unwrap_or_default(), "cpu");
        let throttling = groups.iter().map(|group| format!("/sys/fs/cgroup/{group}/cpu.stat"));
        let mut out = Self {
            begin: Instant::now(),
            throttling: throttling.filter(|file| throttled(file).is_some()).collect(),
            frequency: of_each("cpufreq/scaling_cur_freq"),
            thermal: of_each("thermal_throttle/core_throttle_count"),
            gpus: None,
            unmeasured: Vec::new(),
            residents: Vec::new(),
            allowed,
        };
        out.unmeasured = out.missing();
        match gpus {
            Some(Ok(source)) => out.gpus = Some(source),
            Some(Err(why)) => {
                use Signal::{GpuClock, GpuForeign, GpuSlowdown, GpuTemperature};
                let all = [GpuSlowdown, GpuClock, GpuTemperature, GpuForeign];
                out.unmeasured.extend(all.map(|signal| Unseen { signal, why: why.clone() }));
            }
            None => {}
        }
        out
    }

    /// Processors that this process may use.
    pub fn cores(&self) -> u32 {
        self.allowed.len() as u32
    }

    /// What cannot be read here, and why.
    pub fn unmeasured(&self) -> &[Unseen] {
        &self.unmeasured
    }

    fn missing(&self) -> Vec<Unseen> {
        let now = self.counters();
        let mut out = Vec::new();
        let mut lacks = |is_missing: bool, signal, why: &str| {
            if is_missing {
                out.push(Unseen { signal, why: why.to_owned() });
            }
        };
        lacks(now.busy.is_none(), Signal::Foreign, "the kernel shows no processor times");
        lacks(now.steal.is_none(), Signal::Steal, "the kernel shows no processor times");
        lacks(now.pressure.is_none(), Signal::Pressure, "the kernel keeps no pressure accounts");
        lacks(now.throttled.is_none(), Signal::Throttled, "no control group counts throttling");
        lacks(
            now.swapped_in.is_none() && now.faults.is_none(),
            Signal::Faults,
            "the kernel shows no faults",
        );
        lacks(self.frequency.is_empty(), Signal::Frequency, "the machine shows no clock");
        lacks(self.thermal.is_empty(), Signal::Thermal, "the machine does not count throttling");
        out
    }

    /// All counters at this instant, and who else runs where `look` asks for it, which costs most.
    pub fn whole(&mut self, look: bool) -> Snapshot {
        let counters = self.counters();
        self.seen(counters, look)
    }

    /// What only means something while a window lasts: clocks, and GPUs; and who else runs, as
    /// above.
    pub fn between(&mut self, look: bool) -> Snapshot {
        let frequency = self.frequency.iter().filter_map(|file| read_number(file)).max();
        let frequency = frequency.map(hertz);
        self.seen(Snapshot { at: self.now(), frequency, ..Snapshot::default() }, look)
    }

    /// Whether there are clocks or GPUs to look at while a window lasts.
    pub fn change_within(&self) -> bool {
        !self.frequency.is_empty() || self.gpus.is_some()
    }

    fn seen(&mut self, mut out: Snapshot, look: bool) -> Snapshot {
        if look {
            out.processes = processes::look(std::process::id());
        }
        // A look that fails is missing from its window.
        if let Some(Ok(samples)) = self.gpus.as_mut().map(|gpus| gpus.sample()) {
            out.gpus = samples;
        }
        out
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn counters(&self) -> Snapshot {
        let stat = read("/proc/stat").unwrap_or_default();
        let ticks = processor_ticks(&stat, &self.allowed);
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second();
        let pressure = read("/proc/pressure/cpu").and_then(|text| pressure_total(&text));
        let memory = read("/proc/vmstat").unwrap_or_default();
        let (mine, children) = (used(libc::RUSAGE_SELF), used(libc::RUSAGE_CHILDREN));
        // What has ended meanwhile is among the children that were waited for.
        let staying: f64 = self.residents.iter().filter_map(|pid| process_time(*pid)).sum();
        let disk: u64 = self.residents.iter().filter_map(|pid| disk_faults(*pid)).sum();
        let sum = |files: &[String], of: fn(&str) -> Option<u64>| {
            (!files.is_empty()).then(|| files.iter().filter_map(|file| of(file)).sum())
        };
        Snapshot {
            at: self.now(),
            busy: ticks.map(|(busy, _)| seconds(busy)),
            steal: ticks.map(|(_, steal)| seconds(steal)),
            own: mine.as_ref().zip(children.as_ref()).map(|(mine, them)| {
                (processor_time(mine) + processor_time(them)) as f64 / 1e9 + staying
            }),
            pressure: pressure.map(|micros| micros as f64 / 1e6),
            throttled: sum(&self.throttling, throttled),
            swapped_in: counter(&memory, "pswpin"),
            faults: children.as_ref().map(|usage| usage.ru_majflt as u64 + disk),
            // The kernel tells them by thread of a process that lives.
            switches: children
                .as_ref()
                .filter(|_| self.residents.is_empty())
                .map(|usage| usage.ru_nivcsw as u64),
            frequency: None,
            thermal: sum(&self.thermal, read_number),
            processes: None,
            gpus: Vec::new(),
        }
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn read_number(path: &str) -> Option<u64> {
    read(path)?.trim().parse().ok()
}

fn throttled(path: &str) -> Option<u64> {
    counter(&read(path)?, "nr_throttled")
}

/// The kernel gives thousands of hertz.
fn hertz(kilohertz: u64) -> f64 {
    kilohertz as f64 * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::watch::Readings;

    /// Prints windows as `prove/guard_recorded.json` keeps them. `GUARD_WINDOWS` says how many,
    /// `GUARD_HOG` which name is kept.
    #[test]
    #[ignore = "records this machine"]
    fn records_windows() {
        let setting = |name: &str| std::env::var(name).unwrap_or_default();
        let kept = setting("GUARD_HOG");
        let mut sources = Sources::open(None);
        for _ in 0..setting("GUARD_WINDOWS").parse().unwrap_or(1) {
            let mut window = vec![sources.whole(true)];
            std::thread::sleep(std::time::Duration::from_secs(2));
            window.push(sources.whole(true));
            let (first, last) = (window[0].processes.clone(), window[1].processes.clone());
            let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
            let found = processes::hogs(&[&first, &last], 2.0);
            for snapshot in &mut window {
                let all = snapshot.processes.iter_mut().flatten();
                for process in all.filter(|process| process.name != kept) {
                    process.name = "other".into();
                }
                if let Some(all) = &mut snapshot.processes {
                    all.retain(|process| found.iter().any(|hog| hog.pid == process.pid));
                }
            }
            println!("WINDOW {}", serde_json::to_string(&window).unwrap());
        }
    }

    #[test]
    fn what_children_that_stay_have_used_counts_as_ours_while_they_live_and_afterwards() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .expect("there is a shell");
        let mut sources = Sources::open(None);
        while process_time(child.id()).expect("it lives") < 0.2 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut own = |residents: &[u32]| {
            sources.residents = residents.to_vec();
            sources.whole(false).own.expect("it was read")
        };
        let (with, without) = (own(&[child.id()]), own(&[]));
        child.kill().and_then(|()| child.wait()).expect("our own child");
        let after = own(&[]);
        assert!(with > without + 0.1, "{with} with it, {without} a moment later without");
        assert!(after > without + 0.1, "{after} once it was waited for");
    }

    #[test]
    fn this_machine_is_read_and_what_is_missing_says_why() {
        let mut sources = Sources::open(Some(Err("no NVIDIA driver library found".into())));
        let first = sources.whole(true);
        let mut turns = 0_u64;
        while sources.begin.elapsed().as_millis() < 60 {
            turns = std::hint::black_box(turns + 1);
        }
        let (between, last) = (sources.between(true), sources.whole(true));
        assert!(first.at < between.at && between.at < last.at);
        assert!(first.busy.is_some() && first.own.is_some() && between.processes.is_some());
        let found = Readings::of(&[first, between, last], sources.cores());
        assert!(found.seconds > 0.03 && found.cores >= 1, "{found:?}");
        let missing = |signal| sources.unmeasured().iter().any(|unseen| unseen.signal == signal);
        assert_eq!(found.pressure.is_none(), missing(Signal::Pressure));
        assert_eq!(found.throttled.is_none(), missing(Signal::Throttled));
        assert_eq!(found.frequency.is_none(), missing(Signal::Frequency));
        assert_eq!(found.thermal.is_none(), missing(Signal::Thermal));
        assert!(missing(Signal::GpuForeign));
        assert!(sources.unmeasured().iter().all(|unseen| !unseen.why.is_empty()));
    }
}
