//! What the journal of a run consists of.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::Digest;
use crate::measure::repetition::Repetition;
use crate::record::{
    Disturbed, IdlePower, Launch, Probe, Profile, RateProbe, SearchEnd, Soak, Step, StopReason,
};
use crate::stage::Setting;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Entry {
    Begun(Box<Begun>),
    Resumed {
        time: String,
    },
    /// A shared step and how it ended; the last one of an id counts.
    Step(Box<Step>),
    /// A finished launch of a cell.
    Launch(Box<Measured>),
    /// A block that something outside disturbed.
    Disturbed {
        setting: Setting,
        disturbed: Box<Disturbed>,
    },
    /// How many requests the launches of a setting make after its pilot.
    Settled {
        setting: Setting,
        repetition: Repetition,
    },
    /// Why the processes of a setting do not stay although the spec asks for it.
    NotKept {
        setting: Setting,
        why: String,
    },
    /// The end of a setting.
    Stop {
        setting: Setting,
        reason: StopReason,
    },
    /// A finished probe of a search.
    Probe(Box<Probed<Probe>>),
    /// The end of a search.
    Searched {
        setting: Setting,
        variant: String,
        end: SearchEnd,
    },
    /// A finished probe of a search for a rate.
    RateProbe(Box<Probed<RateProbe>>),
    /// The end of a search for a rate.
    Rated {
        setting: Setting,
        variant: String,
        end: SearchEnd,
    },
    /// Where the time of one cell goes.
    Profile(Box<Profile>),
    /// A long run of one variant.
    Soak(Box<Soak>),
    /// Power of the idle machine.
    Idle(IdlePower),
    /// The end of a stretch of running, and its wall seconds.
    Ended {
        time: String,
        seconds: f64,
        complete: bool,
    },
}

/// A finished launch and what it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    pub setting: Setting,
    pub variant: String,
    /// Launches of different artifacts are never mixed in one cell.
    pub artifact: Digest,
    /// Nor those of different libraries of a runtime.
    #[serde(default)]
    pub runtime: Option<Digest>,
    pub launch: Launch,
}

impl Measured {
    /// The launch with the name of what ran.
    pub fn named(&self) -> (&str, &Launch) {
        (&self.variant, &self.launch)
    }
}

/// A finished probe of a search and what it ran. One that was torn apart is made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed<P> {
    /// That of the search: what it looks for is not the probe's.
    pub setting: Setting,
    pub variant: String,
    /// Probes of a search count from 0.
    pub number: u32,
    pub artifact: Digest,
    #[serde(default)]
    pub runtime: Option<Digest>,
    pub probe: P,
}

/// What a run set out to do: everything that is needed to go on with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    pub id: String,
    /// The spec with overrides and defaults.
    pub resolved: Value,
    pub spec_file: String,
    /// Folders that relative paths start from.
    pub roots: Vec<PathBuf>,
    /// Folder that gets the results of all specs.
    pub out: PathBuf,
    pub started: String,
    pub engine: String,
    /// Digest of the machine's fingerprint: a run is not continued on another machine.
    pub machine: Digest,
    /// Digest of the executable that began it.
    pub program: Digest,
    /// Digest of the data sets: a run is not continued on others.
    #[serde(default)]
    pub data: Option<Digest>,
}

impl Begun {
    /// Where the results of the run lie.
    pub fn folder(&self) -> PathBuf {
        let name = self.resolved["name"].as_str().unwrap_or_default();
        self.out.join(name).join(&self.id)
    }
}
