//! Facts that make timings of two runs comparable or not.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Cpu, Gpu, Settings, gpus, total_memory};
use crate::base::Digest;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Over everything below that changes speed; runs with different digests are not compared.
    pub digest: Digest,
    pub cpu: Cpu,
    /// Memory in bytes.
    pub memory: Option<u64>,
    pub swap: Option<u64>,
    pub os: String,
    pub kernel: String,
    pub virtual_machine: bool,
    pub gpus: Vec<Gpu>,
    /// Why no GPU is listed.
    pub gpus_unseen: Option<String>,
    pub transparent_huge_pages: Option<String>,
    /// Absent in records of earlier engines.
    #[serde(default)]
    pub settings: Settings,
    /// Load average over one minute when the run began: a fact about the moment, not in the digest.
    pub load: Option<f64>,
    pub engine: Build,
}

/// The program that measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub version: String,
    pub target: String,
    /// Vector extensions the kernels were compiled for.
    pub compiled_for: Vec<String>,
    pub optimized: bool,
    pub candle: String,
}

impl Build {
    pub fn current() -> Self {
        let interesting = |feature: &&str| {
            ["avx", "fma", "f16c", "neon", "dotprod", "i8mm", "bf16", "amx"]
                .iter()
                .any(|prefix| feature.starts_with(prefix))
        };
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            target: env!("ENGINE_TARGET").into(),
            compiled_for: env!("ENGINE_TARGET_FEATURES")
                .split(',')
                .filter(interesting)
                .map(str::to_owned)
                .collect(),
            optimized: !cfg!(debug_assertions),
            candle: env!("ENGINE_CANDLE_VERSION").into(),
        }
    }
}

impl Fingerprint {
    pub fn read() -> Self {
        use procfs::Current;
        let cpu = Cpu::read();
        let text = |path: &str| std::fs::read_to_string(path).map(|t| t.trim().to_owned()).ok();
        let (gpus, gpus_unseen) = match gpus() {
            Ok(gpus) => (gpus, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let mut out = Self {
            digest: Digest::of_bytes(b""),
            memory: total_memory(),
            swap: procfs::Meminfo::current().ok().map(|m| m.swap_total),
            os: os_name(),
            kernel: text("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into()),
            virtual_machine: text("/proc/cpuinfo").is_some_and(|t| t.contains(" hypervisor")),
            gpus,
            gpus_unseen,
            transparent_huge_pages: text("/sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|t| Some(t.split_once('[')?.1.split_once(']')?.0.to_owned())),
            settings: Settings::read(),
            load: procfs::LoadAverage::current()
                .ok()
                .map(|l| (f64::from(l.one) * 100.0).round() / 100.0),
            engine: Build::current(),
            cpu,
        };
        out.digest = Digest::of_json(&out.speed_facts());
        out
    }

    fn speed_facts(&self) -> Value {
        json!({
            "cpu": self.cpu,
            "memory": self.memory,
            "kernel": self.kernel,
            "swap": self.swap,
            "thp": self.transparent_huge_pages,
            "settings": self.settings,
            "virtual_machine": self.virtual_machine,
            "gpus": self.gpus,
            "engine": self.engine,
        })
    }
}

fn os_name() -> String {
    std::fs::read_to_string("/etc/os-release")
        .ok()
        .and_then(|text| {
            text.lines().find_map(|line| {
                Some(line.strip_prefix("PRETTY_NAME=")?.trim_matches('"').to_owned())
            })
        })
        .unwrap_or_else(|| std::env::consts::OS.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_machine_has_the_same_digest_whatever_its_load() {
        assert_eq!(Fingerprint::read().digest, Fingerprint::read().digest);
    }
}
