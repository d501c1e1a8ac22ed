//! The first blocks as a pilot: how many requests the launches after them make.

use super::Blocks;
use super::looking::metric_id;
use super::tally::{given_up, of, whole};
use crate::measure::repetition::{Bounds, MOST_SECONDS, PILOT, Repetition, Trial, choose};
use crate::record::{Launch, Outcome};
use crate::run::session::Session;
use crate::scenario::Load;
use crate::scenario::StreamRules;
use crate::spec::{RequestCount, Residency};
use crate::stage::{Artifact, Bench};

/// The choice, once enough blocks are whole and there is something to choose between.
///
/// One number for all variants of a setting: what a median of few requests is off by, and what
/// a process does to itself as it goes on, is then alike on both sides of a ratio.
pub fn settle(
    blocks: &Blocks<'_>,
    session: &Session,
    variants: &[(String, Artifact)],
) -> Option<Repetition> {
    let design = &blocks.bench.design;
    let rules = blocks.stage.rules;
    let setting = &blocks.stage.setting;
    // Under load the scenario says how many requests there are, and they are not independent.
    let alone = matches!(setting.load, Load::SingleStream);
    // What bursts of a process vary by is not what launches vary by, and the rule knows two levels.
    let alone = alone && design.residency == Residency::Fresh;
    let open = alone && design.requests.count == RequestCount::Auto && rules.min < rules.max;
    if !open || session.of(setting).repetition.is_some() {
        return None;
    }
    let pilot = PILOT.min(design.blocks.min) as usize;
    let whole = whole(session, setting, variants);
    let taken = whole.get(..pilot)?;
    let metric = metric_id(blocks.bench.deciding(blocks.spec.model.task));
    let trial = |launch: &Launch| match &launch.outcome {
        Outcome::Measured(observed) => Trial::of(observed, launch.wall, &metric),
        _ => None,
    };
    let arm = |name: &str| -> Vec<Trial> {
        let launches: Vec<&Launch> =
            of(session, setting).filter(|(known, _)| *known == name).map(|(_, l)| l).collect();
        let at = |block: u32| launches.iter().find(|launch| launch.block == block);
        taken.iter().map_while(|place| trial(at(place.block)?)).collect()
    };
    let baseline = &blocks.plan.baseline;
    let mut alive: Vec<&str> = variants
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !given_up(session, setting, name))
        .collect();
    alive.sort_by_key(|name| *name != baseline);
    let arms: Vec<Vec<Trial>> = alive.into_iter().map(arm).collect();
    let half_a_launch = blocks.bench.limits.time.as_secs() / 2.0;
    let most_seconds = MOST_SECONDS.min(half_a_launch);
    Some(choose(&arms, Bounds { min: rules.min, max: rules.max, most_seconds }))
}

/// The stage with the number of requests that was settled on, if any was: the least that launches
/// make. `requests.min_time` still makes them go on where requests are short.
pub fn settled(stage: &Bench, settled: Option<&Repetition>) -> Bench {
    let mut stage = stage.clone();
    if let Some(found) = settled {
        let rules = stage.rules;
        let min = found.requests.clamp(rules.min, rules.max);
        stage.rules = StreamRules { min, ..rules };
    }
    stage
}

/// The choice for whoever waits.
pub fn told(found: &Repetition) -> String {
    let blocks = found.pilot;
    format!("{} requests a launch from here on, chosen from {blocks} blocks", found.requests)
}
