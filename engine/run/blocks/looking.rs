//! The look after a block: the comparisons that decide when to stop, and why it stopped.

use std::collections::BTreeMap;

use super::Blocks;
use super::tally::{counted, given_up};
use crate::measure::compare::{Comparison, speedup};
use crate::measure::replicates::{Place, by_replicate, pairs};
use crate::measure::sequence::{self, PLANNED};
use crate::measure::stop::{Reason, look_level};
use crate::measure::verdict::Thresholds;
use crate::measure::{Better, metric, summary};
use crate::record::{StopReason, values_by};
use crate::run::session::Session;
use crate::spec::{Correction, MetricName};
use crate::stage::Artifact;

/// What there is to compare after a block.
pub struct Family {
    /// Block values of baseline and variant from the blocks that have both, those of one process as
    /// one, for each variant that still runs; for a lone variant its own values over 1.
    pairs: Vec<Vec<(f64, f64)>>,
    better: Better,
    /// Comparisons that share the error allowed.
    size: usize,
}

impl Family {
    /// What decides when to stop: the speed-up of every variant over the baseline, or the lone
    /// variant's own value.
    pub fn compare(&self, blocks: &Blocks<'_>) -> Vec<Option<Comparison>> {
        // The report widens its intervals for the number of comparisons, so that the target must be
        // met by the widest of them.
        let level = look_level(blocks.spec.compare.confidence.0, self.size);
        self.pairs.iter().map(|pairs| speedup(pairs, self.better, level)).collect()
    }

    /// Whether every comparison is decided by intervals that may be looked at after every block.
    pub fn is_decided(&self, blocks: &Blocks<'_>) -> bool {
        let compare = &blocks.spec.compare;
        let thresholds = Thresholds {
            improved_from: compare.improved_from,
            equivalence: compare.equivalence.0,
            regression: compare.equivalence.0,
        };
        let level = shared(compare.confidence.0, self.size);
        let settles = |pairs: &Vec<(f64, f64)>| {
            sequence::speedup(pairs, self.better, level, PLANNED)
                .is_some_and(|found| sequence::decides(&found, &thresholds))
        };
        !self.pairs.is_empty() && self.pairs.iter().all(settles)
    }
}

/// The level of each of `comparisons` that share the error which `level` leaves (Bonferroni).
fn shared(level: f64, comparisons: usize) -> f64 {
    1.0 - (1.0 - level) / comparisons.max(1) as f64
}

/// What there is to compare by now; `None` when no comparison can come any more.
pub fn family(
    blocks: &Blocks<'_>,
    session: &Session,
    variants: &[(String, Artifact)],
) -> Option<Family> {
    let id = metric_id(blocks.bench.deciding(blocks.spec.model.task));
    let better = metric(&id)?.better;
    let setting = &blocks.stage.setting;
    let values = |variant: &str| -> BTreeMap<Place, f64> {
        let own = counted(session, setting).filter(|(name, _)| *name == variant);
        let seen = own.filter_map(|(_, launch)| Some((launch, launch.seen()?)));
        values_by(seen, &|seen| summary::block_value(seen, &id))
    };
    let alive = |name: &str| !given_up(session, setting, name);
    let baseline = &blocks.plan.baseline;
    let others: Vec<&String> =
        variants.iter().map(|(name, _)| name).filter(|name| *name != baseline).collect();
    if let [(name, _)] = variants
        && blocks.stage.variants.len() == 1
        && alive(name)
    {
        let own = by_replicate(&values(name)).into_values().map(|value| (1.0, value)).collect();
        return Some(Family { pairs: vec![own], better, size: 1 });
    }
    if !alive(baseline) || !variants.iter().any(|(name, _)| name == baseline) {
        return None;
    }
    let size = match blocks.spec.compare.correction {
        // All that the spec compares, as the report counts them, those that could not be made too.
        Correction::Holm => (blocks.plan.variants.len() - 1) * blocks.plan.settings.len(),
        Correction::None => 1,
    };
    let base = values(baseline);
    let paired = |name: &String| pairs(&base, &values(name));
    let pairs = others.into_iter().filter(|name| alive(name)).map(paired).collect();
    Some(Family { pairs, better, size })
}

/// The id under which a metric of the spec is stored.
pub fn metric_id(name: MetricName) -> String {
    let value = serde_json::to_value(name).expect("a unit variant serializes to its name");
    value.as_str().unwrap_or_default().to_owned()
}

/// Half-width of the widest interval, for the line of progress.
pub fn widest(comparisons: &[Option<Comparison>]) -> String {
    let widths =
        comparisons.iter().flatten().map(|c| (c.estimate.high / c.estimate.low).sqrt() - 1.0);
    match widths.fold(None, |most: Option<f64>, w| Some(most.map_or(w, |m| m.max(w)))) {
        Some(width) => format!("± {:.1} %", width * 100.0),
        None => String::new(),
    }
}

/// The same reason as records keep it.
pub fn reason_of(reason: Reason) -> StopReason {
    match reason {
        Reason::Target => StopReason::Target,
        Reason::MaxBlocks => StopReason::MaxBlocks,
        Reason::Budget => StopReason::Budget,
        Reason::Unreachable => StopReason::Unreachable,
    }
}

/// Why a setting has ended, for the line of progress.
pub fn words(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Target => "intervals are narrow enough",
        StopReason::MaxBlocks => "largest number of blocks",
        StopReason::Budget => "time allowed is used up",
        StopReason::Unreachable => "target out of reach",
        StopReason::Decision => "every question is answered",
        StopReason::NothingLeft => "nothing left to measure",
        StopReason::Crowded => "processes no longer fit beside each other",
        StopReason::Interrupted => "interrupted",
    }
}
