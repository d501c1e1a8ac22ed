//! A run's identity and its journal: what it set out to do and what is finished.

mod entry;
mod log;

use std::collections::HashMap;
use std::sync::LazyLock;

use indexmap::IndexMap;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::base::Digest;
use crate::measure::repetition::Repetition;
use crate::record::{
    Disturbed, IdlePower, Probe, Profile, RateProbe, SearchEnd, Soak, Step, StepState, StopReason,
};
use crate::stage::Setting;
use crate::store::{self, Store, StoreError};
use entry::Entry;
pub use entry::{Begun, Measured, Probed};
pub use log::SettingLog;

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
    /// By id, in the order in which they ended first.
    pub steps: IndexMap<String, Step>,
    settings: HashMap<Setting, SettingLog>,
    pub profiles: Vec<Profile>,
    pub soaks: Vec<Soak>,
    /// Power of the idle machine, where somebody asked for energy.
    pub idle: Option<IdlePower>,
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
        run.journal.append(&Entry::Begun(Box::new(begun.clone())))?;
        Ok(Self::empty(run, begun))
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
            session.keep(entry);
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
        session.record(Entry::Resumed { time: now_text() })?;
        Ok(session)
    }

    fn empty(run: store::Run, begun: Begun) -> Self {
        Self {
            run,
            begun,
            steps: IndexMap::new(),
            settings: HashMap::new(),
            profiles: Vec::new(),
            soaks: Vec::new(),
            idle: None,
            seconds: 0.0,
            resumed: 0,
            dropped: 0,
            complete: false,
        }
    }

    /// Writes an entry down and remembers it.
    fn record(&mut self, entry: Entry) -> Result<(), SessionError> {
        self.run.journal.append(&entry)?;
        self.keep(entry);
        Ok(())
    }

    fn keep(&mut self, entry: Entry) {
        match entry {
            Entry::Begun(_) => {}
            Entry::Resumed { .. } => self.resumed += 1,
            Entry::Step(step) => self.keep_step(*step),
            Entry::Launch(new) => self.log(&new.setting).keep(*new),
            Entry::Disturbed { setting, disturbed } => {
                self.log(&setting).disturbed.entry(disturbed.block).or_insert(*disturbed);
            }
            Entry::Settled { setting, repetition } => {
                self.log(&setting).repetition.get_or_insert(repetition);
            }
            Entry::NotKept { setting, why } => {
                self.log(&setting).not_kept.get_or_insert(why);
            }
            Entry::Stop { setting, reason } => {
                self.log(&setting).stop.get_or_insert(reason);
            }
            Entry::Probe(new) => self.log(&new.setting).batches.keep(*new),
            Entry::Searched { setting, variant, end } => {
                self.log(&setting).batches.ends.entry(variant).or_insert(end);
            }
            Entry::RateProbe(new) => self.log(&new.setting).rates.keep(*new),
            Entry::Rated { setting, variant, end } => {
                self.log(&setting).rates.ends.entry(variant).or_insert(end);
            }
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
            Entry::Idle(found) => {
                self.idle.get_or_insert(found);
            }
            Entry::Ended { seconds, complete, .. } => {
                self.seconds += seconds;
                self.complete = complete;
            }
        }
    }

    fn keep_step(&mut self, step: Step) {
        // What an earlier stretch has made is found in the store by a later one; that the run
        // made it, and why, is still the truth about the run.
        let found_again = |known: &Step| {
            known.state == StepState::Done && step.state == StepState::Hit && known.key == step.key
        };
        if !self.steps.get(&step.id).is_some_and(found_again) {
            self.steps.insert(step.id.clone(), step);
        }
    }

    fn log(&mut self, setting: &Setting) -> &mut SettingLog {
        self.settings.entry(setting.clone()).or_default()
    }

    /// What is finished under `setting`.
    pub fn of(&self, setting: &Setting) -> &SettingLog {
        static NOTHING: LazyLock<SettingLog> = LazyLock::new(SettingLog::default);
        self.settings.get(setting).unwrap_or(&NOTHING)
    }

    /// Wall nanoseconds of all launches under settings other than `setting`.
    pub fn spent_beside(&self, setting: &Setting) -> u64 {
        let others = self.settings.iter().filter(|(known, _)| *known != setting);
        others.flat_map(|(_, log)| log.launches()).map(|known| known.launch.wall).sum()
    }

    pub fn record_step(&mut self, step: Step) -> Result<(), SessionError> {
        self.record(Entry::Step(Box::new(step)))
    }

    pub fn record_launch(&mut self, measured: Measured) -> Result<(), SessionError> {
        self.record(Entry::Launch(Box::new(measured)))
    }

    pub fn record_disturbed(
        &mut self,
        setting: Setting,
        disturbed: Disturbed,
    ) -> Result<(), SessionError> {
        self.record(Entry::Disturbed { setting, disturbed: Box::new(disturbed) })
    }

    pub fn record_repetition(
        &mut self,
        setting: Setting,
        repetition: Repetition,
    ) -> Result<(), SessionError> {
        self.record(Entry::Settled { setting, repetition })
    }

    pub fn record_not_kept(&mut self, setting: Setting, why: String) -> Result<(), SessionError> {
        self.record(Entry::NotKept { setting, why })
    }

    pub fn record_stop(
        &mut self,
        setting: Setting,
        reason: StopReason,
    ) -> Result<(), SessionError> {
        self.record(Entry::Stop { setting, reason })
    }

    pub fn record_probe(&mut self, probed: Probed<Probe>) -> Result<(), SessionError> {
        self.record(Entry::Probe(Box::new(probed)))
    }

    pub fn record_searched(
        &mut self,
        setting: Setting,
        variant: String,
        end: SearchEnd,
    ) -> Result<(), SessionError> {
        self.record(Entry::Searched { setting, variant, end })
    }

    pub fn record_rate_probe(&mut self, probed: Probed<RateProbe>) -> Result<(), SessionError> {
        self.record(Entry::RateProbe(Box::new(probed)))
    }

    pub fn record_rated(
        &mut self,
        setting: Setting,
        variant: String,
        end: SearchEnd,
    ) -> Result<(), SessionError> {
        self.record(Entry::Rated { setting, variant, end })
    }

    pub fn record_profile(&mut self, profile: Profile) -> Result<(), SessionError> {
        self.record(Entry::Profile(Box::new(profile)))
    }

    pub fn record_idle(&mut self, found: IdlePower) -> Result<(), SessionError> {
        self.record(Entry::Idle(found))
    }

    pub fn record_soak(&mut self, soak: Soak) -> Result<(), SessionError> {
        self.record(Entry::Soak(Box::new(soak)))
    }

    /// Closes a stretch of running that took `seconds`.
    pub fn end(self, store: &Store, seconds: f64, complete: bool) -> Result<(), SessionError> {
        self.run.journal.append(&Entry::Ended { time: now_text(), seconds, complete })?;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::files::seam::Scratch;
    use crate::record::{Launch, Outcome};

    fn measured(variant: &str, block: u32) -> Measured {
        let outcome = Outcome::Skipped { why: "a test".into() };
        let (position, pid, started, wall) = (0, None, 0, 7);
        Measured {
            setting: Setting::tokens(1, 8, 8, 1),
            variant: variant.into(),
            artifact: Digest::of_bytes(b"artifact"),
            runtime: None,
            launch: Launch {
                block,
                position,
                pid,
                started,
                wall,
                outcome,
                conditions: None,
                residence: None,
                settling: None,
            },
        }
    }

    #[test]
    fn a_resumed_run_knows_what_was_written_and_a_doubled_tail_adds_nothing() {
        let scratch = Scratch::new();
        let store = Store::open(&scratch).expect("a folder of our own");
        let digest = Digest::of_bytes(b"this machine");
        let begun = Begun {
            id: "r1".into(),
            resolved: serde_json::json!({"name": "test"}),
            spec_file: "test.yaml".into(),
            roots: Vec::new(),
            out: scratch.join("out"),
            started: now_text(),
            engine: "test".into(),
            machine: digest,
            program: digest,
            data: None,
        };
        let setting = Setting::tokens(1, 8, 8, 1);
        let mut session = Session::begin(&store, begun).expect("a new run");
        for block in 0..2 {
            session.record_launch(measured("f32", block)).expect("writable");
            session.record_launch(measured("q8", block)).expect("writable");
        }
        let disturbed = Disturbed { block: 0, causes: Vec::new(), left_out: true };
        session.record_disturbed(setting.clone(), disturbed).expect("writable");
        let idle = IdlePower::Unmeasured("no counters".into());
        session.record_idle(idle.clone()).expect("writable");
        let known = |session: &Session| -> Vec<(String, u32)> {
            let counted = session.of(&setting).counted();
            counted.map(|known| (known.variant.clone(), known.launch.block)).collect()
        };
        let before = known(&session);
        assert_eq!(before, [("f32".to_owned(), 1), ("q8".to_owned(), 1)]);
        drop(session);

        let journal = store.root().join("runs/r1/journal.jsonl");
        let text = fs::read(&journal).expect("it was written");
        fs::write(&journal, [&text[..], &text[..]].concat()).expect("writable");
        let resumed = Session::resume(&store, "r1", digest, digest).expect("it can go on");
        assert_eq!((known(&resumed), resumed.of(&setting).launches().count()), (before, 4));
        assert_eq!((resumed.idle.as_ref(), resumed.dropped), (Some(&idle), 0));
        let nothing = Setting::tokens(1, 8, 8, 2);
        assert_eq!(resumed.of(&nothing).launches().count(), 0);
        assert_eq!(resumed.spent_beside(&setting), 0);
        assert_eq!(resumed.spent_beside(&nothing), 28);
    }
}
