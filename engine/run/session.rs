//! A run's identity and its journal: what it set out to do and what is finished.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::base::Digest;
use crate::measure::repetition::Repetition;
use crate::record::{
    Disturbed, Launch, Probe, Profile, RateProbe, SearchEnd, Soak, Step, StepState, StopReason,
};
use crate::stage::Setting;
use crate::store::{self, Store, StoreError};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Entry {
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
    /// The end of a setting.
    Stop {
        setting: Setting,
        reason: StopReason,
    },
    /// A finished probe of a search.
    Probe(Box<Probed>),
    /// The end of a search.
    Searched {
        setting: Setting,
        variant: String,
        end: SearchEnd,
    },
    /// A finished probe of a search for a rate.
    RateProbe(Box<RateProbed>),
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

/// A finished probe and what it ran. One that was torn apart is made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// That of the search: its batch is not the probe's.
    pub setting: Setting,
    pub variant: String,
    /// Probes of a search count from 0.
    pub number: u32,
    pub artifact: Digest,
    #[serde(default)]
    pub runtime: Option<Digest>,
    pub probe: Probe,
}

/// A finished probe of a search for a rate, and what it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateProbed {
    /// That of the search: its scenario is not the probe's.
    pub setting: Setting,
    pub variant: String,
    /// Probes of a search count from 0.
    pub number: u32,
    pub artifact: Digest,
    #[serde(default)]
    pub runtime: Option<Digest>,
    pub probe: RateProbe,
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

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no run `{id}` in the store; known runs: {known}")]
    Unknown { id: String, known: String },
    #[error("the journal of run `{id}` does not begin as a run does; start a new run")]
    Damaged { id: String },
    #[error("run `{id}` is complete; `engine report {folder}` renders its results again")]
    Complete { id: String, folder: String },
    #[error("run `{id}` began on another machine or with another build; start a new run")]
    Elsewhere { id: String },
}

/// The open journal of a run with everything that earlier stretches have finished.
pub struct Session {
    run: store::Run,
    pub begun: Begun,
    pub steps: Vec<Step>,
    pub launches: Vec<Measured>,
    pub repetitions: Vec<(Setting, Repetition)>,
    pub stops: Vec<(Setting, StopReason)>,
    /// Blocks that something outside disturbed, by setting.
    pub disturbed: Vec<(Setting, Disturbed)>,
    pub probes: Vec<Probed>,
    /// Searches that have ended, by setting and variant.
    pub searched: Vec<(Setting, String, SearchEnd)>,
    pub rate_probes: Vec<RateProbed>,
    /// Searches for a rate that have ended, by setting and variant.
    pub rated: Vec<(Setting, String, SearchEnd)>,
    pub profiles: Vec<Profile>,
    pub soaks: Vec<Soak>,
    /// Wall seconds of earlier stretches.
    pub seconds: f64,
    pub resumed: u32,
    /// Journal lines that were damaged and left out.
    pub dropped: usize,
    complete: bool,
}

/// UTC time and a short digest: `20261122T141335Z-1f3a9c`.
pub fn run_id(spec: &Value, now: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let stamp = now.format(format).expect("the format fits every time");
    // Two runs of one spec within a second must differ.
    let unique = format!("{spec}{}{}", now.nanosecond(), std::process::id());
    format!("{stamp}-{}", &Digest::of_bytes(unique.as_bytes()).hex()[..6])
}

pub fn now_text() -> String {
    OffsetDateTime::now_utc()
        .replace_nanosecond(0)
        .ok()
        .and_then(|now| now.format(&Rfc3339).ok())
        .unwrap_or_default()
}

impl Session {
    /// Starts the journal of a new run.
    pub fn begin(store: &Store, begun: Begun) -> Result<Self, SessionError> {
        let run = store.begin_run(&begun.id)?;
        let mut session = Self::empty(run, begun.clone());
        session.write(&Entry::Begun(Box::new(begun)))?;
        Ok(session)
    }

    /// Opens an interrupted run. `machine` and `program` are the digests of this machine's
    /// fingerprint and of this executable: timings of others are not mixed in.
    pub fn resume(
        store: &Store,
        id: &str,
        machine: Digest,
        program: Digest,
    ) -> Result<Self, SessionError> {
        let unknown = || SessionError::Unknown { id: id.to_owned(), known: known_runs(store) };
        if !store.root().join("runs").join(id).join("journal.jsonl").is_file() {
            return Err(unknown());
        }
        let run = store.begin_run(id)?;
        let replay = run.journal.read()?;
        let lines = replay.entries.len();
        let mut entries: Vec<Entry> =
            replay.entries.into_iter().filter_map(|v| serde_json::from_value(v).ok()).collect();
        let misfits = lines - entries.len();
        if entries.is_empty() {
            return Err(SessionError::Damaged { id: id.to_owned() });
        }
        let Entry::Begun(begun) = entries.remove(0) else {
            return Err(SessionError::Damaged { id: id.to_owned() });
        };
        let mut session = Self::empty(run, *begun);
        session.dropped = replay.dropped + misfits;
        for entry in entries {
            session.replay(entry);
        }
        // A complete run whose record is gone has everything else in its journal and in the store:
        // going on with it does no step again and writes the results.
        let folder = session.begun.folder();
        if session.complete && folder.join("record.json").is_file() {
            let folder = folder.display().to_string();
            return Err(SessionError::Complete { id: id.to_owned(), folder });
        }
        if session.begun.machine != machine || session.begun.program != program {
            return Err(SessionError::Elsewhere { id: id.to_owned() });
        }
        session.resumed += 1;
        session.write(&Entry::Resumed { time: now_text() })?;
        Ok(session)
    }

    fn empty(run: store::Run, begun: Begun) -> Self {
        Self {
            run,
            begun,
            steps: Vec::new(),
            launches: Vec::new(),
            repetitions: Vec::new(),
            stops: Vec::new(),
            disturbed: Vec::new(),
            probes: Vec::new(),
            searched: Vec::new(),
            rate_probes: Vec::new(),
            rated: Vec::new(),
            profiles: Vec::new(),
            soaks: Vec::new(),
            seconds: 0.0,
            resumed: 0,
            dropped: 0,
            complete: false,
        }
    }

    fn replay(&mut self, entry: Entry) {
        match entry {
            Entry::Begun(_) => {}
            Entry::Resumed { .. } => self.resumed += 1,
            Entry::Step(step) => self.remember_step(*step),
            Entry::Launch(new) => {
                let same = |old: &Measured| {
                    (&old.setting, &old.variant, old.launch.block)
                        == (&new.setting, &new.variant, new.launch.block)
                };
                // A duplicated tail of the journal must not count a launch twice.
                if !self.launches.iter().any(same) {
                    self.launches.push(*new);
                }
            }
            Entry::Disturbed { setting, disturbed } => {
                let same = |(known, old): &(Setting, Disturbed)| {
                    (known, old.block) == (&setting, disturbed.block)
                };
                if !self.disturbed.iter().any(same) {
                    self.disturbed.push((setting, *disturbed));
                }
            }
            Entry::Settled { setting, repetition } => self.repetitions.push((setting, repetition)),
            Entry::Stop { setting, reason } => self.stops.push((setting, reason)),
            Entry::Probe(new) => {
                let same = |old: &Probed| {
                    (&old.setting, &old.variant, old.number)
                        == (&new.setting, &new.variant, new.number)
                };
                if !self.probes.iter().any(same) {
                    self.probes.push(*new);
                }
            }
            Entry::Searched { setting, variant, end } => {
                self.searched.push((setting, variant, end));
            }
            Entry::RateProbe(new) => {
                let same = |old: &RateProbed| {
                    (&old.setting, &old.variant, old.number)
                        == (&new.setting, &new.variant, new.number)
                };
                if !self.rate_probes.iter().any(same) {
                    self.rate_probes.push(*new);
                }
            }
            Entry::Rated { setting, variant, end } => self.rated.push((setting, variant, end)),
            Entry::Profile(new) => {
                let same = |old: &Profile| (&old.variant, &old.axes) == (&new.variant, &new.axes);
                if !self.profiles.iter().any(same) {
                    self.profiles.push(*new);
                }
            }
            Entry::Soak(new) => {
                let same = |old: &Soak| (&old.variant, &old.axes) == (&new.variant, &new.axes);
                if !self.soaks.iter().any(same) {
                    self.soaks.push(*new);
                }
            }
            Entry::Ended { seconds, complete, .. } => {
                self.seconds += seconds;
                self.complete = complete;
            }
        }
    }

    fn remember_step(&mut self, step: Step) {
        // What an earlier stretch has made is found in the store by a later one; that the run
        // made it, and why, is still the truth about the run.
        let found_again = |known: &Step| {
            known.state == StepState::Done && step.state == StepState::Hit && known.key == step.key
        };
        match self.steps.iter_mut().find(|known| known.id == step.id) {
            Some(known) if found_again(known) => {}
            Some(known) => *known = step,
            None => self.steps.push(step),
        }
    }

    fn write(&mut self, entry: &Entry) -> Result<(), SessionError> {
        let value = serde_json::to_value(entry).expect("entries always serialize");
        self.run.journal.append(&value)?;
        Ok(())
    }

    pub fn record_step(&mut self, step: Step) -> Result<(), SessionError> {
        self.write(&Entry::Step(Box::new(step.clone())))?;
        self.remember_step(step);
        Ok(())
    }

    pub fn record_launch(&mut self, measured: Measured) -> Result<(), SessionError> {
        self.write(&Entry::Launch(Box::new(measured.clone())))?;
        self.launches.push(measured);
        Ok(())
    }

    pub fn record_disturbed(
        &mut self,
        setting: Setting,
        disturbed: Disturbed,
    ) -> Result<(), SessionError> {
        let boxed = Box::new(disturbed.clone());
        self.write(&Entry::Disturbed { setting: setting.clone(), disturbed: boxed })?;
        self.disturbed.push((setting, disturbed));
        Ok(())
    }

    pub fn record_repetition(
        &mut self,
        setting: Setting,
        repetition: Repetition,
    ) -> Result<(), SessionError> {
        self.write(&Entry::Settled { setting: setting.clone(), repetition })?;
        self.repetitions.push((setting, repetition));
        Ok(())
    }

    /// How many requests the launches of a setting make, once that is settled.
    pub fn repetition(&self, setting: &Setting) -> Option<&Repetition> {
        self.repetitions.iter().find(|(known, _)| known == setting).map(|(_, found)| found)
    }

    pub fn record_stop(
        &mut self,
        setting: Setting,
        reason: StopReason,
    ) -> Result<(), SessionError> {
        self.write(&Entry::Stop { setting: setting.clone(), reason })?;
        self.stops.push((setting, reason));
        Ok(())
    }

    pub fn record_probe(&mut self, probed: Probed) -> Result<(), SessionError> {
        self.write(&Entry::Probe(Box::new(probed.clone())))?;
        self.probes.push(probed);
        Ok(())
    }

    pub fn record_searched(
        &mut self,
        setting: Setting,
        variant: String,
        end: SearchEnd,
    ) -> Result<(), SessionError> {
        let entry = Entry::Searched { setting: setting.clone(), variant: variant.clone(), end };
        self.write(&entry)?;
        self.searched.push((setting, variant, end));
        Ok(())
    }

    /// Finished probes of one search, in order.
    pub fn probes_of(&self, setting: &Setting, variant: &str) -> Vec<&Probed> {
        let own = |p: &&Probed| p.setting == *setting && p.variant == variant;
        self.probes.iter().filter(own).collect()
    }

    /// How a search has ended, if it has.
    pub fn search_end(&self, setting: &Setting, variant: &str) -> Option<SearchEnd> {
        let own = |(s, v, _): &&(Setting, String, SearchEnd)| s == setting && v == variant;
        self.searched.iter().find(own).map(|(.., end)| *end)
    }

    pub fn record_rate_probe(&mut self, probed: RateProbed) -> Result<(), SessionError> {
        self.write(&Entry::RateProbe(Box::new(probed.clone())))?;
        self.rate_probes.push(probed);
        Ok(())
    }

    pub fn record_rated(
        &mut self,
        setting: Setting,
        variant: String,
        end: SearchEnd,
    ) -> Result<(), SessionError> {
        let entry = Entry::Rated { setting: setting.clone(), variant: variant.clone(), end };
        self.write(&entry)?;
        self.rated.push((setting, variant, end));
        Ok(())
    }

    /// Finished probes of one search for a rate, in order.
    pub fn rate_probes_of(&self, setting: &Setting, variant: &str) -> Vec<&RateProbed> {
        let own = |p: &&RateProbed| p.setting == *setting && p.variant == variant;
        self.rate_probes.iter().filter(own).collect()
    }

    /// How a search for a rate has ended, if it has.
    pub fn rate_end(&self, setting: &Setting, variant: &str) -> Option<SearchEnd> {
        let own = |(s, v, _): &&(Setting, String, SearchEnd)| s == setting && v == variant;
        self.rated.iter().find(own).map(|(.., end)| *end)
    }

    pub fn record_profile(&mut self, profile: Profile) -> Result<(), SessionError> {
        self.write(&Entry::Profile(Box::new(profile.clone())))?;
        self.profiles.push(profile);
        Ok(())
    }

    pub fn record_soak(&mut self, soak: Soak) -> Result<(), SessionError> {
        self.write(&Entry::Soak(Box::new(soak.clone())))?;
        self.soaks.push(soak);
        Ok(())
    }

    /// Closes a stretch of running that took `seconds`.
    pub fn end(mut self, store: &Store, seconds: f64, complete: bool) -> Result<(), SessionError> {
        self.write(&Entry::Ended { time: now_text(), seconds, complete })?;
        Ok(store.end_run(self.run)?)
    }
}

/// The last few runs of the store, newest first.
fn known_runs(store: &Store) -> String {
    let mut names: Vec<String> = std::fs::read_dir(store.root().join("runs"))
        .map(|entries| entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    names.sort_unstable_by(|a, b| b.cmp(a));
    names.truncate(5);
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
