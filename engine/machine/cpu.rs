//! Processors this process may use.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    pub model: String,
    /// Cores within the affinity mask; one per pair of hardware threads.
    pub physical: u32,
    /// Hardware threads within the affinity mask.
    pub logical: u32,
    /// Processor time the control group allows, in cores; `None` without a quota.
    pub quota: Option<f64>,
    /// Vector extensions that matter for inference.
    pub features: Vec<String>,
    pub governor: Option<String>,
    /// Size of the last-level cache in bytes.
    pub cache: Option<u64>,
}

/// Extensions worth naming, in the spelling of the kernel.
const FEATURES: &[&str] = &[
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
];

impl Cpu {
    /// True when products of bytes are added in 32 bits. Other processors of this family add pairs
    /// in 16 bits, which overflow with weights of 8 bits.
    pub fn sums_bytes_in_32_bits(&self) -> bool {
        let has = |feature: &str| self.features.iter().any(|known| known == feature);
        !cfg!(target_arch = "x86_64") || has("avx512_vnni") || has("avx_vnni")
    }

    pub fn read() -> Self {
        let allowed = affinity();
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            })
        };
        let flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
        let flags: BTreeSet<&str> = flags.split_whitespace().collect();
        let logical = (allowed.len() as u32).max(1);
        Self {
            model: field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            physical: physical_cores(&allowed).unwrap_or(logical),
            logical,
            quota: quota(),
            features: FEATURES
                .iter()
                .filter(|f| flags.contains(**f))
                .map(|f| (*f).to_owned())
                .collect(),
            governor: read_trimmed("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            cache: last_level_cache(),
        }
    }
}

/// Numbers of the processors in this process's affinity mask.
pub(super) fn affinity() -> Vec<usize> {
    // SAFETY: the set is plain data, fully initialized by zeroing, and its size is passed along.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            let n = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            return (0..n).collect();
        }
        (0..libc::CPU_SETSIZE as usize).filter(|&i| libc::CPU_ISSET(i, &set)).collect()
    }
}

/// Distinct (package, core) pairs among `allowed`; `None` where the kernel does not tell.
fn physical_cores(allowed: &[usize]) -> Option<u32> {
    let mut cores = BTreeSet::new();
    for cpu in allowed {
        let topology = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
        let package = read_trimmed(&format!("{topology}/physical_package_id"))?;
        let core = read_trimmed(&format!("{topology}/core_id"))?;
        cores.insert((package, core));
    }
    (!cores.is_empty()).then_some(cores.len() as u32)
}

/// cgroup v2 `cpu.max` as a number of cores.
fn quota() -> Option<f64> {
    let text = read_trimmed("/sys/fs/cgroup/cpu.max")?;
    let (quota, period) = text.split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

fn last_level_cache() -> Option<u64> {
    (0..8)
        .filter_map(|i| read_trimmed(&format!("/sys/devices/system/cpu/cpu0/cache/index{i}/size")))
        .filter_map(|text| text.strip_suffix('K')?.parse::<u64>().ok())
        .max()
        .map(|kib| kib * 1024)
}

fn read_trimmed(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_processors() {
        let cpu = Cpu::read();
        assert!(cpu.physical >= 1 && cpu.physical <= cpu.logical, "{cpu:?}");
    }
}
