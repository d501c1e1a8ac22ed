//! The seam between run and report: one versioned JSON file that holds everything a reader of
//! the results may ask for, raw samples included.
//!
//! Nothing in a record is a summary: estimates, comparisons and verdicts are computed from it by
//! the report room, so that old records can be judged again by better statistics. A record is
//! written by `run`, read by `report`, and the two never meet otherwise.

mod cell;
mod conduct;
mod guard;
mod profile;
mod quality;
mod rate;
mod reference;
mod search;
mod soak;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use cell::{
    Cell, Failure, Launch, Outcome, Residence, StopReason, Verdict, dimension_axis, values_by,
};
pub use conduct::{AGAIN, Conduct};
pub use guard::{Cause, Disturbed, Guard};
pub use profile::{OpGroup, Phase, Profile};
pub use quality::{DocumentScore, Quality};
pub use rate::{LAUNCHES, RateProbe, RateSearch, probed};
pub use reference::{Reference, ReferenceCell};
pub use search::{Probe, Search, SearchEnd};
pub use soak::{Reading, Schedule, Soak};

use crate::base::Digest;

/// Version of the layout; readers refuse newer ones politely.
pub const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub version: u32,
    pub run: Run,
    /// The spec as it was carried out: overrides applied, every default filled in.
    pub spec: Value,
    /// Facts about the machine, in the shape of `machine::Fingerprint`.
    pub machine: Value,
    pub model: Model,
    /// Libraries that were loaded at run time.
    #[serde(default)]
    pub runtimes: Vec<Runtime>,
    /// In the order of the spec.
    pub variants: IndexMap<String, Variant>,
    /// Every step of the plan in order of the plan, bench steps included.
    pub steps: Vec<Step>,
    pub quality: Vec<Quality>,
    pub cells: Vec<Cell>,
    /// How the settings of the cells were measured; none in records of earlier engines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conduct: Vec<Conduct>,
    /// Where the time goes, by variant and setting; none in records of earlier engines.
    #[serde(default)]
    pub profiles: Vec<Profile>,
    /// Searches for the largest batch; none in records of earlier engines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub searches: Vec<Search>,
    /// How the machine was watched; none where nobody watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Runs that gates compare with; none in records of earlier engines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// Power of the idle machine, where energy was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdlePower>,
    /// Long runs; none in records of earlier engines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub soaks: Vec<Soak>,
    /// Searches for the largest rate; none in records of earlier engines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateSearch>,
    /// What the run wants its reader to know: fall-backs, missing readings, interruptions.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// UTC start time and short digest, also the name of the result folder.
    pub id: String,
    pub name: String,
    pub why: String,
    pub title: Option<String>,
    /// The spec file as the user named it.
    pub spec_file: String,
    /// RFC 3339, UTC.
    pub started: String,
    pub finished: String,
    /// Wall seconds, summed over interruptions.
    pub seconds: f64,
    pub engine: String,
    pub seed: u64,
    /// True when the run was stopped before its end; verdicts are then provisional.
    pub interrupted: bool,
    /// How many times the run was resumed.
    pub resumed: u32,
}

/// The source model, as detected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub source: String,
    pub task: String,
    /// `None` when the source could not be opened at all.
    pub digest: Option<Digest>,
    pub architecture: Option<String>,
    pub parameters: Option<u64>,
    pub dtype: Option<String>,
    pub context_length: Option<u64>,
    /// Numbers that a cache of keys and values holds for one token; none in records of earlier
    /// engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_per_token: Option<u64>,
    pub random_weights: bool,
}

/// A library that was loaded at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Such as `onnxruntime`.
    pub name: String,
    /// What the library calls itself; `None` when it was not asked.
    pub version: Option<String>,
    /// Of the library file.
    pub digest: Digest,
    /// The wheel it came from, or the path as the spec writes it.
    pub origin: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub backend: String,
    /// Where it runs; none in records of earlier engines, and for the CPU where nobody asked more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Stage labels from the source model on, prefixes from `from:` included.
    pub recipe: Vec<String>,
    pub artifact: Option<ArtifactFacts>,
    /// Results of `expect:`.
    pub checks: Vec<Check>,
    /// Why the variant has no numbers, if it has none.
    pub failed: Option<String>,
    pub skipped: Option<String>,
}

/// Where a variant runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Such as `cuda:0`.
    pub device: String,
    /// What it calls itself.
    pub name: Option<String>,
    /// Version of its driver.
    pub driver: Option<String>,
    /// Options of the TensorRT provider, where nodes run through it.
    pub tensorrt: Option<Value>,
    /// Whether nodes may run on another provider.
    pub fallback: bool,
    /// Number of nodes by provider, as found when the graph was opened; empty where nobody looked.
    pub nodes: IndexMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactFacts {
    pub digest: Digest,
    /// `checkpoint` or `gguf`.
    pub kind: String,
    pub bytes: u64,
    pub parameters: u64,
    /// Bytes of weights by storage type, such as `{"q8_0": 4456448}`.
    pub weight_bytes: IndexMap<String, u64>,
    /// Remarks of the passes that made it, such as the quantization formula.
    pub notes: Vec<String>,
}

/// One post-condition of `expect:` and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub what: String,
    pub expected: String,
    pub found: String,
    pub passed: bool,
}

/// What the machine takes while nothing of a run is at work, before anything is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum IdlePower {
    /// By counter, such as `package-0`, over ten seconds.
    Watts(IndexMap<String, f64>),
    Unmeasured(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub id: String,
    pub label: String,
    /// `load`, `optimize`, `check`, `judge`, `bench`, `search` or `profile`.
    pub kind: String,
    pub needs: Vec<String>,
    pub key: Option<Digest>,
    pub state: StepState,
    /// Why it was a miss, why it failed or why it was skipped.
    pub detail: Option<String>,
    pub seconds: f64,
    /// Highest resident memory in bytes while the step ran, where it ran as a process of its own.
    pub peak_memory: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// The store had the result already.
    Hit,
    Done,
    Failed,
    /// Not attempted, because something it needs failed or the run was stopped.
    Skipped,
}

/// What every layout has had and will have.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    version: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("cannot read `{path}`")]
    Read { path: String, source: std::io::Error },
    #[error("`{path}` is not a record of this engine: {source}")]
    Parse { path: String, source: serde_json::Error },
    #[error(
        "`{path}` has layout version {found}, this engine reads up to {VERSION}: update the engine"
    )]
    Newer { path: String, found: u64 },
}

impl Record {
    /// The variant that the others are compared with: that of the spec, else the first.
    pub fn baseline(&self) -> String {
        let named = self.spec.pointer("/compare/baseline").and_then(Value::as_str);
        let first = || self.variants.keys().next().cloned().unwrap_or_default();
        named.map_or_else(first, str::to_owned)
    }

    /// Reads `record.json`. `path` may also name the run's folder.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        Self::parse(&Self::bytes(path)?, path)
    }

    /// What [`Record::read`] reads, as it lies there.
    pub fn bytes(path: &Path) -> Result<Vec<u8>, RecordError> {
        let file = file(path);
        let shown = || file.display().to_string();
        std::fs::read(&file).map_err(|source| RecordError::Read { path: shown(), source })
    }

    /// A record from its bytes; `path` is where they come from, for whoever reads the error.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, RecordError> {
        let shown = || file(path).display().to_string();
        let parse = |source| RecordError::Parse { path: shown(), source };
        // Raw samples are many, so they are read straight into place, once, and not by way of a tree
        // of values. Of a newer layout nothing but its version can be relied on.
        let record: Result<Self, _> = serde_json::from_slice(bytes);
        let version = match &record {
            Ok(record) => Some(u64::from(record.version)),
            Err(_) => serde_json::from_slice::<Head>(bytes).ok().and_then(|head| head.version),
        };
        match version {
            Some(found) if found > u64::from(VERSION) => {
                Err(RecordError::Newer { path: shown(), found })
            }
            _ => record.map_err(parse),
        }
    }
}

fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("record.json") } else { path.to_owned() }
}
