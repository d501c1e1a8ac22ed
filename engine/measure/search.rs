//! The largest batch that keeps a bound on its latency, found from few probes.
//!
//! A probe measures one size until it can be said whether a quantile of its latency keeps the
//! bound. Sizes are doubled until one does not, the gap is halved, and at the end the winner and its
//! upper neighbour are probed again. Whatever is not shown to keep the bound counts as not keeping
//! it, so that an answer errs on the safe side.

use serde::{Deserialize, Serialize};

use super::quantile::{one_sided, quantile};

/// Times that the numbers of one probe are looked at, at most. The error allowed is shared by them.
pub const LOOKS: usize = 4;

/// Requests before the first look: enough to see that a bound is far away.
const FIRST_LOOK: usize = 12;

/// A quantile of the latency, and the seconds that it must not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Such as 0.99.
    pub quantile: f64,
    pub seconds: f64,
}

/// What a probe says about its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The upper bound of the quantile is within the bound.
    Keeps,
    /// The lower bound of the quantile is beyond it.
    Breaks,
    /// The bound lies between the two.
    Undecided,
    /// It could not be run at all.
    Failed,
}

/// What the probes of a search have found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The largest size that was shown to keep the bound, below every one that was not.
    pub batch: Option<u32>,
    /// The smallest size that was not; `None` where all did.
    pub above: Option<u32>,
    /// Nothing lies between the two, and both were probed more than once.
    pub settled: bool,
    /// Sizes that have kept the bound in one probe and not in another.
    pub changed: Vec<u32>,
}

/// Level of the bounds at each look, so that all looks of a probe together miss the truth as
/// rarely as `confidence` says (Bonferroni).
pub fn look_level(confidence: f64) -> f64 {
    1.0 - (1.0 - confidence) / LOOKS as f64
}

/// Numbers of requests, rising, after which a probe is looked at: few, which show a bound that is
/// far away; as many as can show that it is kept when none is slower; three and six times as many,
/// which bear some slow ones.
pub fn looks(bound: Bound, confidence: f64) -> [usize; LOOKS] {
    let need = quantile(&[0.0], bound.quantile, look_level(confidence)).map_or(0, |q| q.need);
    let full = need.max(4 * FIRST_LOOK);
    [FIRST_LOOK, full, 3 * full, 6 * full]
}

/// Whether latencies in seconds keep `bound`: bounds of the quantile from order statistics, which
/// assume nothing about the distribution but count every request as independent.
pub fn answer(latencies: &[f64], bound: Bound, confidence: f64) -> Answer {
    match one_sided(latencies, bound.quantile, look_level(confidence)) {
        (_, Some(high)) if high <= bound.seconds => Answer::Keeps,
        (Some(low), _) if low > bound.seconds => Answer::Breaks,
        _ => Answer::Undecided,
    }
}

/// Probes that a search of sizes from 1 to `max` makes at most: 2 log2(max) + 3.
pub fn most_probes(max: u32) -> usize {
    (2.0 * f64::from(max.max(1)).log2() + 3.0).floor() as usize
}

/// The size to probe after the probes in `seen`; `None` when the search is over.
pub fn next(max: u32, seen: &[(u32, Answer)]) -> Option<u32> {
    let (low, high) = bracket(max, seen);
    let size = if high > max && low < max {
        low.saturating_mul(2).clamp(1, max)
    } else if high - low > 1 && high <= max {
        low + (high - low) / 2
    } else if low > 0 && times(seen, low) < 2 {
        low
    } else if high <= max && times(seen, high) < 2 {
        high
    } else {
        return None;
    };
    (seen.len() < most_probes(max)).then_some(size)
}

/// What `seen` shows by now.
pub fn found(max: u32, seen: &[(u32, Answer)]) -> Found {
    let (low, high) = bracket(max, seen);
    let (batch, above) = ((low > 0).then_some(low), (high <= max).then_some(high));
    let twice = |size: Option<u32>| size.is_none_or(|size| times(seen, size) > 1);
    let mut changed: Vec<u32> =
        seen.iter().map(|(size, _)| *size).filter(|&size| has_changed(seen, size)).collect();
    changed.sort_unstable();
    changed.dedup();
    Found { batch, above, settled: high - low == 1 && twice(batch) && twice(above), changed }
}

/// Two sizes of which the smaller is the slower one, beyond both their intervals: `intervals` are
/// size, lower and upper bound of its latency. The pair that is furthest apart.
pub fn inversion(intervals: &[(u32, f64, f64)]) -> Option<(u32, u32)> {
    let pairs = intervals.iter().flat_map(|a| intervals.iter().map(move |b| (a, b)));
    pairs
        .filter(|(small, large)| small.0 < large.0 && small.1 > large.2)
        .max_by(|a, b| (a.0.1 / a.1.2).total_cmp(&(b.0.1 / b.1.2)))
        .map(|(small, large)| (small.0, large.0))
}

/// The largest size that keeps the bound in all of its probes, 0 for none, and the smallest that
/// does not, `max + 1` for none; the first lies below the second.
fn bracket(max: u32, seen: &[(u32, Answer)]) -> (u32, u32) {
    let broken = seen.iter().filter(|(_, answer)| *answer != Answer::Keeps);
    let high = broken.map(|(size, _)| *size).min().unwrap_or(max.saturating_add(1));
    let kept = seen.iter().map(|(size, _)| *size).filter(|&size| size < high);
    (kept.max().unwrap_or(0), high)
}

fn times(seen: &[(u32, Answer)], size: u32) -> usize {
    seen.iter().filter(|(known, _)| *known == size).count()
}

fn has_changed(seen: &[(u32, Answer)], size: u32) -> bool {
    let of = |keeps: bool| seen.iter().any(|s| s.0 == size && (s.1 == Answer::Keeps) == keeps);
    of(true) && of(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_pcg::Pcg64;

    use super::*;

    /// All probes of a search whose sizes answer as `server` says.
    fn searched(max: u32, mut server: impl FnMut(u32) -> Answer) -> Vec<(u32, Answer)> {
        let mut seen = Vec::new();
        while let Some(size) = next(max, &seen) {
            assert!((1..=max).contains(&size));
            seen.push((size, server(size)));
        }
        seen
    }

    fn exact(keeps: impl Fn(u32) -> bool) -> impl FnMut(u32) -> Answer {
        move |size| if keeps(size) { Answer::Keeps } else { Answer::Breaks }
    }

    #[test]
    fn linear_servers_give_their_exact_limit() {
        for max in [1, 2, 3, 7, 100, 128, 4096] {
            for limit in [0, 1, 2, 3, 6, 63, 64, 65, 99, 127, 128, 4000, 4096] {
                let seen = searched(max, exact(|size| size <= limit));
                let best = limit.min(max);
                let expected = Found {
                    batch: (best > 0).then_some(best),
                    above: (best < max).then_some(best + 1),
                    settled: true,
                    changed: Vec::new(),
                };
                assert_eq!(found(max, &seen), expected, "{limit} of {max}");
                assert!(seen.len() <= most_probes(max), "{} probes of {max}", seen.len());
            }
        }
    }

    #[test]
    fn sizes_are_not_tried_one_by_one() {
        assert_eq!((most_probes(128), most_probes(4096)), (17, 27));
        let sizes = |max, limit| {
            let seen = searched(max, exact(|size| size <= limit));
            seen.into_iter().map(|(size, _)| size).collect::<Vec<_>>()
        };
        assert_eq!(sizes(100, 100), [1, 2, 4, 8, 16, 32, 64, 100, 100]);
        assert_eq!(sizes(100, 21), [1, 2, 4, 8, 16, 32, 24, 20, 22, 21, 21, 22]);
        assert_eq!(sizes(64, 0), [1, 1]);
    }

    #[test]
    fn a_server_in_steps_gives_the_end_of_a_step() {
        // Kernels for 8 rows at once: latency is that of the next multiple of 8.
        let seen = searched(256, exact(|size| size.div_ceil(8) * 8 <= 47));
        assert_eq!(found(256, &seen).batch, Some(40));
    }

    #[test]
    fn what_is_undecided_or_fails_is_not_kept() {
        let server = |size| match size {
            1..=5 => Answer::Keeps,
            6 => Answer::Undecided,
            _ => Answer::Failed,
        };
        let result = found(128, &searched(128, server));
        assert_eq!((result.batch, result.above, result.settled), (Some(5), Some(6), true));
        assert_eq!(found(128, &searched(128, |_| Answer::Failed)).batch, None);
        assert!(!found(128, &[(1, Answer::Keeps), (2, Answer::Breaks)]).settled, "torn");
    }

    #[test]
    fn a_winner_that_fails_when_probed_again_gives_way() {
        let mut probed = 0;
        let seen = searched(64, |size| {
            probed += u32::from(size == 6);
            let keeps = size < 6 || (size == 6 && probed == 1);
            if keeps { Answer::Keeps } else { Answer::Breaks }
        });
        let result = found(64, &seen);
        assert_eq!((result.batch, result.above), (Some(5), Some(6)), "{seen:?}");
        assert_eq!((result.settled, result.changed.as_slice()), (true, &[6][..]));
    }

    #[test]
    fn a_smaller_size_that_is_slower_is_noticed() {
        let rows = [(4, 0.010, 0.011), (6, 0.030, 0.031), (8, 0.012, 0.013), (12, 0.029, 0.040)];
        assert_eq!(inversion(&rows), Some((6, 8)));
        assert_eq!(inversion(&rows[2..]), None);
        assert_eq!(inversion(&[(1, 2.0, 3.0), (2, 2.5, 3.5)]), None, "intervals overlap");
    }

    #[test]
    fn few_requests_show_a_bound_that_is_far_and_many_one_that_is_near() {
        let bound = Bound { quantile: 0.99, seconds: 1.0 };
        assert_eq!(looks(bound, 0.95), [12, 505, 1515, 3030]);
        assert_eq!(looks(Bound { quantile: 0.5, ..bound }, 0.95), [12, 48, 144, 288]);
        assert_eq!(answer(&[2.0; 12], bound, 0.95), Answer::Breaks);
        assert_eq!(answer(&[0.5; 12], bound, 0.95), Answer::Undecided);
        assert_eq!(answer(&[0.5; 505], bound, 0.95), Answer::Keeps);
        let mut outlier = vec![0.5; 505];
        outlier[7] = 2.0;
        assert_eq!(answer(&outlier, bound, 0.95), Answer::Undecided);
        outlier.extend([0.5; 1010]);
        assert_eq!(answer(&outlier, bound, 0.95), Answer::Keeps);
        assert_eq!(answer(&[], bound, 0.95), Answer::Undecided);
    }

    /// Requests of one size as a run would make them, until a look decides.
    fn probe(mut request: impl FnMut() -> f64, bound: Bound) -> Answer {
        let mut latencies = Vec::new();
        for look in looks(bound, 0.95) {
            latencies.resize_with(look, &mut request);
            match answer(&latencies, bound, 0.95) {
                Answer::Undecided => {}
                decided => return decided,
            }
        }
        Answer::Undecided
    }

    #[test]
    fn noisy_servers_are_hardly_ever_overrated() {
        // 2 ms and 1 ms an item, up to 10 % slower, and one of 400 requests three times as slow:
        // the quantile is that of the noise at 0.99/0.9975.
        let slowest = 1.0 + 0.1 * (0.99 / 0.9975);
        let bound = Bound { quantile: 0.99, seconds: 0.050 };
        let keeps = |size: u32| (0.002 + 0.001 * f64::from(size)) * slowest <= bound.seconds;
        let truth = (1..=128).rfind(|&size| keeps(size)).unwrap();
        let (mut over, mut sum) = (0, 0);
        for seed in 0..60 {
            let mut rng = Pcg64::new(seed, 1);
            let seen = searched(128, |size| {
                let request = || {
                    let slow = if rng.random::<f64>() < 0.0025 { 3.0 } else { 1.0 };
                    let noise = 1.0 + 0.1 * rng.random::<f64>();
                    (0.002 + 0.001 * f64::from(size)) * noise * slow
                };
                probe(request, bound)
            });
            let batch = found(128, &seen).batch.unwrap();
            over += u32::from(batch > truth);
            sum += batch;
            assert!(seen.len() <= most_probes(128));
        }
        assert!(over <= 3, "{over} of 60 beyond {truth}");
        assert!(f64::from(sum) / 60.0 > 0.9 * f64::from(truth), "mean {}", f64::from(sum) / 60.0);
    }

    proptest! {
        /// Whatever the sizes do, the result keeps the bound and its upper neighbour does not.
        #[test]
        fn the_result_is_at_an_edge_of_what_keeps_the_bound(
            keeps in proptest::collection::vec(any::<bool>(), 1..300),
        ) {
            let max = keeps.len() as u32;
            let seen = searched(max, exact(|size| keeps[size as usize - 1]));
            prop_assert!(seen.len() <= most_probes(max));
            let result = found(max, &seen);
            prop_assert!(result.settled && result.changed.is_empty());
            match result.batch {
                Some(size) => prop_assert!(keeps[size as usize - 1]),
                None => prop_assert!(!keeps[0]),
            }
            let above = result.batch.unwrap_or(0) + 1;
            prop_assert_eq!(result.above, (above <= max).then_some(above));
            if let Some(above) = result.above {
                prop_assert!(!keeps[above as usize - 1]);
            }
        }

        /// Sizes that answer at random end the search in time, and the result never broke.
        #[test]
        fn answers_without_rhyme_end_too(max in 1u32..5000, seed: u64) {
            let mut rng = Pcg64::new(u128::from(seed), 2);
            let seen = searched(max, |_| {
                if rng.random::<f64>() < 0.6 { Answer::Keeps } else { Answer::Undecided }
            });
            prop_assert!(seen.len() <= most_probes(max));
            let result = found(max, &seen);
            if let Some(size) = result.batch {
                prop_assert!(seen.iter().all(|s| s.0 != size || s.1 == Answer::Keeps));
            }
        }
    }
}
