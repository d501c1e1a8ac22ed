//! How many requests a launch should make: two levels of repetition, weighed by what they cost.
//!
//! A block's value is the median over the requests of a launch. More requests make it steadier and
//! the launch longer; what differs between launches they never average out. With `c₁` the cost of a
//! request and `c₂` that of a launch besides, the variance that a given time buys is least where
//! `(c₂ + r·c₁)·(T₂² + V₁(r))` is (Kalibera & Jones 2013, Rigorous Benchmarking in Reasonable
//! Time, ISMM, section 5). For a mean `V₁(r) = S₁²/r`; here it is that of a median of `r`
//! normal numbers, about `π·S₁²/(2r + π − 2)`, which is exact for `r = 1` and as `r` grows.
//!
//! Only spreads are looked at, never which variant is faster, so choosing `r` favours nobody.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::estimate::moments;
use super::quantile::median;
use super::sample::{Observed, Timeline};
use super::summary::{block_value, counted};

/// One launch of a pilot.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The metric's value of each counted request.
    pub values: Vec<f64>,
    /// Seconds of one request, the making of its input included; the median over the launch.
    pub request: f64,
    /// Seconds of the whole process.
    pub wall: f64,
}

impl Trial {
    /// What a launch of `wall` nanoseconds tells about `metric`. `None` where a counted request has
    /// no value of its own.
    pub fn of(observed: &Observed, wall: u64, metric: &str) -> Option<Self> {
        let alone = |request: &Timeline| {
            let requests = vec![request.clone()];
            let seen = Observed {
                load: observed.load,
                first_call: observed.first_call.clone(),
                requests,
                peak_memory: observed.peak_memory,
                steady_memory: observed.steady_memory,
                sending: observed.sending,
                ..Observed::default()
            };
            block_value(&seen, metric)
        };
        let took = |request: &Timeline| {
            let answered = request.tokens.last()?.checked_sub(request.sent)?;
            let made = request.decode.unwrap_or(0) + request.preprocess.unwrap_or(0);
            Some((answered + made) as f64 / 1e9)
        };
        let times: Option<Vec<f64>> = counted(observed).map(took).collect();
        let values: Option<Vec<f64>> = counted(observed).map(alone).collect();
        Some(Self { values: values?, request: median(&times?)?, wall: wall as f64 / 1e9 })
    }
}

/// Between which numbers the choice is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    pub min: u32,
    pub max: u32,
    /// Seconds that the counted requests of one launch may take.
    pub most_seconds: f64,
}

/// The number of requests that later launches make, and how it came about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repetition {
    /// Counted requests of a launch.
    pub requests: u32,
    pub settled_by: SettledBy,
    /// Blocks of the pilot.
    pub pilot: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
}

/// What made the number what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettledBy {
    /// Costs and spreads.
    Weights,
    /// They ask for fewer than are allowed.
    Least,
    /// They ask for more than are allowed.
    Most,
    /// They ask for more than fit into the time of one launch.
    Time,
    /// The pilot does not tell: too few blocks, or launches with a single value.
    Unclear,
}

/// Costs and spreads of the comparison that differs most between blocks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Seconds of one request of every variant.
    pub request: f64,
    /// Seconds of the launches of a block besides their counted requests.
    pub launch: f64,
    /// Standard deviation of the log ratio that single requests would have (`S₁`).
    pub sd_requests: f64,
    /// Standard deviation of the log ratio between launches, however many requests they make
    /// (`T₂`), as used: see [`LEAST_SHARE`].
    pub sd_launches: f64,
}

/// Blocks of a pilot; as many as there must be when those are fewer.
pub const PILOT: u32 = 5;

/// Seconds that the counted requests of one launch take at most by this choice.
pub const MOST_SECONDS: f64 = 60.0;

/// The least part of the variance between blocks that counts as that between launches.
///
/// From five blocks `T₂²` comes out at or below 0 now and then where it is not small at all, and
/// an optimum taken from it makes launches ten times too long. In simulated pilots (`engine prove
/// repetition`) this floor keeps the mean loss against the true optimum within a quarter; without it
/// the loss was a factor of up to 2.4.
const LEAST_SHARE: f64 = 0.2;

/// `π/2 − 1`: the variance of a median of `r` normal numbers is about `(π/2)·σ²/(r + OFFSET)`.
const OFFSET: f64 = PI / 2.0 - 1.0;

/// The number of requests for all variants of a setting, from a pilot.
///
/// `arms` holds the trials of every variant, the baseline's first, block by block in the same
/// order. The comparison with the largest variance decides, because it decides when measuring
/// ends; costs are those of a whole block. A lone variant is weighed by its own values.
pub fn choose(arms: &[Vec<Trial>], bounds: Bounds) -> Repetition {
    let blocks = arms.iter().map(Vec::len).min().unwrap_or(0);
    let pilot = u32::try_from(blocks).unwrap_or(u32::MAX);
    let unclear =
        Repetition { requests: bounds.min, settled_by: SettledBy::Unclear, pilot, weights: None };
    let Some((weights, slowest)) = weigh(arms, blocks) else { return unclear };
    let wanted = optimum(&weights).ceil();
    let in_time = (bounds.most_seconds / slowest).floor();
    let (low, high) = (f64::from(bounds.min), f64::from(bounds.max.max(bounds.min)));
    let (requests, settled_by) = if wanted < low {
        (low, SettledBy::Least)
    } else if wanted > in_time.min(high) {
        let by = if in_time < high { SettledBy::Time } else { SettledBy::Most };
        (in_time.min(high).max(low), by)
    } else {
        (wanted, SettledBy::Weights)
    };
    Repetition { requests: requests as u32, settled_by, pilot, weights: Some(weights) }
}

/// Variance by time, for a launch of `requests`: what the best choice makes least.
pub fn price(weights: &Weights, requests: u32) -> f64 {
    let r = f64::from(requests);
    let variance =
        weights.sd_launches.powi(2) + weights.sd_requests.powi(2) * (OFFSET + 1.0) / (r + OFFSET);
    (weights.launch + r * weights.request) * variance
}

/// Where the derivative of [`price`] vanishes; 1 where it has no zero above.
fn optimum(weights: &Weights) -> f64 {
    let besides = weights.launch / weights.request - OFFSET;
    let spreads = (OFFSET + 1.0) * (weights.sd_requests / weights.sd_launches).powi(2);
    if besides > 0.0 && spreads > 0.0 {
        ((besides * spreads).sqrt() - OFFSET).max(1.0)
    } else {
        1.0
    }
}

/// The weights, and the seconds of the slowest variant's request.
fn weigh(arms: &[Vec<Trial>], blocks: usize) -> Option<(Weights, f64)> {
    let within: Vec<f64> = arms.iter().map(|arm| spread(&arm[..blocks])).collect::<Option<_>>()?;
    let logs: Vec<Vec<f64>> =
        arms.iter().map(|arm| values(&arm[..blocks])).collect::<Option<_>>()?;
    let steadied = |arm: &[Trial], within: f64| {
        let share = |trial: &Trial| within * (OFFSET + 1.0) / (trial.values.len() as f64 + OFFSET);
        arm.iter().map(share).sum::<f64>() / arm.len() as f64
    };
    let own = |i: usize| steadied(&arms[i][..blocks], within[i]);
    let (base, others) = logs.split_first()?;
    // Variance between blocks, of single requests, and the part of the former that is the latter's.
    let mut widest: Option<(f64, f64, f64)> = None;
    let mut consider = |differences: &[f64], requests: f64, steadied: f64| {
        let variance = moments(differences)?.1.powi(2);
        if widest.is_none_or(|(most, ..)| variance > most) {
            widest = Some((variance, requests, steadied));
        }
        Some(())
    };
    if others.is_empty() {
        consider(base, within[0], own(0))?;
    }
    for (i, other) in others.iter().enumerate() {
        let differences: Vec<f64> = base.iter().zip(other).map(|(b, v)| v - b).collect();
        consider(&differences, within[0] + within[i + 1], own(0) + own(i + 1))?;
    }
    let (variance, requests, steadied) = widest?;
    let launches = (variance - steadied).max(LEAST_SHARE * variance);
    let of = |arm: &[Trial], cost: &dyn Fn(&Trial) -> f64| {
        median(&arm.iter().map(cost).collect::<Vec<_>>())
    };
    let besides = |trial: &Trial| (trial.wall - trial.request * trial.values.len() as f64).max(0.0);
    let each: Vec<f64> =
        arms.iter().map(|arm| of(&arm[..blocks], &|t| t.request)).collect::<Option<_>>()?;
    let launch: Vec<f64> =
        arms.iter().map(|arm| of(&arm[..blocks], &besides)).collect::<Option<_>>()?;
    let slowest = each.iter().copied().fold(0.0, f64::max);
    let weights = Weights {
        request: each.iter().sum(),
        launch: launch.iter().sum(),
        sd_requests: requests.sqrt(),
        sd_launches: launches.sqrt(),
    };
    (launches > 0.0 && slowest > 0.0).then_some((weights, slowest))
}

/// Mean variance of the log values within a launch; `None` where a launch has a single one.
fn spread(arm: &[Trial]) -> Option<f64> {
    let variance = |trial: &Trial| {
        let logs: Vec<f64> = trial.values.iter().map(|value| value.ln()).collect();
        Some(moments(&logs)?.1.powi(2))
    };
    let variances: Vec<f64> = arm.iter().map(variance).collect::<Option<_>>()?;
    (!variances.is_empty()).then(|| variances.iter().sum::<f64>() / variances.len() as f64)
}

/// The log of every block's value.
fn values(arm: &[Trial]) -> Option<Vec<f64>> {
    arm.iter().map(|trial| median(&trial.values).map(f64::ln)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Bounds = Bounds { min: 1, max: 1000, most_seconds: 1e9 };

    /// Trials whose requests alternate by `within` and whose launches alternate by `between`.
    fn arm(within: f64, between: f64, request: f64, wall: f64) -> Vec<Trial> {
        let launch = |block: u32| {
            let own = if block.is_multiple_of(2) { between } else { -between };
            let value = |i: u32| (own + if i.is_multiple_of(2) { within } else { -within }).exp();
            Trial { values: (0..10).map(value).collect(), request, wall }
        };
        (0..5).map(launch).collect()
    }

    #[test]
    fn the_optimum_makes_variance_by_time_least() {
        for (launch, sd_requests, sd_launches) in
            [(3.0, 1.0, 0.3), (10.0, 1.0, 1.0), (50.0, 1.0, 3.0)]
        {
            let weights = Weights { request: 1.0, launch, sd_requests, sd_launches };
            let best = optimum(&weights);
            let least = (1..200).min_by(|a, b| price(&weights, *a).total_cmp(&price(&weights, *b)));
            assert!((best - f64::from(least.unwrap())).abs() <= 1.0, "{best} {least:?}");
        }
    }

    #[test]
    fn dear_launches_ask_for_more_requests_and_spread_launches_for_fewer() {
        let of = |between, wall| {
            let arms = [arm(0.02, 0.0, 0.1, wall), arm(0.02, between, 0.1, wall)];
            choose(&arms, WIDE)
        };
        let (cheap, dear) = (of(0.01, 1.5), of(0.01, 21.0));
        assert_eq!((cheap.settled_by, cheap.pilot), (SettledBy::Weights, 5));
        assert!(dear.requests > 2 * cheap.requests, "{cheap:?} {dear:?}");
        assert!(of(0.1, 1.5).requests < cheap.requests);
        let weights = cheap.weights.unwrap();
        assert!((weights.request - 0.2).abs() < 1e-12 && (weights.launch - 1.0).abs() < 1e-9);
    }

    #[test]
    fn bounds_and_time_hold_the_choice() {
        let arms = [arm(0.02, 0.0, 0.1, 21.0), arm(0.02, 0.01, 0.2, 21.0)];
        let free = choose(&arms, WIDE);
        assert_eq!(free.settled_by, SettledBy::Weights);
        let few = choose(&arms, Bounds { max: 4, ..WIDE });
        assert_eq!((few.requests, few.settled_by), (4, SettledBy::Most));
        let many = choose(&arms, Bounds { min: free.requests + 5, ..WIDE });
        assert_eq!((many.requests, many.settled_by), (free.requests + 5, SettledBy::Least));
        let short = choose(&arms, Bounds { most_seconds: 1.1, ..WIDE });
        assert_eq!((short.requests, short.settled_by), (5, SettledBy::Time));
        let never_below = choose(&arms, Bounds { min: 7, most_seconds: 1.1, ..WIDE });
        assert_eq!(never_below.requests, 7);
    }

    #[test]
    fn a_pilot_that_tells_nothing_leaves_the_least() {
        let single = |mut arm: Vec<Trial>| {
            for trial in &mut arm {
                trial.values.truncate(1);
            }
            arm
        };
        let bounds = Bounds { min: 3, max: 20, most_seconds: 60.0 };
        let unclear = |arms: &[Vec<Trial>]| {
            let found = choose(arms, bounds);
            assert_eq!((found.requests, found.settled_by), (3, SettledBy::Unclear));
            assert_eq!(found.weights, None);
        };
        unclear(&[]);
        unclear(&[single(arm(0.1, 0.1, 0.1, 1.0)), arm(0.1, 0.2, 0.1, 1.0)]);
        unclear(&[arm(0.1, 0.1, 0.1, 1.0)[..1].to_vec()]);
        unclear(&[arm(0.0, 0.0, 0.1, 1.0), arm(0.0, 0.0, 0.1, 1.0)]);
    }

    #[test]
    fn equal_requests_need_no_repeats_and_a_lone_variant_counts_by_itself() {
        let alike = choose(&[arm(0.0, 0.1, 0.1, 9.0)], WIDE);
        assert_eq!((alike.requests, alike.settled_by), (1, SettledBy::Weights));
        assert!(choose(&[arm(0.05, 0.02, 0.1, 9.0)], WIDE).requests > 5);
    }

    #[test]
    fn a_trial_is_read_from_the_timelines_of_a_launch() {
        let request = |sent: u64, took: u64, warmup| Timeline {
            sent,
            tokens: vec![sent + took],
            batch: 2,
            decode: Some(1_000_000),
            warmup,
            ..Timeline::default()
        };
        let requests = vec![
            request(0, 90_000_000, true),
            request(1, 10_000_000, false),
            request(2, 30_000_000, false),
        ];
        let observed =
            Observed { load: 5, first_call: request(0, 1, false), requests, ..Observed::default() };
        let trial = Trial::of(&observed, 2_000_000_000, "latency").unwrap();
        assert_eq!(trial.values, [0.01, 0.03]);
        assert!((trial.request - 0.021).abs() < 1e-12 && trial.wall == 2.0);
        assert_eq!(Trial::of(&observed, 1, "decode_tps"), None);
    }
}
