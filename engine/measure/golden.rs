//! Parity with scipy, statsmodels and numpy; the numbers come from `tests/golden/make_golden.py`.

use serde::Deserialize;

use super::bootstrap;
use super::compare::speedup;
use super::estimate::{Estimate, mean_t, ratio_of_sums, skewness, t_quantile, t_two_sided_p};
use super::holm::holm_levels;
use super::metric::Better;
use super::proportion::{paired_difference, wilson};
use super::quantile::quantile;
use super::{Method, signed_rank};

#[derive(Deserialize)]
struct Golden {
    t_quantiles: Vec<(f64, f64, f64)>,
    t_two_sided_p: Vec<(f64, f64, f64)>,
    means: Vec<Mean>,
    skewnesses: Vec<Skewness>,
    quantiles: Vec<Quantile>,
    needs: Vec<(f64, f64, usize)>,
    signed_ranks: Vec<SignedRank>,
    speedups: Vec<Speedup>,
    holm: Vec<Holm>,
    ratios: Vec<Ratio>,
    wilsons: Vec<Wilson>,
    paired_scores: Vec<PairedScore>,
    bootstraps: Vec<Bootstrap>,
}

#[derive(Deserialize)]
struct Mean {
    values: Vec<f64>,
    level: f64,
    #[serde(flatten)]
    interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    point: f64,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Skewness {
    values: Vec<f64>,
    skewness: f64,
}

/// Without `values` the data are 1, 2, …, n.
#[derive(Deserialize)]
struct Quantile {
    values: Option<Vec<f64>>,
    n: usize,
    q: f64,
    level: f64,
    point: f64,
    bounds: Option<(f64, f64)>,
}

#[derive(Deserialize)]
struct SignedRank {
    values: Vec<f64>,
    level: f64,
    bounds: Option<(f64, f64)>,
}

#[derive(Deserialize)]
struct Speedup {
    pairs: Vec<(f64, f64)>,
    #[serde(flatten)]
    interval: Interval,
    p_value: f64,
    sd_log: f64,
    mde: f64,
}

#[derive(Deserialize)]
struct Holm {
    p: Vec<f64>,
    confidence: f64,
    reject: Vec<bool>,
}

#[derive(Deserialize)]
struct Ratio {
    numerators: Vec<f64>,
    denominators: Vec<f64>,
    level: f64,
    #[serde(flatten)]
    interval: Interval,
}

#[derive(Deserialize)]
struct Wilson {
    hits: f64,
    n: usize,
    level: f64,
    #[serde(flatten)]
    interval: Interval,
}

#[derive(Deserialize)]
struct PairedScore {
    better: f64,
    worse: f64,
    n: usize,
    level: f64,
    #[serde(flatten)]
    interval: Interval,
}

/// Values in ascending order, and the places that each resample draws.
#[derive(Deserialize)]
struct Bootstrap {
    values: Vec<f64>,
    draws: Vec<Vec<usize>>,
    point: f64,
    intervals: Vec<(f64, f64, f64)>,
}

fn golden() -> Golden {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/estimates.json"));
    serde_json::from_str(text).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64, relative: f64) {
    let error = (found - expected).abs();
    assert!(error <= relative * expected.abs(), "found {found:e}, expected {expected:e}");
}

#[track_caller]
fn same_interval(found: &Estimate, expected: &Interval) {
    close(found.point, expected.point, 1e-9);
    close(found.low, expected.low, 1e-9);
    close(found.high, expected.high, 1e-9);
}

#[test]
fn t_quantiles_agree_with_scipy_to_twelve_digits() {
    for (p, df, expected) in golden().t_quantiles {
        let found = t_quantile(p, df);
        let error = (found - expected).abs();
        assert!(
            error <= 1e-12 * expected.abs().max(1.0),
            "p {p}, df {df}: {found:e}, not {expected:e}"
        );
    }
}

#[test]
fn t_probabilities_agree_with_scipy() {
    for (t, df, expected) in golden().t_two_sided_p {
        close(t_two_sided_p(t, df), expected, 1e-9);
    }
}

#[test]
fn t_intervals_of_a_mean_agree_with_scipy() {
    for case in golden().means {
        let found = mean_t(&case.values, case.level).unwrap();
        same_interval(&found, &case.interval);
        assert_eq!((found.n as usize, found.method), (case.values.len(), Method::StudentT));
    }
}

#[test]
fn skewness_agrees_with_scipy() {
    for case in golden().skewnesses {
        close(skewness(&case.values).unwrap(), case.skewness, 1e-9);
    }
}

#[test]
fn quantiles_and_their_bounds_agree_with_scipy() {
    for case in golden().quantiles {
        let values = case.values.unwrap_or_else(|| (1..=case.n).map(|i| i as f64).collect());
        let found = quantile(&values, case.q, case.level).unwrap();
        close(found.point, case.point, 1e-9);
        assert_eq!(found.bounds, case.bounds, "n {}, q {}, {}", case.n, case.q, case.level);
        assert_eq!(found.bounds.is_some(), found.n >= found.need);
    }
}

#[test]
fn samples_needed_for_bounds_agree_with_a_search() {
    for (q, level, need) in golden().needs {
        assert_eq!(quantile(&[1.0], q, level).unwrap().need, need, "q {q}, {level}");
    }
}

#[test]
fn signed_rank_bounds_agree_with_enumeration() {
    for case in golden().signed_ranks {
        let found = signed_rank::interval(&case.values, case.level);
        assert_eq!(found.is_some(), case.bounds.is_some());
        if let (Some(found), Some(expected)) = (found, case.bounds) {
            close(found.0, expected.0, 1e-9);
            close(found.1, expected.1, 1e-9);
        }
    }
}

#[test]
fn paired_speedups_agree_with_scipy() {
    for case in golden().speedups {
        let found = speedup(&case.pairs, Better::Lower, 0.95).unwrap();
        assert_eq!(found.estimate.method, Method::PairedLogRatioT);
        same_interval(&found.estimate, &case.interval);
        close(found.p_value, case.p_value, 1e-9);
        close(found.sd_log, case.sd_log, 1e-9);
        close(found.mde, case.mde, 1e-9);
    }
}

#[test]
fn holm_levels_reject_exactly_what_statsmodels_rejects() {
    for case in golden().holm {
        let levels = holm_levels(&case.p, case.confidence);
        let rejected: Vec<_> = case.p.iter().zip(&levels).map(|(p, l)| *p <= 1.0 - l).collect();
        assert_eq!(rejected, case.reject, "{:?}", case.p);
    }
}

#[test]
fn ratios_of_sums_agree_with_covariances() {
    for case in golden().ratios {
        let found = ratio_of_sums(&case.numerators, &case.denominators, case.level).unwrap();
        same_interval(&found, &case.interval);
    }
}

#[test]
fn score_intervals_of_a_proportion_agree_with_statsmodels() {
    for case in golden().wilsons {
        let found = wilson(case.hits, case.n, case.level).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-12;
        assert!(close(found.low, case.interval.low), "{}: {found:?}", case.hits);
        assert!(close(found.high, case.interval.high), "{}: {found:?}", case.hits);
        assert!(close(found.point, case.interval.point));
        assert_eq!((found.n as usize, found.method), (case.n, Method::Wilson));
    }
}

#[test]
fn paired_score_intervals_agree_with_a_search_of_the_likelihood() {
    for case in golden().paired_scores {
        let found = paired_difference(case.better, case.worse, case.n, case.level).unwrap();
        let shown = format!("{}, {} of {}: {found:?}", case.better, case.worse, case.n);
        assert!((found.point - case.interval.point).abs() <= 1e-12, "{shown}");
        assert!((found.low - case.interval.low).abs() <= 1e-8, "{shown}");
        assert!((found.high - case.interval.high).abs() <= 1e-8, "{shown}");
    }
}

#[test]
fn bootstrap_intervals_agree_with_scipy_on_the_same_resamples() {
    for case in golden().bootstraps {
        let mean = |draws: &Vec<usize>| {
            let mut counts = vec![0; case.values.len()];
            for &at in draws {
                counts[at] += 1;
            }
            bootstrap::mean_of(&case.values, &counts)
        };
        for &(level, low, high) in &case.intervals {
            let means = case.draws.iter().map(mean).collect();
            let found = bootstrap::interval(&case.values, means, level).unwrap();
            same_interval(&found, &Interval { point: case.point, low, high });
        }
    }
}
