//! What a report says, as data: every number with its interval, every gap with its reason.
//!
//! The exporters only dress these values. Names are kept as they came; each exporter makes them
//! inert for its own format.

mod conditions;
mod course;
mod effects;
mod finding;
mod floor;
mod load;
mod profile;
mod resources;
mod rows;
mod search;
mod soak;

use serde::Serialize;
use serde_json::Value;

use crate::measure::{Better, Unit};
use crate::record::Record;

pub use conditions::{ConditionsSheet, DisturbedRow, HogRow, SignalRow};
pub use course::{CourseSheet, Trace};
pub use effects::{EffectSheet, Margin};
pub use finding::{Finding, Outcome, Reading, Tone};
pub use floor::FloorRow;
pub use load::{LoadSheet, ObjectiveSheet, PrefillSheet, RateRow, RateSheet};
pub use profile::{Advice, Bound, Limit, LoadRow, PhaseSheet, ProfileSheet};
pub use resources::{CacheRow, CostRow, CostSheet, EnergyRow, MemoryRow};
pub use rows::{
    CellSheet, CheckRow, FailureRow, GateRow, GateSight, Headline, MetricSheet, PairedShares,
    QualityChange, QualityRow, QuantileSheet, Size, StepRow, VariantFacts,
};
pub use search::{ProbeRow, SearchSheet};
pub use soak::{HeldRow, SoakCurves, SoakLoad, SoakSheet};

/// One document over one or several runs.
#[derive(Debug, Clone, Serialize)]
pub struct Report<'a> {
    pub title: String,
    pub studies: Vec<Study>,
    /// Why numbers of different runs must not be set side by side, if so.
    pub not_comparable: Option<String>,
    /// The metrics that occur, each with what it means.
    pub definitions: Vec<Definition>,
    /// The raw samples stay in their records; `samples.csv` is written from here.
    #[serde(skip)]
    pub records: &'a [Record],
}

impl Report<'_> {
    /// The gates of all runs in order.
    pub fn gates(&self) -> impl Iterator<Item = &GateRow> {
        self.studies.iter().flat_map(|study| &study.gates)
    }
}

/// One record, judged.
#[derive(Debug, Clone, Serialize)]
pub struct Study {
    pub run: RunFacts,
    pub model: Vec<Fact>,
    pub terms: Terms,
    /// What the reader must know before any number: interruptions, failures, missed gates.
    pub alarms: Vec<Alarm>,
    /// One sentence per variant, the baseline first.
    pub glance: Vec<Glance>,
    pub settings: Vec<Setting>,
    /// Variant by variant, setting by setting.
    pub headline: Vec<Headline>,
    /// The baseline against itself, setting by setting.
    pub floors: Vec<FloorRow>,
    pub gates: Vec<GateRow>,
    pub quality: Vec<QualityRow>,
    /// Setting by setting, in the order of variants.
    pub cells: Vec<CellSheet>,
    /// Cells with launches that never settled or slowed down, those with most of them first.
    #[serde(skip)]
    pub courses: Vec<CourseSheet>,
    /// Where the time goes.
    pub profiles: Vec<ProfileSheet>,
    /// The largest batches that keep a bound, variant by variant.
    pub searches: Vec<SearchSheet>,
    /// What else the machine did; `None` where nobody watched.
    pub conditions: Option<ConditionsSheet>,
    /// What the spec's price makes of throughputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub costs: Option<CostSheet>,
    /// What the machine took, where a counter told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub energy: Vec<EnergyRow>,
    /// Of which kind the memory of each cell is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<MemoryRow>,
    /// What a token of context takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<CacheRow>,
    /// Long runs, variant by variant; empty where none was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub soaks: Vec<SoakSheet>,
    /// Cells under load, setting by setting; left out without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loads: Vec<LoadSheet>,
    /// The largest rates that keep bounds, variant by variant; left out without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateSheet>,
    /// Prefill without its fixed cost, where there are three prompt lengths; left out without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefills: Vec<PrefillSheet>,
    pub variants: Vec<VariantFacts>,
    pub failures: Vec<FailureRow>,
    pub steps: Vec<StepRow>,
    pub machine: Vec<Fact>,
    /// Digest of the machine's fingerprint; runs with different ones are not comparable.
    pub machine_digest: Option<String>,
    pub notes: Vec<String>,
    pub not_controlled: Vec<String>,
    pub spec: Value,
}

#[derive(Debug, Clone, Serialize)]
pub struct RunFacts {
    pub id: String,
    pub name: String,
    pub title: String,
    pub why: String,
    pub spec_file: String,
    pub started: String,
    pub finished: String,
    pub seconds: f64,
    pub engine: String,
    pub seed: u64,
    pub interrupted: bool,
    pub resumed: u32,
    /// Launches that gave samples, of those attempted.
    pub measured: usize,
    pub attempted: usize,
}

impl Study {
    /// The cells of a setting, in the order of variants.
    pub fn cells_of(&self, setting: usize) -> &[CellSheet] {
        cells_of(&self.cells, setting)
    }
}

/// Of cells that stand setting by setting those of one setting.
pub fn cells_of(cells: &[CellSheet], setting: usize) -> &[CellSheet] {
    let place = |setting| cells.partition_point(|cell| cell.setting < setting);
    &cells[place(setting)..place(setting + 1)]
}

/// The rules the verdicts follow, read from the resolved spec.
#[derive(Debug, Clone, Serialize)]
pub struct Terms {
    pub baseline: String,
    pub reference: Option<String>,
    /// Confidence level, such as 0.95.
    pub confidence: f64,
    pub holm: bool,
    /// Smallest speed-up that counts as improved.
    pub improved_from: f64,
    /// Half-width of the band around 1 that counts as equivalent, such as 0.03.
    pub equivalence: f64,
    /// Share by which peak memory may exceed the baseline's.
    pub memory_margin: f64,
    /// Loss of quality that is allowed: a difference of shares of right answers, else relative.
    pub accuracy_margin: f64,
    /// Outputs nowhere further apart than this count as the same.
    pub same: f64,
    /// The metric whose speed-up decides.
    pub primary: &'static str,
    /// Relative half-width at which measuring stops, such as 0.02.
    pub half_width: f64,
    /// Blocks a setting may take.
    pub most_blocks: u32,
    /// The metrics shown, in the order of `measure::METRICS`.
    pub metrics: Vec<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Fact {
    pub name: String,
    pub value: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Alarm {
    pub tone: Tone,
    pub text: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Glance {
    pub variant: String,
    pub finding: Finding,
    pub sentence: String,
}

/// One setting of the matrix.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// Only the axes that vary, such as `prompt 128`.
    pub short: String,
    /// Every axis, such as `single_stream, batch 1, prompt 128, new 32, threads 2`.
    pub long: String,
    pub stop: Option<String>,
    /// How it was measured: repetition, own intervals, carry-over.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Definition {
    pub id: &'static str,
    pub unit: Unit,
    pub better: Better,
    pub text: &'static str,
}
