//! What counters say about a window.

use serde::{Deserialize, Serialize};

use super::canary::Canary;
use super::gpu::{GpuReadings, GpuSample};
use super::processes::{Hog, Process, hogs};
use super::snapshot::Snapshot;

/// The conditions of one window. What could not be read is absent, never 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Readings {
    /// Length of the window.
    pub seconds: f64,
    /// Processors that this process may use.
    pub cores: u32,
    /// Average number of them that did something, our own work included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy: Option<f64>,
    /// Average number of them that worked for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<f64>,
    /// Share of their time that the hypervisor gave to somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steal: Option<f64>,
    /// Share of the window in which some task of the machine waited for a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<f64>,
    /// Periods in which the quota of a control group was used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u64>,
    /// Pages read back from swap by anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swapped_in: Option<u64>,
    /// Page faults of the measured process that had to read from a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<u64>,
    /// Times that it was taken off a processor while it wanted to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switches: Option<u64>,
    /// Mean clock of the fastest processor while it ran, in hertz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency: Option<f64>,
    /// Times that processors were slowed down because they were hot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thermal: Option<u64>,
    /// Who used the processors besides us, the greediest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hogs: Vec<Hog>,
    /// The canary's time just before the block, with the first launch of the block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuReadings>,
    /// Processor seconds that reading took, before the window, in it and after it. (Records of
    /// earlier engines have those of starting the process and of reading its result in here.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Processor seconds of the canary's song, where it was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub song: Option<f64>,
}

impl Readings {
    /// What `snapshots`, in order of time, say about the window from the first to the last.
    /// `cores` is the number of processors that `busy` and `steal` are summed over. All absent
    /// with fewer than two snapshots.
    pub fn of(snapshots: &[Snapshot], cores: u32) -> Self {
        let [first, between @ .., last] = snapshots else { return Self::default() };
        let seconds = last.at.saturating_sub(first.at) as f64 / 1e9;
        let mut out = Self { seconds, cores, ..Self::default() };
        if seconds <= 0.0 {
            return out;
        }
        let grown = |of: fn(&Snapshot) -> Option<f64>| Some((of(last)? - of(first)?).max(0.0));
        let counted = |of: fn(&Snapshot) -> Option<u64>| Some(of(last)?.saturating_sub(of(first)?));
        out.busy = grown(|s| s.busy).map(|busy| busy / seconds);
        out.foreign = out.busy.and_then(|busy| {
            Some((busy - grown(|s| s.own)? / seconds).clamp(0.0, f64::from(cores)))
        });
        out.steal =
            grown(|s| s.steal).map(|stolen| (stolen / seconds / f64::from(cores.max(1))).min(1.0));
        out.pressure = grown(|s| s.pressure).map(|waited| (waited / seconds).min(1.0));
        out.throttled = counted(|s| s.throttled);
        out.swapped_in = counted(|s| s.swapped_in);
        out.faults = counted(|s| s.faults);
        out.switches = counted(|s| s.switches);
        out.thermal = counted(|s| s.thermal);
        // Before and after it nothing of ours ran, and clocks fall.
        let clocks: Vec<f64> = between.iter().filter_map(|s| s.frequency).collect();
        out.frequency =
            (!clocks.is_empty()).then(|| clocks.iter().sum::<f64>() / clocks.len() as f64);
        let looks: Vec<&[Process]> =
            snapshots.iter().filter_map(|s| s.processes.as_deref()).collect();
        out.hogs = hogs(&looks, seconds);
        let samples: Vec<&[GpuSample]> =
            snapshots.iter().map(|s| s.gpus.as_slice()).filter(|look| !look.is_empty()).collect();
        out.gpus = GpuReadings::of(&samples);
        out
    }

    /// Average number of processors that the named processes used.
    pub fn named(&self) -> f64 {
        self.hogs.iter().map(|hog| hog.cores).sum()
    }
}

/// Middle of `values`, or the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Snapshot {
        Snapshot {
            at: (seconds * 1e9) as u64,
            busy: Some(100.0 + 1.75 * seconds),
            steal: Some(7.0 + 0.02 * seconds),
            own: Some(3.0 + 1.5 * seconds),
            pressure: Some(0.1 * seconds),
            throttled: Some(5),
            faults: Some((10.0 * seconds) as u64),
            frequency: Some(3e9 + 1e8 * seconds),
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_window_is_the_difference_of_its_ends() {
        let found = Readings::of(&[at(1.0), at(3.0), at(5.0)], 2);
        let close = |found: Option<f64>, expected: f64| {
            assert!((found.expect("it was read") - expected).abs() < 1e-9, "{found:?}");
        };
        close(Some(found.seconds), 4.0);
        close(found.busy, 1.75);
        close(found.foreign, 0.25);
        close(found.steal, 0.01);
        close(found.pressure, 0.1);
        close(found.frequency, 3.3e9);
        assert_eq!((found.throttled, found.faults), (Some(0), Some(40)));
        assert_eq!((found.swapped_in, found.thermal), (None, None), "not read is not 0");
    }

    #[test]
    fn no_window_has_no_readings() {
        assert_eq!(Readings::of(&[at(1.0)], 2), Readings::default());
        let instant = Readings::of(&[at(1.0), at(1.0)], 2);
        assert_eq!((instant.busy, instant.steal), (None, None));
        let only_ends = Readings::of(&[at(1.0), at(2.0)], 2);
        assert_eq!(only_ends.frequency, None, "nothing ran when it was read");
    }

    #[test]
    fn readings_survive_being_written() {
        let found = Readings::of(&[at(1.0), at(3.0), at(5.0)], 2);
        let text = serde_json::to_string(&found).unwrap();
        assert!(!text.contains("null") && !text.contains("swapped_in"), "{text}");
        assert_eq!(serde_json::from_str::<Readings>(&text).unwrap(), found);
    }
}
