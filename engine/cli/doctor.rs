//! `engine doctor`: what this machine is, what can run on it, what would disturb a measurement.

use std::time::Duration;

use clap::Args;

use super::Shared;
use super::common;
use super::exit::{Exit, Failure};
use super::runtime;
use crate::backend::BACKENDS;
use crate::base::Bytes;
use crate::machine::watch::{Readings, Sources};
use crate::machine::{Fingerprint, Situation, advice};
use crate::record::Verdict;
use crate::run::{Interrupt, Launch, Launcher, Limits};
use crate::stage::{Job, Sabotage};

#[derive(Debug, Args)]
pub struct Doctor {
    /// Also start processes that die in eight ways and check that each is named rightly.
    #[arg(long)]
    isolation: bool,
    /// Fetch the pinned library of ONNX Runtime if the store does not have it.
    #[arg(long, conflicts_with = "ort_library")]
    fetch: bool,
    #[command(flatten)]
    library: common::Library,
}

impl Doctor {
    pub fn execute(self, shared: &Shared) -> Result<Exit, Failure> {
        let machine = Fingerprint::read();
        let cpu = &machine.cpu;
        println!("machine     {}", machine.digest.short());
        println!("processor   {}, {} cores, {} threads", cpu.model, cpu.physical, cpu.logical);
        println!("extensions  {}", cpu.features.join(" "));
        println!(
            "memory      {}",
            machine.memory.map_or("unmeasured".into(), |m| Bytes(m).to_string())
        );
        println!("system      {}, kernel {}", machine.os, machine.kernel);
        match &machine.gpus_unseen {
            Some(why) => println!("gpu         none: {why}"),
            None => machine.gpus.iter().for_each(|gpu| {
                println!("gpu         {} ({}), driver {}", gpu.name, Bytes(gpu.memory), gpu.driver);
            }),
        }
        let build = &machine.engine;
        println!(
            "engine      {} for {}, compiled for {}",
            build.version,
            build.target,
            build.compiled_for.join(" ")
        );
        for backend in BACKENDS {
            println!("backend     {}: {}", backend.version(), backend.about());
        }
        settings(&machine);
        let readings = watched();
        println!("now         {}", told(&readings));
        for advice in advice(&machine, &Situation::read(readings)) {
            println!("advice      {}: {}", advice.what, advice.why);
            if let Some(command) = advice.command {
                println!("              {command}");
            }
        }
        let store = common::open_store(shared)?;
        if self.fetch {
            let launcher =
                Launcher { program: std::env::current_exe()?, interrupt: Interrupt::never() };
            self.library.provide(&store, &launcher)??;
        }
        for line in runtime::lines(&self.library, &store)? {
            println!("onnxruntime {line}");
        }
        let usage = store.du()?;
        let bytes: u64 = usage.kinds.values().map(|kind| kind.bytes).sum();
        println!("store       {}: {}", store.root().display(), Bytes(bytes));
        if self.isolation { isolation(&store) } else { Ok(Exit::Done) }
    }
}

/// Settings that change speed; nothing is changed here.
fn settings(machine: &Fingerprint) {
    let unknown = || "unknown".to_owned();
    let onoff = |flag: Option<bool>| match flag {
        Some(true) => "on",
        Some(false) => "off",
        None => "unknown",
    };
    let own = &machine.settings;
    println!(
        "settings    governor {}, boost {}, SMT {}, huge pages {}, address randomization {}",
        machine.cpu.governor.clone().unwrap_or_else(unknown),
        onoff(own.boost),
        onoff(own.smt),
        machine.transparent_huge_pages.clone().unwrap_or_else(unknown),
        own.aslr.map_or_else(unknown, |level| level.to_string()),
    );
    println!(
        "            microcode {}, memory nodes {}, swap {}, {}, {} weaknesses with a mitigation",
        own.microcode.clone().unwrap_or_else(unknown),
        own.numa_nodes.map_or_else(unknown, |nodes| nodes.to_string()),
        machine.swap.map_or_else(unknown, |bytes| Bytes(bytes).to_string()),
        if own.container == Some(true) { "in a container" } else { "no container seen" },
        own.mitigations.len(),
    );
}

/// How long the machine is watched.
const WATCHED: Duration = Duration::from_secs(1);

/// What the machine does while this program sleeps.
fn watched() -> Readings {
    let mut sources = Sources::open(None);
    let before = sources.whole(true);
    std::thread::sleep(WATCHED);
    let after = sources.whole(true);
    Readings::of(&[before, after], sources.cores())
}

fn told(readings: &Readings) -> String {
    let share = |value: Option<f64>| {
        value.map_or_else(|| "unmeasured".to_owned(), |share| format!("{:.0} %", share * 100.0))
    };
    let cores = f64::from(readings.cores.max(1));
    let mut out = format!(
        "others use {} of {} processors, steal {}",
        share(readings.foreign.map(|used| used / cores)),
        readings.cores,
        share(readings.steal)
    );
    for hog in &readings.hogs {
        out.push_str(&format!(", {} (pid {}) {:.2}", hog.name, hog.pid, hog.cores));
    }
    out
}

/// Starts every saboteur and compares the verdicts.
fn isolation(store: &crate::store::Store) -> Result<Exit, Failure> {
    let launcher = Launcher { program: std::env::current_exe()?, interrupt: Interrupt::never() };
    let limits = Limits { time: Duration::from_secs(3), memory: 512 << 20, output: 4 << 20 };
    let mut right = true;
    for how in Sabotage::ALL {
        let expected = match how {
            Sabotage::Panic => Verdict::Panic,
            Sabotage::Abort => Verdict::Abort,
            Sabotage::Segfault => Verdict::Signal,
            Sabotage::BusyLoop => Verdict::Timeout,
            Sabotage::MemoryHog => Verdict::OutOfMemory,
            Sabotage::OutputFlood => Verdict::OutputCap,
            Sabotage::NoResult => Verdict::NoResult,
            Sabotage::Orphan => Verdict::Leak,
        };
        let scratch = store.begin()?;
        let job = Job::Sabotage(how);
        let launch =
            Launch { job: &job, scratch: scratch.path(), limits, threads: None, padding: 0 };
        let ended = launcher.launch(&launch, &|_| {}).map_err(crate::run::RunError::Launch)?;
        let (mark, found) = match &ended.result {
            Err(failure) if failure.verdict == expected => ("ok", failure.detail.clone()),
            Err(failure) => ("WRONG", format!("{}: {}", failure.verdict.label(), failure.detail)),
            Ok(_) => ("WRONG", "ended well".into()),
        };
        right &= mark == "ok";
        println!("isolation   {mark:<5} {:<22} {found}", expected.label());
    }
    Ok(if right { Exit::Done } else { Exit::Broken })
}
