//! What a GPU did while something was measured.

use serde::{Deserialize, Serialize};

/// One look at one GPU. What the driver does not tell is absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpuSample {
    /// As the driver counts them.
    pub index: u32,
    /// Share of the last period for which a kernel ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilization: Option<f64>,
    /// Clock of the multiprocessors in hertz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<f64>,
    /// Why the clock is lower than it could be; empty where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slowdowns: Option<Vec<Slowdown>>,
    /// Bytes of memory in use by anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Watts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
    /// Degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Millijoules since the driver was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<u64>,
    /// Processes on it that are not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Vec<Tenant>>,
}

/// Why the clock of a GPU is lower than it could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slowdown {
    /// Halved or worse by hardware: heat, power brake or a draw that is too high.
    Hardware,
    HardwareThermal,
    SoftwareThermal,
    PowerBrake,
    /// The power limit is reached: usual at full load.
    PowerCap,
    /// Another GPU of its group is slow.
    SyncBoost,
    /// Somebody has set the clock.
    Setting,
}

impl Slowdown {
    pub fn words(self) -> &'static str {
        match self {
            Self::Hardware => "hardware protection",
            Self::HardwareThermal => "heat, by hardware",
            Self::SoftwareThermal => "heat, by the driver",
            Self::PowerBrake => "power brake",
            Self::PowerCap => "power limit",
            Self::SyncBoost => "another GPU of its group",
            Self::Setting => "a set clock",
        }
    }

    /// Whether something outside of the work slows the GPU down.
    pub fn is_external(self) -> bool {
        matches!(
            self,
            Self::Hardware | Self::HardwareThermal | Self::SoftwareThermal | Self::PowerBrake
        )
    }
}

/// A process that uses a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub pid: u32,
    /// What it calls itself, made inert; absent where it cannot be seen from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes of the GPU's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// What samples of GPUs come from: a driver, or a recording.
pub trait GpuSource: Send {
    /// One look at every GPU that is watched; in words why there is none.
    fn sample(&mut self) -> Result<Vec<GpuSample>, String>;
}

/// A recording played back, one look after the other.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub struct Replay(std::collections::VecDeque<Vec<GpuSample>>);

#[cfg(test)]
impl Replay {
    /// From JSON: a list of looks, each a list of samples.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json).map(Self)
    }
}

#[cfg(test)]
impl GpuSource for Replay {
    fn sample(&mut self) -> Result<Vec<GpuSample>, String> {
        self.0.pop_front().ok_or_else(|| "the recording is over".to_owned())
    }
}

/// One window on one GPU.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpuReadings {
    pub index: u32,
    pub samples: u32,
    /// Share of samples in which something outside of the work slowed it down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slowed: Option<f64>,
    /// Every reason that was seen, external or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slowdowns: Vec<Slowdown>,
    /// Median clock of the samples in which it worked, in hertz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<f64>,
    /// Degrees Celsius when the window began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_temperature: Option<f64>,
    /// Highest watts, and highest bytes in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Joules over the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Vec<Tenant>>,
}

impl GpuReadings {
    /// What `looks`, in order of time, say about each GPU.
    pub fn of(looks: &[&[GpuSample]]) -> Vec<Self> {
        let mut indices: Vec<u32> = looks.iter().flat_map(|l| l.iter().map(|s| s.index)).collect();
        indices.sort_unstable();
        indices.dedup();
        let of_one = |index| {
            let samples = looks.iter().flat_map(|look| look.iter());
            Self::of_one(index, &samples.filter(|s| s.index == index).collect::<Vec<_>>())
        };
        indices.into_iter().map(of_one).collect()
    }

    fn of_one(index: u32, samples: &[&GpuSample]) -> Self {
        let told: Vec<&Vec<Slowdown>> =
            samples.iter().filter_map(|s| s.slowdowns.as_ref()).collect();
        let slow = told.iter().filter(|reasons| reasons.iter().any(|r| r.is_external())).count();
        let mut slowdowns: Vec<Slowdown> = Vec::new();
        for reason in told.iter().flat_map(|reasons| reasons.iter()) {
            if !slowdowns.contains(reason) {
                slowdowns.push(*reason);
            }
        }
        let works = |s: &&&GpuSample| s.utilization.is_none_or(|share| share > 0.0);
        let clocks = samples.iter().filter(works).filter_map(|s| s.clock).collect();
        let mut foreign: Option<Vec<Tenant>> = None;
        for tenant in samples.iter().filter_map(|s| s.foreign.as_ref()) {
            let known = foreign.get_or_insert_default();
            for tenant in tenant {
                if !known.iter().any(|old| old.pid == tenant.pid) {
                    known.push(tenant.clone());
                }
            }
        }
        let energies: Vec<u64> = samples.iter().filter_map(|s| s.energy).collect();
        let energy = match energies[..] {
            [first, .., last] => last.checked_sub(first).map(|mj| mj as f64 / 1e3),
            _ => None,
        };
        Self {
            index,
            samples: samples.len() as u32,
            slowed: (!told.is_empty()).then(|| slow as f64 / told.len() as f64),
            slowdowns,
            clock: super::readings::median(clocks),
            start_temperature: samples.first().and_then(|s| s.temperature),
            power: samples.iter().filter_map(|s| s.power).reduce(f64::max),
            memory: samples.iter().filter_map(|s| s.memory).max(),
            energy,
            foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by hand, not on a GPU.
    const SYNTHETIC: &str = include_str!("synthetic_gpu.json");

    #[test]
    fn a_recording_gives_its_looks_and_then_says_that_it_is_over() {
        let mut source = Replay::parse(SYNTHETIC).expect("the recording is sound");
        let mut looks = Vec::new();
        while let Ok(look) = source.sample() {
            looks.push(look);
        }
        assert_eq!(source.sample(), Err("the recording is over".into()));
        let looks: Vec<&[GpuSample]> = looks.iter().map(Vec::as_slice).collect();
        let found = GpuReadings::of(&looks);
        assert_eq!(found.len(), 2, "two GPUs");
        let quiet = &found[0];
        assert_eq!((quiet.index, quiet.samples, quiet.slowed), (0, 4, Some(0.0)));
        assert_eq!(quiet.slowdowns, [Slowdown::PowerCap]);
        assert_eq!(quiet.clock, Some(1.98e9), "the idle sample does not count");
        assert_eq!((quiet.energy, quiet.start_temperature), (Some(900.0), Some(41.0)));
        assert_eq!(quiet.foreign.as_deref(), Some(&[][..]));
        let busy = &found[1];
        assert_eq!((busy.slowed, busy.energy), (Some(0.25), None));
        assert_eq!(busy.foreign.as_ref().map(Vec::len), Some(1));
        assert!(Replay::parse("[[{\"clok\": 1}]]").is_err());
    }
}
