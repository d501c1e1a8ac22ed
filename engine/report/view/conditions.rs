//! What else the machine did, as data.

use serde::Serialize;

use crate::machine::watch::{Level, Signal};

/// The conditions of a run.
#[derive(Debug, Clone, Serialize)]
pub struct ConditionsSheet {
    /// Launches that were watched, of those attempted.
    pub watched: usize,
    pub launches: usize,
    /// Every signal that was read, or the reason why it was not.
    pub signals: Vec<SignalRow>,
    /// Launches with a warning or worse.
    pub warned: usize,
    /// Who used the processors besides us, the greediest first.
    pub hogs: Vec<HogRow>,
    pub disturbed: Vec<DisturbedRow>,
    /// Blocks that were left out, and blocks in all.
    pub left_out: usize,
    pub blocks: usize,
    /// Share of a setting's blocks that may be left out.
    pub max_invalid: f64,
    /// Most involuntary switches per second of a launch.
    pub switches: Option<f64>,
    /// Processor time of reading counters and processes, as a share of the time watched.
    pub cost: Option<f64>,
    /// The same of the canary's songs.
    pub song: Option<f64>,
}

/// One signal over all launches.
#[derive(Debug, Clone, Serialize)]
pub struct SignalRow {
    pub signal: Signal,
    /// The largest value that was compared with the thresholds; `None` where none was read.
    pub worst: Option<f64>,
    /// Variant and setting of that launch.
    pub variant: String,
    pub setting: usize,
    pub block: u32,
    pub level: Option<Level>,
    /// Launches with a warning or worse.
    pub warned: usize,
    /// Why it could not be read.
    pub unmeasured: Option<String>,
}

/// A foreign process, or several of one name.
#[derive(Debug, Clone, Serialize)]
pub struct HogRow {
    pub name: String,
    pub pid: u32,
    /// The most processors it used on average over a launch.
    pub cores: f64,
    /// Launches in which it was among the greediest.
    pub launches: usize,
}

#[derive(Debug, Clone, Serialize)]
pub struct DisturbedRow {
    pub setting: usize,
    pub block: u32,
    pub left_out: bool,
    /// Each with the variant that met it.
    pub causes: Vec<(String, String)>,
}
