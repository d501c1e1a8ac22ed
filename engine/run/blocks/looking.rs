//! The look after a block: the comparisons that decide when to stop, and why it stopped.

use super::Blocks;
use super::tally::{counted, given_up};
use crate::measure::compare::{Comparison, speedup};
use crate::measure::stop::{Reason, look_level};
use crate::measure::{metric, summary};
use crate::record::{Outcome, StopReason};
use crate::run::session::Session;
use crate::spec::{Correction, MetricName};
use crate::stage::Artifact;

/// What decides when to stop: the speed-up of every variant over the baseline from the blocks
/// that have both, or the lone variant's own value. Empty when no comparison can come any more.
pub fn compare(
    blocks: &Blocks<'_>,
    session: &Session,
    variants: &[(String, Artifact)],
) -> Vec<Option<Comparison>> {
    let id = metric_id(blocks.bench.deciding(blocks.spec.model.task));
    let Some(metric) = metric(&id) else { return Vec::new() };
    let setting = &blocks.stage.setting;
    let values = |variant: &str| -> Vec<(u32, f64)> {
        counted(session, setting)
            .filter(|(name, _)| *name == variant)
            .filter_map(|(_, launch)| match &launch.outcome {
                Outcome::Measured(observed) => {
                    Some((launch.block, summary::block_value(observed, &id)?))
                }
                _ => None,
            })
            .collect()
    };
    let alive = |name: &str| !given_up(session, setting, name);
    let baseline = &blocks.plan.baseline;
    let others: Vec<&String> =
        variants.iter().map(|(name, _)| name).filter(|name| *name != baseline).collect();
    let confidence = blocks.spec.compare.confidence.0;
    if let [(name, _)] = variants
        && blocks.stage.variants.len() == 1
        && alive(name)
    {
        let own: Vec<(f64, f64)> = values(name).into_iter().map(|(_, v)| (1.0, v)).collect();
        return vec![speedup(&own, metric.better, look_level(confidence, 1))];
    }
    if !alive(baseline) || !variants.iter().any(|(name, _)| name == baseline) {
        return Vec::new();
    }
    let family = match blocks.spec.compare.correction {
        Correction::Holm => others.len() * blocks.plan.settings.len(),
        Correction::None => 1,
    };
    let level = look_level(confidence, family);
    let base = values(baseline);
    others
        .into_iter()
        .filter(|name| alive(name))
        .map(|name| {
            let own = values(name);
            let pairs: Vec<(f64, f64)> = base
                .iter()
                .filter_map(|(block, base)| Some((*base, own.iter().find(|(b, _)| b == block)?.1)))
                .collect();
            speedup(&pairs, metric.better, level)
        })
        .collect()
}

/// The id under which a metric of the spec is stored.
fn metric_id(name: MetricName) -> String {
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
        StopReason::NothingLeft => "nothing left to measure",
        StopReason::Interrupted => "interrupted",
    }
}
