//! What the launches of a setting amount to: complete blocks, and variants that are given up.

use std::collections::{BTreeMap, BTreeSet};

use crate::measure::replicates::{BURSTS, Place};
use crate::record::{Launch, Outcome};
use crate::run::session::{Measured, Session, SettingLog};
use crate::spec::{Design, Residency};
use crate::stage::{Artifact, Setting};

/// A variant is given up under a setting after this many failed launches in a row.
const PATIENCE: usize = 2;

/// Also where something outside disturbed them: it may never end.
const UTMOST_PATIENCE: usize = 6;

/// Blocks that make one of those that the rule counts: as many as a process makes bursts, where
/// processes stay.
pub fn bursts(design: &Design, log: &SettingLog) -> u32 {
    let keeps = design.residency == Residency::Keep && log.not_kept.is_none();
    if keeps { BURSTS } else { 1 }
}

/// How many blocks are [`whole`]; those of one process are one.
pub fn complete(session: &Session, setting: &Setting, variants: &[(String, Artifact)]) -> u32 {
    let whole = whole(session, setting, variants);
    whole.iter().map(|place| place.replicate).collect::<BTreeSet<u32>>().len() as u32
}

/// Blocks that count and in which every variant that has not been given up was launched, in order.
pub fn whole(session: &Session, setting: &Setting, variants: &[(String, Artifact)]) -> Vec<Place> {
    let mut seen: BTreeMap<Place, BTreeSet<&str>> = BTreeMap::new();
    for (name, launch) in counted(session, setting) {
        seen.entry(launch.place()).or_default().insert(name);
    }
    let alive: Vec<&str> = variants
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !given_up(session, setting, name))
        .collect();
    let all = |names: &BTreeSet<&str>| alive.iter().all(|name| names.contains(name));
    seen.into_iter().filter(|(_, names)| all(names)).map(|(place, _)| place).collect()
}

/// Launches of one setting with their variants, as they ended.
pub fn of<'a>(
    session: &'a Session,
    setting: &Setting,
) -> impl DoubleEndedIterator<Item = (&'a str, &'a Launch)> + Clone {
    session.of(setting).launches().map(Measured::named)
}

/// Those of them whose blocks count.
pub fn counted<'a>(
    session: &'a Session,
    setting: &Setting,
) -> impl DoubleEndedIterator<Item = (&'a str, &'a Launch)> + Clone {
    session.of(setting).counted().map(Measured::named)
}

/// True when the last launches of a variant have all failed: those of blocks that count, or very
/// many of any.
pub fn given_up(session: &Session, setting: &Setting, variant: &str) -> bool {
    ended_in_failures(counted(session, setting), variant, PATIENCE)
        || ended_in_failures(of(session, setting), variant, UTMOST_PATIENCE)
}

/// Whether there are `most` launches of `variant` or more, and the last of them have all failed.
fn ended_in_failures<'a>(
    launches: impl DoubleEndedIterator<Item = (&'a str, &'a Launch)>,
    variant: &str,
    most: usize,
) -> bool {
    let last = launches.rev().filter(|(name, _)| *name == variant).take(most);
    last.filter(|(_, launch)| matches!(launch.outcome, Outcome::Failed(_))).count() == most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_one_to_the_rule_where_processes_do_not_stay() {
        let fresh = Design { residency: Residency::Fresh, ..Design::default() };
        let keep = Design { residency: Residency::Keep, ..Design::default() };
        let mut log = SettingLog::default();
        assert_eq!((bursts(&fresh, &log), bursts(&keep, &log)), (1, BURSTS));
        log.not_kept = Some("side by side they hold too much".into());
        assert_eq!(bursts(&keep, &log), 1);
    }
}
