//! What the journal holds about one setting.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;

use super::entry::{Measured, Probed};
use crate::measure::repetition::Repetition;
use crate::record::{Disturbed, Probe, RateProbe, SearchEnd, StopReason};

/// Everything that is finished under one setting.
#[derive(Debug, Default)]
pub struct SettingLog {
    /// By variant and block, in the order in which they ended.
    launches: IndexMap<(String, u32), Measured>,
    /// Blocks that something outside disturbed.
    pub disturbed: BTreeMap<u32, Disturbed>,
    /// How many requests its launches make, once that is settled.
    pub repetition: Option<Repetition>,
    /// Why its processes do not stay, where they were to and did not fit beside each other.
    pub not_kept: Option<String>,
    /// Why it ended, if it has.
    pub stop: Option<StopReason>,
    pub batches: Searched<Probe>,
    pub rates: Searched<RateProbe>,
}

/// The probes of searches, and which of these have ended.
#[derive(Debug)]
pub struct Searched<P> {
    probes: IndexMap<(String, u32), Probed<P>>,
    pub ends: HashMap<String, SearchEnd>,
}

impl SettingLog {
    /// Launches in the order in which they ended.
    pub fn launches(&self) -> impl DoubleEndedIterator<Item = &Measured> + Clone {
        self.launches.values()
    }

    /// Those of blocks that count.
    pub fn counted(&self) -> impl DoubleEndedIterator<Item = &Measured> + Clone {
        self.launches().filter(|known| !self.is_left_out(known.launch.block))
    }

    /// Whether something outside disturbed the block, so that it does not count.
    pub fn is_left_out(&self, block: u32) -> bool {
        self.disturbed.get(&block).is_some_and(|disturbed| disturbed.left_out)
    }

    /// Remembers a launch. A duplicated tail of the journal does not count it twice.
    pub(in crate::run) fn keep(&mut self, new: Measured) {
        let key = (new.variant.clone(), new.launch.block);
        self.launches.entry(key).or_insert(new);
    }
}

impl<P> Searched<P> {
    /// Finished probes of all variants, in order.
    pub fn all(&self) -> impl Iterator<Item = &Probed<P>> + Clone {
        self.probes.values()
    }

    /// Finished probes of the search with `variant`, in order.
    pub fn probes<'a>(&'a self, variant: &'a str) -> impl Iterator<Item = &'a Probed<P>> + Clone {
        self.probes.values().filter(move |known| known.variant == variant)
    }

    /// As [`SettingLog::keep`].
    pub(super) fn keep(&mut self, new: Probed<P>) {
        self.probes.entry((new.variant.clone(), new.number)).or_insert(new);
    }
}

impl<P> Default for Searched<P> {
    fn default() -> Self {
        Self { probes: IndexMap::default(), ends: HashMap::default() }
    }
}
