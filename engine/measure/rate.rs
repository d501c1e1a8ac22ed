//! The largest rate of arrivals under which a server keeps an objective, found from few probes.
//!
//! A probe sends requests on a schedule of one rate until it can be said whether the objective is
//! kept (`slo`). Rates are doubled or halved until both answers are known, then the middle of the
//! bracket on the log scale is probed, until its ends are within 5 %; the winner must then keep the
//! objective in three more probes with other schedules. What is not shown to keep it counts as not
//! keeping it, so that the lower end errs on the safe side; the upper end is the lowest rate that
//! was *shown* to break it. The answer is these two, never a single number.

use serde::{Deserialize, Serialize};

use super::search::Answer;

/// Ends of the bracket that are this close end the search.
pub const BRACKET: f64 = 1.05;
/// Probes of the winner with other schedules.
pub const CONFIRMATIONS: usize = 3;
/// Probes of one search, at most.
pub const MOST_PROBES: usize = 40;
/// Rates are halved until this share of the first one.
const LEAST_SHARE: f64 = 1.0 / 1024.0;
/// Residual of the isotonic fit from which a share that does not rise with the rate is told.
const CLIFF: f64 = 0.1;
/// Rounding of products of rates.
const ROUNDING: f64 = 1e-9;

/// One probe as the search sees it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// Requests per second.
    pub rate: f64,
    pub answer: Answer,
    /// Share of its requests that were over a bound; 1 where it was given up.
    pub over: f64,
    /// Requests behind that share; 0 where none counted, and then it says nothing.
    pub requests: f64,
}

/// What the probes of a search have found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The largest rate that keeps the objective in all of its probes, below every one that does not.
    pub pass: Option<f64>,
    /// The smallest rate above it that was not shown to keep it.
    pub open: Option<f64>,
    /// The smallest rate above it that was shown to break it.
    pub fail: Option<f64>,
    /// `pass` and `open` are within 5 %, and `pass` was kept in all of its confirmations.
    pub settled: bool,
    /// The share over a bound does not rise with the rate: a lower rate was not shown to keep the
    /// objective and a higher one was. The lowest such and the highest such rate.
    pub cliff: Option<(f64, f64)>,
}

/// The rate to probe after the probes in `seen`; `None` when the search is over. `start` is the
/// first: half of what keeps the server busy all the time, which is the most that one server bears.
pub fn next(start: f64, seen: &[Probed]) -> Option<f64> {
    if seen.len() >= MOST_PROBES {
        return None;
    }
    let (low, high) = bracket(seen);
    match (low, high) {
        (None, None) => Some(start),
        (Some(low), None) => Some(2.0 * low),
        (None, Some(high)) => (high > LEAST_SHARE * start).then_some(high / 2.0),
        (Some(low), Some(high)) => {
            // A winner that was not confirmed gives way to the rate one step below.
            let below = high / BRACKET;
            if has_changed(seen, high) && below > low * (1.0 + ROUNDING) {
                Some(below)
            } else if high / low > BRACKET * (1.0 + ROUNDING) {
                Some((low * high).sqrt())
            } else if times(seen, low) <= CONFIRMATIONS {
                Some(low)
            } else if found(seen).fail.is_none() && seen.iter().all(|p| p.answer != Answer::Failed)
            {
                seen.iter().map(|p| p.rate).reduce(f64::max).map(|most| 2.0 * most)
            } else {
                None
            }
        }
    }
}

/// What `seen` shows by now.
pub fn found(seen: &[Probed]) -> Found {
    let (pass, open) = bracket(seen);
    let breaks = seen.iter().filter(|p| p.answer == Answer::Breaks);
    let above = breaks.map(|p| p.rate).filter(|rate| pass.is_none_or(|pass| *rate > pass));
    let near = pass.zip(open).is_some_and(|(low, high)| high / low <= BRACKET * (1.0 + ROUNDING));
    let confirmed = pass.is_some_and(|pass| times(seen, pass) > CONFIRMATIONS);
    Found {
        pass,
        open,
        fail: above.reduce(f64::min),
        settled: near && confirmed,
        cliff: cliff(seen),
    }
}

/// The largest rate that keeps the objective in all of its probes and the smallest that does not;
/// the first lies below the second.
fn bracket(seen: &[Probed]) -> (Option<f64>, Option<f64>) {
    let open = seen.iter().filter(|p| p.answer != Answer::Keeps).map(|p| p.rate).reduce(f64::min);
    let kept = seen.iter().map(|p| p.rate).filter(|rate| open.is_none_or(|open| *rate < open));
    (kept.reduce(f64::max), open)
}

/// How often `rate` was probed.
pub fn times(seen: &[Probed], rate: f64) -> usize {
    seen.iter().filter(|p| p.rate == rate).count()
}

fn has_changed(seen: &[Probed], rate: f64) -> bool {
    let kept = seen.iter().any(|p| p.rate == rate && p.answer == Answer::Keeps);
    kept && seen.iter().any(|p| p.rate == rate && p.answer != Answer::Keeps)
}

/// Shares over a bound that rise with the rate, closest to those of `probes` in squares weighted by
/// requests: pool adjacent violators (Ayer et al., Ann. Math. Stat. 26 (1955) 641-647). In order of
/// the rate; rate and fitted share. Probes without a request that counts have none.
pub fn isotonic(probes: &[Probed]) -> Vec<(f64, f64)> {
    let sorted = weighty(probes);
    // Weighted sum, weight and number of members of each pool.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for probe in &sorted {
        pools.push((probe.over * probe.requests, probe.requests, 1));
        while let [.., a, b] = pools.as_slice()
            && a.0 * b.1 >= b.0 * a.1
        {
            let merged = (a.0 + b.0, a.1 + b.1, a.2 + b.2);
            pools.truncate(pools.len() - 2);
            pools.push(merged);
        }
    }
    let share = |pool: &(f64, f64, usize)| if pool.1 > 0.0 { pool.0 / pool.1 } else { 0.0 };
    let fitted = pools.iter().flat_map(|pool| std::iter::repeat_n(share(pool), pool.2));
    sorted.iter().map(|probe| probe.rate).zip(fitted).collect()
}

/// Probes with requests that count, in order of the rate.
fn weighty(probes: &[Probed]) -> Vec<&Probed> {
    let mut out: Vec<&Probed> = probes.iter().filter(|probe| probe.requests > 0.0).collect();
    out.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    out
}

fn cliff(seen: &[Probed]) -> Option<(f64, f64)> {
    let sorted = weighty(seen);
    let open = sorted.iter().find(|p| p.answer != Answer::Keeps)?.rate;
    let kept = seen.iter().filter(|p| p.answer == Answer::Keeps).map(|p| p.rate);
    let kept = kept.reduce(f64::max).filter(|kept| *kept > open)?;
    let fit = isotonic(seen);
    let weight: f64 = sorted.iter().map(|p| p.requests).sum();
    let mean = sorted.iter().map(|p| p.requests * p.over).sum::<f64>() / weight;
    let squares = |of: &dyn Fn(usize) -> f64| -> f64 {
        sorted.iter().enumerate().map(|(i, p)| p.requests * (p.over - of(i)).powi(2)).sum()
    };
    let (left, all) = (squares(&|i| fit[i].1), squares(&|_| mean));
    (all > 0.0 && (left / all).sqrt() >= CLIFF).then_some((open, kept))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn probe(rate: f64, answer: Answer) -> Probed {
        let over = if answer == Answer::Keeps { 0.0 } else { 0.5 };
        Probed { rate, answer, over, requests: 100.0 }
    }

    fn searched(start: f64, mut server: impl FnMut(f64) -> Answer) -> Vec<Probed> {
        let mut seen = Vec::new();
        while let Some(rate) = next(start, &seen) {
            seen.push(probe(rate, server(rate)));
        }
        seen
    }

    fn exact(limit: f64) -> impl FnMut(f64) -> Answer {
        move |rate| if rate <= limit { Answer::Keeps } else { Answer::Breaks }
    }

    #[test]
    fn a_limit_anywhere_ends_up_between_rates_that_are_five_per_cent_apart() {
        for limit in [0.011, 0.3, 1.0, 1.9, 7.3, 250.0] {
            let seen = searched(0.5, exact(limit));
            let found = found(&seen);
            let (pass, fail) = (found.pass.unwrap(), found.fail.unwrap());
            assert!(pass <= limit && limit < fail && fail / pass <= 1.0501, "{found:?}");
            assert!(found.settled && found.cliff.is_none());
            assert_eq!(times(&seen, pass), 1 + CONFIRMATIONS);
            assert!(seen.len() < 25, "{} probes", seen.len());
        }
    }

    #[test]
    fn a_server_that_keeps_nothing_is_given_up() {
        let seen = searched(8.0, |_| Answer::Breaks);
        let found = found(&seen);
        assert_eq!((found.pass, found.settled), (None, false));
        assert!(found.fail.unwrap() <= 8.0 / 1024.0 && seen.len() <= 12, "{found:?}");
    }

    #[test]
    fn what_is_undecided_is_neither_end() {
        let server = |rate| match rate {
            r if r <= 2.0 => Answer::Keeps,
            r if r <= 3.0 => Answer::Undecided,
            _ => Answer::Breaks,
        };
        let found = found(&searched(0.5, server));
        assert!(found.pass.unwrap() <= 2.0 && found.open.unwrap() <= 2.1, "{found:?}");
        assert!(found.fail.unwrap() > 3.0);
        // Nothing is shown to break it until somebody looks further up.
        let server = |rate| match rate {
            r if r <= 2.0 => Answer::Keeps,
            r if r <= 9.0 => Answer::Undecided,
            _ => Answer::Breaks,
        };
        assert!(super::found(&searched(0.5, server)).fail.unwrap() > 9.0);
    }

    #[test]
    fn a_winner_that_is_not_confirmed_steps_down_by_five_per_cent() {
        let mut probed = 0;
        let seen = searched(1.0, |rate| {
            probed += usize::from(rate == 4.0);
            let keeps = rate < 3.9 || (rate == 4.0 && probed < 3);
            if keeps { Answer::Keeps } else { Answer::Breaks }
        });
        let found = found(&seen);
        assert!((found.pass.unwrap() - 4.0 / 1.05).abs() < 1e-9, "{found:?}");
        assert_eq!(found.fail, Some(4.0));
        assert!(found.settled);
    }

    #[test]
    fn shares_that_fall_with_the_rate_are_pooled_and_told() {
        let at = |rate, over, answer| Probed { rate, answer, over, requests: 100.0 };
        let seen = [
            at(1.0, 0.0, Answer::Keeps),
            at(2.0, 0.4, Answer::Breaks),
            at(3.0, 0.0, Answer::Keeps),
            at(4.0, 0.9, Answer::Breaks),
        ];
        assert_eq!(isotonic(&seen), [(1.0, 0.0), (2.0, 0.2), (3.0, 0.2), (4.0, 0.9)]);
        assert_eq!(found(&seen).cliff, Some((2.0, 3.0)));
        let straight = [seen[0], seen[1], seen[3]];
        assert_eq!(found(&straight).cliff, None);
        // What nothing is known of is no cliff, and bends no fit.
        let nothing = Probed { requests: 0.0, ..at(2.0, 1.0, Answer::Undecided) };
        let around = [seen[0], nothing, seen[2], seen[3]];
        assert_eq!(isotonic(&around), [(1.0, 0.0), (3.0, 0.0), (4.0, 0.9)]);
        assert_eq!(found(&around).cliff, None);
    }

    proptest! {
        #[test]
        fn answers_without_rhyme_end_too(seed: u64) {
            let mut state = seed;
            let seen = searched(1.0, |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                match state >> 62 {
                    0 => Answer::Breaks,
                    1 => Answer::Undecided,
                    _ => Answer::Keeps,
                }
            });
            prop_assert!(seen.len() <= MOST_PROBES);
            let found = found(&seen);
            if let (Some(pass), Some(open)) = (found.pass, found.open) {
                prop_assert!(pass < open);
                prop_assert!(seen.iter().all(|p| p.rate != pass || p.answer == Answer::Keeps));
            }
        }
    }
}
