//! `engine doctor`: what this machine is, what can run on it, what would disturb a measurement.

use std::time::Duration;

use clap::Args;

use super::Shared;
use super::common;
use super::exit::{Exit, Failure};
use super::runtime;
use crate::backend::BACKENDS;
use crate::base::Bytes;
use crate::machine::Fingerprint;
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
        for advice in advice(&machine) {
            println!("advice      {advice}");
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

/// What a person could do for steadier numbers. Nothing is changed.
fn advice(machine: &Fingerprint) -> Vec<String> {
    let mut out = Vec::new();
    if !machine.engine.optimized {
        out.push("this build is not optimized: build with `cargo build --release`".into());
    }
    if machine.virtual_machine {
        out.push("a virtual machine: neighbours may disturb timings; intervals will tell".into());
    }
    if let Some(governor) = &machine.cpu.governor
        && governor != "performance"
    {
        out.push(format!("frequency governor `{governor}`: `performance` gives steadier timings"));
    }
    if let Some(load) = machine.load
        && load > 0.5
    {
        out.push(format!("load average {load:.1}: other programs are running"));
    }
    let missing: Vec<&str> = ["avx2", "avx512f", "avx512_vnni"]
        .into_iter()
        .filter(|f| machine.cpu.features.iter().any(|have| have == f))
        .filter(|f| {
            let compiled = f.replace('_', "");
            !machine.engine.compiled_for.iter().any(|have| have.replace('_', "") == compiled)
        })
        .collect();
    if !missing.is_empty() {
        let list = missing.join(", ");
        out.push(format!("compiled without {list}: build here, with `-C target-cpu=native`"));
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
