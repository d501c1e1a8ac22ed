//! What a person could do for steadier numbers. Pure; nothing is changed.

use super::watch::{Readings, Usual, judge};
use super::{Fingerprint, total_memory};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What was found.
    pub what: String,
    /// What it does to measurements.
    pub why: &'static str,
    /// A command that changes it, where there is one.
    pub command: Option<String>,
}

/// Facts that matter now and are no part of a fingerprint.
#[derive(Debug, Clone, Default)]
pub struct Situation {
    /// Conditions of the last moment, with nothing of ours running.
    pub readings: Readings,
    /// `kernel.perf_event_paranoid`.
    pub paranoid: Option<i64>,
    /// Whether the processor's energy counter is there and whether it can be read.
    pub energy: Option<bool>,
    /// Bytes of swap in use.
    pub swapped: Option<u64>,
}

impl Situation {
    /// Reads what is a plain file; `readings` come from watching for a moment.
    pub fn read(readings: Readings) -> Self {
        use procfs::Current as _;
        let text = |path: &str| std::fs::read_to_string(path).ok();
        let number = |path: &str| text(path).and_then(|text| text.trim().parse::<i64>().ok());
        let counter = "/sys/class/powercap/intel-rapl:0/energy_uj";
        let exists = std::path::Path::new(counter).exists();
        Self {
            readings,
            paranoid: number("/proc/sys/kernel/perf_event_paranoid"),
            energy: exists.then(|| text(counter).is_some()),
            swapped: procfs::Meminfo::current().ok().map(|m| m.swap_total - m.swap_free),
        }
    }
}

/// Everything that could be better, the most harmful first.
pub fn advice(machine: &Fingerprint, now: &Situation) -> Vec<Advice> {
    let mut out = Vec::new();
    let mut say = |what: String, why: &'static str, command: Option<&str>| {
        out.push(Advice { what, why, command: command.map(str::to_owned) });
    };
    if !machine.engine.optimized {
        let why = "timings of such a build mean nothing";
        say("this build is not optimized".into(), why, Some("cargo build --release"));
    }
    for finding in judge(&now.readings, &Usual::default()) {
        let why = "blocks that meet this are left out and measured again, up to `bench.guard.max_invalid`";
        let hog = now.readings.hogs.first().map(|hog| format!("kill -STOP {}", hog.pid));
        let stops = finding.signal == super::watch::Signal::Foreign;
        let command = hog
            .filter(|_| stops)
            .map(|stop| format!("{stop}   # and `kill -CONT` afterwards, if it is yours to stop"));
        say(finding.detail, why, command.as_deref());
    }
    if let Some(quota) = machine.cpu.quota
        && quota < f64::from(machine.cpu.logical)
    {
        let what = format!("a quota of {quota:.2} processors, of {} threads", machine.cpu.logical);
        let why =
            "work beyond it is stopped for the rest of a period: use `matrix.threads` up to it";
        say(what, why, Some("systemctl set-property UNIT CPUQuota=   # as the owner of the group"));
    }
    if let Some(governor) = machine.cpu.governor.as_deref().filter(|name| *name != "performance") {
        let what = format!("frequency governor `{governor}`");
        let why = "clocks follow the load with a delay, which short requests notice most";
        say(what, why, Some("sudo cpupower frequency-set -g performance"));
    }
    if machine.settings.boost == Some(true) {
        let why =
            "clocks depend on temperature and on how many cores work: ratios stand it, times move";
        let command = "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost   # or 1 into intel_pstate/no_turbo";
        say("boost is on".into(), why, Some(command));
    }
    if machine.settings.smt == Some(true) {
        let why = "two threads of one core share its units; `matrix.threads: [physical]` uses one of each";
        let command = "echo off | sudo tee /sys/devices/system/cpu/smt/control";
        say("cores run two threads at once".into(), why, Some(command));
    }
    if machine.transparent_huge_pages.as_deref() == Some("always") {
        let why = "when large pages are put together differs from process to process";
        let command = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled";
        say("transparent huge pages are always on".into(), why, Some(command));
    }
    if let Some(used) = now.swapped.filter(|bytes| *bytes > 0) {
        let what = format!("{} lie in swap", crate::base::Bytes(used));
        let why = "what is read back from there while something is measured counts as its time";
        say(
            what,
            why,
            Some("sudo swapoff -a   # and `swapon -a` afterwards; needs as much free memory"),
        );
    }
    if let Some(level) = machine.settings.aslr.filter(|level| *level > 0) {
        let what = format!("addresses are randomized (level {level})");
        let why =
            "wanted: every fresh process draws another layout, so that blocks average over them";
        say(what, why, None);
    }
    if now.energy == Some(false) {
        let why = "energy of the processor stays unmeasured";
        let command = "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj";
        say("the energy counter may not be read".into(), why, Some(command));
    }
    if let Some(level) = now.paranoid.filter(|level| *level > 0) {
        let what = format!("`kernel.perf_event_paranoid` is {level}");
        let why = "tools that read hardware or energy counters through perf are refused; the engine needs none";
        say(what, why, Some("sudo sysctl kernel.perf_event_paranoid=0"));
    }
    if machine.virtual_machine {
        let why = "neighbours are visible as stolen time at best: intervals will tell";
        say("a virtual machine".into(), why, None);
    }
    let all = machine.memory.zip(total_memory()).map(|(own, now)| own.min(now));
    if all.is_some_and(|bytes| bytes < 2 << 30) {
        let why = "little memory: a model that does not fit is read from the disk again and again";
        say("less than 2 GiB of memory".into(), why, None);
    }
    out.extend(features(machine));
    out
}

/// Vector extensions that the processor has and this build does not use.
fn features(machine: &Fingerprint) -> Option<Advice> {
    let plain = |name: &str| name.replace('_', "");
    let compiled: Vec<String> = machine.engine.compiled_for.iter().map(|f| plain(f)).collect();
    let missing: Vec<&str> = ["avx2", "avx512f", "avx512_vnni"]
        .into_iter()
        .filter(|name| machine.cpu.features.iter().any(|have| have == name))
        .filter(|name| !compiled.contains(&plain(name)))
        .collect();
    (!missing.is_empty()).then(|| Advice {
        what: format!("compiled without {}", missing.join(", ")),
        why: "kernels of backend `candle` are slower than this processor allows",
        command: Some("RUSTFLAGS=\"-C target-cpu=native\" cargo build --release".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::watch::Hog;

    fn machine() -> Fingerprint {
        let mut machine = Fingerprint::read();
        machine.engine.optimized = true;
        machine.engine.compiled_for = machine.cpu.features.clone();
        machine.cpu.governor = Some("performance".into());
        machine.cpu.quota = None;
        machine.virtual_machine = false;
        machine.transparent_huge_pages = Some("madvise".into());
        machine.memory = Some(64 << 30);
        machine.settings = super::super::Settings { aslr: Some(0), ..Default::default() };
        machine
    }

    fn told(machine: &Fingerprint, now: &Situation) -> Vec<Advice> {
        let little = |advice: &Advice| advice.what.contains("2 GiB");
        advice(machine, now).into_iter().filter(|advice| !little(advice)).collect()
    }

    #[test]
    fn a_machine_in_order_needs_no_advice() {
        assert_eq!(told(&machine(), &Situation::default()), []);
    }

    #[test]
    fn every_fault_is_told_with_its_command() {
        let mut bad = machine();
        bad.cpu.governor = Some("powersave".into());
        bad.cpu.quota = Some(0.5);
        bad.transparent_huge_pages = Some("always".into());
        bad.settings.boost = Some(true);
        bad.settings.smt = Some(true);
        let hog = Hog { name: "stress".into(), pid: 411, cores: 1.8 };
        let readings = Readings {
            seconds: 1.0,
            cores: 2,
            busy: Some(2.0),
            foreign: Some(1.9),
            hogs: vec![hog],
            ..Readings::default()
        };
        let now =
            Situation { readings, paranoid: Some(2), energy: Some(false), swapped: Some(1 << 20) };
        let all = told(&bad, &now);
        let line =
            |a: &Advice| format!("{}: {}", a.what, a.command.as_deref().unwrap_or("nothing"));
        let text = all.iter().map(line).collect::<Vec<_>>().join("\n");
        for part in [
            "stress (pid 411)",
            "kill -STOP 411",
            "quota of 0.50",
            "cpupower frequency-set -g performance",
            "cpufreq/boost",
            "smt/control",
            "transparent_hugepage/enabled",
            "swapoff",
            "energy_uj",
            "perf_event_paranoid=0",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(all.iter().all(|advice| !advice.why.is_empty()));
    }

    #[test]
    fn a_quota_that_is_no_limit_is_none() {
        let mut wide = machine();
        wide.cpu.quota = Some(f64::from(wide.cpu.logical));
        assert_eq!(told(&wide, &Situation::default()), []);
    }
}
