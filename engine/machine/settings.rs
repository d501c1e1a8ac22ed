//! Settings of the machine that change how fast it is, as the kernel tells them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Settings that change speed. What the kernel does not tell is absent, as is everything in
/// records of earlier engines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub microcode: Option<String>,
    /// Whether cores run two threads at once.
    pub smt: Option<bool>,
    /// Memory nodes.
    pub numa_nodes: Option<u32>,
    /// Whether clocks may rise above the nominal one.
    pub boost: Option<bool>,
    /// Level of the randomized layout of addresses: 0 none, 1 partly, 2 all.
    pub aslr: Option<u8>,
    /// Weaknesses of the processor that it has, and what the kernel does about them.
    pub mitigations: BTreeMap<String, String>,
    /// Whether this process lives in a container.
    pub container: Option<bool>,
}

impl Settings {
    pub fn read() -> Self {
        let cpu = "/sys/devices/system/cpu";
        let flag = |path: String| number(&path).map(|n| n != 0);
        Self {
            microcode: microcode(&text("/proc/cpuinfo").unwrap_or_default()),
            smt: flag(format!("{cpu}/smt/active")),
            numa_nodes: numa_nodes(),
            boost: flag(format!("{cpu}/cpufreq/boost"))
                .or_else(|| flag(format!("{cpu}/intel_pstate/no_turbo")).map(|no| !no)),
            aslr: number("/proc/sys/kernel/randomize_va_space").map(|n| n as u8),
            mitigations: mitigations(&format!("{cpu}/vulnerabilities")),
            container: contained(),
        }
    }
}

fn microcode(cpuinfo: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "microcode").then(|| value.trim().to_owned())
    })
}

fn numa_nodes() -> Option<u32> {
    let names = std::fs::read_dir("/sys/devices/system/node").ok()?.flatten();
    let is_node = |name: &str| name.strip_prefix("node").is_some_and(|n| n.parse::<u32>().is_ok());
    let nodes = names.filter(|entry| entry.file_name().to_str().is_some_and(is_node)).count();
    u32::try_from(nodes).ok().filter(|nodes| *nodes > 0)
}

fn mitigations(folder: &str) -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    let told = entries.flatten().filter_map(|entry| {
        let state = text(entry.path().to_str()?)?;
        (state != "Not affected").then_some((entry.file_name().into_string().ok()?, state))
    });
    told.collect()
}

/// Marks that the usual container programs leave.
fn contained() -> Option<bool> {
    let marked = ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists());
    let groups = text("/proc/1/cgroup")?;
    let names = ["docker", "kubepods", "containerd", "libpod", "lxc"];
    Some(marked || names.iter().any(|name| groups.contains(name)))
}

fn text(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number(path: &str) -> Option<u64> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_microcode_is_the_first_one_told() {
        let told = "processor\t: 0\nmicrocode\t: 0xa0011d5\nflags\t: a b\nmicrocode\t: 0x1\n";
        assert_eq!(microcode(told).as_deref(), Some("0xa0011d5"));
        assert_eq!(microcode("processor : 0\n"), None);
    }

    #[test]
    fn settings_of_earlier_records_are_all_absent() {
        assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), Settings::default());
    }

    #[test]
    fn this_machine_tells_how_it_lays_out_addresses() {
        let found = Settings::read();
        assert!(found.aslr.is_none_or(|level| level <= 2), "{found:?}");
        assert!(found.mitigations.values().all(|state| state != "Not affected"));
    }
}
